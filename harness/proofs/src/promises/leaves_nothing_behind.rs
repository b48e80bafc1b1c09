//! An agent that was told to stop leaves no BPF object and no report behind, and nothing is
//! denied any more.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::Expectation;

use crate::arms::{allowed, arm, document, equals, stopped};
use crate::sabotage::{Mutant, Sweeps};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "leaves-nothing-behind",
    text: "Told to stop, the agent leaves no BPF program or link and no report behind, and the open \
           succeeds.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let arms = vec![
            stopped("during", tier),
            allowed("after"),
            document("report", &[equals("/there", false)]),
            arm("left-behind", Expectation::NoBpfLeft),
        ];
        let acts = acts!(acts::LeavesNothingBehind);
        let proof = Proof::of_tier(tier, PROMISE.id, tier.verifying(), acts, arms)
            .swept(Sweeps::STOPS_ALONE);
        match tier {
            Tier::Lsm => proof.catches(MUTANTS),
            Tier::Modret | Tier::Signal => proof,
        }
    };
    Tier::ALL.map(proof).into()
}

const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "leaves-report-on-stop",
        "the report outlives the agent",
        "report",
        "/there: expected false",
    ),
    Mutant::new(
        "leaves-programs-on-stop",
        "the agent stops, and its programs go on denying",
        "after",
        "expected allowed, saw denied with EPERM",
    )
    .alone(),
    Mutant::new(
        "leaves-idle-programs-on-stop",
        "the agent stops, and its programs stay, without rules",
        "left-behind",
        "expected no BPF program or link to be left",
    )
    .alone(),
];

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::Result;
    use protocol::record::Observation;
    use serde_json::json;

    use crate::acts::Acts;
    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};

    /// See the promise.
    #[derive(Debug)]
    pub struct LeavesNothingBehind;

    impl Acts for LeavesNothingBehind {
        fn during(&self, lab: &Lab, _agent: &During, seen: &mut Seen) -> Result<()> {
            seen.act("during", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("after", lab.ground.open_secret(Place::Plain)?);
            let document = json!({ "there": lab.agent.has_report() });
            seen.other("report", Observation::Document { document });
            Ok(())
        }
    }
}
