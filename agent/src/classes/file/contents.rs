//! What the maps are to hold for a set of resolved rules.
//!
//! In: rules with their identities, and what they are to do. Out: [`Contents`]. Pure.

use std::os::unix::ffi::OsStrExt as _;

use super::maps::{Contents, Name, PathBytes};
use super::resolve::ResolvedRule;
use crate::kernel::abi::{ACCESS_READ, ACCESS_WRITE, Rule};
use crate::kernel::identity::Identity;
use crate::policy::Access;
use crate::posture::Action;

/// Numbers the rules in their order, and files each under all that is known of its target:
/// its inode, its name in its folder, or, while there isn't even a folder, its path; and under what is
/// mounted beneath a folder.
pub fn of(rules: &[ResolvedRule], action: Action) -> Contents {
    let mut contents = Contents::new(action);
    for (number, resolved) in (0..).zip(rules) {
        let rule = in_map(number, resolved, action);
        if let Ok(identity) = &resolved.target {
            merge(&mut contents.inode(identity).exact, rule);
            if resolved.rule.folder {
                merge(contents.beneath(identity), rule);
            }
        }
        for held in &resolved.mounted.held {
            merge(&mut contents.inode(&held.identity).exact, rule);
            if held.is_folder {
                merge(contents.beneath(&held.identity), rule);
            }
        }
        for (folder, name) in &resolved.names {
            if let Some(key) = Name::new(folder.inode, name.as_bytes()) {
                contents.inode(folder).has_names = 1;
                merge(contents.names.entry(key).or_default(), rule);
            }
        }
        if resolved.is_known_by_path_alone()
            && let Some(key) = PathBytes::new(resolved.rule.path.as_bytes())
        {
            merge(contents.paths.entry(key).or_default(), rule);
        }
    }
    // Former targets come last. A former target's inode number may belong to a present target by
    // now; then the present target keeps the key.
    for (number, resolved) in (0..).zip(rules) {
        for former in resolved.formers.iter() {
            if is_another_s(&contents, former) {
                continue;
            }
            let rule = in_map(number, resolved, action);
            merge(&mut contents.inode(former).exact, rule);
            if resolved.rule.folder {
                merge(contents.beneath(former), rule);
            }
        }
    }
    contents
}

/// Whether the key of a former target belongs to another file by now.
fn is_another_s(contents: &Contents, former: &Identity) -> bool {
    let known = contents.inodes.get(&former.inode);
    known.is_some_and(|known| {
        let is_kept = former.kept.is_some() && known.address == former.address;
        known.generation != former.generation && !is_kept
    })
}

fn in_map(number: u32, resolved: &ResolvedRule, action: Action) -> Rule {
    Rule {
        id: number,
        action: action as u16,
        access: access_bits(resolved.rule.access),
    }
}

/// Two rules that meet in one file: what either denies is denied, in the name of the first.
fn merge(known: &mut Rule, rule: Rule) {
    if known.access == 0 {
        *known = rule;
    } else {
        known.access |= rule.access;
    }
}

fn access_bits(access: Access) -> u16 {
    let mut bits = 0;
    if access.reads() {
        bits |= ACCESS_READ;
    }
    if access.writes() {
        bits |= ACCESS_WRITE;
    }
    bits
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::Path;

    use super::super::former::Formers;
    use super::super::mounted::{Held, Mounted};
    use super::*;
    use crate::kernel::abi::InodeKey;
    use crate::kernel::identity::Watch;
    use crate::policy::FileRule;
    use crate::posture::gate::Obstacle;

    fn identity(ino: u64) -> Identity {
        Identity {
            inode: InodeKey::new(8, 1, ino),
            generation: 7,
            address: 0x1000 + ino,
            superblock: 0x100,
            filesystem: 0,
            kept: None,
        }
    }

    fn rule(path: &str, access: Access, target: Option<u64>, folder: Option<u64>) -> ResolvedRule {
        let pending = || Obstacle {
            reason: "pending".to_owned(),
            pending: true,
        };
        let name = Path::new(path).file_name().map(OsString::from).unwrap();
        ResolvedRule {
            rule: FileRule {
                id: path.to_owned(),
                path: path.to_owned(),
                folder: false,
                access,
            },
            target: target.map(identity).ok_or_else(pending),
            formers: Formers::default(),
            stands: None,
            mounted: Mounted::default(),
            names: folder
                .map(|ino| (identity(ino), name))
                .into_iter()
                .collect(),
        }
    }

    #[test]
    fn a_file_is_known_by_inode_with_generation_and_by_name() {
        let contents = of(
            &[rule("/a/b", Access::Read, Some(2), Some(1))],
            Action::Deny,
        );
        let file = contents.inodes[&identity(2).inode];
        assert_eq!((file.exact.access, file.generation), (ACCESS_READ, 7));
        assert_eq!((contents.superblocks.len(), file.has_names), (0, 0));
        assert_eq!(contents.inodes[&identity(1).inode].has_names, 1);
        let key = Name::new(identity(1).inode, b"b").unwrap();
        assert_eq!(contents.names[&key], file.exact);
        assert!(contents.paths.is_empty());
    }

    #[test]
    fn a_file_that_was_renamed_away_stays_denied_unless_its_number_is_another_s() {
        let mut gone = rule("/a/b", Access::Read, None, Some(1));
        gone.formers.add(identity(2), 1);
        let contents = of(&[gone], Action::Deny);
        assert_eq!(
            contents.inodes[&identity(2).inode].exact.access,
            ACCESS_READ
        );

        let mut gone = rule("/a/b", Access::Read, None, Some(1));
        let former = Identity {
            generation: 6,
            ..identity(2)
        };
        gone.formers.add(former, 1);
        let there = rule("/a/c", Access::Write, Some(2), Some(1));
        let known = of(&[gone, there], Action::Deny).inodes[&identity(2).inode];
        assert_eq!((known.generation, known.exact.access), (7, ACCESS_WRITE));
    }

    #[test]
    fn a_file_is_known_by_its_address_where_it_is_kept_in_memory() {
        let kept = Identity {
            kept: Some(Watch(1)),
            ..identity(2)
        };
        let mut there = rule("/a/c", Access::Write, Some(2), Some(1));
        there.target = Ok(kept);
        // The same file, before its owner gave it another generation.
        let mut gone = rule("/a/b", Access::Read, None, Some(1));
        let former = Identity {
            generation: 6,
            ..kept
        };
        gone.formers.add(former, 1);
        let known = of(&[gone, there], Action::Deny).inodes[&identity(2).inode];
        assert_eq!(known.exact.access, ACCESS_READ | ACCESS_WRITE);
        assert_eq!(known.address, 0x1002);
        assert_eq!(
            of(
                &[rule("/a/b", Access::Read, Some(2), Some(1))],
                Action::Deny
            )
            .inodes[&identity(2).inode]
                .address,
            0
        );
    }

    #[test]
    fn every_former_target_stays_denied() {
        let mut gone = rule("/a/b", Access::Read, None, Some(1));
        for former in [2, 3, 4] {
            gone.formers.add(identity(former), 8);
        }
        let contents = of(&[gone], Action::Deny);
        for former in [2, 3, 4] {
            let known = contents.inodes[&identity(former).inode];
            assert_eq!(known.exact.access, ACCESS_READ);
        }
    }

    #[test]
    fn only_a_rule_without_a_folder_goes_by_its_path() {
        let rules = [
            rule("/a/pending", Access::ReadWrite, None, Some(1)),
            rule("/no/folder", Access::ReadWrite, None, None),
        ];
        let contents = of(&rules, Action::Deny);
        let keys: Vec<&PathBytes> = contents.paths.keys().collect();
        assert_eq!(keys, [&PathBytes::new(b"/no/folder").unwrap()]);
        assert_eq!(contents.names.len(), 1);
    }

    #[test]
    fn rules_that_meet_in_one_file_deny_what_either_denies() {
        let rules = [
            rule("/a/b", Access::Read, Some(2), Some(1)),
            rule("/a/c", Access::Write, Some(2), Some(1)),
        ];
        let both = of(&rules, Action::Observe).inodes[&identity(2).inode].exact;
        assert_eq!((both.id, both.action), (0, Action::Observe as u16));
        assert_eq!(both.access, ACCESS_READ | ACCESS_WRITE);
    }

    #[test]
    fn a_folder_rule_stands_on_the_folder_and_on_all_beneath_it() {
        let mut folder = rule("/a/b", Access::ReadWrite, Some(2), Some(1));
        folder.rule.folder = true;
        let contents = of(&[folder], Action::Deny);
        let known = contents.inodes[&identity(2).inode];
        assert_eq!(known.exact, known.beneath);
        assert_eq!(known.beneath.access, ACCESS_READ | ACCESS_WRITE);
        assert_eq!((known.address, known.generation), (0x1002, 7));
        assert_eq!(contents.superblocks, [0x100]);
    }

    #[test]
    fn what_is_mounted_beneath_a_folder_is_a_target_of_its_rule() {
        let mut folder = rule("/a/b", Access::Read, Some(2), Some(1));
        folder.rule.folder = true;
        let elsewhere = |ino| Identity {
            superblock: 0x200,
            ..identity(ino)
        };
        folder.mounted.held = [(3, true), (4, false)]
            .map(|(ino, is_folder)| Held {
                identity: elsewhere(ino),
                is_folder,
            })
            .into();
        // Two rules that meet there.
        let mut above = rule("/a", Access::Write, Some(5), None);
        above.rule.folder = true;
        above.mounted = folder.mounted.clone();
        let contents = of(&[folder, above], Action::Deny);
        let known = contents.inodes[&identity(3).inode];
        assert_eq!((known.exact, known.address), (known.beneath, 0x1003));
        assert_eq!(
            (known.beneath.id, known.beneath.access),
            (0, ACCESS_READ | ACCESS_WRITE)
        );
        let known = contents.inodes[&identity(4).inode];
        assert_eq!((known.exact.id, known.beneath.access), (0, 0));
        assert_eq!(contents.superblocks, [0x100, 0x200]);
    }
}
