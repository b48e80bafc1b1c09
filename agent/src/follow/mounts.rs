//! The edge to the mount table: where it changed.
//!
//! In: the table, each time that the kernel says it is another. Out: the mount points that
//! come, go or are another's, or that nobody can tell.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::host::{self, Mount};

const TABLE: &str = "/proc/self/mountinfo";

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

    /// Waits until the table changes. The mount points that did; `None` if that can't be
    /// told. Nothing is lost if the wait is given up.
    pub(super) async fn changed(&mut self) -> io::Result<Option<Vec<PathBuf>>> {
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
fn points(before: &HashSet<Mount>, now: &HashSet<Mount>) -> Option<Vec<PathBuf>> {
    let differing = before.symmetric_difference(now);
    let points: Vec<PathBuf> = differing.map(|mount| mount.point.clone()).collect();
    (!points.is_empty()).then_some(points)
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
        points.sort();
        points.dedup();
        assert_eq!(points, ["/a", "/b", "/c"].map(Path::new));
    }

    #[test]
    fn a_change_that_shows_nowhere_can_be_anywhere() {
        let table = || HashSet::from([mount(1, 1, "/")]);
        assert_eq!(points(&table(), &table()), None);
    }
}
