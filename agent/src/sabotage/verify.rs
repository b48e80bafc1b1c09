//! Verifications that take something else for evidence.

#[path = "../verify/mod.rs"]
mod real;

pub use real::*;

use crate::sabotage::{self, Mutant};

pub mod measurement {
    //! Measurements.

    use anyhow::Result;

    use super::{Mutant, real, sabotage};
    use crate::host::moment::Moment;
    use crate::posture::gate::Verdict;
    use real::canary::Fate;

    pub use real::measurement::*;

    /// What is made of a measurement, whatever the canary showed.
    pub fn judge(measurement: &mut Measurement, evidence: Result<Evidence>, now: Moment) {
        let renews = sabotage::is(Mutant::RenewsWithoutCanary) && measurement.evidence.is_some();
        if renews || sabotage::is(Mutant::TrustsAttach) {
            measurement.verdict = Verdict::Verified;
            measurement.verified_at = Some(now);
            return;
        }
        let enforces = |evidence: &Evidence| evidence.expected != Fate::Allowed.to_string();
        let evidence = evidence.map(|evidence| {
            match sabotage::is(Mutant::SendsNoCanary) && enforces(&evidence) {
                true => Evidence {
                    observed: evidence.expected.clone(),
                    hits: 0,
                    ..evidence
                },
                false => evidence,
            }
        });
        real::measurement::judge(measurement, evidence, now);
    }
}

pub mod trials {
    //! Trials.

    use super::{Mutant, real, sabotage};
    use crate::classes::Rules;
    use crate::classes::need::Need;

    pub use real::trials::*;

    /// Which hooks are taken for needed.
    pub fn needs(rules: &Rules) -> Needs {
        if sabotage::is(Mutant::AttachesNeedlessly) {
            return all_needs();
        }
        let mut needs = real::trials::needs(rules);
        if sabotage::is(Mutant::ForgetsPathRules) {
            for needs in needs.values_mut() {
                needs.remove(&Need::PathOnly);
            }
        }
        needs
    }
}
