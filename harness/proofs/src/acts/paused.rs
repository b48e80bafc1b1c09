//! The agent stopped in its tracks, so that what holds meanwhile holds without it: what it
//! put into the kernel before, and not its being quick.

use anyhow::{Context, Result};
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
        anyhow::ensure!(stopped, "the agent ended instead of standing still");
        Ok(paused)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        // One that has ended has no more to do.
        let _ = kill_process(self.0, Signal::CONT);
    }
}
