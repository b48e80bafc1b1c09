//! Programs of the signal tier can neither be attached under lockdown nor read what they go by.

use crate::promise::{Promise, Proof, Section, acts};
use serde_json::json;

#[cfg(feature = "acts")]
use super::fails_closed::acts;
use super::holds_under_lockdown::unreadable_memory;
use crate::arms::{lacks, reasons, refused};
use crate::boot::Boot;
use crate::claims::blocked_by;
use crate::configuration::LOCKDOWN_SIGNAL;
use crate::sabotage::Sweeps;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Lockdown,
    id: "refuses-signal-under-lockdown",
    text: "The signal tier, which needs both, is refused there: the report names `BPF_LSM_DISABLED`, \
           since the seam leaves `bpf` out of the list, and the reason of each hook of the tier \
           names the lockdown. No BPF program or link is left behind.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let because = [
        &blocked_by("BPF_LSM_DISABLED")[..],
        &[
            unreadable_memory(),
            lacks("/hooks", json!({"tier": "signal", "attached": true})),
            lacks("/hooks", json!({"tier": "signal", "fired": true})),
            reasons("/hooks", json!({"tier": "signal"}), "lockdown"),
        ],
    ];
    let proof = Proof::new(
        "lockdown-refuses-signal",
        Boot::Lockdown,
        &LOCKDOWN_SIGNAL,
        acts!(acts::Refuses),
        refused(&because.concat()),
    );
    vec![proof.swept(Sweeps::REFUSAL)]
}
