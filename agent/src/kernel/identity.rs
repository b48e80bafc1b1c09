//! What a file is to the hooks: device, inode and generation in the kernel's own terms.
//!
//! In: open descriptors of this process. Out: the [`Identity`] of each. A BPF iterator over
//! this process's descriptors tells, since `stat(2)` can't: btrfs and overlayfs show user
//! space other numbers than the hooks see, and the generation of a file that mustn't be
//! opened is told by no call.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::inotify;

use crate::kernel::abi::{Descriptor, InodeKey};

/// A file, as the hooks know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The key under which the hooks look it up.
    pub inode: InodeKey,
    /// `i_generation`
    pub generation: u32,
    /// Where the inode is in the kernel's memory: two that differ are two files, whatever
    /// their numbers say. Only to compare; nobody is told of it.
    pub address: u64,
    /// Where its superblock is there.
    pub superblock: u64,
}

/// From linux/magic.h. Every subvolume of a btrfs numbers its inodes anew, and all have the
/// same device number.
const BTRFS_SUPER_MAGIC: u64 = 0x9123_683e;

/// Whoever can say what descriptors stand for.
pub trait Identify {
    /// The identity of each of these, in their order.
    ///
    /// # Errors
    /// The kernel didn't tell of every one.
    fn identify(&mut self, files: &[&File]) -> Result<Vec<Identity>>;

    /// Keeps a file's inode in memory, and with that its address.
    ///
    /// # Errors
    /// There are too many watches.
    fn keep(&mut self, file: &File) -> Result<()>;
}

/// Opens what a path leads to, in a way that no open hook sees: a rule on it stays untouched.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)
}

/// Keeps inodes in memory, and with that their addresses, as long as it is kept.
///
/// A watch on a file does that, and unlike an open descriptor it doesn't keep the file's
/// filesystem from being unmounted.
pub struct Pins {
    inotify: OwnedFd,
}

impl Pins {
    /// Pins nothing yet.
    ///
    /// # Errors
    /// There are too many inotify instances.
    pub fn new() -> Result<Self> {
        let inotify = inotify::init(inotify::CreateFlags::CLOEXEC)
            .context("failed to make an inotify instance; raise fs.inotify.max_user_instances")?;
        Ok(Self { inotify })
    }

    /// Pins a file's inode.
    pub fn pin(&self, file: &File) -> Result<()> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        // Some event must be asked for; nobody reads them.
        inotify::add_watch(&self.inotify, path, inotify::WatchFlags::DELETE_SELF).context(
            "failed to keep a file's inode in memory; raise fs.inotify.max_user_watches",
        )?;
        Ok(())
    }
}

/// Picks these files out of what the iterator over this process's descriptors wrote.
pub fn of(records: &[u8], files: &[&File], pins: &Pins) -> Result<Vec<Identity>> {
    let known: HashMap<u32, Descriptor> = records
        .chunks_exact(size_of::<Descriptor>())
        .map(Descriptor::read)
        .map(|descriptor| (descriptor.fd, descriptor))
        .collect();
    let identity = |file: &&File| {
        let fd = file.as_raw_fd();
        let found = u32::try_from(fd).ok().and_then(|fd| known.get(&fd));
        let found = found.with_context(|| format!("the kernel told nothing of descriptor {fd}"))?;
        let mut inode = found.inode;
        let filesystem = rustix::fs::fstatfs(file).context("fstatfs")?.f_type;
        if filesystem.cast_unsigned() == BTRFS_SUPER_MAGIC {
            pins.pin(file)?;
        } else {
            inode.address = 0;
        }
        Ok(Identity {
            inode,
            generation: found.generation,
            address: found.inode.address,
            superblock: found.superblock,
        })
    };
    files.iter().map(identity).collect()
}
