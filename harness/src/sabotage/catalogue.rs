//! The mutants that the proofs list, each with where it is tried.

use std::borrow::Cow;

use proofs::{Boot, Mutant, ShowsAs};

use crate::outcome::Status;

/// A mutant, with the proof that lists it: the one that must catch it.
#[derive(Debug, Clone)]
pub struct ListedMutant {
    /// What is broken, and how it must show.
    pub mutant: Mutant,
    /// Where it is tried.
    pub boot: Boot,
    /// The id of the proof.
    pub proof: Cow<'static, str>,
}

impl ListedMutant {
    /// How the proof must come out with it: only what is broken around the agent may leave it
    /// incomplete.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.mutant.shows_as {
            ShowsAs::Failed => Status::Failed,
            ShowsAs::UnexpectedPass => Status::UnexpectedPass,
            ShowsAs::UndeclaredSkip => Status::UndeclaredSkip,
            ShowsAs::Incomplete => Status::Incomplete,
        }
    }
}

/// Every mutant, in the order of their proofs.
#[must_use]
pub fn all() -> Vec<ListedMutant> {
    let proofs = Boot::ALL
        .into_iter()
        .flat_map(|boot| proofs::of_boot(boot, true));
    let mutants = proofs.flat_map(|proof| {
        let listed = |&mutant: &Mutant| ListedMutant {
            mutant,
            boot: proof.boot,
            proof: proof.id.clone().into(),
        };
        proof.mutants.iter().map(listed).collect::<Vec<_>>()
    });
    mutants.collect()
}

#[cfg(test)]
mod tests {
    use protocol::sabotage::World;

    use super::*;

    #[test]
    fn a_broken_agent_must_fail_its_proof() {
        let of_world = ["arm-skipped", "record-lost", "wrong-boot"];
        let all = all();
        assert!(all.len() > 50, "{}", all.len());
        for listed in all {
            let name = listed.mutant.name;
            let may_be_incomplete = of_world.contains(&name);
            assert_eq!(listed.status() == Status::Incomplete, may_be_incomplete);
            let is_skip = listed.status() == Status::UndeclaredSkip;
            assert!(!is_skip || World::from_name(name).is_some());
        }
    }
}
