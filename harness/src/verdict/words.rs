//! What was expected and what was seen, in the words of a reason. Pure.

use protocol::plan::Expectation;
use protocol::record::{Fate, Observation};

use super::clause;

/// How much of the agent's standard error a reason shows.
const MAX_STDERR: usize = 300;

/// The reason why an observation isn't of the kind, or not the end, that was expected.
pub fn mismatch(expect: &Expectation, seen: &Observation) -> String {
    format!("expected {}, saw {}", wanted(expect), told(seen))
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

/// What came of an act, or is to come of it.
pub fn fate_name(fate: &Fate) -> String {
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
