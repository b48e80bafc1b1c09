//! What the tier that a class relies on doesn't stop, as the report lists it.
//!
//! In: the tier and what else it depends on. Out: limits, in the order of their names' list.
//! Pure. Each has its words in `GUARANTEES.md`, and its proof but for one that says so there.

use crate::posture::{Limit, Tier};

/// What the limits of a tier depend on.
#[derive(Debug, Default, Clone)]
pub struct Circumstances {
    /// Whether the signal of the signal tier can be caught.
    pub catchable_signal: bool,
    /// Whether there are folder rules.
    pub folder_rules: bool,
    /// What isn't stopped as a hook of the tier isn't verified.
    pub missing_guards: Vec<Limit>,
}

/// The limits of a tier for files.
pub fn of(tier: Tier, circumstances: &Circumstances) -> Vec<Limit> {
    let mut limits = circumstances.missing_guards.clone();
    // The last whatever the rules: no call tells whether a file is beneath an overlay.
    limits.extend([
        Limit::AlreadyOpenFiles,
        Limit::ActsOtherThanOpen,
        Limit::CopiedUpByOverlay,
    ]);
    if circumstances.folder_rules {
        limits.push(Limit::HardlinkOutOfFolder);
    }
    // Programs of the BPF LSM are run whatever runs on the processor already.
    if tier != Tier::Lsm {
        limits.push(Limit::PassedOverWhenPreempted);
    }
    if tier == Tier::Signal {
        limits.extend([
            Limit::TruncatesBeforeKill,
            Limit::CreatesBeforeKill,
            Limit::SharedFdTableLeak,
            Limit::DescriptorTakenBeforeDeath,
            Limit::SparedProcesses,
            // It has no hooks on names; what a name leads to is looked at when it is opened.
            Limit::CreatesDeniedName,
            Limit::LinksDeniedFile,
            Limit::ReplacesDeniedName,
        ]);
        if circumstances.catchable_signal {
            limits.push(Limit::CatchableSignal);
        }
    }
    limits.sort_unstable();
    limits.dedup();
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_that_denies_has_the_limits_of_every_tier_and_those_of_its_missing_hooks() {
        for tier in [Tier::Lsm, Tier::Modret] {
            let mut circumstances = Circumstances::default();
            let mut common = vec![
                Limit::AlreadyOpenFiles,
                Limit::ActsOtherThanOpen,
                Limit::CopiedUpByOverlay,
            ];
            if tier == Tier::Modret {
                common.push(Limit::PassedOverWhenPreempted);
            }
            assert_eq!(of(tier, &circumstances), common);
            circumstances.missing_guards = vec![Limit::CreatesDeniedName; 3];
            let limits = of(tier, &circumstances);
            assert_eq!(limits[common.len()..], [Limit::CreatesDeniedName]);
        }
    }

    #[test]
    fn the_signal_tier_says_what_happens_before_the_kill() {
        let limits = of(Tier::Signal, &Circumstances::default());
        assert!(limits.contains(&Limit::TruncatesBeforeKill));
        assert!(limits.contains(&Limit::SharedFdTableLeak));
        assert!(!limits.contains(&Limit::CatchableSignal));
        assert!(!limits.contains(&Limit::HardlinkOutOfFolder));
    }

    #[test]
    fn every_limit_stands_in_the_guarantees_under_its_name() {
        let guarantees = include_str!("../../../GUARANTEES.md");
        for limit in Limit::ALL {
            let row = format!("\n| `{}` | ", limit.name());
            assert!(guarantees.contains(&row), "no row {row:?}");
        }
    }

    #[test]
    fn a_signal_that_can_be_caught_and_a_folder_rule_are_limits() {
        let circumstances = Circumstances {
            catchable_signal: true,
            folder_rules: true,
            missing_guards: Vec::new(),
        };
        let limits = of(Tier::Signal, &circumstances);
        assert!(limits.contains(&Limit::CatchableSignal));
        assert!(limits.contains(&Limit::HardlinkOutOfFolder));
        // It sends no signal, so it doesn't matter which.
        assert!(!of(Tier::Lsm, &circumstances).contains(&Limit::CatchableSignal));
    }
}
