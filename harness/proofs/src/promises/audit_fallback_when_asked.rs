//! Asked to fall back to auditing, the agent runs where it can't enforce, says so, and
//! tells of the open without touching it.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::record::Fate;
use serde_json::json;

use crate::arms::{act, allowed, contains, differs, document, equals};
use crate::boot::Boot;
use crate::configuration::AUDIT_FALLBACK;
use crate::sabotage::{Mutant, Sweeps};

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "audit-fallback-when-asked",
    text: "Asked to fall back to auditing, the agent says `AUDIT_FALLBACK`, lists its rules as not \
           enforced, and tells of the open without touching it.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let report = [
        equals("/runtime_state", "AUDIT_FALLBACK"),
        equals("/audit_only", true),
        equals("/enforce_capable", false),
        contains("/enforce_blockers", "BPF_LSM_DISABLED"),
        equals("/rules/enforced", 0),
        differs("/rules/unenforced", json!([])),
    ];
    let arms = vec![
        document("report", &report),
        act("during", Fate::Allowed, Some("observed")),
        allowed("benign"),
        allowed("exempt"),
    ];
    let acts = acts!(acts::AuditFallbackWhenAsked);
    let proof = Proof::new(PROMISE.id, Boot::NoBpfLsm, &AUDIT_FALLBACK, acts, arms);
    vec![proof.swept(Sweeps::REPORT).catches(&[
        Mutant::new(
            "hides-unenforced",
            "every rule counts as enforced",
            "report",
            "/rules/enforced: expected 0, saw 1",
        ),
        Mutant::new(
            "enforces-when-auditing",
            "where it was asked to watch, the agent kills",
            "during",
            "expected allowed, saw killed",
        ),
    ])]
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::Result;

    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, live_report};

    /// See the promise.
    #[derive(Debug)]
    pub struct AuditFallbackWhenAsked;

    impl Acts for AuditFallbackWhenAsked {
        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            seen.other("report", live_report(agent)?);
            seen.act("during", lab.ground.open_secret(Place::Plain)?);
            seen.act("benign", lab.ground.open_benign()?);
            seen.act("exempt", lab.ground.open_secret(Place::Exempt)?);
            Ok(())
        }
    }
}
