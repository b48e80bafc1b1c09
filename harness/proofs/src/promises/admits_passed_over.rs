//! While somebody calls the kernel about a map, it passes over the programs of the signal tier, and
//! whoever runs in the middle of that opens a denied file: a declared limit, measured as a race.
//! The agent's next report has no claim to enforce any more.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::{ATTEMPTS, Doer, Expectation};
use protocol::record::Fate;

use crate::arms::{allowed, arm, contains, document, equals, stopped};
use crate::sabotage::{Mutant, Sweeps};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "admits-passed-over",
    text: "While somebody is within `bpf(2)` on a map, a preemptible kernel runs no program of a \
           kprobe or tracepoint for others on that processor. Of 32 opens meanwhile some succeed, \
           which is measured, and those that don't are told of; the agent's next report is \
           `DEGRADED` and enforces no rule, and says why. Once a verification has new evidence, the \
           claim is back and the open is met as before. Skipped where the kernel preempts nobody \
           within a call on a map; kernels before 6.7 don't count what the report goes by.",
    proofs,
    comparison: None,
};

/// A program that the kernel passes over, which no other tier's can be made to show.
fn proofs() -> Vec<Proof> {
    let tier = Tier::Signal;
    let limit = "passed_over_when_preempted";
    let leak = Expectation::Act {
        fate: Fate::Allowed,
        leaks: true,
        effects: vec![],
        by: Doer::Itself,
        event: None,
        limit: Some(limit.to_owned()),
    };
    let race = Expectation::Race {
        attempts: ATTEMPTS,
        each: Box::new(leak),
    };
    let claimed = [equals("/runtime_state", tier.state())];
    let declared = [&claimed[..], &[contains("/classes/file/limits", limit)]].concat();
    let lost = [
        equals("/runtime_state", "DEGRADED"),
        equals("/rules/enforced", 0),
    ];
    let told = [
        equals("/event", "state"),
        equals("/from", tier.state()),
        equals("/to", "DEGRADED"),
        equals("/names_cause", true),
    ];
    let arms = vec![
        allowed("before"),
        document("report", &declared),
        arm("race", race),
        document("report-of-loss", &lost),
        document("told-of-loss", &told),
        document("evidence-back", &claimed),
        stopped("again", tier),
    ];
    let acts = acts!(acts::AdmitsPassedOver);
    let proof = Proof::of_tier(tier, PROMISE.id, tier.verifying(), acts, arms);
    vec![
        proof
            .swept(Sweeps::LEAKS_ALL_THE_SAME)
            .catches(&[Mutant::new(
                "overlooks-passed-over",
                "nobody looks at how often the kernel skipped a program",
                "report-of-loss",
                r#"/runtime_state: expected "DEGRADED", saw "ENFORCE_SIGNAL""#,
            )]),
    ]
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::Result;
    use protocol::plan::ATTEMPTS;
    use protocol::record::{Act, Observation};
    use serde_json::{Value, json};

    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::map_caller::MapCaller;
    use crate::acts::paused::Paused;
    use crate::acts::reports::Reports;
    use crate::acts::{Acts, running};
    use crate::promises::notices_lost_program::acts::is_state;

    /// See the promise.
    #[derive(Debug)]
    pub struct AdmitsPassedOver;

    impl Acts for AdmitsPassedOver {
        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("before", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            let note = |seen: &mut Seen, arm: &str, document| {
                seen.other(arm, Observation::Document { document });
            };
            let mut notices = running.listen();
            let mut reports = Reports::watch(running)?;
            note(seen, "report", running.report()?);
            // A canary would be skipped as well, and take the claim by itself; right after a
            // report none is out.
            reports.renewed_before_end()?;
            let paused = Paused::stop(running.pid())?;
            let caller = MapCaller::start(lab.ground.limit())?;
            let attempts = (0..ATTEMPTS).map(|_| lab.ground.open_secret(Place::Plain));
            let acts = attempts.collect::<Result<Vec<Act>>>()?;
            drop(caller);
            drop(paused);
            seen.other("race", Observation::Race { acts });
            let report = reports.soon("DEGRADED")?;
            let told = match report["runtime_state"] == "DEGRADED" {
                true => notices.hear("the loss", is_state)?,
                false => Value::Null,
            };
            note(seen, "report-of-loss", report);
            note(seen, "told-of-loss", with_cause(told));
            note(seen, "evidence-back", reports.soon("ENFORCE_SIGNAL")?);
            seen.act("again", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }
    }

    /// What was told, and whether it says what took the claim.
    fn with_cause(mut told: Value) -> Value {
        if told.is_object() {
            let reason = told["reason"].as_str().unwrap_or_default();
            told["names_cause"] = json!(reason.contains("the kernel skipped the program"));
        }
        told
    }
}
