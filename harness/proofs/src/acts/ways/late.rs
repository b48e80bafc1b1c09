//! Paths that aren't there, or are others, when a call begins: whoever looks at one then sees
//! something else than the kernel, which reads it later.
//!
//! A page that the kernel can't read yet holds a call up for as long as one likes
//! (`userfaultfd(2)`), so that none of these is a matter of luck.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{NonNull, null_mut};

use anyhow::{Context, Result, anyhow, bail};
use rustix::fs::{CWD, MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap};

use super::raw::{PAGE, descriptor, last_error, new_page, openat_at, openat2_as, write};
use crate::acts::cause;

/// Opens with the path on a page that has content but isn't mapped in: the kernel faults it
/// in when it reads the path, which a program on a hook can't.
///
/// # Errors
/// The page can't be had.
pub fn open_unmapped(path: &CStr) -> Result<Result<OwnedFd, Errno>> {
    let file = memfd_create("path", MemfdFlags::CLOEXEC).context("a file in memory")?;
    File::from(file.try_clone()?)
        .write_all(path.to_bytes_with_nul())
        .context("writing the path")?;
    // SAFETY: a new mapping, of which nothing is known to the compiler.
    let page = unsafe {
        mmap(
            null_mut(),
            PAGE,
            ProtFlags::READ,
            MapFlags::PRIVATE,
            &file,
            0,
        )
    };
    let page = NonNull::new(page.context("mapping it")?.cast()).context("a page at 0")?;
    Ok(openat_at(page))
}

/// Opens with the path on a page that a second thread fills in only once the call is under
/// way and waits for it: whoever looks before sees nothing.
///
/// # Errors
/// The kernel doesn't let the page be watched, or nobody waited for it.
pub fn open_late(path: &CStr) -> Result<Result<OwnedFd, Errno>> {
    let page = new_page(MapFlags::PRIVATE)?;
    let mut filled = vec![0_u8; PAGE];
    filled[..path.to_bytes().len()].copy_from_slice(path.to_bytes());
    held_up(page, filled, || Ok(()), || openat_at(page))
}

/// Opens `path`, with `other` in its place until the call is under way: what the call needs
/// beside it is on a page that is missing, and a second thread, before it fills that in, writes
/// the one path over the other.
///
/// # Errors
/// As [`open_late`].
pub fn open_rewritten(other: &CStr, path: &CStr) -> Result<Result<OwnedFd, Errno>> {
    let spelled = new_page(MapFlags::PRIVATE)?;
    write(other, spelled)?;
    // All zeros ask for a plain open for reading.
    let how = new_page(MapFlags::PRIVATE)?;
    let (to, path) = (spelled.as_ptr() as usize, path.to_owned());
    let rewrite = move || {
        let page = NonNull::new(to as *mut u8).context("a page at 0")?;
        write(&path, page)
    };
    held_up(how, vec![0; PAGE], rewrite, || {
        openat2_as(CWD, spelled.as_ptr(), how.as_ptr().cast())
    })
}

/// Makes a call that comes to a page which isn't there. A second thread waits for that, does
/// its work, fills the page in, and so lets the call go on.
fn held_up<T>(
    page: NonNull<u8>,
    filled: Vec<u8>,
    work: impl FnOnce() -> Result<()> + Send + 'static,
    call: impl FnOnce() -> T,
) -> Result<T> {
    let watch = watch(page)?;
    let second = std::thread::spawn(move || fill_when_missed(watch, &filled, work));
    let result = call();
    let joined = second.join();
    joined.map_err(|_| anyhow!("the second thread panicked"))??;
    Ok(result)
}

/// Asks for the faults on a page (`userfaultfd(2)`).
fn watch(page: NonNull<u8>) -> Result<OwnedFd> {
    #[repr(C)]
    struct Api {
        api: u64,
        features: u64,
        ioctls: u64,
    }
    #[repr(C)]
    struct Register {
        start: u64,
        length: u64,
        mode: u64,
        ioctls: u64,
    }
    const UFFDIO_API: u64 = 0xc018_aa3f;
    const UFFDIO_REGISTER: u64 = 0xc020_aa00;
    const MISSING: u64 = 1;
    // SAFETY: no memory is passed.
    let watch = descriptor(unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) })
        .context("userfaultfd")
        .map_err(|error| cause::not_here_without("CONFIG_USERFAULTFD", "userfaultfd", error))?;
    let mut api = Api {
        api: 0xaa,
        features: 0,
        ioctls: 0,
    };
    let mut register = Register {
        start: page.as_ptr() as u64,
        length: PAGE as u64,
        mode: MISSING,
        ioctls: 0,
    };
    // SAFETY: each structure is the one that its number stands for, and outlives the call.
    unsafe {
        ioctl(&watch, UFFDIO_API, &raw mut api)?;
        ioctl(&watch, UFFDIO_REGISTER, &raw mut register)?;
    }
    Ok(watch)
}

/// Waits for the fault, does the work and fills the page in.
fn fill_when_missed(
    watch: OwnedFd,
    filled: &[u8],
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    #[repr(C)]
    struct Copy {
        to: u64,
        from: u64,
        length: u64,
        mode: u64,
        copied: i64,
    }
    const UFFDIO_COPY: u64 = 0xc028_aa03;
    /// Of a message: its size, what a fault is called, and where its address stands.
    const MESSAGE: usize = 32;
    const FAULT: u8 = 0x12;
    const ADDRESS: std::ops::Range<usize> = 16..24;
    let mut message = [0_u8; MESSAGE];
    let mut reader = File::from(watch.try_clone()?);
    reader.read_exact(&mut message).context("waiting for it")?;
    if message[0] != FAULT {
        bail!("not a fault but {:#x}", message[0]);
    }
    work()?;
    let address = u64::from_ne_bytes(message[ADDRESS].try_into()?);
    let mut copy = Copy {
        to: address & !(PAGE as u64 - 1),
        from: filled.as_ptr() as u64,
        length: PAGE as u64,
        mode: 0,
        copied: 0,
    };
    // SAFETY: the structure is the one that the number stands for, and the source has a page.
    unsafe { ioctl(&watch, UFFDIO_COPY, &raw mut copy) }
}

/// # Safety
/// The argument must be what the request takes.
unsafe fn ioctl<T>(fd: &OwnedFd, request: u64, argument: *mut T) -> Result<()> {
    // SAFETY: as promised by the caller.
    match unsafe { libc::ioctl(fd.as_raw_fd(), request, argument) } {
        -1 => Err(last_error()).with_context(|| format!("ioctl {request:#x}")),
        _ => Ok(()),
    }
}
