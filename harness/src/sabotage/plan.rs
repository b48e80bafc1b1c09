//! From mutants to boots: many in one, each with its own life of the agent, beside the control.
//!
//! In: a kernel, the mutants to try on it. Out: the plan for its guest, and its boots. Pure.

use protocol::plan::{GuestPlan, PlannedProof};
use protocol::sabotage;

use super::catalogue::{Mutant, Way};
use crate::kernels::ReadyKernel;
use crate::launch::Pace;
use crate::plan::{self, Boot, PlannedBoot, catalogue};

/// Proofs that a mutant is put to beside its own, where they share a configuration: they wait for
/// nothing, so they cost next to nothing, and show what else it breaks.
const COMPANY: [&str; 12] = [
    "enforce-denies-open",
    "enforce-holds-out",
    "seam-promotes-to-enforce-signal",
    "seam-kills-denied-open",
    "promotes-to-enforce-modret",
    "modret-denies-open",
    "modret-holds-out",
    "modret-no-pretend",
    "promotes-to-enforce-signal",
    "kills-denied-open",
    "signal-holds-out",
    "no-pretend",
];

/// The proofs that a mutant is put to.
#[must_use]
pub fn proofs(mutant: &Mutant) -> Vec<PlannedProof> {
    let all = catalogue::proofs(mutant.boot, true);
    let own = all.iter().find(|proof| proof.id == mutant.proof);
    let configuration = own.map(|proof| proof.configuration.clone());
    all.into_iter()
        .filter(|proof| {
            let company = COMPANY.contains(&proof.id.as_str())
                && Some(&proof.configuration) == configuration.as_ref();
            company || proof.id == mutant.proof
        })
        .collect()
}

/// Plans one kernel: each boot with its control, and the boots of those that must be alone.
///
/// `nonce` is called once for each boot.
pub fn kernel(
    kernel: &ReadyKernel,
    mutants: &[Mutant],
    pace: Pace,
    mut nonce: impl FnMut() -> String,
) -> (GuestPlan, Vec<PlannedBoot>) {
    let mut boots = Vec::new();
    for boot in Boot::ALL {
        let of_boot: Vec<&Mutant> = mutants.iter().filter(|m| m.boot == boot).collect();
        if of_boot.is_empty() {
            continue;
        }
        let mut planned = control(boot, &of_boot);
        for mutant in of_boot.iter().filter(|mutant| mutant.way == Way::Shared) {
            planned.extend(
                proofs(mutant)
                    .into_iter()
                    .map(|proof| with(proof, mutant.name)),
            );
        }
        boots.push(plan::boot(kernel, boot, boot.name(), planned, nonce()));
        for mutant in of_boot {
            let name = sabotage::with(boot.name(), mutant.name);
            let proofs = proofs(mutant).into_iter();
            let proofs = proofs.map(|proof| with(proof, mutant.name)).collect();
            match mutant.way {
                Way::Alone => boots.push(plan::boot(kernel, boot, &name, proofs, nonce())),
                Way::WrongBoot => {
                    let planned = plan::boot(kernel, boot, &name, proofs, nonce());
                    boots.push(plan::in_other_boot(planned, boot));
                }
                Way::Shared | Way::LostRecord => {}
            }
        }
    }
    (plan::guest(kernel, pace, &boots), boots)
}

/// Every proof that some mutant is put to, with nothing broken.
fn control(boot: Boot, mutants: &[&Mutant]) -> Vec<PlannedProof> {
    let needed: Vec<String> = mutants
        .iter()
        .flat_map(|mutant| proofs(mutant))
        .map(|proof| proof.id)
        .collect();
    let all = catalogue::proofs(boot, true).into_iter();
    all.filter(|proof| needed.contains(&proof.id))
        .map(|proof| with(proof, sabotage::CONTROL))
        .collect()
}

fn with(proof: PlannedProof, mutant: &str) -> PlannedProof {
    PlannedProof {
        id: sabotage::with(&proof.id, mutant),
        configuration: sabotage::with(&proof.configuration, mutant),
        ..proof
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::all;
    use super::*;

    #[test]
    fn every_mutant_is_put_to_its_own_proof_and_so_is_the_control() {
        let all = all();
        for boot in Boot::ALL {
            let of_boot: Vec<&Mutant> = all.iter().filter(|m| m.boot == boot).collect();
            let control = control(boot, &of_boot);
            for mutant in of_boot {
                let own = |proof: &PlannedProof| proof.id == mutant.proof;
                assert!(proofs(mutant).iter().any(own), "{}", mutant.name);
                for proof in proofs(mutant) {
                    let id = sabotage::with(&proof.id, sabotage::CONTROL);
                    assert!(control.iter().any(|control| control.id == id), "{id}");
                }
            }
        }
    }

    #[test]
    fn nothing_but_a_mutant_has_the_mark_in_its_name() {
        for boot in Boot::ALL {
            for proof in catalogue::proofs(boot, true) {
                assert_eq!(sabotage::split(&proof.id).1, None);
                assert_eq!(sabotage::split(&proof.configuration).1, None);
            }
        }
    }

    #[test]
    fn the_company_is_made_of_proofs_that_there_are() {
        let all = Boot::ALL.into_iter();
        let all: Vec<PlannedProof> = all.flat_map(|boot| catalogue::proofs(boot, true)).collect();
        for id in COMPANY {
            assert!(all.iter().any(|proof| proof.id == id), "{id}");
        }
    }
}
