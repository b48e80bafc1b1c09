//! Which names in which folders a path's meaning hangs on.
//!
//! In: paths, and a [`Tree`] to look at. Out: a [`Plan`]: the folders that a lookup of each
//! path goes through, link by link, and in each the name that it goes on with. A change of
//! such a name may change what the path means; nothing else in these folders does.
//!
//! Each folder is watched before a name in it is looked at. So whatever changes after the
//! look is an event, and no second look is needed to be sure.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

/// How many links the kernel follows in one lookup.
const MAX_LINKS: usize = 40;

/// What stands under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing that can be seen.
    Missing,
    /// A folder.
    Folder,
    /// What isn't a folder and leads nowhere.
    File,
    /// A symbolic link, and what it holds.
    Link(PathBuf),
}

/// The files, as the plan sees them.
pub(super) trait Tree {
    /// Begins to watch a folder; `None` if that can't be.
    fn watch(&mut self, folder: &Path) -> Option<i32>;

    /// Looks at a path without links on the way, and doesn't follow it.
    fn look(&mut self, path: &Path) -> Look;
}

/// The names that matter, by folder and by watch.
#[derive(Debug, Default)]
pub(super) struct Plan {
    paths: Vec<PathBuf>,
    folders: Vec<Folder>,
    by_path: HashMap<PathBuf, usize>,
    /// The paths that end in a folder, as indices, by where it stands without links.
    ends: HashMap<PathBuf, Vec<usize>>,
    /// Several, where one folder can be reached under several names: the kernel gives an
    /// inode one watch.
    by_watch: HashMap<i32, Vec<usize>>,
}

/// The names in one folder that lookups go on with.
#[derive(Debug, Default)]
struct Folder {
    names: HashMap<OsString, Step>,
}

/// One such name.
#[derive(Debug)]
struct Step {
    look: Look,
    /// Whose lookups go through it, as indices.
    paths: Vec<usize>,
}

impl Plan {
    /// Walks every path.
    pub(super) fn new<'a>(paths: impl Iterator<Item = &'a Path>, tree: &mut impl Tree) -> Self {
        let mut plan = Self::default();
        for path in paths {
            plan.walk(path, tree);
        }
        plan
    }

    /// Every watch.
    pub(super) fn watches(&self) -> BTreeSet<i32> {
        self.by_watch.keys().copied().collect()
    }

    /// The paths that go through a name in a watched folder.
    pub(super) fn through(&self, watch: i32, name: &OsStr) -> Vec<&Path> {
        let folders = self.by_watch.get(&watch).into_iter().flatten();
        let steps = folders.filter_map(|folder| self.folders[*folder].names.get(name));
        self.paths(steps)
    }

    /// The paths that go through a watched folder.
    pub(super) fn within(&self, watch: i32) -> Vec<&Path> {
        let folders = self.by_watch.get(&watch).into_iter().flatten();
        let steps = folders.flat_map(|folder| self.folders[*folder].names.values());
        self.paths(steps)
    }

    /// The paths that go through `place`, a path without links.
    pub(super) fn at(&self, place: &Path) -> Vec<&Path> {
        let (Some(folder), Some(name)) = (place.parent(), place.file_name()) else {
            // The root.
            return self.paths.iter().map(PathBuf::as_path).collect();
        };
        let folder = self.by_path.get(folder);
        let step = folder.and_then(|folder| self.folders[*folder].names.get(name));
        self.paths(step.into_iter())
    }

    /// The paths that end in a folder which `place`, a path without links, lies beneath.
    pub(super) fn above(&self, place: &Path) -> Vec<&Path> {
        let folders = place.ancestors().skip(1);
        let ends = folders.filter_map(|folder| self.ends.get(folder));
        ends.flatten()
            .map(|index| self.paths[*index].as_path())
            .collect()
    }

    fn paths<'a>(&'a self, steps: impl Iterator<Item = &'a Step>) -> Vec<&'a Path> {
        steps
            .flat_map(|step| &step.paths)
            .map(|index| self.paths[*index].as_path())
            .collect()
    }

    /// Follows a path as the kernel does, and notes each name that it goes on with.
    fn walk(&mut self, path: &Path, tree: &mut impl Tree) {
        let index = self.paths.len();
        self.paths.push(path.to_owned());
        let mut links = 0;
        let mut at = PathBuf::from("/");
        let mut folder = self.enter(&at, tree);
        let mut ahead = Vec::new();
        push(&mut ahead, path);
        while let Some(way) = ahead.pop() {
            let Way::Down(name) = way else {
                at.pop();
                folder = self.enter(&at, tree);
                continue;
            };
            at.push(&name);
            let step = self.folders[folder].names.entry(name);
            let step = step.or_insert_with(|| Step {
                look: tree.look(&at),
                paths: Vec::new(),
            });
            // A link may lead through the same name twice.
            if step.paths.last() != Some(&index) {
                step.paths.push(index);
            }
            match &step.look {
                Look::Missing | Look::File => return,
                Look::Folder if ahead.is_empty() => {
                    self.ends.entry(at).or_default().push(index);
                    return;
                }
                Look::Folder => {}
                Look::Link(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return;
                    }
                    at.pop();
                    if target.has_root() {
                        at = PathBuf::from("/");
                    }
                    push(&mut ahead, target);
                }
            }
            if !ahead.is_empty() {
                folder = self.enter(&at, tree);
            }
        }
    }

    /// The index of a folder, which is watched from now on.
    fn enter(&mut self, path: &Path, tree: &mut impl Tree) -> usize {
        if let Some(known) = self.by_path.get(path) {
            return *known;
        }
        let index = self.folders.len();
        self.folders.push(Folder::default());
        self.by_path.insert(path.to_owned(), index);
        if let Some(watch) = tree.watch(path) {
            self.by_watch.entry(watch).or_default().push(index);
        }
        index
    }
}

/// One step of a lookup.
enum Way {
    Up,
    Down(OsString),
}

/// Puts the steps of a path before those that are ahead, the next one last.
fn push(ahead: &mut Vec<Way>, path: &Path) {
    let ways = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(Way::Down(name.to_owned())),
        Component::ParentDir => Some(Way::Up),
        _ => None,
    });
    ahead.extend(ways);
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// A tree of files by their paths without links. Each has an identity.
    #[derive(Debug, Clone, Default)]
    struct Model {
        files: BTreeMap<PathBuf, (Look, u32)>,
        watched: Vec<PathBuf>,
    }

    impl Model {
        fn put(&mut self, path: &Path, look: Look, identity: u32) {
            self.remove(path);
            self.files.insert(path.to_owned(), (look, identity));
        }

        fn remove(&mut self, path: &Path) {
            self.files.retain(|file, _| !file.starts_with(path));
        }

        fn is_folder(&self, path: &Path) -> bool {
            let is_folder = |(look, _): &(Look, u32)| *look == Look::Folder;
            path == Path::new("/") || self.files.get(path).is_some_and(is_folder)
        }

        /// What a path means: where it ends, and the identity of what is there. One step at
        /// a time with the rest of the path spliced in, unlike the plan's stack.
        fn meaning(&self, path: &Path) -> Option<(PathBuf, u32)> {
            let (mut at, mut rest) = (PathBuf::from("/"), path.strip_prefix("/").ok()?.to_owned());
            let mut links = 0;
            loop {
                let mut parts = rest.components();
                let Some(first) = parts.next() else {
                    let identity = self.files.get(&at).map_or(0, |(_, identity)| *identity);
                    return Some((at, identity));
                };
                let after = parts.as_path().to_owned();
                if !self.is_folder(&at) {
                    return None;
                }
                if first == Component::ParentDir {
                    at.pop();
                    rest = after;
                    continue;
                }
                let next = at.join(first);
                match &self.files.get(&next)?.0 {
                    Look::Link(target) => {
                        links += 1;
                        if links > 40 {
                            return None;
                        }
                        let spliced = target.join(after);
                        rest = match spliced.strip_prefix("/") {
                            Ok(relative) => {
                                at = PathBuf::from("/");
                                relative.to_owned()
                            }
                            Err(_) => spliced,
                        };
                    }
                    _ => (at, rest) = (next, after),
                }
            }
        }
    }

    impl Tree for Model {
        fn watch(&mut self, folder: &Path) -> Option<i32> {
            assert!(
                !self.watched.contains(&folder.to_owned()),
                "{folder:?} twice"
            );
            self.watched.push(folder.to_owned());
            Some(i32::try_from(self.watched.len()).unwrap())
        }

        fn look(&mut self, path: &Path) -> Look {
            let folder = path.parent().unwrap().to_owned();
            assert!(self.watched.contains(&folder), "{path:?} before its watch");
            assert!(self.is_folder(&folder), "{path:?} isn't in a folder");
            let file = self.files.get(path);
            file.map_or(Look::Missing, |(look, _)| look.clone())
        }
    }

    fn model(files: &[(&str, Look)]) -> Model {
        let mut model = Model::default();
        for (path, look) in files {
            model.put(Path::new(path), look.clone(), 1);
        }
        model
    }

    fn link(target: &str) -> Look {
        Look::Link(PathBuf::from(target))
    }

    /// Every folder and name of a plan, with the paths that go through it.
    fn shown(paths: &[&str], model: &mut Model) -> Vec<String> {
        let plan = Plan::new(paths.iter().map(Path::new), model);
        let mut lines = Vec::new();
        for (folder, index) in &plan.by_path {
            for (name, step) in &plan.folders[*index].names {
                let paths = plan.paths([step].into_iter());
                lines.push(format!(
                    "{} {}: {paths:?}",
                    folder.display(),
                    name.display()
                ));
            }
        }
        lines.sort();
        lines
    }

    #[test]
    fn folders_are_shared_and_names_lead_on() {
        let mut model = model(&[
            ("/srv", Look::Folder),
            ("/srv/a", Look::File),
            ("/srv/b", Look::Folder),
        ]);
        let expected = [
            r#"/ srv: ["/srv/a", "/srv/b/c", "/srv/gone/d"]"#,
            r#"/srv a: ["/srv/a"]"#,
            r#"/srv b: ["/srv/b/c"]"#,
            r#"/srv gone: ["/srv/gone/d"]"#,
            r#"/srv/b c: ["/srv/b/c"]"#,
        ];
        assert_eq!(
            shown(&["/srv/a", "/srv/b/c", "/srv/gone/d"], &mut model),
            expected
        );
        assert_eq!(model.watched.len(), 3);
    }

    #[test]
    fn every_link_on_the_way_matters_and_not_only_the_first_and_the_last_spelling() {
        let mut model = model(&[
            ("/a", link("b/x")),
            ("/b", link("/c")),
            ("/c", Look::Folder),
            ("/c/x", link("../d")),
            ("/d", Look::File),
        ]);
        let expected = [
            r#"/ a: ["/a"]"#,
            r#"/ b: ["/a"]"#,
            r#"/ c: ["/a"]"#,
            r#"/ d: ["/a"]"#,
            r#"/c x: ["/a"]"#,
        ];
        assert_eq!(shown(&["/a"], &mut model), expected);
    }

    #[test]
    fn links_in_a_circle_end() {
        let mut model = model(&[("/a", link("/b")), ("/b", link("/a"))]);
        let expected = [r#"/ a: ["/a/x"]"#, r#"/ b: ["/a/x"]"#];
        assert_eq!(shown(&["/a/x"], &mut model)[..], expected);
    }

    #[test]
    fn as_many_links_are_followed_as_the_kernel_does() {
        let mut model = Model::default();
        for number in 0..50 {
            let path = format!("/{number}");
            model.put(Path::new(&path), link(&format!("/{}", number + 1)), 1);
        }
        let plan = Plan::new([Path::new("/0")].into_iter(), &mut model);
        // The name that the last of them leads to, and none after it.
        for (name, told) in [("/39", 1), ("/40", 1), ("/41", 0)] {
            assert_eq!(plan.at(Path::new(name)).len(), told, "{name}");
        }
    }

    #[test]
    fn one_watch_for_two_folders_tells_of_both() {
        /// Two mounts of one folder.
        struct Bound(Model);
        impl Tree for Bound {
            fn watch(&mut self, folder: &Path) -> Option<i32> {
                self.0.watch(folder);
                Some(if folder == Path::new("/") { 1 } else { 2 })
            }
            fn look(&mut self, path: &Path) -> Look {
                self.0.look(path)
            }
        }
        let mut bound = Bound(model(&[("/a", Look::Folder), ("/b", Look::Folder)]));
        let paths = ["/a/x", "/b/x", "/b/y"].map(Path::new);
        let plan = Plan::new(paths.into_iter(), &mut bound);
        assert_eq!(plan.through(2, OsStr::new("x")), paths[..2]);
        assert_eq!(plan.within(2).len(), 3);
        assert_eq!(plan.through(2, OsStr::new("z")), [] as [&Path; 0]);
        assert_eq!(plan.at(Path::new("/b")), paths[1..]);
        assert_eq!(plan.at(Path::new("/")), paths);
        assert_eq!(plan.at(Path::new("/c/d")), [] as [&Path; 0]);
    }

    #[test]
    fn what_lies_beneath_a_folder_is_told_for_the_paths_that_end_there() {
        let mut model = model(&[
            ("/a", Look::Folder),
            ("/a/b", Look::Folder),
            ("/a/b/file", Look::File),
            ("/link", link("a/b")),
        ]);
        let paths = ["/a", "/link", "/a/b", "/a/b/file", "/a/gone"].map(Path::new);
        let plan = Plan::new(paths.into_iter(), &mut model);
        for (place, told) in [
            ("/", &[][..]),
            ("/a", &[]),
            ("/a/x", &["/a"]),
            ("/a/b", &["/a"]),
            ("/a/b/x/y", &["/link", "/a/b", "/a"]),
            ("/a/b/file", &["/link", "/a/b", "/a"]),
            ("/a-b/x", &[]),
        ] {
            let told: Vec<&Path> = told.iter().map(Path::new).collect();
            assert_eq!(plan.above(Path::new(place)), told, "{place}");
        }
    }

    const NAMES: [&str; 4] = ["a", "b", "c", "d"];

    fn relative(depth: std::ops::Range<usize>) -> impl Strategy<Value = PathBuf> {
        let names = prop::collection::vec(prop::sample::select(NAMES.to_vec()), depth);
        names.prop_map(PathBuf::from_iter)
    }

    fn absolute() -> impl Strategy<Value = PathBuf> {
        relative(1..5).prop_map(|path| Path::new("/").join(path))
    }

    fn look() -> impl Strategy<Value = Look> {
        prop_oneof![
            4 => Just(Look::Folder),
            1 => Just(Look::File),
            1 => absolute().prop_map(Look::Link),
            1 => relative(1..3).prop_map(Look::Link),
            1 => (1..3_usize, relative(0..3)).prop_map(|(up, path)| {
                Look::Link(Path::new(&"../".repeat(up)).join(path))
            }),
        ]
    }

    fn models() -> impl Strategy<Value = Model> {
        let files = prop::collection::vec((absolute(), look()), 0..40);
        files.prop_map(|files| {
            let mut model = Model::default();
            for (identity, (path, look)) in (1..).zip(files) {
                if model.is_folder(path.parent().unwrap()) {
                    model.put(&path, look, identity);
                }
            }
            model
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Nothing can be made, removed or replaced that changes what a path means without
        /// being a planned name in a watched folder.
        #[test]
        fn no_change_of_meaning_goes_unseen(
            model in models(),
            paths in prop::collection::btree_set(absolute(), 1..6),
            (folder, name) in (any::<prop::sample::Index>(), prop::sample::select(NAMES.to_vec())),
            look in prop::option::of(look()),
        ) {
            let mut folders = vec![Path::new("/")];
            folders.extend(model.files.keys().map(PathBuf::as_path));
            folders.retain(|path| model.is_folder(path));
            let folder = *folder.get(&folders);
            let changed = folder.join(name);
            let mut seen = model.clone();
            let plan = Plan::new(paths.iter().map(PathBuf::as_path), &mut seen);
            let mut after = model.clone();
            match look {
                Some(look) => after.put(&changed, look, u32::MAX),
                None => after.remove(&changed),
            }

            let watch = seen.watched.iter().position(|watched| watched == folder);
            let told: BTreeSet<&Path> = match watch {
                Some(at) => plan.through(i32::try_from(at).unwrap() + 1, OsStr::new(name)),
                None => Vec::new(),
            }
            .into_iter()
            .collect();
            for path in &paths {
                if model.meaning(path) != after.meaning(path) {
                    prop_assert!(told.contains(path.as_path()), "{path:?} unseen");
                }
            }
            prop_assert_eq!(told, plan.at(&changed).into_iter().collect::<BTreeSet<_>>());
        }

        /// No folder is watched that no lookup goes through.
        #[test]
        fn every_watched_folder_is_one_and_leads_on(
            model in models(),
            paths in prop::collection::btree_set(absolute(), 1..6),
        ) {
            let mut seen = model.clone();
            let plan = Plan::new(paths.iter().map(PathBuf::as_path), &mut seen);
            for folder in &seen.watched {
                prop_assert!(model.is_folder(folder), "{folder:?}");
            }
            prop_assert_eq!(plan.watches().len(), seen.watched.len());
        }
    }
}
