//! One arm: what was observed, against what was expected.
//!
//! In: an [`Expectation`] from the plan and an [`Observation`] from the guest. Out: a reason
//! for each way in which they differ, e.g. `expected killed by SIGKILL, saw allowed (the
//! secret leaked)`. Exact throughout: "some failure" is never good enough for "denied".

use protocol::plan::{Clause, Doer, Expectation};
use protocol::record::{Act, Effect, Fate, Observation, SeenEvent};

use super::{clause, race};

/// How much of the agent's standard error a reason shows.
const MAX_STDERR: usize = 300;

/// The reasons why this observation isn't what was expected; empty if it is.
pub fn broken(expect: &Expectation, seen: &Observation) -> Vec<String> {
    match (expect, seen) {
        (
            Expectation::Act {
                fate,
                leaks,
                effects,
                by,
                event,
                limit,
            },
            Observation::Act(act),
        ) => {
            let mut reasons = unexpected_pass(limit.as_deref(), expect, seen);
            reasons.extend(broken_fate(*fate, *leaks, act));
            reasons.extend(broken_effects(effects, act));
            reasons.extend(broken_helper(*by, act));
            reasons.extend(broken_events(event.as_deref(), *by, act));
            reasons
        }
        (Expectation::Race { attempts, each }, Observation::Race { acts }) => {
            race::broken(*attempts, each, acts)
        }
        (Expectation::Exit { code }, Observation::Exit { .. }) if exited(seen) == Some(*code) => {
            Vec::new()
        }
        (Expectation::Document { clauses, limit }, Observation::Document { document }) => {
            let mut reasons = unexpected_pass(limit.as_deref(), expect, seen);
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
        _ => vec![format!("expected {}, saw {}", wanted(expect), told(seen))],
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

/// The reason that comes first where less got past the agent than it declares.
fn unexpected_pass(limit: Option<&str>, expect: &Expectation, seen: &Observation) -> Vec<String> {
    let limit = limit.filter(|_| is_unexpected_pass(expect, seen));
    let reason = limit.map(|limit| {
        format!(
            "{UNEXPECTED_PASS}: `{limit}` is declared, and nothing got past the agent: correct \
             the declaration"
        )
    });
    reason.into_iter().collect()
}

/// How a reason begins that says so.
pub const UNEXPECTED_PASS: &str = "unexpected pass";

/// Whether less came of an act than the agent declares for it, and nothing else: what is to
/// get past it was denied or killed, or left less behind. An act that failed in any other way,
/// or did more than is declared, is an ordinary break.
pub fn is_unexpected_pass(expect: &Expectation, seen: &Observation) -> bool {
    if let (Expectation::Race { attempts, each }, Observation::Race { acts }) = (expect, seen) {
        return acts.len() == *attempts && race::all_unexpected_passes(each, acts);
    }
    if let (Expectation::Document { clauses, limit }, Observation::Document { document }) =
        (expect, seen)
    {
        let gets_by = clauses.iter().any(|clause| {
            matches!(clause, Clause::Equals { pointer, value }
                if pointer == "/fate" && value == "allowed")
        });
        let stopped = STOPPED.map(|(_, word)| word);
        let is_stopped = stopped.iter().any(|word| document["fate"] == *word);
        return limit.is_some() && gets_by && is_stopped && document["leaked"] == false;
    }
    let (
        Expectation::Act {
            fate,
            leaks,
            effects,
            limit: Some(_),
            ..
        },
        Observation::Act(act),
    ) = (expect, seen)
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

/// How the tiers stop an act, and the words of the guest's accounts for that.
const STOPPED: [(Fate, &str); 2] = [
    (Fate::Denied { errno: 1 }, "EPERM"),
    (Fate::Killed { signal: 9 }, "SIGKILL"),
];

/// The code with which a process ended by itself.
fn exited(seen: &Observation) -> Option<i32> {
    match seen {
        Observation::Exit {
            code, signal: None, ..
        } => *code,
        _ => None,
    }
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

fn wanted(expect: &Expectation) -> String {
    match expect {
        Expectation::Act { fate, .. } => format!("an act that is {}", fate_name(fate)),
        Expectation::Race { attempts, .. } => format!("{attempts} attempts"),
        Expectation::Exit { code } => format!("exit code {code}"),
        Expectation::Document { .. } => "a document".to_string(),
        Expectation::NoBpfLeft => "a list of BPF objects left".to_string(),
    }
}

/// What was seen, in a few words.
pub fn told(seen: &Observation) -> String {
    match seen {
        Observation::Act(act) => format!("an act that was {}", fate_name(&act.fate)),
        Observation::Race { acts } => format!("{} attempts", acts.len()),
        Observation::Exit {
            code,
            signal,
            stderr,
        } => {
            let ended = match (code, signal) {
                (Some(code), None) => format!("exit code {code}"),
                (None, Some(signal)) => format!("a death by {}", signal_name(*signal)),
                (Some(code), Some(signal)) => {
                    format!("both exit code {code} and {}", signal_name(*signal))
                }
                (None, None) => "no end".to_string(),
            };
            match last_words(stderr) {
                Some(words) => format!("{ended}; stderr: `{words}`"),
                None => ended,
            }
        }
        Observation::Document { document } => {
            format!("the document {}", clause::show_value(document))
        }
        Observation::BpfLeft { objects } => format!("{} BPF objects left", objects.len()),
    }
}

/// The last line of what a process said, shortened from the front.
fn last_words(stderr: &str) -> Option<String> {
    let line = stderr.lines().map(str::trim).rfind(|l| !l.is_empty())?;
    let length = line.chars().count();
    if length <= MAX_STDERR {
        return Some(line.to_string());
    }
    let tail: String = line.chars().skip(length - MAX_STDERR).collect();
    Some(format!("…{tail}"))
}

fn fate_name(fate: &Fate) -> String {
    match fate {
        Fate::Allowed => "allowed".to_string(),
        Fate::Denied { errno } => format!("denied with {}", errno_name(*errno)),
        Fate::Killed { signal } => format!("killed by {}", signal_name(*signal)),
        Fate::Broken { code } => format!("broken (exit code {code}, which says nothing)"),
    }
}

fn errno_name(errno: i32) -> String {
    match errno {
        1 => "EPERM".to_string(),
        2 => "ENOENT".to_string(),
        9 => "EBADF".to_string(),
        11 => "EAGAIN".to_string(),
        13 => "EACCES".to_string(),
        20 => "ENOTDIR".to_string(),
        22 => "EINVAL".to_string(),
        38 => "ENOSYS".to_string(),
        111 => "ECONNREFUSED".to_string(),
        n => format!("errno {n}"),
    }
}

fn signal_name(signal: i32) -> String {
    match signal {
        4 => "SIGILL".to_string(),
        6 => "SIGABRT".to_string(),
        7 => "SIGBUS".to_string(),
        9 => "SIGKILL".to_string(),
        11 => "SIGSEGV".to_string(),
        13 => "SIGPIPE".to_string(),
        15 => "SIGTERM".to_string(),
        31 => "SIGSYS".to_string(),
        n => format!("signal {n}"),
    }
}

#[cfg(test)]
mod tests;
