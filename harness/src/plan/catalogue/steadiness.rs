//! That what holds goes on holding: for as many acts as come, for as long as the agent is up, and
//! not a moment longer.

use protocol::plan::{Expectation, PlannedProof};
use protocol::record::Fate;
use serde_json::{Map, Value, json};

use super::{act, arm, differs, document, equals, proof};

/// How many processes open the file in each arm, as the guest has it; each tries twice.
const MANY: u32 = 128;

/// How often the file is opened while the agent stands still, as the guest has it: more events
/// than the ring has room for.
const TOO_MANY: u32 = 832;

/// By how many processes, where each lives to try again.
const LIVING: u32 = 8;

/// Many processes meet the same fate, and each of their tries is told of once.
pub(super) fn holds_out(tier: &str, fate: Fate) -> PlannedProof {
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

/// While the agent stands still, its programs go on, and it accounts for each event afterwards.
/// In the life of the proof on many rules, where no verification adds events.
pub(super) fn accounts_for_lost_events(tier: &str, fate: Fate, outcome: &str) -> PlannedProof {
    let fates = match fate {
        Fate::Killed { .. } => all("SIGKILL", TOO_MANY),
        _ => all("EPERM", LIVING),
    };
    let clauses = [
        equals("/fates", fates),
        differs("/lost", 0),
        equals("/accounted", TOO_MANY),
        equals("/outcomes", json!([outcome])),
    ];
    proof(
        &format!("{tier}-accounts-for-lost-events"),
        &format!("{tier}-many"),
        vec![
            document("during", &clauses),
            act("again", fate, Some(outcome)),
        ],
    )
}

/// A count of what all came to.
fn all(what: &str, count: u32) -> Value {
    Value::from(Map::from_iter([(what.to_owned(), json!(count))]))
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
            // Twice the interval of verification, which is an hour here.
            equals("/valid_for_ms", 7_200_000),
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
