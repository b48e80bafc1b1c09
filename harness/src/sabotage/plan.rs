//! From mutants to boots: many in one, each with its own life of the agent, beside the control.
//!
//! In: a kernel, the mutants to try on it. Out: the plan for its guest, and its boots. Pure.

use protocol::plan::{GuestPlan, PlannedProof};
use protocol::sabotage;

use proofs::{Boot, Tried};

use super::catalogue::ListedMutant;
use crate::kernels::ReadyKernel;
use crate::run::plan::{self, PlannedBoot, catalogue};
use crate::vm::Pace;

/// The proofs that a mutant is put to: its own, and those of its configuration that wait for
/// nothing.
#[must_use]
pub fn proofs(listed: &ListedMutant) -> Vec<PlannedProof> {
    let all = proofs::of_boot(listed.boot, true);
    let own = all.iter().find(|proof| proof.id == listed.proof);
    let configuration = own.map(|proof| proof.configuration.name);
    all.iter()
        .filter(|proof| {
            let company = proof.is_quick && Some(proof.configuration.name) == configuration;
            company || proof.id == listed.proof
        })
        .map(proofs::Proof::planned)
        .collect()
}

/// Plans one kernel: each boot with its control, and the mutants' own boots.
///
/// `nonce` is called once for each boot.
pub fn kernel(
    kernel: &ReadyKernel,
    mutants: &[ListedMutant],
    pace: Pace,
    mut nonce: impl FnMut() -> String,
) -> (GuestPlan, Vec<PlannedBoot>) {
    let mut boots = Vec::new();
    for boot in Boot::ALL {
        let of_boot: Vec<&ListedMutant> = mutants.iter().filter(|m| m.boot == boot).collect();
        if of_boot.is_empty() {
            continue;
        }
        let mut planned = control(boot, &of_boot);
        let shared = of_boot.iter();
        for listed in shared.filter(|listed| listed.mutant.tried == Tried::Shared) {
            let proofs = proofs(listed).into_iter();
            planned.extend(proofs.map(|proof| with(proof, listed.mutant.name)));
        }
        boots.push(plan::boot(kernel, boot, boot.name(), planned, nonce()));
        for listed in of_boot {
            let mutant = &listed.mutant;
            let name = sabotage::with(boot.name(), mutant.name);
            let proofs = proofs(listed).into_iter();
            let proofs = proofs.map(|proof| with(proof, mutant.name)).collect();
            match mutant.tried {
                Tried::Alone => boots.push(plan::boot(kernel, boot, &name, proofs, nonce())),
                Tried::WrongBoot => {
                    let planned = plan::boot(kernel, boot, &name, proofs, nonce());
                    boots.push(plan::in_other_boot(planned, boot));
                }
                Tried::Shared | Tried::LostRecord => {}
            }
        }
    }
    (plan::guest(kernel, pace, &boots), boots)
}

/// Every proof that some mutant is put to, with nothing broken.
fn control(boot: Boot, mutants: &[&ListedMutant]) -> Vec<PlannedProof> {
    let needed: Vec<String> = mutants
        .iter()
        .flat_map(|listed| proofs(listed))
        .map(|proof| proof.id)
        .collect();
    let all = catalogue(boot, true).into_iter();
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
            let of_boot: Vec<&ListedMutant> = all.iter().filter(|m| m.boot == boot).collect();
            let control = control(boot, &of_boot);
            for listed in of_boot {
                let own = |proof: &PlannedProof| proof.id == listed.proof;
                assert!(proofs(listed).iter().any(own), "{listed:?}");
                for proof in proofs(listed) {
                    let id = sabotage::with(&proof.id, sabotage::CONTROL);
                    assert!(control.iter().any(|control| control.id == id), "{id}");
                }
            }
        }
    }

    #[test]
    fn nothing_but_a_mutant_has_the_mark_in_its_name() {
        for boot in Boot::ALL {
            for proof in catalogue(boot, true) {
                assert_eq!(sabotage::split(&proof.id).1, None);
                assert_eq!(sabotage::split(&proof.configuration).1, None);
            }
        }
    }
}
