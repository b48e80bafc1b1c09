//! The mutants that can't be tried on a kernel, as `kernels.toml` declares of their proofs.
//!
//! In: mutants, the skips declared for a kernel. Out: those to try, and the others with the
//! reason. Pure.

use serde::{Deserialize, Serialize};

use super::catalogue::ListedMutant;
use crate::kernels::manifest::Skip;

/// A mutant that wasn't tried, as its proof can't run on the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its name.
    pub mutant: String,
    /// The boot in which it would be tried.
    pub boot: String,
    /// What it breaks.
    pub breaks: String,
    /// The proof that must catch it.
    pub proof: String,
    /// The arm in which it must show.
    pub arm: String,
    /// Why the proof can't run there, as declared.
    pub reason: String,
}

/// Parts the mutants into those to try and those whose proof is declared as a skip.
#[must_use]
pub fn part(mutants: &[ListedMutant], skips: &[Skip]) -> (Vec<ListedMutant>, Vec<Skipped>) {
    let (mut to_try, mut skipped) = (Vec::new(), Vec::new());
    for listed in mutants {
        let ListedMutant {
            mutant,
            boot,
            proof,
        } = listed;
        let mut skips = skips.iter();
        match skips.find(|skip| skip.is_of(boot.name(), proof)) {
            None => to_try.push(listed.clone()),
            Some(skip) => skipped.push(Skipped {
                mutant: mutant.name.to_owned(),
                boot: boot.name().to_owned(),
                breaks: mutant.breaks.to_owned(),
                proof: proof.to_string(),
                arm: mutant.arm.to_owned(),
                reason: skip.reason.clone(),
            }),
        }
    }
    (to_try, skipped)
}

#[cfg(test)]
mod tests {
    use super::super::catalogue;
    use super::*;

    #[test]
    fn no_mutant_is_lost_and_one_that_is_skipped_has_the_declared_reason() {
        let all = catalogue::all();
        let skip = |proof: &str, boot: Option<&str>, reason: &str| Skip {
            proof: proof.to_owned(),
            boot: boot.map(str::to_owned),
            reason: reason.to_owned(),
        };
        let skips = [
            skip("kills-*", Some("bpf-lsm"), "not in this boot"),
            skip("kills-*", Some("no-bpf-lsm"), "no tracefs"),
        ];
        let (to_try, skipped) = part(&all, &skips);
        assert_eq!(to_try.len() + skipped.len(), all.len());
        assert!(!skipped.is_empty());
        assert!(
            to_try
                .iter()
                .all(|listed| !listed.proof.starts_with("kills-"))
        );
        for skipped in skipped {
            assert!(skipped.proof.starts_with("kills-"), "{}", skipped.proof);
            assert_eq!(skipped.reason, "no tracefs");
        }
    }
}
