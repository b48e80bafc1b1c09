//! How quickly machines get on here, and every limit that is made of it.
//!
//! In: the accelerator, how many of the machines' processors share a core, what a boot plans. Out:
//! how long it may take. Pure.

use std::time::Duration;

use protocol::plan::{BootPlan, Expectation};

use super::Accelerator;

/// What the speed of a machine depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// What runs it.
    pub accelerator: Accelerator,
    /// How many of the machines' processors share one of the host's cores; at least 1.
    crowd: u32,
}

/// The times of one accelerator, with one processor of a machine on each core of a host that does
/// something else too: about five times what they are on an idle one.
struct Times {
    /// A kernel's start and end.
    boot: Duration,
    /// A proof, but for what a race adds.
    proof: Duration,
    /// An attempt of a race.
    attempt: Duration,
    /// The longest wait for one event, before the guest calls it missing.
    event: Duration,
}

const TCG: Times = Times {
    boot: Duration::from_secs(60),
    proof: Duration::from_secs(1),
    attempt: Duration::from_millis(100),
    event: Duration::from_secs(60),
};

const KVM: Times = Times {
    boot: Duration::from_secs(20),
    proof: Duration::from_millis(200),
    attempt: Duration::from_millis(20),
    event: Duration::from_secs(10),
};

impl Pace {
    /// With machines side by side that have so many processors together, on so many cores.
    #[must_use]
    pub fn new(accelerator: Accelerator, processors: usize, cores: usize) -> Self {
        let crowd = processors.div_ceil(cores.max(1)).max(1);
        Self {
            accelerator,
            crowd: u32::try_from(crowd).unwrap_or(u32::MAX),
        }
    }

    /// How long the guest waits for one event before it calls it missing.
    #[must_use]
    pub fn event_limit(self) -> Duration {
        self.times().event.saturating_mul(self.crowd)
    }

    /// How long a boot with this plan may take, in which so many events may fail to come: the
    /// guest tells of those itself, which says more than that its time was over.
    #[must_use]
    pub fn boot_limit(self, plan: &BootPlan, missing_events: u32) -> Duration {
        let times = self.times();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let arms = plan.proofs.iter().flat_map(|proof| &proof.arms);
        let attempts = arms.map(|arm| match arm.expect {
            Expectation::Race { attempts, .. } => attempts,
            _ => 0,
        });
        let one_a_core = [
            times.boot,
            times.event.saturating_mul(missing_events),
            times.proof.saturating_mul(count(plan.proofs.len())),
            times.attempt.saturating_mul(count(attempts.sum())),
        ];
        let limit = one_a_core
            .into_iter()
            .fold(Duration::ZERO, Duration::saturating_add)
            .saturating_mul(self.crowd);
        // Whole seconds, as it is told.
        Duration::from_secs(limit.as_secs() + u64::from(limit.subsec_nanos() > 0))
    }

    fn times(self) -> Times {
        match self.accelerator {
            Accelerator::Tcg => TCG,
            Accelerator::Kvm => KVM,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proofs::Boot;

    use crate::run::plan::catalogue;
    use crate::verdict::samples;

    /// A plan with so many proofs, none of which is a race.
    fn plan(proofs: usize) -> BootPlan {
        let mut plan = samples::plan();
        let proof = plan.proofs[0].clone();
        plan.proofs = vec![proof; proofs];
        plan
    }

    #[test]
    fn a_limit_goes_by_what_there_is_to_do_and_by_who_shares_the_cores() {
        use Accelerator::{Kvm, Tcg};
        for (accelerator, processors, cores, proofs, missing, event, boot) in [
            // One proof gets a whole boot and one event that never comes.
            (Tcg, 1, 2, 1, 1, 60, 121),
            (Tcg, 2, 2, 1, 1, 60, 121),
            (Tcg, 2, 2, 184, 1, 60, 304),
            (Tcg, 2, 2, 184, 4, 60, 484),
            (Tcg, 3, 2, 1, 1, 120, 242),
            (Tcg, 8, 2, 184, 1, 240, 1216),
            (Kvm, 2, 2, 1, 1, 10, 31),
            (Kvm, 8, 2, 184, 1, 40, 268),
            // A host that doesn't tell its cores, and no machine at all.
            (Tcg, 1, 0, 0, 0, 60, 60),
            (Tcg, 0, 4, 0, 0, 60, 60),
        ] {
            let pace = Pace::new(accelerator, processors, cores);
            let case = format!("{pace:?}, {proofs} proofs, {missing} missing");
            assert_eq!(pace.event_limit().as_secs(), event, "{case}");
            let limit = pace.boot_limit(&plan(proofs), missing);
            assert_eq!(limit, Duration::from_secs(boot), "{case}");
        }
    }

    #[test]
    fn every_attempt_of_a_race_has_its_time() {
        let pace = Pace::new(Accelerator::Tcg, 1, 1);
        let mut race = plan(1);
        let each = Box::new(race.proofs[0].arms[0].expect.clone());
        race.proofs[0].arms[0].expect = Expectation::Race { attempts: 32, each };
        let limit = |plan| pace.boot_limit(plan, 1).as_secs();
        assert_eq!(limit(&race), limit(&plan(1)) + 4, "3.2 s, in whole seconds");
    }

    #[test]
    fn no_boot_of_all_proofs_is_kept_shorter_than_it_was_ever_seen_to_take() {
        // 1.5 times what was seen on a host with four times as much to do.
        for (boot, seen) in [(Boot::BpfLsm, 115), (Boot::NoBpfLsm, 187)] {
            let mut plan = samples::plan();
            plan.proofs = catalogue(boot, true);
            let limit = Pace::new(Accelerator::Tcg, 1, 1).boot_limit(&plan, 1);
            assert!(
                limit.as_secs() * 10 > seen * 15,
                "{}: {limit:?}",
                boot.name()
            );
        }
    }
}
