//! A file by the handle that its filesystem gives it: no path at all.
//!
//! In: a path. Out: a [`Handle`], which opens the file again, and which is text on the command
//! line of a process that is to open it.

use std::ffi::CString;
use std::fmt::{Display, Formatter};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Error, Result};
use rustix::io::Errno;

use crate::acts::cause;

/// `MAX_HANDLE_SZ`: no filesystem gives a longer one.
const MAX: usize = 128;

/// `struct file_handle`, with all the room that one may need.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(C)]
pub struct Handle {
    bytes: u32,
    kind: i32,
    handle: [u8; MAX],
}

impl Handle {
    /// `name_to_handle_at(2)`.
    ///
    /// # Errors
    /// The file's filesystem gives none, or the kernel knows of none.
    pub fn of(path: &Path) -> Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes()).context("a path with a NUL")?;
        let mut handle = Self {
            bytes: MAX as u32,
            kind: 0,
            handle: [0; MAX],
        };
        let mut mount = 0;
        // SAFETY: the structure has the room that it claims, and all outlive the call.
        let result = unsafe {
            libc::name_to_handle_at(
                libc::AT_FDCWD,
                path.as_ptr(),
                (&raw mut handle).cast(),
                &raw mut mount,
                0,
            )
        };
        if result == 0 {
            return Ok(handle);
        }
        let error = Error::new(last_error()).context("name_to_handle_at");
        Err(cause::not_here_without(
            "CONFIG_FHANDLE",
            "file handles",
            error,
        ))
    }

    /// `open_by_handle_at(2)` for reading, on the filesystem of this file or folder. It allocates
    /// nothing, so a process may call it wherever it may make a system call.
    pub fn open(&self, mount: BorrowedFd) -> Result<OwnedFd, Errno> {
        let handle = (&raw const *self).cast_mut().cast();
        // SAFETY: the handle has as many bytes as it says, it outlives the call, and the kernel
        // only reads it.
        match unsafe { libc::open_by_handle_at(mount.as_raw_fd(), handle, libc::O_RDONLY) } {
            // SAFETY: the kernel has just given it to this process, and nobody else knows it.
            fd @ 0.. => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            _ => Err(last_error()),
        }
    }
}

fn last_error() -> Errno {
    // Always set after a failed call.
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

impl Display for Handle {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.kind)?;
        for byte in self.handle.iter().take(self.bytes as usize) {
            write!(f, " {byte}")?;
        }
        Ok(())
    }
}

impl FromStr for Handle {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.split(' ');
        let kind = words.next().unwrap_or_default();
        let mut handle = Self {
            bytes: 0,
            kind: kind.parse().context("the kind of a handle")?,
            handle: [0; MAX],
        };
        for word in words {
            let byte = handle.handle.get_mut(handle.bytes as usize);
            *byte.context("a handle that is too long")? =
                word.parse().context("a byte of a handle")?;
            handle.bytes += 1;
        }
        Ok(handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_that_was_text_is_the_same_one() {
        let mut handle = Handle {
            bytes: 3,
            kind: -7,
            handle: [0; MAX],
        };
        handle.handle[..3].copy_from_slice(&[1, 0, 255]);
        assert_eq!(handle.to_string(), "-7 1 0 255");
        assert_eq!(handle.to_string().parse::<Handle>().unwrap(), handle);
        handle = Handle {
            bytes: MAX as u32,
            kind: 1,
            handle: [9; MAX],
        };
        assert_eq!(handle.to_string().parse::<Handle>().unwrap(), handle);
    }

    #[test]
    fn what_is_no_handle_is_refused() {
        for text in [
            "",
            "x",
            "1 256",
            "1 2 ",
            &format!("1{}", " 2".repeat(MAX + 1)),
        ] {
            assert!(text.parse::<Handle>().is_err(), "{text}");
        }
    }
}
