//! A hook that runs and denies nothing is found out by the canary.

#[cfg(feature = "acts")]
use super::fails_closed::acts;
use crate::arms::refused;
use crate::boot::Boot;
use crate::claims::blocked_by;
use crate::configuration::LSM_RETURNS_ZERO;
use crate::promise::{Promise, Proof, Section, acts};
use crate::sabotage::{Mutant, Sweeps};

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "refuses-hook-that-returns-zero",
    text: "A hook that runs but doesn't deny is found out, in the boot `bpf-lsm`: a build whose LSM \
           program returns 0 refuses to start, names `LSM_CANARY_FAILED`, and leaves no BPF program \
           or link behind.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = Proof::new(
        PROMISE.id,
        Boot::BpfLsm,
        &LSM_RETURNS_ZERO,
        acts!(acts::Refuses),
        refused(&blocked_by("LSM_CANARY_FAILED")),
    );
    vec![proof.swept(Sweeps::REFUSAL).catches(&[LEAVES_LINK])]
}

const LEAVES_LINK: Mutant = Mutant::new(
    "leaves-link-after-refusing",
    "the agent refuses, and its programs stay",
    "left-behind",
    "expected no BPF program or link to be left",
)
.alone();
