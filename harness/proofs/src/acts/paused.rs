//! Stops the agent with SIGSTOP: what is enforced meanwhile is enforced by what it has put into
//! the kernel, without its help.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// A child of ours that stands still until this is dropped.
pub struct Paused(Pid);

impl Paused {
    /// Stops it, and waits until it stands still.
    ///
    /// # Errors
    /// It can't be stopped, or has ended.
    pub fn stop(pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let paused = Self(pid.context("a process id out of range")?);
        kill_process(paused.0, Signal::STOP).context("stopping the agent")?;
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(paused.0), stopped).context("waiting for its stop")?;
        let stopped = status.is_some_and(|status| status.stopped());
        ensure!(stopped, "the agent ended instead of standing still");
        Ok(paused)
    }

    /// Stops it at a moment when it has nothing open beneath a folder: the kernel can't evict the
    /// inode of an open file.
    ///
    /// # Errors
    /// As [`Self::stop`]; or no such moment comes within the limit.
    pub fn stop_holding_nothing(pid: u32, folder: &Path, limit: Duration) -> Result<Self> {
        let deadline = Instant::now() + limit;
        loop {
            let paused = Self::stop(pid)?;
            if !holds_beneath(pid, folder)? {
                return Ok(paused);
            }
            let folder = folder.display();
            ensure!(
                Instant::now() < deadline,
                "it always looks beneath {folder}"
            );
        }
    }
}

/// Whether a process has a file open beneath a folder.
fn holds_beneath(pid: u32, folder: &Path) -> Result<bool> {
    let descriptors = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&descriptors).with_context(|| format!("listing {descriptors}"))?;
    for entry in entries {
        // One that was closed since leads nowhere.
        let to = fs::read_link(
            entry
                .with_context(|| format!("listing {descriptors}"))?
                .path(),
        );
        if to.is_ok_and(|to| to.starts_with(folder)) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Drop for Paused {
    fn drop(&mut self) {
        // One that has ended has no more to do.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_file_is_seen_where_it_is_held_and_only_while_it_is() {
        let pid = std::process::id();
        // A source file, which nothing here has open.
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/guarantees.md");
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        let holds = |folder: &str| holds_beneath(pid, Path::new(folder)).expect("its descriptors");
        assert!(!holds(folder));
        let held = File::open(file).expect("a file");
        assert!(holds(folder) && holds(file) && !holds("/srv"));
        drop(held);
        assert!(!holds(folder));
    }
}
