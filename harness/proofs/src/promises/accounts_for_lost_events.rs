//! More acts than the event ring has room for, while the agent stands still: each meets its fate,
//! and the report counts those that nobody is told of.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;
use serde_json::json;

use crate::arms::{differs, document, equals, stopped};
use crate::sabotage::{Mutant, Sweeps};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "accounts-for-lost-events",
    text: "Enforcement doesn't wait for the agent: while it stands still, each of 832 tries meets \
           its fate, more than the event ring has room for. Afterwards the events that it tells and \
           `events_lost` in its report together are as many as the tries.",
    proofs,
    comparison: None,
};

/// How often the file is opened while the agent stands still: more events than the ring has room
/// for.
const TOO_MANY: u32 = 832;

/// By how many processes, where each lives to try again.
const LIVING: u32 = 8;

/// In the life of the proof on many rules, where no verification adds events.
fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::AccountsForLostEvents {
            tier,
            at_once: false
        });
        let proof = Proof::of_tier(tier, PROMISE.id, tier.many(), acts, arms(tier))
            .swept(Sweeps::STOPS_ALONE);
        match tier {
            Tier::Lsm => proof.catches(&[HIDES]),
            Tier::Modret | Tier::Signal => proof,
        }
    };
    Tier::ALL.map(proof).into()
}

/// Its programs go on meanwhile, and it accounts for each event afterwards.
pub(super) fn arms(tier: Tier) -> Vec<PlannedArm> {
    let processes = match tier.prevents() {
        true => LIVING,
        false => TOO_MANY,
    };
    let clauses = [
        equals("/fates", json!({tier.fate_word(): processes})),
        differs("/lost", 0),
        equals("/accounted", TOO_MANY),
        equals("/outcomes", json!([tier.outcome()])),
    ];
    vec![document("during", &clauses), stopped("again", tier)]
}

const HIDES: Mutant = Mutant::new(
    "hides-lost-events",
    "the report counts no event that was lost",
    "during",
    "/accounted: expected 832",
);

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use serde_json::Value;

    use crate::acts::arms::Ground;
    use crate::acts::at_once::{self, Rounds, Side};
    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::many::{self, Many};
    use crate::acts::paused::Paused;
    use crate::acts::reports::Reports;
    use crate::acts::{Acts, running};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct AccountsForLostEvents {
        /// Where.
        pub tier: Tier,
        /// Whether the file is opened on two processors at once; else by one process after the
        /// other.
        pub at_once: bool,
    }

    impl AccountsForLostEvents {
        /// As many tries in every tier, and more than the ring holds: a process that lives tries again.
        fn open(&self, ground: &Ground) -> Result<Value> {
            let (count, tries) = match self.tier {
                Tier::Lsm | Tier::Modret => (8, 104),
                Tier::Signal => (832, 1),
            };
            let (place, path, limit) = (Place::Plain, ground.secret(), ground.limit());
            if !self.at_once {
                return many::open(Many { count, tries }, place, path, limit);
            }
            let count = count / 2;
            at_once::meet(Rounds { count, tries }, [Side { place, path }; 2], limit)?.both()
        }
    }

    impl Acts for AccountsForLostEvents {
        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            let mut reports = Reports::watch(running)?;
            let before = running.report()?;
            let paused = Paused::stop(running.pid())?;
            let mut document = self.open(lab.ground)?;
            drop(paused);
            // It reports again as soon as it has seen that events were lost.
            let newer = |report: &Value| report["generated_at"] != before["generated_at"];
            let after = reports.next("a report on lost events", newer)?;
            document["lost"] = (lost(&after)? - lost(&before)?).into();
            seen.other("during", Observation::Document { document });

            let mut events = running.listen();
            let act = lab.ground.open_secret(Place::Plain)?;
            // Asked to stop, it gives up what isn't told by then; this one is the last.
            let pid = act.pid;
            events.hear("the last open", |line| line["tgid"] == pid)?;
            seen.act("again", act);
            Ok(())
        }
    }

    fn lost(report: &Value) -> Result<i64> {
        let lost = report["events_lost"].as_i64();
        lost.context("a report that doesn't say how many events were lost")
    }
}
