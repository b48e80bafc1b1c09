//! Two equal trees of files: one that the policy denies, and its neighbour.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use protocol::bypass::Bypass;
use protocol::record::Effect;
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
/// file has one of its own. [`TOOL`] isn't text.
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
/// An executable.
pub const TOOL: &str = "tool";
/// A folder that is denied with everything beneath it.
pub const FOLDER: &str = "folder";
/// A file in it, not directly.
pub const BENEATH: &str = "folder/deep/secret";
/// A second name of that file, outside of the folder.
pub const OUTSIDE: &str = "outside";
/// A symbolic link to [`SECRET`].
pub const LINK: &str = "link";
/// A second name of [`SECRET`].
pub const SECOND: &str = "second";
/// A file on which [`SECRET`] is mounted.
pub const MOUNTED: &str = "mounted";
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
        for name in FILES.iter().chain([&BENEATH, &MOUNTED, &REPLACEMENT]) {
            fs::write(root.join(name), format!("the content of {name}\n"))
                .with_context(|| format!("writing {name}"))?;
        }
        fs::write(root.join(TOOL), tool::that_says("the tool ran\n")).context("writing a tool")?;
        fs::set_permissions(root.join(TOOL), fs::Permissions::from_mode(0o755))
            .context("making the tool executable")?;
        symlink(SECRET, root.join(LINK)).context("making the symbolic link")?;
        for (from, to) in [(SECRET, SECOND), (BENEATH, OUTSIDE)] {
            fs::hard_link(root.join(from), root.join(to))
                .with_context(|| format!("giving {from} the name {to}"))?;
        }
        mount_bind(self.path(SECRET), &mounted).context("mounting the secret on a file")
    }
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
    FILES
        .iter()
        .copied()
        .chain([TOOL, folder.as_str()])
        .map(|name| format!("\n[[deny.file]]\npath = \"{}\"\n", Tree::Denied.path(name)))
        .collect()
}

/// The file that a way leads to.
pub fn file(way: Bypass) -> &'static str {
    match way {
        Bypass::Renamed => MOVING,
        Bypass::Creat => CREATED_ANEW,
        Bypass::Truncate => EMPTIED,
        Bypass::TruncateByPath => SHORTENED,
        Bypass::Create => ABSENT,
        Bypass::Exec => TOOL,
        Bypass::Link => LINKED,
        Bypass::Replace => REPLACED,
        Bypass::BeneathFolder | Bypass::HardlinkOutOfFolder => BENEATH,
        _ => SECRET,
    }
}

/// The path by which the agent knows the rule that covers that file.
pub fn target(way: Bypass, tree: Tree) -> String {
    match file(way) {
        BENEATH => tree.path(FOLDER),
        file => tree.path(file),
    }
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
    /// Looks at where a way leaves its effect.
    pub fn at(way: Bypass, tree: Tree) -> Self {
        let name = match way {
            Bypass::Link => LINKED_AGAIN,
            _ => file(way),
        };
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
    fn every_way_leads_to_a_file_that_a_rule_covers() {
        let rules = rules();
        for way in Bypass::ALL {
            let rule = format!("path = \"{}", target(way, Tree::Denied));
            let covered = [format!("{rule}\"\n"), format!("{rule}/\"\n")];
            assert!(covered.iter().any(|rule| rules.contains(rule)), "{rule}");
            assert!(!rules.contains(&target(way, Tree::Free)));
        }
        for other_name in [
            LINK,
            SECOND,
            MOUNTED,
            MOVED,
            OUTSIDE,
            LINKED_AGAIN,
            REPLACEMENT,
        ] {
            let path = Tree::Denied.path(other_name);
            assert!(!rules.contains(&format!("\"{path}\"")), "{path}");
        }
    }
}
