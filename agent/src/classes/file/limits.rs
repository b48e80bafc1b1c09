//! What a tier doesn't stop of acts on files. Pure.

use crate::posture::{Limit, Tier};

/// The limits of a tier for files; `folder_rules` if the policy has any.
pub fn of(tier: Tier, folder_rules: bool) -> Vec<Limit> {
    // `CopiedUpByOverlay` always: no system call tells whether a file is in a lower layer.
    let mut limits = vec![
        Limit::AlreadyOpenFiles,
        Limit::ActsOtherThanOpen,
        Limit::CopiedUpByOverlay,
    ];
    if folder_rules {
        limits.push(Limit::HardlinkOutOfFolder);
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
        let limits = of(Tier::Signal, false);
        assert!(limits.contains(&Limit::TruncatesBeforeKill));
        assert!(limits.contains(&Limit::SharedFdTableLeak));
        assert!(!limits.contains(&Limit::HardlinkOutOfFolder));
    }

    #[test]
    fn a_link_that_led_out_of_a_folder_is_a_limit_of_folder_rules_in_every_tier() {
        for tier in Tier::ALL {
            assert!(of(tier, true).contains(&Limit::HardlinkOutOfFolder));
        }
        let denying = [
            Limit::AlreadyOpenFiles,
            Limit::ActsOtherThanOpen,
            Limit::CopiedUpByOverlay,
        ];
        assert_eq!(of(Tier::Lsm, false), denying);
        assert_eq!(of(Tier::Modret, false), denying);
    }
}
