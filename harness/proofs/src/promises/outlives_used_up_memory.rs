//! Whoever uses up memory loses his own processes to the kernel, and never has it kill the agent.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;

use crate::arms::{allowed, document, equals, stopped};
use crate::sabotage::Mutant;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "outlives-used-up-memory",
    text: "An unprivileged user's many small processes that use up the memory that they share with \
           the agent (a cgroup's) lose their lives to the kernel, though the agent is larger than \
           each of them: its `oom_score_adj` is -1000, it lives and goes on denying.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::OutlivesUsedUpMemory);
        let proof = Proof::of_tier(tier, PROMISE.id, tier.verifying(), acts, arms(tier));
        match tier {
            Tier::Lsm => proof.catches(&[ENDS]),
            Tier::Modret | Tier::Signal => proof,
        }
    };
    Tier::ALL.map(proof).into()
}

fn arms(tier: Tier) -> Vec<PlannedArm> {
    let used_up = [
        equals("/users_process_killed", true),
        equals("/agent_up", true),
        equals("/oom_score_adj", "-1000"),
    ];
    vec![
        allowed("before"),
        document("used-up", &used_up),
        stopped("during", tier),
        allowed("benign"),
        allowed("after"),
    ]
}

const ENDS: Mutant = Mutant::new(
    "ends-when-out-of-memory",
    "the kernel may kill the agent when memory runs out",
    "used-up",
    "/agent_up: expected true",
)
.breaking_off();

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;

    use anyhow::{Context, Result, bail};
    use protocol::record::Observation;
    use serde_json::json;

    use crate::acts::cgroup::Place;
    use crate::acts::hog::LittleMemory;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::reports::Reports;
    use crate::acts::{Acts, running};

    /// See the promise.
    #[derive(Debug)]
    pub struct OutlivesUsedUpMemory;

    impl Acts for OutlivesUsedUpMemory {
        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("before", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            let score = format!("/proc/{}/oom_score_adj", running.pid());
            let score = fs::read_to_string(&score).with_context(|| format!("reading {score}"))?;
            let little = LittleMemory::around(running.pid())?;
            let killed = little.use_up(lab.ground.limit())?;
            drop(little);
            // Whoever is to die of it may take a while.
            let up = Reports::watch(running)?.renewed_before_end()?;
            let document = json!({
                "users_process_killed": killed,
                "agent_up": up,
                "oom_score_adj": score.trim(),
            });
            seen.other("used-up", Observation::Document { document });
            if !up {
                bail!("the agent has ended");
            }
            seen.act("during", lab.ground.open_secret(Place::Plain)?);
            seen.act("benign", lab.ground.open_benign()?);
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("after", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }
    }
}
