//! Readiness: the edge that tells whoever started the agent that its claims hold.
//!
//! In: the number of an inherited descriptor. Out: `ready` and a line end on it, once, then
//! its end. An end without that line means that the agent isn't ready and won't be.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use anyhow::{Context as _, Result};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use crate::exit::{Ending, Exit};

/// The descriptor to tell readiness on.
#[derive(Debug)]
pub struct Ready {
    file: File,
}

impl Ready {
    /// Takes over an inherited descriptor, and keeps it from the canaries: one that held it
    /// would keep the pipe open after the agent's end.
    pub fn adopt(fd: RawFd) -> Result<Self> {
        let usage = |why: String| Ending::error(Exit::Usage, format!("--ready-fd {fd}: {why}"));
        if fd <= 2 {
            return Err(usage("0, 1 and 2 are taken; use 3 or above".to_owned()));
        }
        // SAFETY: only borrowed for fcntl, which tells by EBADF if nothing is open there.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        fcntl_getfd(borrowed)
            .and_then(|_| fcntl_setfd(borrowed, FdFlags::CLOEXEC))
            .map_err(|error| usage(format!("it isn't an open descriptor: {error}")))?;
        // SAFETY: it is open, and by naming it the caller gave it to us; nothing else in
        // this process uses it, since it was inherited and adopted before any other open.
        let owned = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { file: owned.into() })
    }

    /// Tells that the agent is ready.
    pub fn tell(mut self) -> Result<()> {
        self.file
            .write_all(b"ready\n")
            .context("failed to write to --ready-fd")
    }
}
