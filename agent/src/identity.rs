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
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::abi::Identity;

/// Whoever can say what descriptors stand for.
pub trait Identify {
    /// The identity of each of these, in their order.
    ///
    /// # Errors
    /// The kernel didn't tell of every one.
    fn identify(&mut self, files: &[File]) -> Result<Vec<Identity>>;
}

/// Opens what a path leads to, in a way that no open hook sees: a rule on it stays untouched.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)
}

/// Picks these files out of what the iterator over this process's descriptors wrote.
pub fn of(records: &[u8], files: &[File]) -> Result<Vec<Identity>> {
    let known: HashMap<u32, Identity> = records
        .chunks_exact(size_of::<Identity>())
        .map(Identity::read)
        .map(|identity| (identity.fd, identity))
        .collect();
    files
        .iter()
        .map(|file| {
            let fd = file.as_raw_fd();
            let identity = u32::try_from(fd).ok().and_then(|fd| known.get(&fd));
            identity
                .copied()
                .with_context(|| format!("the kernel told nothing of descriptor {fd}"))
        })
        .collect()
}
