//! Ends a process group when the harness is gone, however it went.
//!
//! A death signal reaches only a process that the harness started itself, and not what that
//! process has started: a QEMU behind a wrapper would outlive a harness that SIGKILL ended. So a
//! shell waits at a pipe that only the harness holds open, and kills the group at the pipe's end.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use rustix::process::Pid;

/// Reads the group's number; then a line that dismisses it, or the end of the harness.
const SCRIPT: &str = "read -r group || exit; read -r _ && exit; kill -s KILL -- \"-$group\"";

/// The shell that waits. It is in a process group of its own, so that no terminal's signal ends it.
#[derive(Debug)]
pub(super) struct Guard(Child);

impl Guard {
    /// Starts it, without a group so far.
    ///
    /// # Errors
    /// There is no shell.
    pub fn start() -> Result<Self> {
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", SCRIPT])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let shell = shell.spawn().context("starting /bin/sh")?;
        Ok(Self(shell))
    }

    /// From here on it watches over this group.
    ///
    /// # Errors
    /// It has gone.
    pub fn watch(&mut self, group: Pid) -> Result<()> {
        let told = self.tell(&format!("{group}\n"));
        told.context("telling /bin/sh what to watch over")
    }

    /// It watches over nothing any more. To be called before the group's leader is reaped, after
    /// which the number may be another group's.
    pub fn dismiss(mut self) -> io::Result<()> {
        // One that has gone by itself needs no word.
        let told = self.tell("\n");
        drop(self.0.stdin.take());
        self.0.wait()?;
        told
    }

    fn tell(&mut self, line: &str) -> io::Result<()> {
        let pipe = self.0.stdin.as_mut();
        pipe.map_or(Ok(()), |pipe| pipe.write_all(line.as_bytes()))
    }
}
