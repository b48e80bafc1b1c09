//! Without the BPF LSM, and with the operator's opt-in, the gate promotes to the tier
//! opted into and the report says so; the host also compares the real report with the seam's.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::Clause;
use serde_json::json;

#[cfg(feature = "acts")]
use crate::acts::ReadsReport;
use crate::arms::{differs, document, equals};
use crate::boot::Boot;
use crate::claims::claims;
use crate::configuration::{Configuration, MODRET, SEAM_SIGNAL, SIGNAL};
use crate::sabotage::{Mutant, Sweeps};

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "promotes",
    text: "Without the BPF LSM, and with the operator's opt-in, the agent promotes to the tier that \
           was opted in to, on the evidence of every hook of that tier that its rules need, and \
           isn't audit-only. The last line is the same where only the seam says that the BPF LSM is \
           missing.",
    proofs,
    comparison: None,
};

/// The proof that yields the real report of the signal tier.
pub const REAL_PROMOTION: &str = "promotes-to-enforce-signal";

/// The proof that yields the seam's report of the signal tier.
pub const SEAM_PROMOTION: &str = "seam-promotes-to-enforce-signal";

fn proofs() -> Vec<Proof> {
    let no_seam = equals("/test_seams", json!([]));
    let seam = differs("/test_seams", json!([]));
    vec![
        proof("promotes-to-enforce-modret", Boot::NoBpfLsm, &MODRET, &[]),
        proof(REAL_PROMOTION, Boot::NoBpfLsm, &SIGNAL, &[no_seam]).catches(&[Mutant::new(
            "sends-no-canary",
            "the canary's fate is made up",
            "report",
            r#"/runtime_state: expected "ENFORCE_SIGNAL", saw "AUDIT_FALLBACK""#,
        )]),
        proof(SEAM_PROMOTION, Boot::BpfLsm, &SEAM_SIGNAL, &[seam]).catches(&[Mutant::new(
            "hides-seam",
            "the report doesn't tell of the seam",
            "report",
            "/test_seams: must not be []",
        )]),
    ]
}

fn proof(
    id: &str,
    boot: Boot,
    configuration: &'static Configuration<'static>,
    also: &[Clause],
) -> Proof {
    let claim = [&claims(configuration.tier)[..], also].concat();
    let arms = vec![document("report", &claim)];
    let proof = Proof::new(id, boot, configuration, acts!(ReadsReport), arms);
    proof.swept(Sweeps::REPORT).quick()
}
