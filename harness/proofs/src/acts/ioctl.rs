//! The few things that the kernel does only by `ioctl(2)`: loop devices, subvolumes, generations.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// Gives out loop devices. It is there exactly if the kernel has them.
pub const LOOP_CONTROL: &str = "/dev/loop-control";

/// From the kernel's `linux/loop.h`.
const LOOP_CTL_GET_FREE: u32 = 0x4C82;
const LOOP_SET_FD: u32 = 0x4C00;
/// From the kernel's `linux/btrfs.h`: `_IOW(0x94, 14, struct btrfs_ioctl_vol_args)`.
const BTRFS_IOC_SUBVOL_CREATE: u32 = 0x5000_940E;
/// The same: `_IOW(0x94, 1, struct btrfs_ioctl_vol_args)`.
const BTRFS_IOC_SNAP_CREATE: u32 = 0x5000_9401;
/// From the kernel's `linux/fs.h`: `_IOW('v', 2, long)`.
const FS_IOC_SETVERSION: u32 = 0x4008_7602;

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct SubvolumeArguments {
    fd: i64,
    name: [u8; 4088],
}

/// Puts a file on a free loop device, and gives the device's path.
///
/// # Errors
/// There is none, or the kernel refuses.
pub fn loop_device(file: &File) -> Result<PathBuf> {
    let control = File::open(LOOP_CONTROL).with_context(|| format!("opening {LOOP_CONTROL}"))?;
    // SAFETY: it takes no argument.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
    let number = u32::try_from(number)
        .map_err(|_| std::io::Error::last_os_error())
        .context("asking for a free one")?;
    let path = PathBuf::from(format!("/dev/loop{number}"));
    let device = File::options().read(true).write(true).open(&path);
    let device = device.with_context(|| format!("opening {}", path.display()))?;
    // SAFETY: its argument is a descriptor, which lives through the call.
    let set = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_FD as _, file.as_raw_fd()) };
    succeeded(set).with_context(|| format!("putting a file on {}", path.display()))?;
    Ok(path)
}

/// Makes a subvolume in a folder of a btrfs.
///
/// # Errors
/// The name is too long, or the kernel refuses.
pub fn make_subvolume(folder: &File, name: &str) -> Result<()> {
    with_subvolume(folder, BTRFS_IOC_SUBVOL_CREATE, name, 0)
}

/// Makes a snapshot of a subvolume in a folder of its btrfs.
///
/// # Errors
/// The name is too long, or the kernel refuses.
pub fn make_snapshot(of: &File, folder: &File, name: &str) -> Result<()> {
    with_subvolume(folder, BTRFS_IOC_SNAP_CREATE, name, of.as_raw_fd().into())
}

fn with_subvolume(folder: &File, request: u32, name: &str, fd: i64) -> Result<()> {
    let mut arguments = SubvolumeArguments {
        fd,
        name: [0; 4088],
    };
    // One byte has to stay zero behind it.
    if name.len() >= arguments.name.len() {
        bail!("the name of a subvolume is too long");
    }
    arguments.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: the kernel reads the arguments, which live through the call, and has their layout.
    let made = unsafe { libc::ioctl(folder.as_raw_fd(), request as _, &raw const arguments) };
    succeeded(made)
}

/// Gives a file another generation.
///
/// # Errors
/// Its file system has no such thing, or the kernel refuses.
pub fn set_generation(file: &File, generation: u32) -> Result<()> {
    // SAFETY: the kernel reads the generation, which lives through the call.
    let set = unsafe {
        libc::ioctl(
            file.as_raw_fd(),
            FS_IOC_SETVERSION as _,
            &raw const generation,
        )
    };
    succeeded(set)
}

fn succeeded(result: libc::c_int) -> Result<()> {
    if result < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(())
}
