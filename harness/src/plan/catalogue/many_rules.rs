//! Ten thousand rules, beside the one of every policy: half of them name files, half nothing.
//! And what the agent's life ends with that has them.

use protocol::plan::PlannedProof;
use protocol::record::Fate;

use super::{EPERM, SIGKILL, act, document, equals, proof, steadiness};

/// Under the BPF LSM.
pub(super) fn enforce() -> Vec<PlannedProof> {
    of_tier("enforce", "ENFORCE", EPERM, "denied")
}

/// By modified return values.
pub(super) fn modret() -> Vec<PlannedProof> {
    of_tier("modret", "ENFORCE_MODRET", EPERM, "denied")
}

/// By a signal.
pub(super) fn signal() -> Vec<PlannedProof> {
    of_tier("signal", "ENFORCE_SIGNAL", SIGKILL, "killed")
}

fn of_tier(tier: &str, state: &str, fate: Fate, outcome: &str) -> Vec<PlannedProof> {
    vec![
        holds_many_rules(tier, state, fate, outcome),
        steadiness::accounts_for_lost_events(tier, fate, outcome),
        steadiness::ends_with_its_agent(tier, state, fate, outcome),
    ]
}

fn holds_many_rules(tier: &str, state: &str, fate: Fate, outcome: &str) -> PlannedProof {
    let report = [
        equals("/runtime_state", state),
        equals("/rules/total", 10_001),
        equals("/rules/enforced", 5_001),
        // As a count.
        equals("/rules/unenforced", 5_000),
    ];
    let told = [equals("/event", "resolved"), equals("/present", true)];
    let event = Some(outcome);
    proof(
        &format!("{tier}-holds-many-rules"),
        &format!("{tier}-many"),
        vec![
            act("before-first", Fate::Allowed, None),
            act("before-last", Fate::Allowed, None),
            document("report", &report),
            act("during-first", fate, event),
            act("during-last", fate, event),
            act("benign", Fate::Allowed, None),
            act("made", fate, event),
            document("told-of-made", &told),
            act("after-first", Fate::Allowed, None),
            act("after-last", Fate::Allowed, None),
        ],
    )
}
