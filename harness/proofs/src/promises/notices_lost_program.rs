//! A program that somebody takes away is missed at the next verification: the state is
//! `DEGRADED`, the report and a notice say so and why. The program is put back, and once that
//! is verified too, the claim is back and denied is denied.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::{Clause, PlannedArm};
use serde_json::{Value, json};

use crate::arms::{allowed, contains, differs, document, equals, lacks, stopped};
use crate::claims::leaves_no_rule_out;
use crate::sabotage::Mutant;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "notices-lost-program",
    text: "A program that somebody takes away from the agent is missed at the next verification: the \
           report says `DEGRADED`, enforces no rule, and shows the hook as not fired, with why; a \
           line on standard output tells of the change. The agent puts the program back, and once \
           that is verified too, report and a second line give the old state, and the denied open \
           meets its fate again. Asking the kernel to detach the link, as `bpftool link detach` \
           does, has no effect: it is refused with `EOPNOTSUPP`; the kprobe of `ENFORCE_SIGNAL` has \
           no link that anybody could ask to detach.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::NoticesLostProgram(tier));
        let proof = Proof::of_tier(tier, PROMISE.id, tier.verifying(), acts, arms(tier));
        match tier {
            Tier::Lsm => proof.catches(MUTANTS),
            Tier::Modret | Tier::Signal => proof,
        }
    };
    Tier::ALL.map(proof).into()
}

/// A link that can't be detached.
const EOPNOTSUPP: i32 = 95;

fn arms(tier: Tier) -> Vec<PlannedArm> {
    let hook = tier.open_hook();
    let claim = [
        equals("/runtime_state", tier.state()),
        leaves_no_rule_out(),
        contains(
            "/hooks",
            json!({"hook": hook, "fired": true, "reason": null}),
        ),
    ];
    let lost = [
        equals("/runtime_state", "DEGRADED"),
        equals("/audit_only", false),
        equals("/rules/enforced", 0),
        contains("/hooks", json!({"hook": hook, "fired": false})),
        lacks(
            "/hooks",
            json!({"hook": hook, "fired": false, "reason": null}),
        ),
    ];
    let returned = [
        equals("/event", "state"),
        equals("/from", "DEGRADED"),
        equals("/to", tier.state()),
    ];
    let asked_to_detach = match tier {
        Tier::Lsm | Tier::Modret => json!(EOPNOTSUPP),
        // A perf event, and so no link that anybody could ask for.
        Tier::Signal => Value::Null,
    };
    vec![
        allowed("before"),
        document("report", &claim),
        stopped("during", tier),
        document("asked-to-detach", &[equals("/errno", asked_to_detach)]),
        document("told-of-loss", &told_of_loss(tier)),
        document("report-of-loss", &lost),
        document("told-of-return", &returned),
        document("report-of-return", &claim),
        stopped("again", tier),
        allowed("benign"),
        allowed("exempt"),
        allowed("after"),
    ]
}

/// The reason is the agent's own, and names hook, what was expected and what was seen.
pub(super) fn told_of_loss(tier: Tier) -> [Clause; 5] {
    [
        equals("/event", "state"),
        equals("/from", tier.state()),
        equals("/to", "DEGRADED"),
        differs("/reason", ""),
        differs("/reason", Value::Null),
    ]
}

const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "reports-once",
        "the report is written once and never again",
        "report-of-loss",
        r#"/runtime_state: expected "DEGRADED""#,
    ),
    Mutant::new(
        "forgets-rules",
        "the rules are gone from the first verification on",
        "again",
        "expected denied with EPERM, saw allowed",
    ),
];

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::Result;
    use protocol::record::Observation;
    use serde_json::{Value, json};

    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::outsider;
    use crate::acts::{Acts, live_report, running};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct NoticesLostProgram(pub Tier);

    /// The program that sees every open, by the name that the kernel has for it.
    pub(in super::super) fn program(tier: Tier) -> &'static str {
        match tier {
            Tier::Lsm => "lsm_file_open",
            Tier::Modret => "modret_file_ope",
            Tier::Signal => "sig_file_open",
        }
    }

    impl Acts for NoticesLostProgram {
        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("before", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            seen.other("report", live_report(agent)?);
            seen.act("during", lab.ground.open_secret(Place::Plain)?);

            let holder = outsider::holder(running.pid(), program(self.0))?;
            let document = json!({ "errno": holder.ask_to_detach()? });
            seen.other("asked-to-detach", Observation::Document { document });

            let mut notices = running.listen();
            holder.take_away()?;
            // Whoever hears of it and looks at the report finds it there.
            let mut told = |seen: &mut Seen, arms: [&'static str; 2]| -> Result<()> {
                let document = notices.hear(arms[0], is_state)?;
                seen.other(arms[0], Observation::Document { document });
                seen.other(arms[1], live_report(agent)?);
                Ok(())
            };
            told(seen, ["told-of-loss", "report-of-loss"])?;
            told(seen, ["told-of-return", "report-of-return"])?;

            seen.act("again", lab.ground.open_secret(Place::Plain)?);
            seen.act("benign", lab.ground.open_benign()?);
            seen.act("exempt", lab.ground.open_secret(Place::Exempt)?);
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("after", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }
    }

    /// Whether a line tells of another state.
    pub fn is_state(line: &Value) -> bool {
        line["event"] == "state"
    }
}
