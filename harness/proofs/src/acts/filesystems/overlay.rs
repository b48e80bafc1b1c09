//! A folder laid over two others, each on a file system of its own, and the files in it that
//! are to be copied up while the agent is up.
//!
//! A copy can't be taken back, so the overlay is made anew for every life of the agent.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::mount::{UnmountFlags, unmount};

use super::{Arms, Ground, Secret, mount_on, write};
use crate::acts::rule;

const LOWER: Arms = Arms {
    before: "before-lower",
    during: "during-lower",
    after: "after-lower",
};
const UPPER: Arms = Arms {
    before: "before-upper",
    during: "during-upper",
    after: "after-upper",
};
const BENEATH: Arms = Arms {
    before: "before-beneath",
    during: "during-beneath",
    after: "after-beneath",
};

/// Files that are denied by their path in the overlay, and are in the lower folder at first.
const DENIED_ABOVE: [&str; 4] = ["appended", "changed", "folder/deep", "linked"];
/// One more, on a file system without file handles: once forgotten, a file that was copied up
/// from there doesn't get back the inode number that it had before.
pub const WITHOUT_HANDLE: &str = "without-handle";
/// Such files that are denied by their path in the lower folder itself.
const DENIED_BENEATH: [&str; 2] = ["original", "emptied"];
/// One that nobody denies.
const NEIGHBOUR: &str = "neighbour";
/// A second name of the file `linked` in the lower folder.
pub const SECOND_NAME: &str = "second-name";

/// The names of all that are to be copied up.
pub fn to_copy_up() -> impl Iterator<Item = &'static str> {
    let denied = DENIED_ABOVE.into_iter().chain(DENIED_BENEATH);
    denied.chain([WITHOUT_HANDLE, NEIGHBOUR, SECOND_NAME])
}

/// How many files the upper one of the two file systems has that nobody opens: once forgotten,
/// a file that was copied up may have the number of its copy, which no other is to have.
const FILLERS: usize = 64;

/// Where the file systems are mounted: two beneath, what is changed, and all of them as one.
const FOLDERS: [&str; 4] = ["base", "image", "changes", "merged"];

/// The folders of an overlay.
pub struct Layers {
    /// The upper of the two beneath.
    pub lower: PathBuf,
    /// Where what is changed goes.
    pub upper: PathBuf,
    /// What users see.
    pub merged: PathBuf,
}

impl Layers {
    /// Whether a file was copied up.
    ///
    /// # Errors
    /// Nobody can say.
    pub fn is_copied_up(&self, name: &str) -> Result<bool> {
        let copy = self.upper.join(name);
        let there = copy.try_exists();
        there.with_context(|| format!("looking for {}", copy.display()))
    }

    /// Rules on the files that are to be copied up, each named after its file.
    pub(super) fn rules(&self) -> String {
        let on = |name: &&str, folder: &Path, access: &str| {
            let path = folder.join(name).display().to_string();
            rule(name, &path, access)
        };
        let above = DENIED_ABOVE.iter().chain([&WITHOUT_HANDLE]);
        // Whoever may change its mode has a file copied up; where writing is denied, nobody may.
        let above = above.map(|name| on(name, &self.merged, "read"));
        let beneath = DENIED_BENEATH.iter();
        let beneath = beneath.map(|name| on(name, &self.lower, "read-write"));
        above.chain(beneath).collect()
    }
}

/// Makes one.
pub(super) fn ground(root: &Path) -> Result<Ground> {
    let [base, image, changes, merged] = FOLDERS.map(|name| root.join(name));
    mount_on(Path::new("ramfs"), "ramfs", &base, "")?;
    mount_on(Path::new("tmpfs"), "tmpfs", &image, "")?;
    mount_on(Path::new("tmpfs"), "tmpfs", &changes, "")?;
    let [upper, work] = ["upper", "work"].map(|name| changes.join(name));
    for folder in [&upper, &work] {
        fs::create_dir(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    // As many files before the benign one as give it a number that no file of the other file
    // system has: such two can't be told apart, which is a declared limit.
    for file in ["lower", "beneath", "filler", "benign"] {
        write(&image.join(file))?;
    }
    write(&upper.join("upper"))?;
    write(&base.join(WITHOUT_HANDLE))?;
    fs::create_dir(image.join("folder")).context("making a folder")?;
    for file in DENIED_ABOVE.iter().chain(&DENIED_BENEATH) {
        write(&image.join(file))?;
    }
    write(&image.join(NEIGHBOUR))?;
    fs::hard_link(image.join("linked"), image.join(SECOND_NAME)).context("linking")?;
    for filler in 0..FILLERS {
        write(&changes.join(format!("filler-{filler}")))?;
    }
    let options = format!(
        "lowerdir={}:{},upperdir={},workdir={}",
        image.display(),
        base.display(),
        upper.display(),
        work.display()
    );
    mount_on(Path::new("overlay"), "overlay", &merged, &options)?;
    let through = |name: &str, arms| Secret {
        opened: merged.join(name),
        ruled: merged.join(name),
        arms,
    };
    Ok(Ground {
        secrets: vec![
            through("lower", &LOWER),
            through("upper", &UPPER),
            Secret {
                ruled: image.join("beneath"),
                ..through("beneath", &BENEATH)
            },
        ],
        benign: vec![("benign", merged.join("benign"))],
        layers: Some(Layers {
            lower: image,
            upper,
            merged,
        }),
    })
}

/// Takes it away, with all that is in it.
pub(super) fn clear(root: &Path) -> Result<()> {
    for folder in FOLDERS.into_iter().rev() {
        let folder = root.join(folder);
        unmount(&folder, UnmountFlags::empty())
            .with_context(|| format!("unmounting {}", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_denied_file_has_one_rule_named_after_it_on_the_folder_that_it_is_denied_in() {
        let layers = Layers {
            lower: "/image".into(),
            upper: "/upper".into(),
            merged: "/merged".into(),
        };
        let rules = layers.rules();
        let free = [NEIGHBOUR, SECOND_NAME];
        for name in to_copy_up() {
            let folder = match DENIED_BENEATH.contains(&name) {
                true => "/image",
                false => "/merged",
            };
            let path = format!("path = \"{folder}/{name}\"\n");
            let expected = usize::from(!free.contains(&name));
            assert_eq!(rules.matches(&path).count(), expected, "{name}");
        }
    }
}
