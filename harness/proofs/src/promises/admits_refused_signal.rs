//! Where the kernel refuses the signal, nobody is killed, and the agent says no such thing: its
//! event is `observed`, and it is `DEGRADED`.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::record::Fate;
use serde_json::json;

use crate::arms::{act, differs, document, equals};
use crate::configuration::{SIGNAL_REFUSED, SIGNAL_REFUSED_UNREAD};
use crate::sabotage::Sweeps;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "admits-refused-signal",
    text: "A signal that the kernel refuses isn't told as a kill. In a build whose signal the helper \
           refuses, the open succeeds, the agent tells `observed`, and at once the state is \
           `DEGRADED`: the report enforces no rule, and a line on standard output names the process \
           and what the helper returned. While nobody reads standard output, which the second line \
           is about, the report says so at the next verification.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    vec![told(), unread()]
}

/// A signal that the kernel refuses, which only a sabotaged build makes it do.
fn told() -> Proof {
    let tier = Tier::Signal;
    let claim = [
        equals("/runtime_state", tier.state()),
        equals("/rules/enforced", 1),
    ];
    let told = [
        equals("/event", "state"),
        equals("/from", tier.state()),
        equals("/to", "DEGRADED"),
        equals("/names_process", true),
        equals("/names_result", true),
    ];
    let lost = [
        equals("/runtime_state", "DEGRADED"),
        equals("/audit_only", false),
        equals("/enforce_capable", false),
        equals("/rules/enforced", 0),
        differs("/rules/unenforced", json!([])),
    ];
    let arms = vec![
        document("report", &claim),
        act("during", Fate::Allowed, Some("observed")),
        document("told-of-loss", &told),
        document("report-of-loss", &lost),
    ];
    let acts = acts!(acts::AdmitsRefusedSignal);
    Proof::of_tier(tier, PROMISE.id, &SIGNAL_REFUSED, acts, arms).swept(Sweeps::REPORT)
}

/// The same, while nobody reads what the agent tells.
fn unread() -> Proof {
    let tier = Tier::Signal;
    let state = |arm, state| document(arm, &[equals("/runtime_state", state)]);
    let arms = vec![
        state("evidence-back", tier.state()),
        state("unread-loss", "DEGRADED"),
        state("evidence-back-again", tier.state()),
        state("read-at-last", tier.state()),
        act("during", Fate::Allowed, Some("observed")),
    ];
    let acts = acts!(acts::AdmitsUnreadRefusal);
    let id = "admits-unread-refusal";
    Proof::of_tier(tier, id, &SIGNAL_REFUSED_UNREAD, acts, arms).swept(Sweeps::REPORT)
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use serde_json::Value;

    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::many::{self, Many};
    use crate::acts::reports::Reports;
    use crate::acts::{Acts, live_report, running};
    use crate::promises::notices_lost_program::acts::is_state;

    /// See the promise.
    #[derive(Debug)]
    pub struct AdmitsRefusedSignal;

    impl Acts for AdmitsRefusedSignal {
        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            seen.other("report", live_report(agent)?);
            let mut notices = running.listen();
            let act = lab.ground.open_secret(Place::Plain)?;
            let who = format!("process {} ", act.pid);
            seen.act("during", act);
            let mut document = notices.hear("the loss", is_state)?;
            let reason = document["reason"].as_str().context("a state without why")?;
            let names = [&who, "the signal helper returned -"].map(|what| reason.contains(what));
            document["names_process"] = names[0].into();
            document["names_result"] = names[1].into();
            seen.other("told-of-loss", Observation::Document { document });
            seen.other("report-of-loss", live_report(agent)?);
            Ok(())
        }
    }

    /// Where the kernel refuses the signal while nobody reads what the agent tells, its report says so
    /// all the same, once for each refusal: that somebody reads of it later is nothing new.
    #[derive(Debug)]
    pub struct AdmitsUnreadRefusal;

    /// Told of, they are more than a pipe holds, and untold less than the event ring does.
    const CROWD: Many = Many {
        count: 300,
        tries: 1,
    };

    impl Acts for AdmitsUnreadRefusal {
        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            let mut events = running.listen();
            let mut reports = Reports::watch(running)?;
            let reader = running.hold();
            let ground = lab.ground;
            many::open(CROWD, Place::Plain, ground.secret(), ground.limit())?;
            let mut note = |arm: &str, document| {
                seen.other(arm, Observation::Document { document });
            };
            note("evidence-back", reports.soon("ENFORCE_SIGNAL")?);

            let act = ground.open_secret(Place::Plain)?;
            note("unread-loss", reports.soon("DEGRADED")?);
            note("evidence-back-again", reports.soon("ENFORCE_SIGNAL")?);

            drop(reader);
            let pid = act.pid;
            events.hear("the last open", |line| line["tgid"] == pid)?;
            let before = running.report()?;
            let newer = |report: &Value| report["generated_at"] != before["generated_at"];
            note("read-at-last", reports.next("a report after that", newer)?);
            seen.act("during", act);
            Ok(())
        }
    }
}
