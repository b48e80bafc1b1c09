//! What the tier that a class relies on doesn't stop, as the report lists it.
//!
//! In: the tier, what its class's rules leave, what isn't verified. Out: limits, in the order of
//! their names' list. Pure. Each has its words in `GUARANTEES.md`, and its proof but for one that
//! says so there.

use super::{Limit, Tier};

/// What the limits of a tier depend on.
#[derive(Debug, Default, Clone)]
pub struct Circumstances {
    /// What the tier doesn't stop of the class's acts, whatever the machine.
    pub of_class: Vec<Limit>,
    /// Whether the signal of the signal tier can be caught.
    pub catchable_signal: bool,
    /// What isn't stopped as a hook of the tier isn't verified.
    pub missing_guards: Vec<Limit>,
    /// Whether the kernel may kill the agent when memory runs out.
    pub killed_for_memory: bool,
}

/// The limits of a tier for a class.
pub fn of(tier: Tier, circumstances: &Circumstances) -> Vec<Limit> {
    let mut limits = circumstances.missing_guards.clone();
    limits.extend(&circumstances.of_class);
    // Programs of the BPF LSM are run whatever runs on the processor already.
    if tier != Tier::Lsm {
        limits.push(Limit::PassedOverWhenPreempted);
    }
    if circumstances.killed_for_memory {
        limits.push(Limit::EndsWhenOutOfMemory);
    }
    if tier == Tier::Signal {
        limits.push(Limit::SparedProcesses);
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
    fn a_tier_has_the_limits_of_its_class_and_those_of_its_missing_hooks_once_each() {
        let circumstances = Circumstances {
            of_class: vec![Limit::ReplacesDeniedName, Limit::AlreadyOpenFiles],
            missing_guards: vec![Limit::ReplacesDeniedName; 3],
            catchable_signal: true,
            killed_for_memory: false,
        };
        let common = [Limit::AlreadyOpenFiles, Limit::ReplacesDeniedName];
        assert_eq!(of(Tier::Lsm, &circumstances), common);
        let modret = of(Tier::Modret, &circumstances);
        assert_eq!(modret.len(), 3);
        assert!(modret.contains(&Limit::PassedOverWhenPreempted));
    }

    #[test]
    fn only_the_signal_tier_spares_and_its_signal_can_be_caught_if_another_was_chosen() {
        let mut circumstances = Circumstances::default();
        let limits = of(Tier::Signal, &circumstances);
        assert!(limits.contains(&Limit::SparedProcesses));
        assert!(!limits.contains(&Limit::CatchableSignal));
        circumstances.catchable_signal = true;
        assert!(of(Tier::Signal, &circumstances).contains(&Limit::CatchableSignal));
    }

    #[test]
    fn an_agent_that_used_up_memory_ends_says_so_in_every_tier() {
        let mut circumstances = Circumstances::default();
        for tier in Tier::ALL {
            circumstances.killed_for_memory = false;
            assert!(!of(tier, &circumstances).contains(&Limit::EndsWhenOutOfMemory));
            circumstances.killed_for_memory = true;
            assert!(of(tier, &circumstances).contains(&Limit::EndsWhenOutOfMemory));
        }
    }

    #[test]
    fn every_limit_stands_in_the_guarantees_under_its_name() {
        let guarantees = include_str!("../../../GUARANTEES.md");
        for limit in Limit::ALL {
            let row = format!("\n| `{}` | ", limit.name());
            assert!(guarantees.contains(&row), "no row {row:?}");
        }
    }
}
