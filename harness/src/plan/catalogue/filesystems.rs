//! File rules hold on every file system that a user is likely to keep a secret on: one proof
//! for each tier and file system.

use protocol::plan::{Clause, Filesystem, PlannedArm, PlannedProof};
use protocol::record::Fate;
use serde_json::json;

use super::{EPERM, SIGKILL, act, contains, document, equals, proof};

/// Under the BPF LSM, whose claim is that of all its proofs.
pub(super) fn enforce(claim: &[Clause]) -> Vec<PlannedProof> {
    of_tier("enforce", claim, EPERM, "denied")
}

/// By modified return values.
pub(super) fn modret() -> Vec<PlannedProof> {
    of_tier("modret", &fallback("ENFORCE_MODRET"), EPERM, "denied")
}

/// By a signal.
pub(super) fn signal() -> Vec<PlannedProof> {
    of_tier("signal", &fallback("ENFORCE_SIGNAL"), SIGKILL, "killed")
}

/// What a fallback claims, with every rule among what it enforces.
fn fallback(state: &str) -> Vec<Clause> {
    vec![
        equals("/runtime_state", state),
        equals("/audit_only", false),
        equals("/enforce_capable", false),
        contains("/enforce_blockers", "BPF_LSM_DISABLED"),
        equals("/rules/unenforced", json!([])),
    ]
}

/// The proofs of a tier, in a configuration of its own named `TIER-filesystems`.
///
/// An overlay has more than one file to fight over: one that is in the lower folder only, one
/// in the upper, and one where the rule names the file in the lower folder itself and the act
/// goes through the overlay. A btrfs has an innocent twin of its secret: a file of another
/// subvolume with the same inode number, on the same device as the kernel sees it; and a second secret in
/// a third subvolume, with that number too, made later.
fn of_tier(tier: &str, claim: &[Clause], fate: Fate, outcome: &str) -> Vec<PlannedProof> {
    let of_one = |filesystem: Filesystem| {
        let files: &[&str] = match filesystem {
            Filesystem::Overlayfs => &["-lower", "-upper", "-beneath"],
            Filesystem::Btrfs => &["", "-later"],
            _ => &[""],
        };
        let benign: &[&str] = match filesystem {
            Filesystem::Btrfs => &["benign", "benign-twin"],
            _ => &["benign"],
        };
        let on_each = |arm: &str, fate: Fate, event: Option<&str>| -> Vec<PlannedArm> {
            let name = |file: &&str| act(&format!("{arm}{file}"), fate, event);
            files.iter().map(name).collect()
        };
        let arms = [
            on_each("before", Fate::Allowed, None),
            vec![document("report", claim)],
            on_each("during", fate, Some(outcome)),
            benign
                .iter()
                .map(|arm| act(arm, Fate::Allowed, None))
                .collect(),
            on_each("after", Fate::Allowed, None),
        ];
        let id = format!("{tier}-holds-on-{}", filesystem.name());
        PlannedProof {
            filesystem: Some(filesystem),
            ..proof(&id, &format!("{tier}-filesystems"), arms.concat())
        }
    };
    Filesystem::ALL.into_iter().map(of_one).collect()
}
