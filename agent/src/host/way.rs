//! Where a path leads, so that nobody but root leads it to what isn't his.
//!
//! In: a path, and the machine's files. Out: what stands at its end, open, and the places on which
//! that hangs; or why it isn't followed. A user who owns a folder on the way may put there what he
//! likes, and it is his that the path leads to. What he can't is to have it lead to somebody else's:
//!
//! - a link in a folder of his is followed only if it is his own and leads to what is his own;
//! - in a folder that several users can change no link is followed;
//! - a file of somebody else's that has other names too may have got this one from him;
//! - a mount beneath such a folder isn't entered, as its place can be moved.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use rustix::io::Errno;

use crate::host::tree::{Folder, Leaf, Realm, Stands, Tree};
use crate::output::text;

/// How many links the kernel follows in one lookup.
const MAX_LINKS: usize = 40;

/// How many of a user's own are followed: more serve nobody, and each costs several looks.
const MAX_USER_LINKS: usize = 8;

/// How many folders are passed on one way that root isn't alone to change: each is held open until its
/// end is reached.
const MAX_USER_DEPTH: usize = 64;

/// How many folders of root's are kept open for the next way, far below what any process may have.
const MAX_KNOWN: usize = 256;

/// What stands at the end of a path, open with `O_PATH`.
#[derive(Debug)]
pub enum Target {
    /// A folder.
    Folder(Rc<Folder>),
    /// What isn't one, and where it stands.
    File(Leaf, PathBuf),
}

impl Target {
    /// The open file.
    #[must_use]
    pub fn file(&self) -> &File {
        match self {
            Self::Folder(folder) => &folder.file,
            Self::File(leaf, _) => &leaf.file,
        }
    }

    /// Where it stands: a path without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Folder(folder) => &folder.path,
            Self::File(_, path) => path,
        }
    }

    /// Whether it is a folder.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        matches!(self, Self::Folder(_))
    }
}

/// A name in a folder, whether something stands there or not.
#[derive(Debug)]
pub struct Place {
    /// The folder.
    pub folder: Rc<Folder>,
    /// The name.
    pub name: OsString,
}

/// Why nothing stands at the end of a path.
#[derive(Debug)]
pub enum Lost {
    /// Nothing is there.
    Missing,
    /// It is led to what isn't whose it is, in words.
    Astray(String),
    /// The kernel's error.
    Failed(io::Error),
}

/// Where a path leads.
#[derive(Debug)]
pub struct Way {
    /// What it leads to.
    pub target: Result<Target, Lost>,
    /// Where its last name stands as written, and after it, if the last name is a link, where what
    /// that leads to does. Without one where a folder on the way is missing.
    pub places: Vec<Place>,
}

/// Looks paths up, as all of them are at about one moment: what root alone can change is looked at
/// once.
#[derive(Debug)]
pub struct Ways {
    tree: Tree,
    /// Folders that stand in those of root's, by their paths without links.
    known: HashMap<PathBuf, Rc<Folder>>,
}

impl Ways {
    /// Nothing is known yet.
    ///
    /// # Errors
    /// The root can't be opened.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            tree: Tree::new()?,
            known: HashMap::new(),
        })
    }

    /// Follows an absolute path.
    pub fn follow(&mut self, path: &Path) -> Way {
        let mut walk = Walk::from(&self.tree, path);
        let target = walk.go(self);
        Way {
            target,
            places: walk.places,
        }
    }

    /// What stands at the end of a path without links, and the realm of the folder that it stands in.
    ///
    /// # Errors
    /// The kernel's, but for that there is nothing.
    pub fn look(&mut self, path: &Path) -> io::Result<(Realm, Stands)> {
        let mut at = Rc::clone(self.tree.root());
        let mut stands = Stands::Folder(Rc::clone(&at));
        let mut realm = at.realm;
        for part in path.components() {
            let Component::Normal(name) = part else {
                continue;
            };
            let Stands::Folder(folder) = stands else {
                return Ok((realm, Stands::Missing));
            };
            at = folder;
            realm = at.realm;
            stands = self.step(&at, name)?;
        }
        Ok((realm, stands))
    }

    /// What stands under a name in a folder.
    fn step(&mut self, folder: &Rc<Folder>, name: &OsStr) -> io::Result<Stands> {
        if !folder.realm.is_root() {
            return self.tree.step(folder, name);
        }
        let path = folder.path.join(name);
        if let Some(known) = self.known.get(&path) {
            return Ok(Stands::Folder(Rc::clone(known)));
        }
        let stands = self.tree.step(folder, name)?;
        if let (Stands::Folder(found), true) = (&stands, self.known.len() < MAX_KNOWN) {
            self.known.insert(path, Rc::clone(found));
        }
        Ok(stands)
    }
}

/// A step that is to be made.
enum Ahead {
    Up,
    Down(OsString),
}

struct Walk {
    /// The folders that were entered, from the root on; never empty.
    chain: Vec<Rc<Folder>>,
    /// The next one last.
    ahead: Vec<Ahead>,
    links: usize,
    user_links: usize,
    /// The user whose own link was followed, and where the last of his stands. From there on only what
    /// is his is what the path may lead to.
    led: Option<(u32, PathBuf)>,
    places: Vec<Place>,
}

impl Walk {
    fn from(tree: &Tree, path: &Path) -> Self {
        let mut walk = Self {
            chain: vec![Rc::clone(tree.root())],
            ahead: Vec::new(),
            links: 0,
            user_links: 0,
            led: None,
            places: Vec::new(),
        };
        walk.push(path);
        walk
    }

    /// Puts the steps of a path before those that are ahead.
    fn push(&mut self, path: &Path) {
        let steps = path.components().rev().filter_map(|part| match part {
            Component::Normal(name) => Some(Ahead::Down(name.to_owned())),
            Component::ParentDir => Some(Ahead::Up),
            _ => None,
        });
        self.ahead.extend(steps);
    }

    /// The folder that is reached.
    fn at(&self) -> &Rc<Folder> {
        self.chain
            .last()
            .unwrap_or_else(|| unreachable!("the root is never left"))
    }

    fn go(&mut self, ways: &mut Ways) -> Result<Target, Lost> {
        let gone = self.walk(ways);
        // Where a user's link leads to what isn't his, nobody is told what is there: the agent sees
        // more than he may.
        match (gone, &self.led) {
            (Err(Lost::Failed(error)), _) if is_shortage(&error) => Err(Lost::Failed(error)),
            (Err(_), Some((_, link))) if self.is_led_away() => Err(Lost::Astray(format!(
                "{} is a user's own link, and leads to what isn't his",
                text::path(link)
            ))),
            (gone, _) => gone,
        }
    }

    fn walk(&mut self, ways: &mut Ways) -> Result<Target, Lost> {
        while let Some(ahead) = self.ahead.pop() {
            let Ahead::Down(name) = ahead else {
                if self.chain.len() > 1 {
                    self.chain.pop();
                }
                continue;
            };
            let is_last = self.ahead.is_empty();
            if is_last {
                self.note(&name);
            }
            let at = Rc::clone(self.at());
            let path = || at.path.join(&name);
            let astray = |why: &str| Lost::Astray(format!("{} {why}", text::path(&path())));
            match ways.step(&at, &name).map_err(Lost::Failed)? {
                Stands::Missing => return Err(Lost::Missing),
                Stands::Barred(why) => return Err(astray(why)),
                Stands::Folder(folder) => {
                    self.chain.push(folder);
                    let his = self.chain.iter().filter(|folder| !folder.realm.is_root());
                    if his.count() > MAX_USER_DEPTH {
                        return Err(astray(
                            "is too deep in folders that root isn't alone to change",
                        ));
                    }
                }
                Stands::File(leaf) if is_last => {
                    return match self.whose().admits_file(leaf.owner, leaf.names) {
                        Ok(()) => Ok(Target::File(leaf, path())),
                        Err(why) => Err(astray(why)),
                    };
                }
                Stands::File(_) => return Err(Lost::Missing),
                Stands::Link { owner, to } => {
                    self.links += 1;
                    if self.links > MAX_LINKS {
                        return Err(Lost::Failed(Errno::LOOP.into()));
                    }
                    let led = self.whose().leads(owner).map_err(astray)?;
                    if !at.realm.is_root() {
                        self.user_links += 1;
                        if self.user_links > MAX_USER_LINKS {
                            return Err(astray("is one link of a user's too many"));
                        }
                        self.led = led.map(|user| (user, path()));
                    }
                    if to.has_root() {
                        self.chain.truncate(1);
                    }
                    self.push(&to);
                }
            }
        }
        let at = Rc::clone(self.at());
        match self.whose().admits_folder(at.owner) {
            Ok(()) => Ok(Target::Folder(at)),
            Err(why) => Err(Lost::Astray(format!("{} {why}", text::path(&at.path)))),
        }
    }

    fn whose(&self) -> Whose {
        Whose {
            realm: self.at().realm,
            led: self.led.as_ref().map(|(user, _)| *user),
        }
    }

    /// Whether a user's link has led out of what is his.
    fn is_led_away(&self) -> bool {
        let whose = self.whose();
        whose
            .led
            .is_some_and(|user| whose.realm != Realm::User(user))
    }

    /// Notes the place of what is last at the moment: the first is the one as written. A place that a
    /// user's link leads to counts only if it is in a folder of his.
    fn note(&mut self, name: &OsString) {
        if self.is_led_away() {
            return;
        }
        self.places.truncate(1);
        self.places.push(Place {
            folder: Rc::clone(self.at()),
            name: name.clone(),
        });
    }
}

/// Whether the error is that something of the agent's own is used up, and tells nothing of the path.
#[must_use]
pub fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOMEM].map(Errno::raw_os_error);
    error
        .raw_os_error()
        .is_some_and(|errno| shortages.contains(&errno))
}

/// In whose power it was where a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Whose {
    /// Of the folder that is reached.
    realm: Realm,
    /// The user whose links were followed.
    led: Option<u32>,
}

const NOT_HIS: &str = "isn't of the user whose own link leads there";

impl Whose {
    /// Whether a link of this owner in the folder is followed, and whose links were followed then.
    fn leads(self, owner: u32) -> Result<Option<u32>, &'static str> {
        match (self.realm, self.led) {
            (Realm::Root, led) => Ok(led),
            (Realm::User(user), led) if user == owner && led.is_none_or(|led| led == user) => {
                Ok(Some(user))
            }
            (Realm::User(_), _) => Err("is a link that isn't of the owner of its folder"),
            (Realm::Sticky | Realm::Several, _) => {
                Err("is a link in a folder that several users can change")
            }
        }
    }

    /// Whether a file of this owner with so many names is what the path may lead to.
    fn admits_file(self, owner: u32, names: u32) -> Result<(), &'static str> {
        match self.led {
            Some(user) if user != owner => return Err(NOT_HIS),
            Some(_) => return Ok(()),
            None => {}
        }
        match self.realm {
            Realm::Root => Ok(()),
            Realm::User(user) if user == owner => Ok(()),
            _ if names <= 1 => Ok(()),
            _ => Err(
                "has several names, and whoever can change the folder may have given it this one",
            ),
        }
    }

    /// Whether a folder of this owner is what the path may lead to.
    fn admits_folder(self, owner: u32) -> Result<(), &'static str> {
        match self.led {
            Some(user) if user != owner => Err(NOT_HIS),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    fn whose(realm: Realm, led: Option<u32>) -> Whose {
        Whose { realm, led }
    }

    #[test]
    fn a_user_s_link_leads_only_for_himself() {
        let user = Realm::User(7);
        for (whose, owner, leads) in [
            (whose(Realm::Root, None), 0, Some(None)),
            // Whoever it belongs to: root put it there.
            (whose(Realm::Root, None), 7, Some(None)),
            (whose(Realm::Root, Some(7)), 0, Some(Some(7))),
            (whose(user, None), 7, Some(Some(7))),
            (whose(user, Some(7)), 7, Some(Some(7))),
            (whose(user, None), 0, None),
            (whose(user, None), 8, None),
            (whose(user, Some(8)), 7, None),
            (whose(Realm::Sticky, None), 0, None),
            (whose(Realm::Sticky, None), 7, None),
            (whose(Realm::Several, None), 7, None),
        ] {
            assert_eq!(whose.leads(owner).ok(), leads, "{whose:?} {owner}");
        }
    }

    #[test]
    fn what_a_user_may_have_led_to_is_admitted_only_if_it_is_his() {
        let user = Realm::User(7);
        for (whose, owner, names, admitted) in [
            (whose(Realm::Root, None), 0, 2, true),
            (whose(Realm::Root, None), 7, 2, true),
            (whose(Realm::Root, Some(7)), 7, 1, true),
            (whose(Realm::Root, Some(7)), 0, 1, false),
            (whose(Realm::Root, Some(7)), 8, 1, false),
            (whose(user, None), 0, 1, true),
            (whose(user, None), 0, 2, false),
            (whose(user, None), 7, 2, true),
            (whose(user, Some(7)), 0, 1, false),
            (whose(user, Some(7)), 7, 2, true),
            (whose(Realm::Sticky, None), 0, 1, true),
            (whose(Realm::Sticky, None), 0, 2, false),
            (whose(Realm::Several, None), 8, 2, false),
        ] {
            let file = whose.admits_file(owner, names).is_ok();
            assert_eq!(file, admitted, "{whose:?} {owner} {names}");
        }
        assert!(whose(user, None).admits_folder(0).is_ok());
        assert!(whose(user, Some(7)).admits_folder(7).is_ok());
        assert!(whose(Realm::Root, Some(7)).admits_folder(0).is_err());
    }

    /// A folder of whoever runs the tests, and links in it.
    fn lab() -> (tempfile::TempDir, PathBuf) {
        let lab = tempfile::tempdir().expect("a folder");
        let root = fs::canonicalize(lab.path()).expect("its path");
        fs::create_dir_all(root.join("a/b")).expect("folders");
        fs::write(root.join("a/b/file"), "").expect("a file");
        symlink("b/file", root.join("a/link")).expect("a link");
        symlink(root.join("a"), root.join("way")).expect("a link");
        (lab, root)
    }

    fn names(way: &Way) -> Vec<String> {
        let shown = |place: &Place| place.folder.path.join(&place.name).display().to_string();
        way.places.iter().map(shown).collect()
    }

    #[test]
    fn links_lead_to_the_place_as_written_and_to_that_of_the_target() {
        let (_lab, root) = lab();
        let mut ways = Ways::new().expect("the root");
        for (path, target, places) in [
            ("a/b/file", "a/b/file", &["a/b/file"][..]),
            ("a/link", "a/b/file", &["a/link", "a/b/file"]),
            ("way/link", "a/b/file", &["a/link", "a/b/file"]),
            ("way/b", "a/b", &["a/b"]),
            ("way", "a", &["way", "a"]),
        ] {
            // Twice: the second goes by what is known then.
            for _ in 0..2 {
                let way = ways.follow(&root.join(path));
                let expected: Vec<String> = places
                    .iter()
                    .map(|place| root.join(place).display().to_string())
                    .collect();
                assert_eq!(names(&way), expected, "{path}");
                let found = way.target.expect(path);
                assert_eq!(found.path(), root.join(target));
                let ino = fs::metadata(root.join(target)).expect(target).ino();
                assert_eq!(found.file().metadata().expect("its metadata").ino(), ino);
            }
        }
    }

    #[test]
    fn a_look_follows_no_link() {
        let (_lab, root) = lab();
        let mut ways = Ways::new().expect("the root");
        let mut look = |path: &str| ways.look(&root.join(path)).expect(path).1;
        assert!(matches!(look("a/b"), Stands::Folder(folder) if folder.path == root.join("a/b")));
        assert!(matches!(look("a/b/file"), Stands::File(_)));
        assert!(matches!(look("a/link"), Stands::Link { to, .. } if to == Path::new("b/file")));
        for missing in ["gone", "way/b", "a/b/file/x"] {
            assert!(matches!(look(missing), Stands::Missing), "{missing}");
        }
        let top = ways.look(Path::new("/")).expect("the root").1;
        assert!(matches!(top, Stands::Folder(folder) if folder.path == Path::new("/")));
    }

    #[test]
    fn what_is_missing_has_a_place_only_where_its_folder_is() {
        let (_lab, root) = lab();
        let mut ways = Ways::new().expect("the root");
        for (path, places) in [("a/gone", 1), ("a/gone/x", 0), ("a/b/file/x", 0)] {
            let way = ways.follow(&root.join(path));
            assert!(matches!(way.target, Err(Lost::Missing)), "{path}");
            assert_eq!(way.places.len(), places, "{path}");
        }
    }

    #[test]
    fn links_in_a_circle_and_names_that_are_too_long_are_errors_and_no_more() {
        let (_lab, root) = lab();
        symlink("circle", root.join("circle")).expect("a link");
        symlink("x".repeat(300), root.join("long")).expect("a link");
        let mut ways = Ways::new().expect("the root");
        for path in ["circle", "circle/x", "long"] {
            let way = ways.follow(&root.join(path));
            // Of root's folders as many are followed as the kernel does, of a user's fewer.
            let lost = way.target.expect_err(path);
            assert!(matches!(lost, Lost::Failed(_) | Lost::Astray(_)), "{path}");
        }
    }

    #[test]
    fn a_user_s_link_to_what_is_root_s_is_astray() {
        let (_lab, root) = lab();
        symlink("/etc", root.join("etc")).expect("a link");
        let owner = fs::metadata(&root).expect("its owner").uid();
        let mut ways = Ways::new().expect("the root");
        for path in ["etc", "etc/passwd", "etc/no-such-file"] {
            let way = ways.follow(&root.join(path));
            if owner == 0 {
                assert!(!matches!(way.target, Err(Lost::Astray(_))), "{path}");
            } else {
                assert!(way.target.is_err(), "{path}");
                let places = names(&way);
                let outside = |place: &String| place.starts_with("/etc");
                assert!(!places.iter().any(outside), "{path}: {places:?}");
            }
        }
    }
}
