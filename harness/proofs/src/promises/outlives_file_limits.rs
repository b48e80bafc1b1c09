//! A limit on the size of files, or a full disk, ends neither the agent nor its enforcement: what
//! can't be written is told, and the claim expires until it can.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;
use serde_json::json;

use crate::arms::{allowed, document, equals, reasons, stopped};
use crate::sabotage::{Mutant, Sweeps};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "outlives-file-limits",
    text: "A limit on the size of files (`RLIMIT_FSIZE`) that the report meets doesn't end the \
           agent: it tells that the report couldn't be written and why, goes on denying, telling \
           and verifying, and the report that is there isn't renewed and so expires. Once there is \
           room it tells so, and the report is renewed.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::OutlivesFileLimits);
        let proof = Proof::of_tier(tier, PROMISE.id, tier.verifying(), acts, arms(tier))
            .swept(Sweeps::STOPS_ALONE);
        match tier {
            Tier::Lsm => proof.catches(&[ENDS]),
            Tier::Modret | Tier::Signal => proof,
        }
    };
    Tier::ALL.map(proof).into()
}

fn arms(tier: Tier) -> Vec<PlannedArm> {
    let limited = [
        equals("/up", true),
        reasons(
            "/notices",
            json!({"event": "report", "written": false}),
            "large",
        ),
    ];
    let expires = [equals("/state", tier.state()), equals("/renewed", false)];
    let lifted = [equals("/event", "report"), equals("/written", true)];
    let renewed = [equals("/state", tier.state()), equals("/renewed", true)];
    vec![
        allowed("before"),
        document("limited", &limited),
        stopped("during", tier),
        document("expires", &expires),
        document("lifted", &lifted),
        document("renewed", &renewed),
        allowed("after"),
    ]
}

const ENDS: Mutant = Mutant::new(
    "ends-at-file-limit",
    "a limit on the size of files ends the agent",
    "limited",
    "/up: expected true",
)
.breaking_off();

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::{Context, Result, bail};
    use protocol::record::Observation;
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    use serde_json::{Value, json};

    use crate::acts::agent::Running;
    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, running};

    /// See the promise.
    #[derive(Debug)]
    pub struct OutlivesFileLimits;

    impl Acts for OutlivesFileLimits {
        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("before", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            let mut notices = running.listen();
            let former = limit_files(running, Some(0))?;
            let told = notices.hear("a report that can't be written", is_of_report);
            let (up, told) = match told {
                Ok(notice) => (true, vec![notice]),
                // Its end, and no silence.
                Err(_) if running.ends().is_ok() => (false, Vec::new()),
                Err(error) => return Err(error),
            };
            let document = json!({"up": up, "notices": told});
            seen.other("limited", Observation::Document { document });
            if !up {
                bail!("the agent has ended");
            }
            let first = running.report()?;
            seen.act("during", lab.ground.open_secret(Place::Plain)?);
            let second = running.report()?;
            let document = renewed(&first, &second);
            seen.other("expires", Observation::Document { document });

            limit_files(running, former)?;
            let document = notices.hear("a report that can be written", is_of_report)?;
            seen.other("lifted", Observation::Document { document });
            let document = renewed(&second, &running.report()?);
            seen.other("renewed", Observation::Document { document });
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("after", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }
    }

    fn is_of_report(line: &Value) -> bool {
        line["event"] == "report"
    }

    /// Whether the second report is valid for longer.
    fn renewed(first: &Value, second: &Value) -> Value {
        let renewed = first["valid_until"] != second["valid_until"];
        json!({"state": second["runtime_state"], "renewed": renewed})
    }

    /// Sets the largest size of a file that the agent may write, and gives the former one. Root may
    /// raise it again.
    fn limit_files(agent: &Running, current: Option<u64>) -> Result<Option<u64>> {
        let pid = i32::try_from(agent.pid()).ok().and_then(Pid::from_raw);
        let maximum = None;
        let limit = Rlimit { current, maximum };
        let former = prlimit(pid, Resource::Fsize, limit).context("limiting the size of files")?;
        Ok(former.current)
    }
}
