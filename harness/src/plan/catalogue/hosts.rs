//! Hosts that give the agent less than it wants, its end at SIGHUP, and how it shows copies of a
//! program.

use protocol::plan::{Expectation, PlannedProof};
use protocol::record::Fate;
use serde_json::json;

use super::{EPERM, act, arm, contains, document, equals, proof};

/// In the boot with the BPF LSM.
pub(super) fn enforce() -> Vec<PlannedProof> {
    let securityfs = [
        "mount -t securityfs securityfs /sys/kernel/security",
        "--enforce-fallback=modret,signal",
    ];
    vec![
        runs_without_sys_resource(),
        says_how_to_mend(
            "securityfs",
            "unmounted",
            "LSM_LIST_UNREADABLE",
            &securityfs,
        ),
        ends_at_hangup(),
    ]
}

/// In the boot without.
pub(super) fn signal() -> Vec<PlannedProof> {
    let tracefs = ["mount -t tracefs tracefs /sys/kernel/tracing"];
    let perf_events = [
        "CAP_PERFMON or CAP_SYS_ADMIN (here)",
        "seccomp filter against perf_event_open(2) (there is one)",
    ];
    vec![
        says_how_to_mend("tracefs", "unmounted", "BPF_LSM_DISABLED", &tracefs),
        says_how_to_mend("perf-events", "refused", "BPF_LSM_DISABLED", &perf_events),
    ]
}

/// Where the kernel charges BPF to no limit of the process, the agent needs no privilege to raise
/// one.
fn runs_without_sys_resource() -> PlannedProof {
    let deprived = [
        equals("/sys_resource", false),
        equals("/memlock_is_low", json!([true, true])),
    ];
    let report = [
        equals("/runtime_state", "ENFORCE"),
        equals("/enforce_capable", true),
        equals("/enforce_blockers", json!([])),
        equals("/rules/unenforced", json!([])),
    ];
    proof(
        "enforce-runs-without-sys-resource",
        "enforce-without-sys-resource",
        vec![
            act("before", Fate::Allowed, None),
            document("deprived", &deprived),
            document("report", &report),
            act("during", EPERM, Some("denied")),
            act("benign", Fate::Allowed, None),
            act("after", Fate::Allowed, None),
        ],
    )
}

/// The agent refuses, and says these words on the way out, in this order.
fn says_how_to_mend(without: &str, how: &str, blocker: &str, words: &[&str]) -> PlannedProof {
    let report = [
        equals("/runtime_state", "REFUSED"),
        equals("/enforce_capable", false),
        contains("/enforce_blockers", blocker),
        equals("/rules/enforced", 0),
    ];
    proof(
        &format!("fails-closed-without-{without}"),
        &format!("{how}-{without}"),
        vec![
            arm("exit", Expectation::Exit { code: 3 }),
            document("report", &report),
            document("told", &[equals("/mentions", json!(words))]),
            arm("left-behind", Expectation::NoBpfLeft),
        ],
    )
}

fn ends_at_hangup() -> PlannedProof {
    proof(
        "enforce-ends-at-hangup",
        "enforce-hung-up",
        vec![
            arm("exit", Expectation::Exit { code: 0 }),
            document("report", &[equals("/there", false)]),
            act("after", Fate::Allowed, None),
            arm("left-behind", Expectation::NoBpfLeft),
        ],
    )
}

/// The copies of the program that sees an open, in the configuration that each is claimed in.
pub(super) fn shows_copies() -> PlannedProof {
    let report = [
        equals("/rows", 1),
        equals("/copies", 3),
        equals("/fired", 3),
        equals("/canaries", 3),
    ];
    proof(
        "modret-shows-copies",
        "modret",
        vec![document("report", &report)],
    )
}
