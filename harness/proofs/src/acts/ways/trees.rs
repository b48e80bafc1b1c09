//! Two equal trees of files: one that the policy denies, and its neighbour.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result};
use protocol::record::Effect;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use serde::{Deserialize, Serialize};

use super::tool;

/// One of the two trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tree {
    /// The one with the denied files.
    Denied,
    /// The one that no rule names.
    Free,
}

/// The files that are denied one by one, each with what it's for: an act that changes its
/// file has one of its own. [`TOOL`] isn't text, and [`LONG_NAME`] is no constant.
const FILES: &[&str] = &[
    SECRET,
    MOVING,
    CREATED_ANEW,
    EMPTIED,
    SHORTENED,
    ABSENT,
    LINKED,
    REPLACED,
];
/// Only ever read.
pub const SECRET: &str = "secret";
/// Renamed to [`MOVED`].
pub const MOVING: &str = "moving";
/// What [`MOVING`] is called then; no rule names it.
pub const MOVED: &str = "moved";
/// For `creat(2)`, which also truncates.
pub const CREATED_ANEW: &str = "created-anew";
/// For `O_TRUNC`.
pub const EMPTIED: &str = "emptied";
/// For `truncate(2)`.
pub const SHORTENED: &str = "shortened";
/// Removed before the act, for `O_CREAT`.
pub const ABSENT: &str = "absent";
/// Given the second name [`LINKED_AGAIN`].
pub const LINKED: &str = "linked";
/// A name that no rule has.
pub const LINKED_AGAIN: &str = "linked-again";
/// Replaced by [`REPLACEMENT`].
pub const REPLACED: &str = "replaced";
/// A file that no rule names.
pub const REPLACEMENT: &str = "replacement";
/// A name as long as any may be.
pub static LONG_NAME: LazyLock<String> = LazyLock::new(|| "n".repeat(NAME_MAX));
/// An executable.
pub const TOOL: &str = "tool";
/// A folder that is denied with everything beneath it.
pub const FOLDER: &str = "folder";
/// A file in it, not directly.
pub const BENEATH: &str = "folder/deep/secret";
/// A file as far beneath it as [`LEVELS`] says.
pub static DEEP: LazyLock<String> =
    LazyLock::new(|| format!("{FOLDER}/{}{SECRET}", "level/".repeat(LEVELS)));
const LEVELS: usize = 200;
/// A second name of [`BENEATH`], outside of the folder.
pub const OUTSIDE: &str = "outside";
/// A symbolic link to [`SECRET`].
pub const LINK: &str = "link";
/// The last symbolic link of a chain that leads to [`SECRET`].
pub const CHAIN: &str = "chain-40";
/// How many the kernel follows at most (`MAXSYMLINKS`).
const LINKS: usize = 40;
/// A second name of [`SECRET`].
pub const SECOND: &str = "second";
/// A file on which [`SECRET`] is mounted.
pub const MOUNTED: &str = "mounted";
/// The longest name, and the longest path with the byte that ends it.
const NAME_MAX: usize = 255;
const PATH_MAX: usize = 4096;
/// An empty folder, to come back from by `..`.
pub const SIDE: &str = "side";

impl Tree {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Denied, Self::Free];

    /// Where it grows.
    pub fn root(self) -> &'static str {
        match self {
            Self::Denied => "/srv/denied",
            Self::Free => "/srv/free",
        }
    }

    /// One of its files, as text.
    pub fn path(self, name: &str) -> String {
        format!("{}/{name}", self.root())
    }

    /// A file beneath [`FOLDER`] whose whole path is as long as any may be, relative to the
    /// root.
    pub fn longest(self) -> String {
        let room = PATH_MAX - 1 - self.root().len() - 1;
        let mut path = format!("{FOLDER}/");
        // What is left for the file's own name must be one that it can have.
        while room - path.len() > NAME_MAX {
            let name = NAME_MAX.min(room - path.len() - 2);
            path.push_str(&"n".repeat(name));
            path.push('/');
        }
        path.push_str(&"n".repeat(room - path.len()));
        path
    }

    fn lay(self) -> Result<()> {
        let root = Path::new(self.root());
        let mounted = self.path(MOUNTED);
        match unmount(&mounted, UnmountFlags::DETACH) {
            Ok(()) | Err(Errno::NOENT | Errno::INVAL) => {}
            Err(error) => return Err(error).with_context(|| format!("unmounting {mounted}")),
        }
        if root.exists() {
            fs::remove_dir_all(root).context("clearing it")?;
        }
        for folder in [SIDE, "folder/deep"] {
            fs::create_dir_all(root.join(folder)).with_context(|| format!("making {folder}"))?;
        }
        for path in [DEEP.clone(), self.longest()] {
            make_folders(root, &path).with_context(|| format!("making the folders of {path}"))?;
            fs::write(root.join(&path), "the content\n")
                .with_context(|| format!("writing {path}"))?;
        }
        for name in files().chain([BENEATH, MOUNTED, REPLACEMENT]) {
            fs::write(root.join(name), format!("the content of {name}\n"))
                .with_context(|| format!("writing {name}"))?;
        }
        fs::write(root.join(TOOL), tool::that_says("the tool ran\n")).context("writing a tool")?;
        fs::set_permissions(root.join(TOOL), fs::Permissions::from_mode(0o755))
            .context("making the tool executable")?;
        symlink(SECRET, root.join(LINK)).context("making the symbolic link")?;
        for number in 1..=LINKS {
            let to = match number {
                1 => SECRET.to_owned(),
                _ => format!("chain-{}", number - 1),
            };
            symlink(to, root.join(format!("chain-{number}"))).context("making the chain")?;
        }
        for (from, to) in [(SECRET, SECOND), (BENEATH, OUTSIDE)] {
            fs::hard_link(root.join(from), root.join(to))
                .with_context(|| format!("giving {from} the name {to}"))?;
        }
        mount_bind(self.path(SECRET), &mounted).context("mounting the secret on a file")
    }
}

/// All files that are denied one by one and hold text.
fn files<'a>() -> impl Iterator<Item = &'a str> {
    FILES.iter().copied().chain([LONG_NAME.as_str()])
}

/// Makes the folders of a path, each from the one above it: of so many, looking each up from the
/// root would take much longer.
fn make_folders(root: &Path, path: &str) -> Result<()> {
    let open = OFlags::PATH | OFlags::DIRECTORY;
    let mut above = openat(CWD, root, open, Mode::empty())?;
    let (folders, _) = path.rsplit_once('/').context("a path without a folder")?;
    for name in folders.split('/') {
        match mkdirat(&above, name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        above = openat(&above, name, open, Mode::empty())?;
    }
    Ok(())
}

/// Lays both trees anew, whatever was there: each file is as if never touched.
///
/// # Errors
/// Something can't be made.
pub fn lay() -> Result<()> {
    Tree::BOTH.into_iter().try_for_each(|tree| {
        tree.lay()
            .with_context(|| format!("laying {}", tree.root()))
    })
}

/// The rules of a policy that denies the one tree.
pub fn rules() -> String {
    let folder = format!("{FOLDER}/");
    files()
        .chain([TOOL, folder.as_str()])
        .map(|name| format!("\n[[deny.file]]\npath = \"{}\"\n", Tree::Denied.path(name)))
        .collect()
}

/// What can be seen of a file without opening it.
pub struct Look {
    path: PathBuf,
    sight: Option<Sight>,
}

/// What is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sight {
    inode: u64,
    size: u64,
}

impl Look {
    /// Looks at one of a tree's files.
    pub fn at(tree: Tree, name: &str) -> Self {
        let path = PathBuf::from(tree.path(name));
        let sight = sight(&path);
        Self { path, sight }
    }

    /// What became of it since.
    pub fn effects(&self) -> Vec<Effect> {
        effects(self.sight, sight(&self.path))
    }
}

fn sight(path: &Path) -> Option<Sight> {
    let found = fs::symlink_metadata(path).ok()?;
    Some(Sight {
        inode: found.ino(),
        size: found.len(),
    })
}

fn effects(before: Option<Sight>, after: Option<Sight>) -> Vec<Effect> {
    match (before, after) {
        (Some(before), Some(after)) if before.inode != after.inode => vec![Effect::Replaced],
        (Some(before), Some(after)) if before.size > 0 && after.size == 0 => {
            vec![Effect::Truncated]
        }
        (None, Some(_)) => vec![Effect::Created],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_is_a_loss_of_all_content_a_new_file_or_another_one() {
        let file = |inode, size| Some(Sight { inode, size });
        assert_eq!(effects(file(1, 9), file(1, 0)), [Effect::Truncated]);
        assert_eq!(effects(None, file(1, 0)), [Effect::Created]);
        assert_eq!(effects(None, file(1, 9)), [Effect::Created]);
        assert_eq!(effects(file(1, 9), file(2, 9)), [Effect::Replaced]);
        assert_eq!(effects(file(1, 9), file(2, 0)), [Effect::Replaced]);
        for unchanged in [None, file(1, 0), file(1, 9)] {
            assert_eq!(effects(unchanged, unchanged), []);
        }
        // Renamed away: what is left is told by the act itself.
        assert_eq!(effects(file(1, 9), None), []);
    }

    #[test]
    fn the_longest_path_is_as_long_as_any_may_be_and_so_is_each_name() {
        for tree in Tree::BOTH {
            let path = tree.path(&tree.longest());
            assert_eq!(path.len() + 1, PATH_MAX);
            for name in path.split('/').skip(1) {
                assert!((1..=NAME_MAX).contains(&name.len()), "{}", name.len());
            }
        }
        assert_eq!(DEEP.split('/').count(), 1 + LEVELS + 1);
        assert_eq!(CHAIN, format!("chain-{LINKS}"));
    }
}
