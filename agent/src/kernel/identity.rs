//! What a file is to the hooks: device, inode and generation in the kernel's own terms.
//!
//! In: open descriptors of this process. Out: the [`Identity`] of each. A BPF iterator over
//! this process's descriptors tells, since `stat(2)` can't: btrfs and overlayfs show user
//! space other numbers than the hooks see, and the generation of a file that mustn't be
//! opened is told by no call.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::inotify::{self, ReadFlags, Reader};

use crate::kernel::abi::{Descriptor, InodeKey};
use crate::kernel::filesystem;

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
    /// The type of its file system, as `statfs(2)` tells it; see [`filesystem`].
    pub filesystem: u64,
    /// What keeps the inode in memory; `None` if nothing does that the agent knows of.
    pub kept: Option<Watch>,
}

impl Identity {
    /// Whether it is the same file. One that is kept in memory stays the same, whatever generation it
    /// was given since.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        let is_kept = self.kept.is_some() && self.kept == other.kept;
        self.inode == other.inode && (self.generation == other.generation || is_kept)
    }
}

/// What keeps an inode in memory: the number of an inotify watch on it. As long as the watch is there,
/// every further one on the same inode has its number, and no other has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Watch(pub i32);

/// Whoever can say what descriptors stand for.
pub trait Identify {
    /// The identity of each of these, in their order.
    ///
    /// # Errors
    /// The kernel didn't tell of every one.
    fn identify(&mut self, files: &[&File]) -> Result<Vec<Identity>>;

    /// The same, of files whose address is never given up, where it is part of the key.
    ///
    /// # Errors
    /// As [`Self::identify`], or there are too many watches.
    fn identify_for_good(&mut self, files: &[&File]) -> Result<Vec<Identity>>;

    /// Keeps a file's inode in memory, and with that its address, until it is released.
    ///
    /// # Errors
    /// There are too many watches.
    fn keep(&mut self, file: &File) -> Result<Watch>;

    /// The same, as long as that takes no more than its share of the watches.
    fn keep_if_room(&mut self, file: &File) -> Option<Watch>;

    /// Whether an inode that was kept was still there at the last [`Self::identify`]: its file not
    /// deleted, its file system mounted.
    fn exists(&self, kept: Watch) -> bool;

    /// Releases all that [`Self::keep`] kept, but these.
    fn release_all_but(&mut self, needed: &BTreeSet<Watch>);
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
    watches: BTreeSet<Watch>,
    /// How many may be there before one that isn't needed is left out.
    share: usize,
}

/// What of a user's watches may be taken for what isn't needed, as the reciprocal.
const SHARE: usize = 4;
/// How many watches a user may have where the kernel doesn't say: the fewest that it allows.
const FEWEST_WATCHES: usize = 8192;

impl Pins {
    /// Pins nothing yet.
    ///
    /// # Errors
    /// There are too many inotify instances.
    pub fn new() -> Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let inotify = inotify::init(flags)
            .context("failed to make an inotify instance; raise fs.inotify.max_user_instances")?;
        let most = fs::read_to_string("/proc/sys/fs/inotify/max_user_watches");
        let most = most.ok().and_then(|most| most.trim().parse().ok());
        Ok(Self {
            inotify,
            watches: BTreeSet::new(),
            share: most.unwrap_or(FEWEST_WATCHES) / SHARE,
        })
    }

    /// Pins a file's inode. One that is pinned already has the watch that it had.
    ///
    /// # Errors
    /// There are too many watches.
    pub fn pin(&mut self, file: &File) -> Result<Watch> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        // The hooks take an inode that is watched for this event for one that is pinned.
        let watched = inotify::add_watch(&self.inotify, path, inotify::WatchFlags::DELETE_SELF);
        let watch = watched.map(Watch).context(
            "failed to keep a file's inode in memory; raise fs.inotify.max_user_watches",
        )?;
        self.watches.insert(watch);
        Ok(watch)
    }

    /// The same, if there is room.
    pub fn pin_if_room(&mut self, file: &File) -> Option<Watch> {
        if self.watches.len() >= self.share {
            return None;
        }
        self.pin(file).ok()
    }

    /// Whether the inode of a watch was still there when it was last asked which watches ended.
    #[must_use]
    pub fn exists(&self, watch: Watch) -> bool {
        self.watches.contains(&watch)
    }

    /// Unpins all but these.
    pub fn keep_only(&mut self, needed: &BTreeSet<Watch>) {
        self.drop_ended();
        self.watches.retain(|watch| {
            let is_needed = needed.contains(watch);
            if !is_needed {
                // It may have ended by itself.
                let _ = inotify::remove_watch(&self.inotify, watch.0);
            }
            is_needed
        });
    }

    /// Asks which watches ended by themselves. Where the kernel had no room to tell, they count as being
    /// there.
    pub fn drop_ended(&mut self) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        while let Ok(event) = reader.next() {
            if event.events().contains(ReadFlags::IGNORED) {
                self.watches.remove(&Watch(event.wd()));
            }
        }
    }
}

/// Picks these files out of what the iterator over this process's descriptors wrote.
pub fn of(records: &[u8], files: &[&File]) -> Result<Vec<Identity>> {
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
        let filesystem = filesystem.cast_unsigned();
        if !filesystem::is_addressed(filesystem) {
            inode.address = 0;
        }
        Ok(Identity {
            inode,
            generation: found.generation,
            address: found.inode.address,
            superblock: found.superblock,
            filesystem,
            kept: None,
        })
    };
    files.iter().map(identity).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_file_keeps_its_watch_under_every_name_until_it_is_gone_or_released() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        let pinned = |pins: &mut Pins, path: &Path| pins.pin(&open(path).unwrap()).unwrap();
        let mut pins = Pins::new().unwrap();
        fs::write(&one, "").unwrap();
        let first = pinned(&mut pins, &one);
        fs::hard_link(&one, &other).unwrap();
        assert_eq!(pinned(&mut pins, &other), first);
        fs::remove_file(&one).unwrap();
        pins.drop_ended();
        assert!(pins.exists(first));
        fs::remove_file(&other).unwrap();
        pins.drop_ended();
        assert!(!pins.exists(first));
        fs::write(&one, "").unwrap();
        let second = pinned(&mut pins, &one);
        assert_ne!(first, second);
        fs::write(&other, "").unwrap();
        let third = pinned(&mut pins, &other);
        pins.keep_only(&BTreeSet::from([third]));
        assert!(!pins.exists(second));
        assert!(pins.exists(third));
    }

    #[test]
    fn what_isn_t_needed_takes_no_more_than_its_share() {
        let folder = tempfile::tempdir().unwrap();
        let mut pins = Pins::new().unwrap();
        pins.share = 1;
        let file = open(folder.path()).unwrap();
        let first = pins.pin_if_room(&file);
        assert!(first.is_some());
        let other = tempfile::tempdir().unwrap();
        let other = open(other.path()).unwrap();
        assert_eq!(pins.pin_if_room(&other), None);
        assert!(pins.pin(&other).is_ok());
    }

    #[test]
    fn a_file_is_the_same_by_its_generation_or_by_what_keeps_it() {
        let one = Identity {
            inode: InodeKey::new(8, 1, 2),
            generation: 7,
            address: 0x1000,
            superblock: 0x100,
            filesystem: 0xef53,
            kept: Some(Watch(1)),
        };
        let set_anew = Identity {
            generation: 8,
            ..one
        };
        let heir = Identity {
            kept: Some(Watch(2)),
            ..set_anew
        };
        let unkept = |identity| Identity {
            kept: None,
            ..identity
        };
        for (other, same) in [
            (one, true),
            (set_anew, true),
            (heir, false),
            (unkept(one), true),
            (unkept(set_anew), false),
        ] {
            assert_eq!(one.is_same_as(&other), same, "{other:?}");
        }
        assert!(!unkept(one).is_same_as(&unkept(set_anew)));
    }
}
