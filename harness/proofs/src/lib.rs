//! The promises of `GUARANTEES.md`, one file each: the text, the proofs with what they must show
//! in each tier, their results for agents that break every promise of a kind, the mutants that
//! they catch, and what the guest does for them.
//!
//! Host and guest build the same sources. The host plans and judges by the data; the guest, with
//! the feature `acts`, carries the acts out. [`SOURCE_SHA256`] shows each that the other was built
//! of the same.

#[cfg(feature = "acts")]
pub mod acts;
mod arms;
mod boot;
mod claims;
pub mod configuration;
pub mod contract;
mod promise;
pub mod promises;
mod sabotage;
mod tier;

pub use self::boot::{Boot, BootKind};
pub use self::promise::{Comparison, Promise, Proof, Section};
pub use self::promises::{ALL, REAL_PROMOTION, SEAM_IS_FAITHFUL, SEAM_PROMOTION};
pub use self::sabotage::{
    DENIES_ALL, Green, Mutant, STOPS_NOBODY, ShowsAs, Sweeps, Swept, Tried, UNDECLARED_SKIP,
};
pub use self::tier::Tier;

/// SHA-256 of the sources of this crate and of `protocol`, in hexadecimal.
pub const SOURCE_SHA256: &str = env!("PROOFS_SOURCE_SHA256");

/// Every proof of a boot, in the order in which they run. With `sabotaged_agent`, those that need
/// the sabotaged build too.
#[must_use]
pub fn of_boot(boot: Boot, sabotaged_agent: bool) -> Vec<Proof> {
    let all = ALL.iter().flat_map(|promise| (promise.proofs)());
    all.filter(|proof| proof.boot == boot)
        .filter(|proof| sabotaged_agent || proof.configuration.sabotage.is_none())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use protocol::plan::{Clause, Expectation};
    use serde_json::Value;

    use super::*;

    fn all() -> impl Iterator<Item = Proof> {
        Boot::ALL.into_iter().flat_map(|boot| of_boot(boot, true))
    }

    /// The states that the report of a proof must show while nothing has happened to the agent.
    fn reported(proof: &Proof) -> Vec<&Value> {
        let mut reports = proof.arms.iter().filter(|arm| arm.arm == "report");
        let Some(Expectation::Document { clauses, .. }) = reports.next().map(|arm| &arm.expect)
        else {
            return Vec::new();
        };
        let states = clauses.iter().filter_map(|clause| match clause {
            Clause::Equals { pointer, value } if pointer == "/runtime_state" => Some(value),
            _ => None,
        });
        states.collect()
    }

    #[test]
    fn a_report_must_show_the_state_that_the_configuration_stands_for() {
        let mut held = BTreeSet::new();
        for proof in all() {
            let state = proof.configuration.state;
            for reported in reported(&proof) {
                let configuration = proof.configuration.name;
                assert_eq!(reported, state, "{} in {configuration}", proof.id);
                held.insert(state);
            }
        }
        // Or the proofs have no such clause any more, and this shows nothing.
        let states = [
            "AUDIT_FALLBACK",
            "ENFORCE",
            "ENFORCE_MODRET",
            "ENFORCE_SIGNAL",
            "REFUSED",
        ];
        assert_eq!(held.into_iter().collect::<Vec<_>>(), states);
    }

    #[test]
    fn an_id_is_one_proof_in_a_boot_and_of_one_promise() {
        let mut seen = BTreeSet::new();
        for promise in ALL {
            for proof in (promise.proofs)() {
                let key = (proof.boot, proof.id.clone());
                assert!(seen.insert(key), "{} in {}", proof.id, proof.boot.name());
                assert!(!proof.arms.is_empty(), "{} shows nothing", proof.id);
            }
            let shows = !(promise.proofs)().is_empty() || promise.comparison.is_some();
            assert!(shows, "{} has no proof", promise.id);
            assert!(!promise.text.is_empty(), "{} promises nothing", promise.id);
        }
        let ids: BTreeSet<&str> = ALL.iter().map(|promise| promise.id).collect();
        assert_eq!(ids.len(), ALL.len(), "a promise is made twice");
    }

    #[test]
    fn a_configuration_is_one_name_and_every_one_is_used() {
        let names: BTreeSet<&str> = configuration::ALL.iter().map(|known| known.name).collect();
        assert_eq!(names.len(), configuration::ALL.len());
        let used: BTreeSet<&str> = all().map(|proof| proof.configuration.name).collect();
        assert_eq!(used, names);
    }

    #[test]
    fn a_mutant_is_tried_once_in_a_boot_and_shows_in_an_arm_of_its_proof() {
        let mut seen = BTreeSet::new();
        for proof in all() {
            for mutant in &proof.mutants {
                let arm = proof.arms.iter().any(|arm| arm.arm == mutant.arm);
                let of_none = mutant.tried == Tried::WrongBoot || mutant.arm == UNDECLARED_SKIP;
                assert!(arm || of_none, "{}", mutant.name);
                assert!(!mutant.breaks.is_empty() && !mutant.says.is_empty());
                let once = seen.insert((proof.boot, mutant.name));
                assert!(once, "{} in {}", mutant.name, proof.boot.name());
            }
        }
    }

    #[test]
    #[cfg(feature = "acts")]
    fn what_ends_the_agent_is_the_last_of_its_configuration() {
        let mut lives = BTreeMap::<_, Vec<bool>>::new();
        for proof in all() {
            let life = lives.entry((proof.boot, proof.configuration.name));
            life.or_default().push(proof.acts.ends_agent());
        }
        for ((_, name), ends) in lives {
            assert!(!ends[..ends.len() - 1].contains(&true), "{name}");
        }
    }
}
