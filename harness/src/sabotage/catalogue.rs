//! The mutants that the proofs list, each with where it is tried.

use std::borrow::Cow;

use proofs::{Boot, ShowsAs, Tried};

use crate::outcome::Status;

/// Something that is broken on purpose.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// Its name, as the agent or the guest knows it.
    pub name: &'static str,
    /// What it breaks, in words.
    pub breaks: &'static str,
    /// Where it is tried.
    pub boot: Boot,
    /// The proof of the broken promise.
    pub proof: Cow<'static, str>,
    /// The arm of that proof in which it must show.
    pub arm: &'static str,
    /// What the reason must say, so that it is about this promise and no other.
    pub says: &'static str,
    /// How it must show: only what is broken around the agent may leave a proof incomplete.
    pub shows_as: Status,
    /// How it is tried.
    pub tried: Tried,
    /// Whether it ends the agent where a proof needs it up, or keeps it up where it must end: then
    /// the rest can't be observed. With any other mutant that counts as a crash.
    pub breaks_off: bool,
}

/// Every mutant, in the order of their proofs.
#[must_use]
pub fn all() -> Vec<Mutant> {
    let proofs = Boot::ALL
        .into_iter()
        .flat_map(|boot| proofs::of_boot(boot, true));
    let mutants = proofs.flat_map(|proof| {
        let of = |mutant: &proofs::Mutant| Mutant {
            name: mutant.name,
            breaks: mutant.breaks,
            boot: proof.boot,
            proof: proof.id.clone().into(),
            arm: mutant.arm,
            says: mutant.says,
            shows_as: match mutant.shows_as {
                ShowsAs::Failed => Status::Failed,
                ShowsAs::UnexpectedPass => Status::UnexpectedPass,
                ShowsAs::UndeclaredSkip => Status::UndeclaredSkip,
                ShowsAs::Incomplete => Status::Incomplete,
            },
            tried: mutant.tried,
            breaks_off: mutant.breaks_off,
        };
        proof.mutants.iter().map(of).collect::<Vec<_>>()
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
        for mutant in all {
            let may_be_incomplete = of_world.contains(&mutant.name);
            assert_eq!(mutant.shows_as == Status::Incomplete, may_be_incomplete);
            let is_skip = mutant.shows_as == Status::UndeclaredSkip;
            assert!(!is_skip || World::from_name(mutant.name).is_some());
        }
    }
}
