//! A fallback state never pretends: `enforce_capable` stays false and the blocker is named.

#[cfg(feature = "acts")]
use crate::acts::ReadsReport;
use crate::arms::{contains, document, equals};
use crate::boot::Boot;
use crate::configuration::{Configuration, MODRET, SEAM_SIGNAL, SIGNAL};
use crate::promise::{Promise, Proof, Section, acts};
use crate::sabotage::{Mutant, Sweeps};

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "no-pretend",
    text: "No pretending: in every state that a fallback leads to, `enforce_capable` is false and \
           `BPF_LSM_DISABLED` is among the blockers; through the seam too.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    vec![
        proof("modret-no-pretend", Boot::NoBpfLsm, &MODRET),
        proof(PROMISE.id, Boot::NoBpfLsm, &SIGNAL).catches(MUTANTS),
        proof(PROMISE.id, Boot::BpfLsm, &SEAM_SIGNAL),
    ]
}

fn proof(id: &str, boot: Boot, configuration: &'static Configuration<'static>) -> Proof {
    let clauses = [
        equals("/runtime_state", configuration.state),
        equals("/enforce_capable", false),
        contains("/enforce_blockers", "BPF_LSM_DISABLED"),
    ];
    let arms = vec![document("report", &clauses)];
    let proof = Proof::new(id, boot, configuration, acts!(ReadsReport), arms);
    proof.swept(Sweeps::REPORT).quick()
}

const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "always-enforce-capable",
        "enforce_capable is true whatever was measured",
        "report",
        "/enforce_capable: expected false",
    ),
    Mutant::new(
        "hides-blocker",
        "BPF_LSM_DISABLED isn't among the blockers",
        "report",
        r#"/enforce_blockers: expected an element "BPF_LSM_DISABLED", saw an empty list"#,
    ),
];
