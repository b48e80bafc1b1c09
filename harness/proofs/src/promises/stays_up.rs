//! The agent that was ready is still there once it has verified again.

use crate::arms::{document, equals};
use crate::promise::{Promise, Proof, Section, acts};
use crate::sabotage::{Mutant, Sweeps};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "stays-up",
    text: "An agent that said it is ready is still up once it has verified again.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let arms = vec![document("verified-again", &[equals("/up", true)])];
        let acts = acts!(acts::StaysUp);
        let proof = Proof::of_tier(tier, PROMISE.id, tier.verifying(), acts, arms);
        match tier {
            Tier::Lsm => proof.catches(&[DIES]),
            Tier::Modret | Tier::Signal => proof,
        }
        .swept(Sweeps::REPORT)
    };
    Tier::ALL.map(proof).into()
}

const DIES: Mutant = Mutant::new(
    "dies-after-ready",
    "the agent ends as soon as it is ready",
    "verified-again",
    "/up: expected true",
)
.breaking_off();

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::Result;
    use protocol::record::Observation;
    use serde_json::json;

    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::reports::Reports;
    use crate::acts::{Acts, running};

    /// See the promise.
    #[derive(Debug)]
    pub struct StaysUp;

    impl Acts for StaysUp {
        fn during(&self, _lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            let up = Reports::watch(running)?.renewed_before_end()?;
            let document = json!({ "up": up });
            seen.other("verified-again", Observation::Document { document });
            Ok(())
        }
    }
}
