//! What a tier doesn't stop of acts on files. Pure.

use crate::posture::{Limit, Tier};

/// What the policy has of rules on folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderRules {
    /// None.
    None,
    /// Some, which hold all that is mounted beneath their folders.
    HoldMounts,
    /// Some, and what is mounted beneath one's folder can be had by another mount.
    LooseMounts,
}

/// The limits of a tier for files.
pub fn of(tier: Tier, folder_rules: FolderRules) -> Vec<Limit> {
    // `CopiedUpByOverlay` always: no system call tells whether a file is in a lower layer.
    let mut limits = vec![
        Limit::AlreadyOpenFiles,
        Limit::ActsOtherThanOpen,
        Limit::CopiedUpByOverlay,
    ];
    if folder_rules != FolderRules::None {
        limits.push(Limit::HardlinkOutOfFolder);
    }
    if folder_rules == FolderRules::LooseMounts {
        limits.push(Limit::MountOutOfFolder);
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
        let limits = of(Tier::Signal, FolderRules::None);
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
                let limits = of(tier, folder_rules);
                assert!(limits.contains(&Limit::HardlinkOutOfFolder));
                assert_eq!(limits.contains(&Limit::MountOutOfFolder), is_loose);
            }
        }
        let denying = [
            Limit::AlreadyOpenFiles,
            Limit::ActsOtherThanOpen,
            Limit::CopiedUpByOverlay,
        ];
        assert_eq!(of(Tier::Lsm, FolderRules::None), denying);
        assert_eq!(of(Tier::Modret, FolderRules::None), denying);
    }
}
