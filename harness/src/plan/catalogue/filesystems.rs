//! File rules hold on every file system that a user is likely to keep a secret on: one proof
//! for each tier and file system.

use protocol::plan::{Clause, Filesystem, PlannedArm, PlannedProof};
use protocol::record::Fate;
use serde_json::json;

use super::identity::{LSM, MODRET, SIGNAL, Tier};
use super::{EPERM, SIGKILL, act, contains, copied_up, document, equals, proof};

/// Under the BPF LSM, whose claim is that of all its proofs.
pub(super) fn enforce(claim: &[Clause]) -> Vec<PlannedProof> {
    of_tier(LSM, claim, EPERM)
}

/// By modified return values.
pub(super) fn modret() -> Vec<PlannedProof> {
    of_tier(MODRET, &fallback("ENFORCE_MODRET"), EPERM)
}

/// By a signal.
pub(super) fn signal() -> Vec<PlannedProof> {
    of_tier(SIGNAL, &fallback("ENFORCE_SIGNAL"), SIGKILL)
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
/// in the upper, one where the rule names the file in the lower folder itself and the act goes
/// through the overlay, and those that are copied up meanwhile. A btrfs has an innocent twin of
/// its secret: a file of another subvolume with the same inode number, on the same device as the
/// kernel sees it; and a second secret in a third subvolume, with that number too, made later.
fn of_tier(tier: Tier, claim: &[Clause], fate: Fate) -> Vec<PlannedProof> {
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
        let mut claim = claim.to_vec();
        if filesystem == Filesystem::Overlayfs {
            claim.push(contains("/classes/file/limits", copied_up::LIMIT));
        }
        let if_copied_up = |arms: Vec<PlannedArm>| match filesystem {
            Filesystem::Overlayfs => arms,
            _ => Vec::new(),
        };
        let arms = [
            on_each("before", Fate::Allowed, None),
            if_copied_up(vec![copied_up::before()]),
            vec![document("report", &claim)],
            on_each("during", fate, Some(tier.outcome)),
            benign
                .iter()
                .map(|arm| act(arm, Fate::Allowed, None))
                .collect(),
            if_copied_up(copied_up::during(tier)),
            on_each("after", Fate::Allowed, None),
            if_copied_up(vec![copied_up::after()]),
        ];
        let id = format!("{}-holds-on-{}", tier.name, filesystem.name());
        PlannedProof {
            filesystem: Some(filesystem),
            ..proof(&id, &format!("{}-filesystems", tier.name), arms.concat())
        }
    };
    Filesystem::ALL.into_iter().map(of_one).collect()
}
