//! A file that nobody opens but the kernel, for whoever asks to be told what happens to it.

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;

use super::raw::{descriptor, last_error};
use crate::acts::cause;

/// Reads of the file by a descriptor that is there already, and then what there is to read of
/// that: the event comes with a descriptor of its own.
///
/// # Errors
/// The file can't be watched, or the event is another.
pub fn open(path: &str, held: BorrowedFd) -> Result<Result<OwnedFd, Errno>> {
    let path = CString::new(path)?;
    // SAFETY: no memory is passed.
    let events = descriptor(unsafe {
        libc::syscall(
            libc::SYS_fanotify_init,
            libc::FAN_CLASS_NOTIF | libc::FAN_CLOEXEC,
            libc::O_RDONLY,
        )
    })
    .context("fanotify_init")
    .map_err(|error| cause::not_here_without("CONFIG_FANOTIFY", "fanotify", error))?;
    let (flags, mask) = (libc::FAN_MARK_ADD, libc::FAN_ACCESS);
    // SAFETY: the path is a C string that outlives the call.
    let marked = unsafe {
        let path = path.as_ptr();
        libc::fanotify_mark(events.as_raw_fd(), flags, mask, libc::AT_FDCWD, path)
    };
    if marked != 0 {
        return Err(last_error()).context("fanotify_mark");
    }
    rustix::io::pread(held, &mut [0; 1], 0).context("reading by the descriptor")?;
    // SAFETY: all zeros is a valid event.
    let mut event: libc::fanotify_event_metadata = unsafe { std::mem::zeroed() };
    let size = size_of_val(&event);
    // SAFETY: the event has this size and outlives the call.
    let read = unsafe { libc::read(events.as_raw_fd(), (&raw mut event).cast(), size) };
    match usize::try_from(read) {
        // What fails is the open, for which there is nothing else to read.
        Err(_) => Ok(Err(last_error())),
        Ok(got) if got == size && event.mask & mask != 0 && event.fd >= 0 => {
            // SAFETY: the kernel has just given it to this process, and nobody else knows it.
            Ok(Ok(unsafe { OwnedFd::from_raw_fd(event.fd) }))
        }
        Ok(got) => bail!("an event of {got} bytes with the descriptor {}", event.fd),
    }
}
