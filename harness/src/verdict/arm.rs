//! One arm: what was observed, against what was expected.
//!
//! In: an [`Expectation`] from the plan and an [`Observation`] from the guest. Out: a reason
//! for each way in which they differ, e.g. `expected killed by SIGKILL, saw allowed (the
//! secret leaked)`. Exact throughout: "some failure" is never good enough for "denied".

use protocol::plan::{Clause, Expectation};
use protocol::record::Observation;
use serde_json::Value;

use super::{act, clause, race, words};

/// The reasons why this observation isn't what was expected; empty if it is.
pub fn broken(expect: &Expectation, seen: &Observation) -> Vec<String> {
    match (expect, seen) {
        (Expectation::Race { attempts, each }, Observation::Race { acts }) => {
            race::broken(*attempts, each, acts)
        }
        (Expectation::Exit { code }, Observation::Exit { .. }) if exited(seen) == Some(*code) => {
            Vec::new()
        }
        (Expectation::Document { clauses, limit }, Observation::Document { document }) => {
            let limit = limit.as_deref();
            let limit = limit.filter(|_| is_stopped_account(clauses, document));
            let mut reasons: Vec<String> = limit.map(act::unexpected_pass).into_iter().collect();
            reasons.extend(clause::broken(clauses, document));
            reasons
        }
        (Expectation::NoBpfLeft, Observation::BpfLeft { objects }) if objects.is_empty() => {
            Vec::new()
        }
        (Expectation::NoBpfLeft, Observation::BpfLeft { objects }) => vec![format!(
            "expected no BPF program or link to be left, saw {}",
            objects.join(", ")
        )],
        (_, Observation::Act(act)) => act::broken(expect, act),
        _ => vec![words::mismatch(expect, seen)],
    }
}

/// The reasons why an act isn't what was expected, as far as they don't rest on the agent's events,
/// which nobody has joined to it. Of any other observation nothing is known without them.
pub fn broken_before_events(expect: &Expectation, seen: &Observation) -> Vec<String> {
    let mut expect = expect.clone();
    match (&mut expect, seen) {
        (Expectation::Act { event, .. }, Observation::Act(_)) => *event = None,
        _ => return Vec::new(),
    }
    broken(&expect, seen)
}

/// Whether less came of what was done than the agent declares for it, and nothing else.
pub fn is_unexpected_pass(expect: &Expectation, seen: &Observation) -> bool {
    match (expect, seen) {
        (Expectation::Race { attempts, each }, Observation::Race { acts }) => {
            acts.len() == *attempts && race::all_unexpected_passes(each, acts)
        }
        (Expectation::Document { clauses, limit }, Observation::Document { document }) => {
            limit.is_some() && is_stopped_account(clauses, document)
        }
        (_, Observation::Act(act)) => act::is_unexpected_pass(expect, act),
        _ => false,
    }
}

/// Whether a document is the account of an act that was to get past the agent, and was stopped.
fn is_stopped_account(clauses: &[Clause], document: &Value) -> bool {
    let gets_by = clauses.iter().any(|clause| {
        matches!(clause, Clause::Equals { pointer, value }
            if pointer == "/fate" && value == "allowed")
    });
    let stopped = act::STOPPED.map(|(_, word)| word);
    let is_stopped = stopped.iter().any(|word| document["fate"] == *word);
    gets_by && is_stopped && document["leaked"] == false
}

/// The code with which a process ended by itself.
fn exited(seen: &Observation) -> Option<i32> {
    match seen {
        Observation::Exit {
            code, signal: None, ..
        } => *code,
        _ => None,
    }
}

#[cfg(test)]
mod tests;
