//! The edge to the mount table: where it changed.
//!
//! In: the table, each time that the kernel says it is another. Out: the mount points that
//! come, go or are another's, and those that show something of the same file systems; or that nobody
//! can tell.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::host::{self, Mount};

const TABLE: &str = "/proc/self/mountinfo";

/// Where a change of the table matters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Points {
    /// Where a mount came, went or is another.
    pub(super) differing: Vec<PathBuf>,
    /// Where a file system is mounted, before or after, that was shown elsewhere too or is by now.
    pub(super) akin: Vec<PathBuf>,
}

/// The mount table in a tokio runtime.
pub(super) struct Mounts {
    table: AsyncFd<File>,
    known: HashSet<Mount>,
}

impl Mounts {
    /// Reads the table; to be called within the runtime.
    pub(super) fn new() -> Result<Self> {
        let table = File::open(TABLE).with_context(|| format!("failed to open {TABLE}"))?;
        // SAFETY: the descriptor is the file's, which neither closes nor replaces it before
        // it is dropped, which is after its registration.
        let table = unsafe { AsyncFd::register_with_interest(table, Interest::PRIORITY) };
        let table = table.map_err(|error| error.into_parts().1);
        Ok(Self {
            table: table.with_context(|| format!("failed to wait on {TABLE}"))?,
            // After the file was opened: what changes in between is told.
            known: host::mounts()?.into_iter().collect(),
        })
    }

    /// Waits until the table changes. Where that matters; `None` if it can't be told. Nothing is lost
    /// if the wait is given up.
    pub(super) async fn changed(&mut self) -> io::Result<Option<Points>> {
        self.table.ready(Interest::PRIORITY).await?.clear_ready();
        // After the mark is gone: a change during the reading sets it again.
        let Ok(now) = host::mounts() else {
            return Ok(None);
        };
        let now: HashSet<Mount> = now.into_iter().collect();
        let points = points(&self.known, &now);
        self.known = now;
        Ok(points)
    }
}

/// Where two tables differ. If nowhere, although there was a change, it can't be told: what
/// was unmounted and mounted anew may have the numbers of before.
fn points(before: &HashSet<Mount>, now: &HashSet<Mount>) -> Option<Points> {
    let differing = || before.symmetric_difference(now);
    let devices: HashSet<(u32, u32)> = differing().map(|mount| mount.device).collect();
    let is_akin = |mount: &&Mount| devices.contains(&mount.device);
    let akin: HashSet<&PathBuf> = before
        .union(now)
        .filter(is_akin)
        .map(|mount| &mount.point)
        .collect();
    let points = Points {
        differing: differing().map(|mount| mount.point.clone()).collect(),
        akin: akin.into_iter().cloned().collect(),
    };
    (!points.differing.is_empty()).then_some(points)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn mount(id: u64, minor: u32, point: &str) -> Mount {
        Mount {
            id,
            device: (0, minor),
            root: PathBuf::from("/"),
            point: PathBuf::from(point),
            fs_type: "tmpfs".to_owned(),
            user: None,
        }
    }

    #[test]
    fn what_comes_goes_or_is_another_s_is_told() {
        let before = HashSet::from([mount(1, 1, "/"), mount(2, 2, "/a"), mount(3, 3, "/b")]);
        let now = HashSet::from([mount(1, 1, "/"), mount(3, 4, "/b"), mount(5, 5, "/c")]);
        let mut points = points(&before, &now).unwrap();
        points.differing.sort();
        points.differing.dedup();
        assert_eq!(points.differing, ["/a", "/b", "/c"].map(Path::new));
    }

    #[test]
    fn all_that_shows_the_same_file_system_is_akin() {
        let before = HashSet::from([mount(1, 1, "/"), mount(2, 2, "/a"), mount(3, 3, "/b")]);
        let now = HashSet::from([
            mount(1, 1, "/"),
            mount(2, 2, "/a"),
            mount(3, 3, "/b"),
            mount(4, 2, "/c"),
        ]);
        for (before, now) in [(&before, &now), (&now, &before)] {
            let mut points = points(before, now).unwrap();
            points.akin.sort();
            assert_eq!(points.differing, [Path::new("/c")]);
            assert_eq!(points.akin, ["/a", "/c"].map(Path::new));
        }
    }

    #[test]
    fn a_change_that_shows_nowhere_can_be_anywhere() {
        let table = || HashSet::from([mount(1, 1, "/")]);
        assert_eq!(points(&table(), &table()), None);
    }
}
