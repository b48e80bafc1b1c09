//! Two processes on two processors open the denied file at the same moment, while the agent
//! verifies: neither gets past it in the other's shadow, and neither takes what is the other's.

use protocol::plan::PlannedArm;
use serde_json::{Value, json};

use crate::arms::{differs, document, equals};
use crate::boot::Boot;
use crate::promise::{Promise, Proof, Section, acts};
use crate::sabotage::Mutant;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Processors,
    id: "holds-at-once",
    text: "Two processes that open the denied file at the same moment, each on a processor of its \
           own, both meet the fate, and each is told of: 48 times over, while the agent verifies \
           five times a second, and for as long as that takes to renew the claim twice. Where one \
           of them opens the neighbour instead, or is exempt, it isn't touched, and the other is.",
    proofs,
    comparison: None,
};

/// How often two meet in each arm.
const COUNT: usize = 48;
/// How often each tries then, where it lives.
const TRIES: usize = 2;

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let id = format!("smp-{}-{}", tier.name(), PROMISE.id);
        let acts = acts!(acts::HoldsAtOnce(tier));
        let mutant = match tier {
            Tier::Lsm => DENIES_ONE_AT_A_TIME,
            Tier::Modret => SHARES_EXEMPTION,
            Tier::Signal => SIGNALS_ONE_AT_A_TIME,
        };
        Proof::new(id, Boot::Smp, tier.smp_verifying(), acts, arms(tier)).catches(&[mutant])
    };
    Tier::ALL.map(proof).into()
}

fn arms(tier: Tier) -> Vec<PlannedArm> {
    let tries = tries(tier);
    let stopped = |name: &str, count: usize| {
        let clauses = [
            equals("/fates", all(tier.fate_word(), count)),
            equals("/told", all(tier.outcome(), count * tries)),
            equals("/untold", 0),
        ];
        document(name, &clauses)
    };
    let untouched = |name: &str, count: usize| {
        let clauses = [
            equals("/fates", all("allowed", count)),
            equals("/told", json!({})),
        ];
        document(name, &clauses)
    };
    let renewed = [
        equals("/states", json!([tier.state()])),
        equals("/later", true),
    ];
    let at_once = [
        equals("/processors", json!([0, 1])),
        differs("/overlapping", 0),
    ];
    vec![
        untouched("before", 2 * COUNT),
        stopped("both", 2 * COUNT),
        stopped("beside-neighbour", COUNT),
        untouched("neighbour", COUNT),
        stopped("beside-exempt", COUNT),
        untouched("exempt", COUNT),
        document("meanwhile", &[equals("/fates", json!([tier.fate_word()]))]),
        document("at-once", &at_once),
        document("renewed", &renewed),
        untouched("after", 2 * COUNT),
    ]
}

/// How often a process can try in a tier.
fn tries(tier: Tier) -> usize {
    match tier.prevents() {
        true => TRIES,
        false => 1,
    }
}

/// A count of what all came to.
fn all(what: &str, count: usize) -> Value {
    json!({ what: count })
}

const DENIES_ONE_AT_A_TIME: Mutant = Mutant::new(
    "denies-one-at-a-time",
    "whoever is judged while another processor judges too is let by",
    "meanwhile",
    r#"/fates: expected ["EPERM"], saw ["#,
);
const SHARES_EXEMPTION: Mutant = Mutant::new(
    "shares-exemption",
    "one place for all processors holds whether a process is exempt",
    "exempt",
    // Three copies of the program judge an open: it is denied by one, and let by by all.
    r#"/told: expected {}, saw {"denied":"#,
);
const SIGNALS_ONE_AT_A_TIME: Mutant = Mutant::new(
    "signals-one-at-a-time",
    "whoever is judged while another processor judges too is sent no signal",
    "meanwhile",
    r#"/fates: expected ["SIGKILL"], saw ["#,
);

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::collections::BTreeSet;
    use std::time::Instant;

    use anyhow::{Context, Result, ensure};
    use protocol::record::Observation;
    use serde_json::{Value, json};

    use super::COUNT;

    use crate::acts::agent::Running;
    use crate::acts::at_once::{self, Met, Rounds, Side};
    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::reports::boot_ms;
    use crate::acts::{Acts, running};
    use crate::tier::Tier;

    /// So few rounds at a time that hardly a report is missed between them.
    const FEW: usize = 8;

    /// See the promise.
    #[derive(Debug)]
    pub struct HoldsAtOnce(pub Tier);

    impl HoldsAtOnce {
        fn meet(&self, lab: &Lab, count: usize, sides: [Side; 2]) -> Result<Met> {
            let tries = super::tries(self.0);
            at_once::meet(Rounds { count, tries }, sides, lab.ground.limit())
        }

        /// Both sides open the denied file.
        fn both(&self, lab: &Lab, seen: &mut Seen, arm: &str) -> Result<()> {
            let secret = side(Place::Plain, lab.ground.secret());
            let met = self.meet(lab, COUNT, [secret, secret])?;
            tell(seen, arm, met.both()?);
            Ok(())
        }
    }

    impl Acts for HoldsAtOnce {
        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            self.both(lab, seen, "before")
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            let mut claim = Claim::watch(running)?;
            let secret = side(Place::Plain, lab.ground.secret());

            let met = self.meet(lab, COUNT, [secret, secret])?;
            let processors = met.processors.clone();
            tell(seen, "both", met.both()?);
            claim.look()?;

            for (other, arm, beside) in [
                (
                    side(Place::Plain, lab.ground.benign()),
                    "neighbour",
                    "beside-neighbour",
                ),
                (
                    side(Place::Exempt, lab.ground.secret()),
                    "exempt",
                    "beside-exempt",
                ),
            ] {
                let [stopped, untouched] = self.meet(lab, COUNT, [secret, other])?.sides;
                tell(seen, beside, stopped);
                tell(seen, arm, untouched);
                claim.look()?;
            }

            let deadline = Instant::now() + lab.ground.limit();
            let (until, mut fates) = (claim.renewals + 2, BTreeSet::new());
            let mut overlapping = 0;
            // A busy host may let the machine's processors run one after the other for a while, and
            // a single round that overlaps may do so beside the decision.
            while claim.renewals < until || overlapping < FEW {
                let met = self.meet(lab, FEW, [secret, secret])?;
                overlapping += met.overlapping;
                let both = met.both()?;
                let both = both["fates"].as_object().context("no fates")?;
                fates.extend(both.keys().cloned());
                claim.look()?;
                ensure!(
                    Instant::now() < deadline,
                    "{} renewals and {overlapping} rounds at once: no more in time",
                    claim.renewals
                );
            }
            let at_once = json!({"processors": processors, "overlapping": overlapping});
            tell(seen, "meanwhile", json!({ "fates": fates }));
            tell(seen, "at-once", at_once);
            tell(seen, "renewed", claim.document()?);
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            self.both(lab, seen, "after")
        }
    }

    /// What the agent's reports say from one look to the next.
    struct Claim<'a> {
        agent: &'a Running,
        first: i64,
        last: i64,
        renewals: usize,
        states: BTreeSet<String>,
    }

    impl<'a> Claim<'a> {
        fn watch(agent: &'a Running) -> Result<Self> {
            let first = boot_ms(&agent.report()?, "valid_until_boot_ms")?;
            let mut claim = Self {
                agent,
                last: first,
                first,
                renewals: 0,
                states: BTreeSet::new(),
            };
            claim.look()?;
            Ok(claim)
        }

        /// Looks whether it was renewed, and what it is.
        fn look(&mut self) -> Result<()> {
            let report = self.agent.report()?;
            let state = report["runtime_state"].as_str().context("no state")?;
            self.states.insert(state.to_owned());
            let until = boot_ms(&report, "valid_until_boot_ms")?;
            if until != self.last {
                self.last = until;
                self.renewals += 1;
            }
            Ok(())
        }

        fn document(&self) -> Result<Value> {
            let later = self.last > self.first;
            Ok(json!({"states": self.states, "renewals": self.renewals, "later": later}))
        }
    }

    fn side(place: Place, path: &std::path::Path) -> Side<'_> {
        Side { place, path }
    }

    fn tell(seen: &mut Seen, arm: &str, document: Value) {
        seen.other(arm, Observation::Document { document });
    }
}
