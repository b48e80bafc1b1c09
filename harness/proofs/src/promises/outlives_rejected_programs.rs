//! One program that the kernel rejects takes no other down.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::Clause;
use serde_json::json;

#[cfg(feature = "acts")]
use super::denies_open::acts;
use crate::arms::{contains, denied_open, equals, lacks};
use crate::boot::Boot;
use crate::claims::leaves_no_rule_out;
use crate::configuration::{REJECTS_GUARD, REJECTS_LSM};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "outlives-rejected-programs",
    text: "One program that the kernel rejects takes no other down, in the boot `bpf-lsm`, as builds \
           show that give it one to reject. If it is that of a hook on names, the state is \
           `ENFORCE`, and the report shows the hook and has its limit; if it is those of the BPF \
           LSM, the tier that was opted in to takes over, and the blocker is `LSM_PROGRAM_REJECTED` \
           alone.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    vec![
        Proof::new(
            "enforce-outlives-rejected-guard",
            Boot::BpfLsm,
            &REJECTS_GUARD,
            acts!(acts::DeniesOpen),
            denied_open(&without_guard(), Tier::Lsm),
        ),
        Proof::new(
            "falls-back-from-rejected-lsm",
            Boot::BpfLsm,
            &REJECTS_LSM,
            acts!(acts::DeniesOpen),
            denied_open(&without_lsm(), Tier::Signal),
        ),
    ]
}

/// The clauses of a report by an agent of which the kernel rejected the program that guards
/// renames: it enforces all the same, and says what it doesn't stop.
fn without_guard() -> [Clause; 6] {
    let rejected = json!({"hook": "lsm/inode_rename", "attached": false, "fired": false});
    [
        equals("/runtime_state", "ENFORCE"),
        equals("/enforce_capable", true),
        equals("/enforce_blockers", json!([])),
        leaves_no_rule_out(),
        contains("/classes/file/limits", "replaces_denied_name"),
        contains("/hooks", rejected),
    ]
}

/// The clauses of a report by an agent of which the kernel rejected every program of the BPF
/// LSM's, though it runs the BPF LSM.
fn without_lsm() -> [Clause; 7] {
    [
        equals("/runtime_state", "ENFORCE_SIGNAL"),
        equals("/audit_only", false),
        equals("/enforce_capable", false),
        equals("/enforce_blockers", json!(["LSM_PROGRAM_REJECTED"])),
        leaves_no_rule_out(),
        lacks("/hooks", json!({"tier": "lsm", "attached": true})),
        lacks(
            "/hooks",
            json!({"tier": "signal", "attached": true, "fired": false}),
        ),
    ]
}
