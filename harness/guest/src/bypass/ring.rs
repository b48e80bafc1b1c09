//! An open that no system call of that name makes: the kernel does it for `io_uring`.

use std::ffi::CStr;
use std::os::fd::{FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use io_uring::squeue::Flags;
use io_uring::types::Fd;
use io_uring::{IoUring, opcode};
use rustix::io::Errno;

/// Opens for reading: on the thread that submits, or, if asked, on one of the kernel's
/// workers.
///
/// # Errors
/// The ring can't be had, or gave no answer.
pub fn open(path: &CStr, on_worker: bool) -> Result<Result<OwnedFd, Errno>> {
    let mut ring = IoUring::new(2).context("setting the ring up")?;
    let flags = match on_worker {
        true => Flags::ASYNC,
        false => Flags::empty(),
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
