//! Whether a rule is held on what its path leads to: what must be kept in memory for that, and what of
//! its file system stands against it.
//!
//! In: what a rule's target and the folders of its names are. Out: the same, kept; and why the rule
//! isn't claimed, if it isn't, though the maps deny what they can.

use std::fs::File;

use anyhow::Result;

use crate::kernel::filesystem;
use crate::kernel::identity::{Identify, Identity};

/// Keeps a target in memory where the hooks tell it from others by its address, or where its file
/// system may come to show it under another generation. Others are kept only to know when they are
/// gone, as far as there is room. `before` is what the path led to, if that is kept.
///
/// # Errors
/// There are too many watches, and without one the target can't be told from others at all.
pub fn keep_target(
    target: &mut Identity,
    file: &File,
    is_folder_rule: bool,
    before: Option<&Identity>,
    kernel: &mut dyn Identify,
) -> Result<()> {
    // As long as the watch is there, nothing else is at the address.
    let known = before.filter(|before| before.address == target.address);
    let known = known.and_then(|before| before.kept);
    if let Some(watch) = known.filter(|watch| kernel.exists(*watch)) {
        target.kept = Some(watch);
    } else if is_folder_rule || filesystem::is_addressed(target.filesystem) {
        target.kept = Some(kernel.keep(file)?);
    } else if filesystem::changes_identity(target.filesystem) {
        // Without, why_not() says so.
        target.kept = kernel.keep(file).ok();
    } else if filesystem::may_be_kept(target.filesystem) {
        target.kept = kernel.keep_if_room(file);
    }
    Ok(())
}

/// The same for a folder in which a name has a rule.
///
/// # Errors
/// As [`keep_target`].
pub fn keep_folder(folder: &mut Identity, file: &File, kernel: &mut dyn Identify) -> Result<()> {
    if filesystem::is_addressed(folder.filesystem) {
        folder.kept = Some(kernel.keep(file)?);
    } else if filesystem::changes_identity(folder.filesystem) {
        folder.kept = kernel.keep(file).ok();
    }
    Ok(())
}

/// Why a rule on this target, by names in these folders, isn't claimed.
pub fn why_not<'a>(
    target: &'a Identity,
    folders: impl Iterator<Item = &'a Identity> + Clone,
) -> Option<String> {
    if let Some(why) = filesystem::several_identities(target.filesystem) {
        return Some(why);
    }
    let mut all = folders.clone().chain([target]);
    let is_loose =
        |known: &Identity| known.kept.is_none() && filesystem::changes_identity(known.filesystem);
    if all.any(is_loose) {
        return Some(
            "its file system can give it another generation, and it can't be kept in memory, by \
             which it would be known all the same: raise fs.inotify.max_user_watches"
                .to_owned(),
        );
    }
    let mut spelled = folders.filter_map(|folder| filesystem::several_spellings(folder.filesystem));
    spelled.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::abi::InodeKey;
    use crate::kernel::identity::Watch;

    const EXT: u64 = 0xef53;
    const TMPFS: u64 = 0x0102_1994;
    const PROCFS: u64 = 0x9fa0;
    const FAT: u64 = 0x4d44;

    fn on(filesystem: u64, kept: bool) -> Identity {
        Identity {
            inode: InodeKey::new(8, 1, 2),
            generation: 7,
            address: 0x1000,
            superblock: 0x100,
            filesystem,
            kept: kept.then_some(Watch(1)),
        }
    }

    #[test]
    fn a_rule_is_claimed_where_its_file_is_one_thing_under_one_name() {
        for (target, folder, expected) in [
            (on(TMPFS, false), on(TMPFS, false), None),
            (on(EXT, true), on(EXT, true), None),
            (on(EXT, false), on(EXT, true), Some("another generation")),
            (on(EXT, true), on(EXT, false), Some("another generation")),
            (on(PROCFS, true), on(PROCFS, false), Some("procfs: ")),
            // A file system that is mounted at the path: the name is in another.
            (on(PROCFS, true), on(TMPFS, false), Some("procfs: ")),
            (on(TMPFS, false), on(PROCFS, false), None),
            (on(FAT, true), on(FAT, true), Some("capitals")),
        ] {
            let why = why_not(&target, [folder].iter());
            match expected {
                None => assert_eq!(why, None),
                Some(part) => assert!(
                    why.as_ref().is_some_and(|why| why.contains(part)),
                    "{why:?}"
                ),
            }
        }
    }
}
