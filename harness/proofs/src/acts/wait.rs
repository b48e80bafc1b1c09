//! Waiting for events with a limit: never by sleeping.

use std::os::fd::AsFd;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, waitid,
};

/// Waits until the descriptor can be read or is closed at the other end.
///
/// # Errors
/// The limit passed.
pub fn readable(fd: impl AsFd, limit: Duration, what: &str) -> Result<()> {
    any(&mut [PollFd::new(&fd, PollFlags::IN)], limit, what)
}

/// Waits until one of two descriptors can be read; whether the first can.
///
/// # Errors
/// The limit passed.
pub fn either(first: impl AsFd, second: impl AsFd, limit: Duration, what: &str) -> Result<bool> {
    let fds =
        [&first.as_fd(), &second.as_fd()].map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN));
    let mut fds = fds;
    any(&mut fds, limit, what)?;
    Ok(!fds[0].revents().is_empty())
}

fn any(fds: &mut [PollFd], limit: Duration, what: &str) -> Result<()> {
    let limit_spec = Timespec::try_from(limit).context("a limit out of range")?;
    loop {
        match poll(fds, Some(&limit_spec)) {
            Ok(0) => bail!("{what}: nothing within {} s", limit.as_secs_f32()),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).with_context(|| format!("waiting for {what}")),
        }
    }
}

/// Waits for a child's end; one that outlives the limit is killed.
///
/// # Errors
/// The limit passed (the child is gone then too).
pub fn ended(child: &mut Child, limit: Duration, what: &str) -> Result<ExitStatus> {
    let pid = Pid::from_child(child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).with_context(|| format!("watching {what}"))?;
    if let Err(error) = readable(&pidfd, limit, what) {
        rustix::process::kill_process(pid, Signal::KILL).context("killing it")?;
        child.wait().context("reaping it")?;
        return Err(error);
    }
    child.wait().with_context(|| format!("reaping {what}"))
}

/// Waits for a child's end and leaves it to be reaped, for a look at how it ended.
///
/// # Errors
/// The limit passed.
pub fn left_to_reap(child: &Child, limit: Duration, what: &str) -> Result<WaitIdStatus> {
    let pid = Pid::from_child(child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).with_context(|| format!("watching {what}"))?;
    readable(&pidfd, limit, what)?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let status = waitid(WaitId::Pid(pid), options).with_context(|| format!("asking for {what}"))?;
    status.with_context(|| format!("{what}: no status"))
}
