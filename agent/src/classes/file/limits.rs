//! What a tier doesn't stop of acts on files. Pure.

use crate::posture::{Limit, Tier};

/// What the policy has of rules on folders.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum FolderRules {
    /// None.
    #[default]
    None,
    /// Some, which hold all that is mounted beneath their folders.
    HoldMounts,
    /// Some, and what is mounted beneath one's folder can be had by another mount.
    LooseMounts,
}

/// What rules and their targets leave to be done.
#[derive(Debug, Default, Clone, Copy)]
pub struct Leave {
    /// Of rules on folders.
    pub folder_rules: FolderRules,
    /// Whether a rule is on a file of which users may make snapshots.
    pub snapshots: bool,
    /// Whether a rule led to more files than are remembered.
    pub former_targets: bool,
}

/// The limits of a tier for files.
pub fn of(tier: Tier, leave: Leave) -> Vec<Limit> {
    // `CopiedUpByOverlay` always: no system call tells whether a file is in a lower layer.
    let mut limits = vec![
        Limit::AlreadyOpenFiles,
        Limit::ActsOtherThanOpen,
        Limit::CopiedUpByOverlay,
    ];
    if leave.folder_rules != FolderRules::None {
        limits.push(Limit::HardlinkOutOfFolder);
    }
    if leave.folder_rules == FolderRules::LooseMounts {
        limits.push(Limit::MountOutOfFolder);
    }
    if leave.snapshots {
        limits.push(Limit::SnapshotsOfDeniedFiles);
    }
    if leave.former_targets {
        limits.push(Limit::ForgetsFormerTargets);
    }
    if tier == Tier::Signal {
        limits.extend([
            Limit::TruncatesBeforeKill,
            Limit::CreatesBeforeKill,
            Limit::SharedFdTableLeak,
            Limit::DescriptorTakenBeforeDeath,
            // It has no hooks on names; what a name leads to is looked at when it is opened.
            Limit::CreatesDeniedName,
            Limit::LinksDeniedFile,
            Limit::ReplacesDeniedName,
            Limit::RemovesDeniedFile,
            Limit::ChangesDeniedFile,
        ]);
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signal_tier_says_what_happens_before_the_kill() {
        let limits = of(Tier::Signal, Leave::default());
        assert!(limits.contains(&Limit::TruncatesBeforeKill));
        assert!(limits.contains(&Limit::SharedFdTableLeak));
        assert!(!limits.contains(&Limit::HardlinkOutOfFolder));
    }

    #[test]
    fn a_link_that_led_out_of_a_folder_is_a_limit_of_folder_rules_in_every_tier() {
        for tier in Tier::ALL {
            for (folder_rules, is_loose) in [
                (FolderRules::HoldMounts, false),
                (FolderRules::LooseMounts, true),
            ] {
                let leave = Leave {
                    folder_rules,
                    ..Leave::default()
                };
                let limits = of(tier, leave);
                assert!(limits.contains(&Limit::HardlinkOutOfFolder));
                assert_eq!(limits.contains(&Limit::MountOutOfFolder), is_loose);
            }
        }
        let denying = [
            Limit::AlreadyOpenFiles,
            Limit::ActsOtherThanOpen,
            Limit::CopiedUpByOverlay,
        ];
        assert_eq!(of(Tier::Lsm, Leave::default()), denying);
        assert_eq!(of(Tier::Modret, Leave::default()), denying);
    }

    #[test]
    fn what_the_targets_leave_to_be_done_is_a_limit_in_every_tier() {
        let leave = Leave {
            folder_rules: FolderRules::None,
            snapshots: true,
            former_targets: true,
        };
        for tier in Tier::ALL {
            let limits = of(tier, leave);
            assert!(limits.contains(&Limit::SnapshotsOfDeniedFiles));
            assert!(limits.contains(&Limit::ForgetsFormerTargets));
        }
    }
}
