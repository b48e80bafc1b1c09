//! The watcher: notices when what a path leads to may have changed.
//!
//! In: the paths that the rules name. Out: a wakeup, with the paths that it is about. It
//! tells that a path *may* mean something else now; what it means is for
//! [`crate::classes::file::resolve`] to find out.
//!
//! For each path, the `plan` has every name that its lookup goes on with, through every
//! link; `inotify` watches the folders that hold these names, and `mounts` the mount table, also for
//! what is mounted beneath a folder that a path ends in.
//! Noise in a watched folder, under other names, wakes nobody further up.
//!
//! The order that misses nothing: [`Watcher::changed`] returns → [`Watcher::set`] with all
//! paths → resolve. `set` watches each folder before it looks into it, so whatever happens
//! after the look is an event; and since resolving comes after `set`, whatever happened
//! before is seen by it. A folder that appears (`mkdir -p a/b/c`) is thus watched before
//! anything in it is believed to be missing. To resolve without `set` misses what appears in
//! a new folder until the next wakeup.
//!
//! What isn't noticed here: changes that the kernel has no events for (on network
//! filesystems by other machines, within `/proc`), what lies behind a link in a folder that other
//! users than root can change, and what an [`Unwatched`] is about. The periodic verification covers all of that.

mod inotify;
mod mounts;
mod plan;

use std::collections::{BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use rustix::fs::inotify::ReadFlags;
use rustix::io::Errno;

use crate::host::tree::Stands;
use crate::host::way::Ways;
use inotify::{Event, Inotify};
use mounts::Mounts;
use plan::{Look, Plan, Tree};

/// Which paths may mean something else now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Affected {
    /// Any of them: events were lost, or a change could be anywhere.
    All,
    /// These, as [`Watcher::set`] got them.
    Paths(BTreeSet<PathBuf>),
}

/// A wakeup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What it is about.
    pub paths: Affected,
    /// When the watcher was told of the first change.
    pub since: Instant,
}

/// A folder whose changes aren't noticed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Unwatched {
    /// The folder.
    pub folder: PathBuf,
    /// Why.
    pub why: String,
    /// What would help.
    pub way_out: String,
}

/// Watches the ways to a set of paths.
pub struct Watcher {
    inotify: Inotify,
    mounts: Mounts,
    plan: Plan,
    pending: Pending,
}

impl Watcher {
    /// Watches nothing yet. To be called within the runtime.
    pub fn new() -> Result<Self> {
        Ok(Self {
            inotify: Inotify::new()?,
            mounts: Mounts::new()?,
            plan: Plan::default(),
            pending: Pending::default(),
        })
    }

    /// Watches the ways to these absolute paths, as they are now, and no other. Folders that
    /// are watched already stay so, without a gap. Says which folders can't be watched.
    pub fn set<'a>(&mut self, paths: impl Iterator<Item = &'a Path>) -> Vec<Unwatched> {
        let paths: Vec<&Path> = paths.collect();
        let (unwatched, removed) = self.walk(&paths);
        if removed == 0 || unwatched.is_empty() {
            return unwatched;
        }
        // There may be room now.
        self.walk(&paths).0
    }

    /// Waits until what a path means may have changed, and tells everything that is known by
    /// then. Nothing is lost if the wait is given up.
    pub async fn changed(&mut self) -> Result<Changed> {
        loop {
            if let Some(changed) = self.pending.take() {
                return Ok(changed);
            }
            let (plan, pending) = (&self.plan, &mut self.pending);
            tokio::select! {
                read = self.inotify.events(|event| note(event, plan, pending)) => {
                    read.context("failed to read from inotify")?;
                }
                points = self.mounts.changed() => {
                    let points = points.context("failed to wait for mounts")?;
                    match points {
                        Some(points) => {
                            for point in &points.differing {
                                self.pending.some(self.plan.at(point));
                            }
                            // A rule on a folder holds what is mounted beneath it, as long as that
                            // is shown nowhere else.
                            for point in &points.akin {
                                self.pending.some(self.plan.above(point));
                            }
                        }
                        None => self.pending.all(),
                    }
                }
            }
        }
    }

    /// Plans anew. What can't be watched, and how many watches of before were removed.
    fn walk(&mut self, paths: &[&Path]) -> (Vec<Unwatched>, usize) {
        let (plan, unwatched) = match Ways::new() {
            Ok(mut ways) => {
                let mut tree = Watched {
                    inotify: &self.inotify,
                    ways: &mut ways,
                    unwatched: Vec::new(),
                };
                let plan = Plan::new(paths.iter().copied(), &mut tree);
                (plan, tree.unwatched)
            }
            Err(error) => {
                let unwatched = Unwatched {
                    folder: PathBuf::from("/"),
                    why: error.to_string(),
                    way_out: "rely on the periodic verification".to_owned(),
                };
                // What is watched stays so.
                return (vec![unwatched], 0);
            }
        };
        let before = std::mem::replace(&mut self.plan, plan).watches();
        let now = self.plan.watches();
        let stale: Vec<&i32> = before.difference(&now).collect();
        for watch in &stale {
            self.inotify.remove(**watch);
        }
        self.pending.noted.clear();
        (unwatched, stale.len())
    }
}

/// The files of this machine, each folder watched before it is looked into.
struct Watched<'a> {
    inotify: &'a Inotify,
    ways: &'a mut Ways,
    unwatched: Vec<Unwatched>,
}

impl Watched<'_> {
    fn unwatched(&mut self, folder: &Path, error: &io::Error) {
        let is_full = error.raw_os_error() == Some(Errno::NOSPC.raw_os_error());
        let way_out = match is_full {
            true => "raise the sysctl fs.inotify.max_user_watches",
            false => "rely on the periodic verification",
        };
        let why = match is_full {
            true => "this user has as many inotify watches as it may".to_owned(),
            false => error.to_string(),
        };
        self.unwatched.push(Unwatched {
            folder: folder.to_owned(),
            why,
            way_out: way_out.to_owned(),
        });
    }
}

impl Tree for Watched<'_> {
    fn watch(&mut self, folder: &Path) -> Option<i32> {
        let found = match self.ways.look(folder) {
            Ok((_, Stands::Folder(found))) => found,
            // It is another than a moment ago, which the folder above it tells.
            Ok(_) => return None,
            Err(error) => {
                self.unwatched(folder, &error);
                return None;
            }
        };
        match self.inotify.add(&found.by_descriptor()) {
            Ok(watch) => Some(watch),
            Err(Errno::NOENT | Errno::NOTDIR) => None,
            Err(error) => {
                self.unwatched(folder, &error.into());
                None
            }
        }
    }

    /// A link in a folder that root isn't alone to change counts as an end: whoever made it could lead
    /// the watches anywhere, one behind the other. Where it leads is seen at the next verification.
    fn look(&mut self, path: &Path) -> Look {
        match self.ways.look(path) {
            Ok((realm, Stands::Link { to, .. })) if realm.is_root() => Look::Link(to),
            Ok((_, Stands::Folder(_))) => Look::Folder,
            Ok((_, Stands::Missing)) => Look::Missing,
            Err(error) => {
                self.unwatched(path, &error);
                Look::Missing
            }
            Ok((_, Stands::File(_) | Stands::Barred(_) | Stands::Link { .. })) => Look::File,
        }
    }
}

/// What [`Watcher::changed`] has to tell.
#[derive(Debug, Default)]
struct Pending {
    all: bool,
    paths: BTreeSet<PathBuf>,
    since: Option<Instant>,
    /// Events that are in already: somebody who makes and removes the same name all day
    /// costs a look at it here, and not one at each path behind it.
    noted: HashSet<(i32, Option<OsString>)>,
}

impl Pending {
    fn all(&mut self) {
        self.all = true;
        self.since.get_or_insert_with(Instant::now);
    }

    fn some(&mut self, paths: Vec<&Path>) {
        if !paths.is_empty() {
            self.since.get_or_insert_with(Instant::now);
            self.paths.extend(paths.into_iter().map(Path::to_owned));
        }
    }

    fn take(&mut self) -> Option<Changed> {
        let since = self.since.take()?;
        self.noted.clear();
        let paths = std::mem::take(&mut self.paths);
        let paths = if std::mem::take(&mut self.all) {
            Affected::All
        } else {
            Affected::Paths(paths)
        };
        Some(Changed { paths, since })
    }
}

/// What an event means for the paths.
fn note(event: Event<'_>, plan: &Plan, pending: &mut Pending) {
    if event.flags.contains(ReadFlags::QUEUE_OVERFLOW) {
        return pending.all();
    }
    let key = (event.watch, event.name.map(OsStr::to_owned));
    if pending.noted.contains(&key) {
        return;
    }
    let paths = match event.name {
        Some(name) => plan.through(event.watch, name),
        // The folder itself moved, was deleted or unmounted; in the end its watch is gone,
        // until the next `set`. One that `set` removed isn't in the plan any more.
        None => plan.within(event.watch),
    };
    if !paths.is_empty() {
        pending.noted.insert(key);
        pending.some(paths);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Every folder has watch 7.
    struct Everywhere;

    impl Tree for Everywhere {
        fn watch(&mut self, _: &Path) -> Option<i32> {
            Some(7)
        }

        fn look(&mut self, _: &Path) -> Look {
            Look::Folder
        }
    }

    fn told(events: &[(i32, ReadFlags, Option<&str>)]) -> Option<Affected> {
        let paths = ["/a/b", "/c"].map(Path::new);
        let plan = Plan::new(paths.into_iter(), &mut Everywhere);
        let mut pending = Pending::default();
        for (watch, flags, name) in events {
            let event = Event {
                watch: *watch,
                flags: *flags,
                name: name.map(OsStr::new),
            };
            note(event, &plan, &mut pending);
        }
        let told = pending.take().map(|changed| changed.paths);
        assert_eq!(pending.take(), None);
        told
    }

    fn paths(paths: &[&str]) -> Option<Affected> {
        Some(Affected::Paths(paths.iter().map(PathBuf::from).collect()))
    }

    #[test]
    fn names_that_lead_nowhere_and_watches_that_are_no_more_wake_nobody() {
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[(7, ReadFlags::CREATE, Some("x"))]), None);
        assert_eq!(told(&[(8, ReadFlags::CREATE, Some("a"))]), None);
        assert_eq!(told(&[(8, ReadFlags::IGNORED, None)]), None);
    }

    #[test]
    fn events_are_told_together_and_a_lost_folder_for_all_in_it() {
        let created = (7, ReadFlags::CREATE, Some("b"));
        assert_eq!(told(&[created, created]), paths(&["/a/b"]));
        let removed = (7, ReadFlags::DELETE, Some("c"));
        assert_eq!(told(&[created, removed]), paths(&["/a/b", "/c"]));
        for lost in [
            ReadFlags::DELETE_SELF,
            ReadFlags::UNMOUNT,
            ReadFlags::IGNORED,
        ] {
            assert_eq!(told(&[(7, lost, None)]), paths(&["/a/b", "/c"]));
        }
    }

    #[test]
    fn lost_events_can_be_about_any_path() {
        let overflow = (-1, ReadFlags::QUEUE_OVERFLOW, None);
        let created = (7, ReadFlags::CREATE, Some("b"));
        assert_eq!(told(&[created, overflow]), Some(Affected::All));
    }

    #[test]
    fn the_kernel_watches_what_the_plan_has_and_no_more() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        let _guard = runtime.enter();
        let lab = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(lab.path()).unwrap();
        let folder = |name: &str| {
            fs::create_dir(root.join(name)).unwrap();
            root.join(name).join("file")
        };
        let (a, b) = (folder("a"), folder("b"));
        let mut watcher = Watcher::new().unwrap();
        let depth = a.parent().unwrap().components().count();
        for (paths, folders) in [
            (vec![&a, &b], depth + 1),
            (vec![&a, &b], depth + 1),
            (vec![&b], depth),
            (vec![&a, &a], depth),
            (vec![], 0),
        ] {
            assert_eq!(
                watcher.set(paths.into_iter().map(|path| path.as_path())),
                []
            );
            assert_eq!(watcher.inotify.watches(), folders);
        }
    }
}
