//! An agent that dies without a warning takes all that it enforces with it. Its report is left,
//! which says so, and which a reader knows for a dead one's.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::{Expectation, PlannedArm};
use serde_json::Value;

use crate::arms::{allowed, arm, document, equals, stopped};
use crate::sabotage::{Mutant, Sweeps};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "ends-with-its-agent",
    text: "Nothing survives the agent's sudden death, as `survives_agent_death` in its report says: \
           once it is killed, no BPF program or link is left, and the open succeeds. Its report is \
           left, and a reader can tell that it is a dead one's: `agent` names a pid and a \
           `start_time` that no process has.",
    proofs,
    comparison: None,
};

/// In the life of the proof on many rules, which it ends.
fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::EndsWithItsAgent);
        let proof = Proof::of_tier(tier, PROMISE.id, tier.many(), acts, arms(tier))
            .swept(Sweeps::STOPS_ALONE);
        match tier {
            Tier::Lsm => proof.catches(&[LEAVES_PROGRAMS]),
            Tier::Modret | Tier::Signal => proof,
        }
    };
    Tier::ALL.map(proof).into()
}

/// Killed, the agent takes everything with it but its report.
fn arms(tier: Tier) -> Vec<PlannedArm> {
    let report = |is_there: bool| {
        [
            equals("/runtime_state", tier.state()),
            equals("/survives_agent_death/links_pinned", false),
            equals("/survives_agent_death/deadman_ms", Value::Null),
            // Twice the interval of verification, which is an hour here.
            equals("/valid_for_ms", 7_200_000),
            equals("/is_there", is_there),
        ]
    };
    vec![
        document("report", &report(true)),
        stopped("during", tier),
        document("killed", &[equals("/signal", 9)]),
        allowed("after"),
        document("report-left", &report(false)),
        arm("left-behind", Expectation::NoBpfLeft),
    ]
}

const LEAVES_PROGRAMS: Mutant = Mutant::new(
    "leaves-programs-on-death",
    "the agent is killed, and its programs go on denying",
    "after",
    "expected allowed, saw denied with EPERM",
)
.alone();

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use serde_json::{Value, json};

    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::reports::valid_for_ms;
    use crate::acts::{Acts, running};

    /// See the promise.
    #[derive(Debug)]
    pub struct EndsWithItsAgent;

    impl Acts for EndsWithItsAgent {
        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            seen.other("report", as_read(running.report()?)?);
            let mut events = running.listen();
            let act = lab.ground.open_secret(Place::Plain)?;
            // What it hasn't told yet, of this act or an earlier one, it would take with it.
            let pid = act.pid;
            events.hear("the open", |line| line["tgid"] == pid)?;
            seen.act("during", act);
            running.kill()?;
            let document = match running.ends()? {
                Observation::Exit { signal, .. } => json!({ "signal": signal }),
                _ => Value::Null,
            };
            seen.other("killed", Observation::Document { document });
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("after", lab.ground.open_secret(Place::Plain)?);
            seen.other("report-left", as_read(lab.agent.report()?)?);
            Ok(())
        }

        fn ends_agent(&self) -> bool {
            true
        }
    }

    /// A report, and whether whoever wrote it is there, as a reader finds out.
    fn as_read(report: Value) -> Result<Observation> {
        let pid = report["agent"]["pid"].as_u64();
        let pid = pid.with_context(|| format!("a report of nobody: {}", report["agent"]))?;
        let there = match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => start_time(&stat) == report["agent"]["start_time"].as_u64(),
            Err(_) => false,
        };
        let valid_for = valid_for_ms(&report)?;
        let mut document = report;
        document["valid_for_ms"] = valid_for.into();
        // Thousands of lines say the same.
        document["rules"]["unenforced"] = json!(null);
        document["is_there"] = there.into();
        Ok(Observation::Document { document })
    }

    /// When a process started, by its `stat`: the 22nd field, the second of which may hold anything.
    fn start_time(stat: &str) -> Option<u64> {
        let (_, rest) = stat.rsplit_once(')')?;
        rest.split_whitespace().nth(22 - 3)?.parse().ok()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_start_time_is_found_behind_any_name() {
            let stat = "7 (a) b) S 1 7 7 0 -1 4194560 0 0 0 0 1 2 3 4 20 0 1 0 4321 5 6 7";
            assert_eq!(start_time(stat), Some(4321));
            assert_eq!(start_time("7 (a) S 1"), None);
        }
    }
}
