//! The edge to inotify: watches on folders, and the events of those watches.
//!
//! In: folders. Out: watch numbers, and owned-by-nobody [`Event`]s, as many as are queued.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Changes of the names in a folder, and the folder's own end. Its path may be the link in `/proc`
/// to what is open, so it is followed.
const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Room for what one read takes: some thousand events.
const BUFFER: usize = 64 * 1024;

/// How many reads are made in a row, so that a storm of events lets others have a turn.
const READS: usize = 16;

/// One event of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event<'a> {
    pub(super) watch: i32,
    pub(super) flags: ReadFlags,
    /// In the folder; `None` if it is about the folder itself.
    pub(super) name: Option<&'a OsStr>,
}

/// An inotify instance in a tokio runtime.
pub(super) struct Inotify {
    fd: AsyncFd<OwnedFd>,
    buffer: Box<[MaybeUninit<u8>]>,
}

impl Inotify {
    /// Makes one; to be called within the runtime.
    pub(super) fn new() -> Result<Self> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).context(
            "failed to start inotify; if there are too many instances, raise the sysctl \
             fs.inotify.max_user_instances",
        )?;
        // SAFETY: the descriptor is owned, and neither closed nor replaced before it is
        // dropped, which is after its registration.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        let fd = fd.map_err(|error| error.into_parts().1);
        Ok(Self {
            fd: fd.context("failed to wait on inotify")?,
            buffer: vec![MaybeUninit::uninit(); BUFFER].into_boxed_slice(),
        })
    }

    /// Watches a folder. One that is watched already keeps its number.
    pub(super) fn add(&self, folder: &Path) -> Result<i32, Errno> {
        inotify::add_watch(&self.fd, folder, CHANGES)
    }

    /// Ends a watch. It may have ended by itself.
    pub(super) fn remove(&self, watch: i32) {
        let _ = inotify::remove_watch(&self.fd, watch);
    }

    /// How many watches the kernel keeps.
    #[cfg(test)]
    pub(super) fn watches(&self) -> usize {
        use std::os::fd::AsRawFd as _;
        let info = format!("/proc/self/fdinfo/{}", self.fd.as_raw_fd());
        let info = std::fs::read_to_string(info).unwrap();
        info.lines()
            .filter(|line| line.starts_with("inotify wd:"))
            .count()
    }

    /// Waits until there are events, then hands over some. Nothing is lost if the wait is
    /// given up.
    pub(super) async fn events(&mut self, mut take: impl FnMut(Event<'_>)) -> io::Result<()> {
        let mut guard = self.fd.readable().await?;
        let mut reader = Reader::new(guard.get_inner(), &mut self.buffer);
        for _ in 0..READS {
            loop {
                let event = match reader.next() {
                    Err(Errno::AGAIN) => {
                        guard.clear_ready();
                        return Ok(());
                    }
                    event => event?,
                };
                take(Event {
                    watch: event.wd(),
                    flags: event.events(),
                    name: event
                        .file_name()
                        .map(|name| OsStr::from_bytes(name.to_bytes())),
                });
                if reader.is_buffer_empty() {
                    break;
                }
            }
        }
        Ok(())
    }
}
