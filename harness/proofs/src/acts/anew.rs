//! How a user comes to have the same thing as another file, or under another generation.
//!
//! In: paths. Out: what the kernel says. All of it is done with the rights of whoever calls.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Error;
use protocol::record::Fate;
use rustix::mount::{MountFlags, mount};
use rustix::thread::UnshareFlags;

use crate::acts::cause;
use crate::acts::ioctl;
use crate::acts::ways::raw;

/// A generation that the kernel gives no file by chance.
const GENERATION: u32 = 0x1234_5678;

/// Gives a file another generation.
pub fn regenerate(path: &Path, writing: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.read(!writing).write(writing).open(path)?;
    ioctl::set_generation(&file, GENERATION).map_err(kernel_s)
}

/// Makes a subvolume.
pub fn subvolume(path: &Path) -> io::Result<()> {
    let (folder, name) = place(path)?;
    ioctl::make_subvolume(&folder, name).map_err(kernel_s)
}

/// Makes a snapshot of a subvolume.
pub fn snapshot(of: &Path, path: &Path) -> io::Result<()> {
    let (folder, name) = place(path)?;
    ioctl::make_snapshot(&File::open(of)?, &folder, name).map_err(kernel_s)
}

/// Reads a file of procfs or sysfs that is mounted anew, and gives it out. That takes a child: only a
/// child is in a new pid namespace.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let namespaces =
        UnshareFlags::NEWUSER | UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWNET;
    // SAFETY: only sharing the table of descriptors is what others here could rely on.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }?;
    let read = || -> io::Result<()> {
        let (kind, top) = match path.starts_with("/proc") {
            true => ("proc", "/proc"),
            false => ("sysfs", "/sys"),
        };
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount(kind, top, kind, flags, None)?;
        io::stdout().write_all(&fs::read(path)?)?;
        io::stdout().flush()
    };
    let helped = raw::in_helper(|| match read() {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
    });
    match helped.map_err(kernel_s)?.1 {
        Fate::Allowed => Ok(Vec::new()),
        Fate::Denied { errno } => Err(io::Error::from_raw_os_error(errno)),
        Fate::Killed { .. } | Fate::Broken { .. } => Err(io::ErrorKind::Interrupted.into()),
    }
}

/// The folder of a path, open, and the name in it.
fn place(path: &Path) -> io::Result<(File, &str)> {
    let name = path.file_name().and_then(|name| name.to_str());
    match (path.parent(), name) {
        (Some(folder), Some(name)) => Ok((File::open(folder)?, name)),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// The kernel's own error of one that says more.
fn kernel_s(error: Error) -> io::Error {
    match cause::errno(&error) {
        Some(errno) => errno.into(),
        None => io::Error::other(error),
    }
}
