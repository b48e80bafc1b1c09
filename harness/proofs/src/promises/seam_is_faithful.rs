//! The seam is faithful: what the agent says through it is what it says for real.

use crate::promise::{Comparison, Promise, Section};

/// The proof that compares two boots, by the reports of [`super::promotes`].
pub const SEAM_IS_FAITHFUL: &str = "seam-is-faithful";

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: SEAM_IS_FAITHFUL,
    text: "The seam is faithful: the report through it equals the report on a kernel that really \
           lacks the BPF LSM, but for times, ids of the boot and of processes, and the note of the \
           seam itself. The two boots are compared.",
    proofs: Vec::new,
    comparison: Some(Comparison {
        id: SEAM_IS_FAITHFUL,
        state: "ENFORCE_SIGNAL",
        fate: "same report",
    }),
};
