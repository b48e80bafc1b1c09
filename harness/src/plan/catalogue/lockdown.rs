//! What holds where the kernel is locked down to confidentiality. It lets no BPF program read its
//! memory there except through pointers of a known type, and lets nobody use kprobes or
//! tracepoints.
//!
//! In: the arms of other boots' proofs. Out: the proofs of this one.

use protocol::plan::{Clause, PlannedProof};
use serde_json::json;

use super::{
    EPERM, blocked_by, claims_enforce, claims_modret, denied_open, equals, identity, lacks, proof,
    reasons, refused, tells_of_this_machine,
};

/// The word that a reason must have in it.
const LOCKDOWN: &str = "lockdown";

/// All of them.
pub(super) fn proofs() -> Vec<PlannedProof> {
    let mut proofs = of_tier(identity::LSM, &claims_enforce());
    proofs.insert(1, tells_of_this_machine("lockdown-enforce"));
    proofs.extend(of_tier(identity::MODRET, &claims_modret()));
    proofs.extend([refuses_signal(), admits_unreadable(), refuses_unreadable()]);
    proofs
}

fn of_tier(tier: identity::Tier, claim: &[Clause]) -> Vec<PlannedProof> {
    let configuration = format!("lockdown-{}", tier.name);
    let claim = [
        claim,
        &[
            unreadable_memory(),
            // Four rules have no file yet: three of follows-identity, one of guards-names.
            equals("/rules/total", 9),
            equals("/rules/enforced", 5),
        ],
    ];
    let mut proofs = vec![proof(
        &format!("{configuration}-denies-open"),
        &configuration,
        denied_open(&claim.concat(), EPERM, "denied"),
    )];
    proofs.extend(identity::lockdown(tier, &configuration));
    proofs
}

fn unreadable_memory() -> Clause {
    equals("/features/kernel_memory_readable", false)
}

/// Programs of the signal tier can neither be attached there nor read what they go by.
fn refuses_signal() -> PlannedProof {
    let because = [
        &blocked_by("BPF_LSM_DISABLED")[..],
        &[
            unreadable_memory(),
            lacks("/hooks", json!({"tier": "signal", "attached": true})),
            lacks("/hooks", json!({"tier": "signal", "fired": true})),
            reasons("/hooks", json!({"tier": "signal"}), LOCKDOWN),
        ],
    ];
    let arms = refused(&because.concat());
    proof("lockdown-refuses-signal", "lockdown-signal", arms)
}

/// The rules that need what can't be read there: on a name too long to stand in the dentry
/// itself, and on a folder in which another file system is mounted.
fn names_unreadable() -> [Clause; 3] {
    [
        equals("/rules/total", 3),
        reasons("/rules/unenforced", json!({"rule": "long-name"}), LOCKDOWN),
        reasons(
            "/rules/unenforced",
            json!({"rule": "mounted-upon"}),
            LOCKDOWN,
        ),
    ]
}

/// They are listed, and the third is enforced.
fn admits_unreadable() -> PlannedProof {
    let claim = [
        &claims_enforce()[..],
        &names_unreadable(),
        &[equals("/rules/enforced", 1)],
    ];
    proof(
        "lockdown-admits-unreadable-rules",
        "lockdown-enforce-unreadable",
        denied_open(&claim.concat(), EPERM, "denied"),
    )
}

/// Fail-closed, they keep the agent from starting, and nothing else does.
fn refuses_unreadable() -> PlannedProof {
    let nothing_else = equals("/enforce_blockers", json!([]));
    let because = [&names_unreadable()[..], &[nothing_else]].concat();
    proof(
        "lockdown-refuses-unreadable-rules",
        "lockdown-fail-closed",
        refused(&because),
    )
}
