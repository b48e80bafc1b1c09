//! That what holds goes on holding: for as many acts as come, for as long as the agent is up, and
//! not a moment longer.

use protocol::plan::{Expectation, PlannedProof};
use protocol::record::Fate;
use serde_json::{Map, Value, json};

use super::{act, arm, differs, document, equals, proof};

/// How many processes open the file in each arm, as the guest has it; each tries twice.
const MANY: u32 = 128;

/// Many processes meet the same fate, and each of their tries is told of once.
pub(super) fn holds_out(tier: &str, fate: Fate) -> PlannedProof {
    let all = |what: &str, count| Value::from(Map::from_iter([(what.to_owned(), json!(count))]));
    let (fate, told) = match fate {
        Fate::Killed { .. } => ("SIGKILL", all("killed", MANY)),
        _ => ("EPERM", all("denied", 2 * MANY)),
    };
    let untouched = |name: &str| {
        let clauses = [
            equals("/fates", all("allowed", MANY)),
            equals("/told", json!({})),
        ];
        document(name, &clauses)
    };
    let met = [
        equals("/fates", all(fate, MANY)),
        equals("/told", told),
        equals("/untold", 0),
    ];
    proof(
        &format!("{tier}-holds-out"),
        tier,
        vec![
            untouched("before"),
            document("during", &met),
            untouched("benign"),
            untouched("after"),
        ],
    )
}

/// The agent is there once it has verified again.
pub(super) fn stays_up(tier: &str) -> PlannedProof {
    proof(
        &format!("{tier}-stays-up"),
        &format!("{tier}-verifying"),
        vec![document("verified-again", &[equals("/up", true)])],
    )
}

/// Killed, the agent takes everything with it but its report. In the life of the proof on many
/// rules, which it ends.
pub(super) fn ends_with_its_agent(
    tier: &str,
    state: &str,
    fate: Fate,
    outcome: &str,
) -> PlannedProof {
    let report = |is_there: bool| {
        [
            equals("/runtime_state", state),
            equals("/survives_agent_death/links_pinned", false),
            equals("/survives_agent_death/deadman_ms", Value::Null),
            differs("/valid_until", Value::Null),
            equals("/is_there", is_there),
        ]
    };
    proof(
        &format!("{tier}-ends-with-its-agent"),
        &format!("{tier}-many"),
        vec![
            document("report", &report(true)),
            act("during", fate, Some(outcome)),
            document("killed", &[equals("/signal", 9)]),
            act("after", Fate::Allowed, None),
            document("report-left", &report(false)),
            arm("left-behind", Expectation::NoBpfLeft),
        ],
    )
}

/// Told to stop, the agent takes everything with it.
pub(super) fn leaves_nothing_behind(tier: &str, fate: Fate, outcome: &str) -> PlannedProof {
    proof(
        &format!("{tier}-leaves-nothing-behind"),
        &format!("{tier}-verifying"),
        vec![
            act("during", fate, Some(outcome)),
            act("after", Fate::Allowed, None),
            document("report", &[equals("/there", false)]),
            arm("left-behind", Expectation::NoBpfLeft),
        ],
    )
}
