//! An agent whose terminal or session goes away ends as one that was told to stop: by its own
//! doing, with nothing left behind.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::Expectation;

use crate::arms::{allowed, arm, document, equals};
use crate::configuration::ENFORCE_HUNG_UP;
use crate::sabotage::Sweeps;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "ends-at-hangup",
    text: "`SIGHUP` stops the agent as `SIGTERM` does: it exits by itself, no BPF program or link \
           and no report is left, and the open succeeds.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let arms = vec![
        arm("exit", Expectation::Exit { code: 0 }),
        document("report", &[equals("/there", false)]),
        allowed("after"),
        arm("left-behind", Expectation::NoBpfLeft),
    ];
    let acts = acts!(acts::EndsAtHangup);
    let proof = Proof::of_tier(Tier::Lsm, PROMISE.id, &ENFORCE_HUNG_UP, acts, arms);
    vec![proof.swept(Sweeps::REFUSAL)]
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::Result;
    use protocol::record::Observation;
    use serde_json::json;

    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, running};

    /// See the promise.
    #[derive(Debug)]
    pub struct EndsAtHangup;

    impl Acts for EndsAtHangup {
        fn during(&self, _lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            running.hang_up()?;
            seen.other("exit", running.ends()?);
            let document = json!({ "there": running.has_report() });
            seen.other("report", Observation::Document { document });
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("after", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }

        fn ends_agent(&self) -> bool {
            true
        }
    }
}
