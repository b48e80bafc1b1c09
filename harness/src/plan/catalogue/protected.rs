//! Who is never signalled, and isn't spared by the tiers that deny.

use protocol::plan::PlannedProof;
use serde_json::json;

use super::identity::{self, account, read};
use super::{contains, document, equals, lacks, proof};

/// Under the BPF LSM.
pub(super) fn enforce() -> PlannedProof {
    denies(identity::LSM)
}

/// By modified return values.
pub(super) fn modret() -> PlannedProof {
    denies(identity::MODRET)
}

fn denies(tier: identity::Tier) -> PlannedProof {
    proof(
        &format!("{}-denies-protected", tier.name),
        &format!("{}-verifying", tier.name),
        vec![
            read("before"),
            tier.report(&[], &["spared_processes"]),
            tier.unread("during", SECRET, "inode"),
            tier.unread("protected", SECRET, "inode"),
        ],
    )
}

/// By a signal: the agent itself opens a file that a rule denies each time that it reports, first
/// of all before it is ready.
pub(super) fn signal() -> PlannedProof {
    let tier = identity::SIGNAL;
    let spared = |event: serde_json::Value, why: &str| {
        let mut event = event;
        event["outcome"] = "observed".into();
        event["spared"] = why.into();
        event
    };
    let program = spared(tier.event(SECRET, "inode", "read"), "protected_executable");
    let agent = spared(tier.event("reports", "folder", "write"), "agent");
    proof(
        "signal-spares-protected",
        "signal-verifying",
        vec![
            read("before"),
            tier.report(&["spared_processes"], &[]),
            tier.unread("during", SECRET, "inode"),
            account("protected", "allowed", true, json!([program]), &[]),
            document(
                "agent",
                &[
                    equals("/up", true),
                    contains("/events", agent),
                    lacks("/events", json!({"outcome": "killed"})),
                ],
            ),
        ],
    )
}

/// The rule on the secret, which has no name of its own.
const SECRET: &str = "file[0]";
