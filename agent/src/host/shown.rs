//! What mounts show: which lie beneath a folder, and whether what one shows is shown elsewhere too.
//!
//! In: the mount table. Out: for a folder, what is mounted beneath it. Pure.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::path::Path;

use super::Mount;

/// A file system, by its device number in the mount table.
pub type Device = (u32, u32);

/// What one or more mounts beneath a folder show.
#[derive(Debug, PartialEq, Eq)]
pub struct Beneath<'a> {
    /// The file system.
    pub device: Device,
    /// Which folder of it, or which file.
    pub root: &'a Path,
    /// The mounts beneath the folder that show it.
    pub mounts: Vec<&'a Mount>,
    /// Whether a mount outside of the folder shows it too, or part of it, or what it is part of.
    pub elsewhere: bool,
}

/// A mount table, in the order in which it is asked.
#[derive(Debug)]
pub struct Shown<'a> {
    by_id: HashMap<u64, &'a Mount>,
    /// What lies beneath a folder stands right behind it: paths are ordered name by name.
    by_point: BTreeMap<&'a Path, Vec<&'a Mount>>,
    by_root: HashMap<Device, BTreeMap<&'a Path, Span<'a>>>,
}

/// The first and the last of the mount points that show the same. Those beneath a folder stand side
/// by side, so one is elsewhere only if one of these two is. That makes the question cheap where
/// thousands of mounts show the same.
#[derive(Debug)]
struct Span<'a> {
    first: &'a Path,
    last: &'a Path,
}

impl Span<'_> {
    fn leaves(&self, folder: &Path) -> bool {
        !self.first.starts_with(folder) || !self.last.starts_with(folder)
    }
}

impl<'a> Shown<'a> {
    /// Puts the table in order.
    #[must_use]
    pub fn new(mounts: &'a [Mount]) -> Self {
        let mut shown = Self {
            by_id: HashMap::with_capacity(mounts.len()),
            by_point: BTreeMap::new(),
            by_root: HashMap::new(),
        };
        for mount in mounts {
            let point = mount.point.as_path();
            shown.by_id.insert(mount.id, mount);
            shown.by_point.entry(point).or_default().push(mount);
            let roots = shown.by_root.entry(mount.device).or_default();
            let span = roots.entry(&mount.root).or_insert(Span {
                first: point,
                last: point,
            });
            span.first = span.first.min(point);
            span.last = span.last.max(point);
        }
        shown
    }

    /// The mount with this id.
    #[must_use]
    pub fn by_id(&self, id: u64) -> Option<&'a Mount> {
        self.by_id.get(&id).copied()
    }

    /// The mounts on exactly this point.
    #[must_use]
    pub fn on(&self, point: &Path) -> &[&'a Mount] {
        self.by_point.get(point).map_or(&[], Vec::as_slice)
    }

    /// What is mounted beneath a folder, whatever is mounted on the folder itself. What shows a whole
    /// stands before what shows part of it.
    #[must_use]
    pub fn beneath(&self, folder: &Path) -> Vec<Beneath<'a>> {
        let behind = (Bound::Excluded(folder), Bound::Unbounded);
        let points = self.by_point.range::<Path, _>(behind);
        let points = points.take_while(|(point, _)| point.starts_with(folder));
        let mut found: BTreeMap<(Device, &'a Path), Vec<&'a Mount>> = BTreeMap::new();
        for mount in points.flat_map(|(_, mounts)| mounts) {
            let key = (mount.device, mount.root.as_path());
            found.entry(key).or_default().push(mount);
        }
        let found = found.into_iter();
        let beneath = found.map(|((device, root), mounts)| Beneath {
            device,
            root,
            mounts,
            elsewhere: self.is_elsewhere(device, root, folder),
        });
        beneath.collect()
    }

    /// Whether a mount outside of the folder shows something of this.
    fn is_elsewhere(&self, device: Device, root: &Path, folder: &Path) -> bool {
        // Of a namespace's file and the like, which `/proc` shows too.
        if !root.has_root() {
            return true;
        }
        let Some(roots) = self.by_root.get(&device) else {
            return false;
        };
        let mut wholes = root.ancestors().filter_map(|whole| roots.get(whole));
        let behind = (Bound::Excluded(root), Bound::Unbounded);
        let parts = roots.range::<Path, _>(behind);
        let mut parts = parts.take_while(|(part, _)| part.starts_with(root));
        wholes.any(|span| span.leaves(folder)) || parts.any(|(_, span)| span.leaves(folder))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;

    fn mount(id: u64, minor: u32, root: &str, point: &str) -> Mount {
        Mount {
            id,
            device: (0, minor),
            root: PathBuf::from(root),
            point: PathBuf::from(point),
            fs_type: "tmpfs".to_owned(),
            user: None,
        }
    }

    /// What is beneath the folder: device, root, ids, and whether it is elsewhere.
    fn told(mounts: &[Mount], folder: &str) -> Vec<(u32, String, Vec<u64>, bool)> {
        let shown = Shown::new(mounts);
        let beneath = shown.beneath(Path::new(folder)).into_iter();
        let told = beneath.map(|found| {
            let ids = found.mounts.iter().map(|mount| mount.id).collect();
            let root = found.root.display().to_string();
            (found.device.1, root, ids, found.elsewhere)
        });
        told.collect()
    }

    #[test]
    fn what_is_beneath_a_folder_is_neither_on_it_nor_beside_it() {
        let mounts = [
            mount(1, 1, "/", "/"),
            mount(2, 2, "/", "/a"),
            mount(3, 3, "/", "/a/b"),
            mount(4, 4, "/", "/a/b/c"),
            mount(5, 5, "/", "/a-b"),
            mount(6, 6, "/", "/a b/c"),
            mount(7, 7, "/", "/b"),
        ];
        let beneath = [
            (3, "/".to_owned(), vec![3], false),
            (4, "/".to_owned(), vec![4], false),
        ];
        assert_eq!(told(&mounts, "/a"), beneath);
        assert_eq!(told(&mounts, "/a/b/c"), []);
        assert_eq!(told(&mounts, "/").len(), 6);
    }

    #[test]
    fn the_same_the_whole_and_a_part_outside_of_the_folder_are_elsewhere() {
        for (root, outside, elsewhere) in [
            ("/", "/", true),
            ("/x", "/", true),
            ("/", "/x", true),
            ("/x/y", "/x", true),
            ("/x", "/x/y", true),
            ("/x", "/y", false),
            ("/x", "/x-y", false),
            ("/x//deleted", "/", true),
            ("/x//deleted", "/y", false),
        ] {
            for point in ["/b", "/0", "/a-b"] {
                let mounts = [mount(1, 1, root, "/a/m"), mount(2, 1, outside, point)];
                let beneath = [(1, root.to_owned(), vec![1], elsewhere)];
                assert_eq!(told(&mounts, "/a"), beneath, "{root} {outside} {point}");
            }
            let mounts = [mount(1, 1, root, "/a/m"), mount(2, 2, outside, "/b")];
            assert!(!told(&mounts, "/a")[0].3, "another file system");
            let mounts = [mount(1, 1, root, "/a/m"), mount(2, 1, outside, "/a/n/o")];
            let inside = told(&mounts, "/a");
            assert!(inside.iter().all(|found| !found.3), "both beneath it");
        }
    }

    #[test]
    fn what_has_no_path_in_its_file_system_is_shown_by_proc_too() {
        let mounts = [mount(1, 4, "net:[4026531840]", "/run/netns/x")];
        assert!(told(&mounts, "/run/netns")[0].3);
    }

    fn names(depth: std::ops::Range<usize>) -> impl Strategy<Value = PathBuf> {
        let names = prop::collection::vec(prop::sample::select(vec!["a", "a-", "b"]), depth);
        names.prop_map(|names| Path::new("/").join(PathBuf::from_iter(names)))
    }

    proptest! {
        /// The same as asking every pair of mounts.
        #[test]
        fn it_is_as_if_each_mount_was_held_against_every_other(
            mounts in prop::collection::vec((1..3_u32, names(0..3), names(0..4)), 0..12),
            folder in names(1..3),
        ) {
            let mounts: Vec<Mount> = (1..)
                .zip(mounts)
                .map(|(id, (minor, root, point))| Mount {
                    root,
                    point,
                    ..mount(id, minor, "/", "/")
                })
                .collect();
            let shown = Shown::new(&mounts);
            let mut beneath = Vec::new();
            for found in shown.beneath(&folder) {
                let elsewhere = mounts.iter().any(|other| {
                    other.device == found.device
                        && !other.point.starts_with(&folder)
                        && (other.root.starts_with(found.root)
                            || found.root.starts_with(&other.root))
                });
                prop_assert_eq!(found.elsewhere, elsewhere, "{:?}", found);
                beneath.extend(found.mounts.iter().map(|mount| mount.id));
            }
            beneath.sort_unstable();
            let is_beneath = |mount: &&Mount| {
                mount.point.starts_with(&folder) && mount.point != folder
            };
            let expected: Vec<u64> = mounts.iter().filter(is_beneath).map(|mount| mount.id).collect();
            prop_assert_eq!(beneath, expected);
        }
    }
}
