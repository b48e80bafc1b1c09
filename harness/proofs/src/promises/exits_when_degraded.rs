//! Asked to end rather than to run on without evidence, the agent ends: it tells of the loss,
//! its exit code says that something went wrong, and neither report nor program is left.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::{Expectation, PlannedArm};

use super::notices_lost_program::told_of_loss;
use crate::arms::{allowed, arm, document, equals, stopped};
use crate::configuration::{ENFORCE_EXITING, MODRET_EXITING, SIGNAL_EXITING};
use crate::sabotage::Sweeps;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "exits-when-degraded",
    text: "With `--on-degraded=exit` the agent tells of the loss and ends; its report is removed, no \
           BPF program or link is left behind, and the open succeeds.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let configuration = match tier {
            Tier::Lsm => &ENFORCE_EXITING,
            Tier::Modret => &MODRET_EXITING,
            Tier::Signal => &SIGNAL_EXITING,
        };
        let acts = acts!(acts::ExitsWhenDegraded(tier));
        Proof::of_tier(tier, PROMISE.id, configuration, acts, arms(tier)).swept(Sweeps::STOPS_ALONE)
    };
    Tier::ALL.map(proof).into()
}

fn arms(tier: Tier) -> Vec<PlannedArm> {
    vec![
        stopped("during", tier),
        document("told-of-loss", &told_of_loss(tier)),
        arm("exit", Expectation::Exit { code: 1 }),
        document("report", &[equals("/there", false)]),
        allowed("after"),
        arm("left-behind", Expectation::NoBpfLeft),
    ]
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::Result;
    use protocol::record::Observation;
    use serde_json::json;

    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::outsider;
    use crate::acts::{Acts, running};
    use crate::promises::notices_lost_program::acts::{is_state, program};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct ExitsWhenDegraded(pub Tier);

    impl Acts for ExitsWhenDegraded {
        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            seen.act("during", lab.ground.open_secret(Place::Plain)?);
            let mut notices = running.listen();
            outsider::holder(running.pid(), program(self.0))?.take_away()?;
            let document = notices.hear("the loss", is_state)?;
            seen.other("told-of-loss", Observation::Document { document });
            seen.other("exit", running.ends()?);
            let document = json!({ "there": running.has_report() });
            seen.other("report", Observation::Document { document });
            seen.act("after", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }

        fn ends_agent(&self) -> bool {
            true
        }
    }
}
