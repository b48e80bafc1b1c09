//! An open that no system call of that name makes: the kernel does it for `io_uring`.

use std::ffi::CStr;
use std::os::fd::{FromRawFd, OwnedFd};

use anyhow::{Context, Error, Result};
use io_uring::squeue::Flags;
use io_uring::types::Fd;
use io_uring::{IoUring, opcode};
use rustix::io::Errno;

use crate::acts::cause;

/// Who opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The thread that submits.
    Submitter,
    /// One of the kernel's workers.
    Worker,
    /// The kernel's thread that looks for what was submitted.
    Poller,
}

/// How long the poller looks before it sleeps, in milliseconds: it is woken by each submission.
const IDLE_MS: u32 = 1;

/// Opens for reading.
///
/// # Errors
/// The ring can't be had, or gave no answer.
pub fn open(path: &CStr, by: By) -> Result<Result<OwnedFd, Errno>> {
    let mut builder = IoUring::builder();
    if by == By::Poller {
        builder.setup_sqpoll(IDLE_MS);
    }
    let mut ring: IoUring = builder.build(2).map_err(|error| {
        let error = Error::new(error).context("setting the ring up");
        cause::not_here_without("CONFIG_IO_URING", "io_uring", error)
    })?;
    let flags = match by {
        By::Worker => Flags::ASYNC,
        By::Submitter | By::Poller => Flags::empty(),
    };
    let open = opcode::OpenAt::new(Fd(libc::AT_FDCWD), path.as_ptr())
        .flags(libc::O_RDONLY)
        .build()
        .flags(flags);
    // SAFETY: the path outlives the entry: its completion is waited for below.
    unsafe { ring.submission().push(&open) }.context("queueing the open")?;
    ring.submit_and_wait(1).context("submitting the open")?;
    let answer = ring.completion().next().context("no answer came")?.result();
    Ok(match answer {
        // SAFETY: the kernel has just given it to this process, and nobody else knows it.
        fd @ 0.. => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        errno => Err(Errno::from_raw_os_error(-errno)),
    })
}
