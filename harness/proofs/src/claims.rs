//! What reports claim, as clauses that several promises share.

use protocol::plan::Clause;
use serde_json::json;

use crate::arms::{contains, equals, lacks};
use crate::tier::Tier;

/// The clauses of a report that claims the BPF LSM.
pub(crate) fn claims_enforce() -> [Clause; 4] {
    [
        equals("/runtime_state", "ENFORCE"),
        equals("/audit_only", false),
        equals("/enforce_capable", true),
        equals("/enforce_blockers", json!([])),
    ]
}

/// The clause of a report by which every rule is enforced.
pub(crate) fn leaves_no_rule_out() -> Clause {
    equals("/rules/unenforced", json!([]))
}

/// The clauses of a report that claims the tier, and every rule, where none is known by its path
/// alone.
pub(crate) fn claims(tier: Tier) -> Vec<Clause> {
    match tier {
        Tier::Lsm => [&claims_enforce()[..], &[leaves_no_rule_out()]].concat(),
        Tier::Modret => promoted_to_modret(),
        Tier::Signal => promoted_to_signal(),
    }
}

/// The clauses of a report that honestly claims the tier of modified returns, and every rule.
fn promoted_to_modret() -> Vec<Clause> {
    let mut clauses = claims_modret();
    clauses.push(leaves_no_rule_out());
    clauses
}

/// The clauses of a report that honestly claims the tier of modified returns.
pub(crate) fn claims_modret() -> Vec<Clause> {
    let mut clauses = promoted("modret", "ENFORCE_MODRET");
    for function in [
        "file_open",
        "inode_create",
        "inode_mknod",
        "inode_symlink",
        "inode_link",
        "inode_rename",
    ] {
        let hook = format!("fmod_ret/security_{function}");
        clauses.push(contains(
            "/hooks",
            json!({"hook": hook, "tier": "modret", "attached": true, "fired": true}),
        ));
    }
    clauses
}

/// The clauses of a report that honestly claims the signal tier, and every rule, where none is
/// known by its path alone.
fn promoted_to_signal() -> Vec<Clause> {
    let mut clauses = promoted("signal", "ENFORCE_SIGNAL");
    clauses.push(leaves_no_rule_out());
    let hook = "kprobe/security_file_open";
    clauses.push(contains(
        "/hooks",
        json!({"hook": hook, "tier": "signal", "attached": true, "fired": true}),
    ));
    clauses.extend(tracepoints(false));
    clauses
}

/// Whether the tracepoints of system calls are attached, and so have fired.
pub(crate) fn tracepoints(attached: bool) -> impl Iterator<Item = Clause> {
    let calls = ["openat", "openat2", "open", "creat"];
    calls.into_iter().map(move |call| {
        let hook = format!("tracepoint/syscalls/sys_enter_{call}");
        let row = json!({"hook": hook, "attached": attached, "fired": attached});
        contains("/hooks", row)
    })
}

/// The clauses of a report that honestly claims a tier other than the BPF LSM.
fn promoted(tier: &str, state: &str) -> Vec<Clause> {
    vec![
        equals("/runtime_state", state),
        equals("/audit_only", false),
        equals("/enforce_capable", false),
        contains("/enforce_blockers", "BPF_LSM_DISABLED"),
        lacks("/hooks", json!({"tier": "lsm", "attached": true})),
        lacks(
            "/hooks",
            json!({"tier": tier, "attached": true, "fired": false}),
        ),
    ]
}

/// The clauses of a report by which this blocker keeps the BPF LSM from being claimed.
pub(crate) fn blocked_by(blocker: &str) -> [Clause; 2] {
    [
        equals("/enforce_capable", false),
        contains("/enforce_blockers", blocker),
    ]
}
