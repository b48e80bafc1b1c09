//! One act: what came of it, against what was expected.
//!
//! In: an [`Expectation`] from the plan and an [`Act`] from the guest. Out: a reason for each way
//! in which they differ. Pure.

use protocol::plan::{Doer, Expectation};
use protocol::record::{Act, Effect, Fate, Observation, SeenEvent};

use super::words::{self, fate_name};

/// How a reason begins that says that less got past the agent than it declares.
pub const UNEXPECTED_PASS: &str = "unexpected pass";

/// How the tiers stop an act, and the words of the guest's accounts for that.
pub const STOPPED: [(Fate, &str); 2] = [
    (Fate::Denied { errno: 1 }, "EPERM"),
    (Fate::Killed { signal: 9 }, "SIGKILL"),
];

/// The reasons why this act isn't what was expected; empty if it is.
pub fn broken(expect: &Expectation, act: &Act) -> Vec<String> {
    let Expectation::Act {
        fate,
        leaks,
        effects,
        by,
        event,
        limit,
    } = expect
    else {
        return vec![words::mismatch(expect, &Observation::Act(act.clone()))];
    };
    let limit = limit.as_deref().filter(|_| is_unexpected_pass(expect, act));
    let mut reasons: Vec<String> = limit.map(unexpected_pass).into_iter().collect();
    reasons.extend(broken_fate(*fate, *leaks, act));
    reasons.extend(broken_effects(effects, act));
    reasons.extend(broken_helper(*by, act));
    reasons.extend(broken_events(event.as_deref(), *by, act));
    reasons
}

/// The reason that comes first where less got past the agent than this limit declares.
pub fn unexpected_pass(limit: &str) -> String {
    format!(
        "{UNEXPECTED_PASS}: `{limit}` is declared, and nothing got past the agent: correct \
         the declaration"
    )
}

/// Whether less came of an act than the agent declares for it, and nothing else: what is to
/// get past it was denied or killed, or left less behind. An act that failed in any other way,
/// or did more than is declared, is an ordinary break.
pub fn is_unexpected_pass(expect: &Expectation, act: &Act) -> bool {
    let Expectation::Act {
        fate,
        leaks,
        effects,
        limit: Some(_),
        ..
    } = expect
    else {
        return false;
    };
    let stopped = STOPPED.iter().any(|(fate, _)| *fate == act.fate);
    let more = act.leaked && !leaks || act.effects.iter().any(|effect| !effects.contains(effect));
    let less = stopped && *fate == Fate::Allowed
        || !act.leaked && *leaks
        || act.effects.len() < effects.len();
    less && !more && (stopped || act.fate == *fate)
}

fn broken_fate(fate: Fate, leaks: bool, act: &Act) -> Option<String> {
    if let Fate::Broken { .. } = fate {
        return Some("plan error: a broken act proves nothing, so none can be expected".into());
    }
    if act.fate == fate && act.leaked == leaks {
        return None;
    }
    // Said only where it doesn't go without saying.
    let wanted = match (fate, leaks) {
        (Fate::Allowed, false) => " without a leak",
        (Fate::Allowed, true) | (_, false) => "",
        (_, true) => " with a leak",
    };
    let leak = match (act.fate, act.leaked) {
        (Fate::Allowed, true) => " (the secret leaked)",
        (_, true) => ", but the secret leaked",
        (Fate::Allowed, false) if leaks => ", but none of the secret came out",
        (_, false) => "",
    };
    Some(format!(
        "expected {}{wanted}, saw {}{leak}",
        fate_name(&fate),
        fate_name(&act.fate)
    ))
}

fn broken_effects(expected: &[Effect], act: &Act) -> Option<String> {
    let name = |effects: &[Effect]| {
        if effects.is_empty() {
            return "nothing".to_string();
        }
        let words = effects.iter().map(|effect| match effect {
            Effect::Truncated => "a truncated file",
            Effect::Created => "a created file",
            Effect::Replaced => "a replaced file",
        });
        words.collect::<Vec<_>>().join(" and ")
    };
    let seen = &act.effects;
    (seen != expected).then(|| {
        format!(
            "expected {} to be left behind, saw {}",
            name(expected),
            name(seen)
        )
    })
}

/// Whether the act was carried out by another process, where it was to be, and what came of
/// that one.
fn broken_helper(by: Doer, act: &Act) -> Option<String> {
    match (by, &act.helper) {
        (Doer::Itself | Doer::Worker, None) => None,
        (Doer::Itself | Doer::Worker, Some(helper)) => Some(format!(
            "expected no helper, saw process {} act for it",
            helper.pid
        )),
        (Doer::Helper { .. }, None) => Some("expected a helper, saw none".to_string()),
        (Doer::Helper { fate }, Some(helper)) => (fate != helper.fate).then(|| {
            format!(
                "helper: expected {}, saw {}",
                fate_name(&fate),
                fate_name(&helper.fate)
            )
        }),
    }
}

/// The reasons why the agent's events for an act aren't what was expected of them, whatever came
/// of the act. One that was stopped is told of, even where none was expected, as it wasn't to be.
pub fn broken_events_of(expect: &Expectation, act: &Act) -> Vec<String> {
    let Expectation::Act { by, event, .. } = expect else {
        return Vec::new();
    };
    let stopped = match act.fate {
        Fate::Denied { .. } => Some("denied"),
        Fate::Killed { .. } => Some("killed"),
        Fate::Allowed | Fate::Broken { .. } => None,
    };
    broken_events(event.as_deref().or(stopped), *by, act)
}

/// Several hooks may see one act, so the agent may tell of it more than once; but each hook
/// at most once, and each event must be right.
fn broken_events(expected: Option<&str>, by: Doer, act: &Act) -> Vec<String> {
    let Some(outcome) = expected else {
        let unwanted = act.events.iter().map(|event| {
            format!(
                "expected no event, saw `{}` for pid {} on {}",
                event.outcome,
                event.pid,
                rule(event)
            )
        });
        return unwanted.collect();
    };
    if act.events.is_empty() {
        return vec![format!("expected the agent's event `{outcome}`, saw none")];
    }
    let mut reasons = Vec::new();
    for (number, event) in act.events.iter().enumerate() {
        reasons.extend(broken_event(outcome, by, act, event));
        if act.events[..number].iter().any(|e| e.hook == event.hook) {
            reasons.push(format!("event: {} told of it twice", event.hook));
        }
    }
    reasons
}

fn broken_event(outcome: &str, by: Doer, act: &Act, event: &SeenEvent) -> Vec<String> {
    let mut reasons = Vec::new();
    if event.outcome != outcome {
        let seen = &event.outcome;
        reasons.push(format!("event: expected outcome `{outcome}`, saw `{seen}`"));
    }
    let pid = match (by, &act.helper) {
        (Doer::Helper { .. }, Some(helper)) => helper.pid,
        _ => act.pid,
    };
    if event.pid != pid {
        let seen = event.pid;
        reasons.push(format!("event: expected pid {pid}, saw {seen}"));
    }
    match by {
        Doer::Worker if event.thread == pid => reasons.push(format!(
            "event: expected a thread other than {pid}, saw that one"
        )),
        Doer::Itself | Doer::Helper { .. } if event.thread != pid => {
            let seen = event.thread;
            reasons.push(format!("event: expected thread {pid}, saw {seen}"));
        }
        Doer::Itself | Doer::Worker | Doer::Helper { .. } => {}
    }
    if event.target.as_ref() != Some(&act.target) {
        let (expected, seen) = (&act.target, rule(event));
        reasons.push(format!("event: expected target {expected}, saw {seen}"));
    }
    if event.path.is_some() && event.path != act.passed {
        let shown = |path: &Option<String>| path.clone().unwrap_or("no path".to_string());
        let (expected, seen) = (shown(&act.passed), shown(&event.path));
        reasons.push(format!("event: expected path {expected}, saw {seen}"));
    }
    // A signal that could not be sent has killed nobody, whatever else ended the process.
    if outcome == "killed" && event.signal_result != Some(0) {
        let seen = event
            .signal_result
            .map_or("none".to_string(), |result| result.to_string());
        reasons.push(format!("event: expected signal result 0, saw {seen}"));
    }
    reasons
}

/// The path that the event's rule names.
fn rule(event: &SeenEvent) -> &str {
    event.target.as_deref().unwrap_or("no rule's path")
}
