//! Enforcement holds for many processes in a row: each meets the same fate, and each is told of.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;
use serde_json::{Map, Value, json};

use crate::arms::{document, equals};
use crate::sabotage::Mutant;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "holds-out",
    text: "Enforcement doesn't tire: each of 128 processes that try to open the file, one after the \
           other, is denied at each of two tries (in `ENFORCE_SIGNAL` it is dead after the first), \
           and each try is told of once; as many opens of the neighbour aren't.",
    proofs,
    comparison: None,
};

/// How many processes open the file in each arm.
const COUNT: usize = 128;
/// How often each tries, if it lives.
const TRIES: usize = 2;

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::HoldsOut);
        let proof = Proof::of_tier(tier, PROMISE.id, tier.plain(), acts, arms(tier)).quick();
        match tier {
            Tier::Lsm => proof.catches(&[TIRES, SPARES_SECOND_TRY]),
            Tier::Modret => proof.catches(&[TIRES]),
            Tier::Signal => proof.catches(&[DROPS_EVENTS]),
        }
    };
    Tier::ALL.map(proof).into()
}

/// Many processes meet the same fate, and each of their tries is told of once.
fn arms(tier: Tier) -> Vec<PlannedArm> {
    let told = match tier.prevents() {
        true => COUNT * TRIES,
        false => COUNT,
    };
    let untouched = |name: &str| {
        let clauses = [
            equals("/fates", all("allowed", COUNT)),
            equals("/told", json!({})),
        ];
        document(name, &clauses)
    };
    let met = [
        equals("/fates", all(tier.fate_word(), COUNT)),
        equals("/told", all(tier.outcome(), told)),
        equals("/untold", 0),
    ];
    vec![
        untouched("before"),
        document("during", &met),
        untouched("benign"),
        untouched("after"),
    ]
}

/// A count of what all came to.
fn all(what: &str, count: usize) -> Value {
    Value::from(Map::from_iter([(what.to_owned(), json!(count))]))
}

const TIRES: Mutant = Mutant::new(
    "tires-after-100",
    "nothing is denied any more after 100 decisions",
    "during",
    r#"/fates: expected {"EPERM":128}, saw {"EPERM":"#,
);
const SPARES_SECOND_TRY: Mutant = Mutant::new(
    "spares-second-try",
    "a process that tries again is let by",
    "during",
    r#"/fates: expected {"EPERM":128}, saw {"allowed":128}"#,
);
const DROPS_EVENTS: Mutant = Mutant::new(
    "drops-every-second-event",
    "every second event is told to nobody",
    "during",
    "/untold: expected 0",
);

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::path::Path;

    use anyhow::Result;
    use protocol::record::Observation;

    use crate::acts::Acts;
    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::many::{self, Many};

    const MANY: Many = Many {
        count: super::COUNT,
        tries: super::TRIES,
    };

    /// See the promise.
    #[derive(Debug)]
    pub struct HoldsOut;

    impl Acts for HoldsOut {
        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            open(lab, seen, "before", lab.ground.secret())
        }

        fn during(&self, lab: &Lab, _agent: &During, seen: &mut Seen) -> Result<()> {
            open(lab, seen, "during", lab.ground.secret())?;
            open(lab, seen, "benign", lab.ground.benign())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            open(lab, seen, "after", lab.ground.secret())
        }
    }

    fn open(lab: &Lab, seen: &mut Seen, arm: &str, path: &Path) -> Result<()> {
        let document = many::open(MANY, Place::Plain, path, lab.ground.limit())?;
        seen.other(arm, Observation::Document { document });
        Ok(())
    }
}
