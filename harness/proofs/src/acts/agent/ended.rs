//! An agent that ended: how, and all that it told.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use anyhow::{Context, Result, anyhow};
use protocol::record::{Observation, SeenEvent};
use serde_json::Value;

use super::output::tail;

/// An agent that ended.
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it told on standard output, each line parsed.
    pub events: Vec<Value>,
    /// What it said on standard error.
    pub stderr: String,
}

impl Ended {
    /// As an error, for where it wasn't to end, or not so.
    pub fn error(&self, what: &str) -> anyhow::Error {
        anyhow!("{what} ended with {}: {}", self.status, tail(&self.stderr))
    }

    /// As evidence.
    pub fn observation(&self) -> Observation {
        Observation::Exit {
            code: self.status.code(),
            signal: self.status.signal(),
            stderr: tail(&self.stderr).to_owned(),
        }
    }

    /// The agent's events for these processes, in the order in which it told them.
    ///
    /// # Errors
    /// One of them lacks what every event must have.
    pub fn events_of(&self, pids: &[u32]) -> Result<Vec<SeenEvent>> {
        let wanted = |event: &&Value| {
            let tgid = event["tgid"].as_u64();
            pids.iter().any(|pid| tgid == Some(u64::from(*pid)))
        };
        self.events.iter().filter(wanted).map(seen).collect()
    }
}

fn seen(event: &Value) -> Result<SeenEvent> {
    let text = |field: &str| event[field].as_str().map(str::to_owned);
    let number = |field: &str| {
        event[field]
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
    };
    let lacks = |what: &str| format!("an event without {what}: {event}");
    Ok(SeenEvent {
        hook: text("hook").with_context(|| lacks("a hook"))?,
        pid: number("tgid").with_context(|| lacks("a process"))?,
        thread: number("pid").with_context(|| lacks("a pid"))?,
        target: text("rule_path"),
        path: text("path"),
        outcome: text("outcome").with_context(|| lacks("an outcome"))?,
        signal_result: event["signal_result"].as_i64(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ended(events: Vec<Value>) -> Ended {
        Ended {
            status: ExitStatus::from_raw(0),
            events,
            stderr: String::new(),
        }
    }

    #[test]
    fn an_event_is_found_by_its_process_and_nothing_else() {
        let killed = json!({
            "hook": "tracepoint/syscalls/sys_enter_openat", "tgid": 7, "pid": 8,
            "path": "/srv/./secret", "rule_path": "/srv/secret",
            "outcome": "killed", "signal_result": 0,
        });
        let denied = json!({
            "hook": "lsm/file_open", "tgid": 9, "pid": 9,
            "path": null, "rule_path": "/srv/secret", "outcome": "denied",
        });
        let ended = ended(vec![killed, denied]);
        let of = |pids: &[u32]| ended.events_of(pids).expect("whole events");
        let killed = SeenEvent {
            hook: "tracepoint/syscalls/sys_enter_openat".to_owned(),
            pid: 7,
            thread: 8,
            target: Some("/srv/secret".to_owned()),
            path: Some("/srv/./secret".to_owned()),
            outcome: "killed".to_owned(),
            signal_result: Some(0),
        };
        let denied = SeenEvent {
            hook: "lsm/file_open".to_owned(),
            pid: 9,
            thread: 9,
            target: Some("/srv/secret".to_owned()),
            path: None,
            outcome: "denied".to_owned(),
            signal_result: None,
        };
        assert_eq!(of(&[7]), std::slice::from_ref(&killed));
        assert_eq!(of(&[9, 7]), [killed, denied.clone()]);
        assert_eq!(of(&[9, 8]), [denied]);
        assert_eq!(of(&[8]), []);
    }

    #[test]
    fn every_event_of_a_process_is_kept_and_one_that_lacks_something_is_an_error() {
        let event = json!({
            "hook": "lsm/file_open", "tgid": 7, "pid": 7,
            "rule_path": "/srv/secret", "outcome": "denied",
        });
        let twice = ended(vec![event.clone(), event.clone()]);
        assert_eq!(twice.events_of(&[7]).expect("whole events").len(), 2);
        for field in ["hook", "pid", "outcome"] {
            let mut lacking = event.clone();
            lacking.as_object_mut().expect("an object").remove(field);
            let ended = ended(vec![lacking]);
            assert!(ended.events_of(&[7]).is_err(), "{field}");
            assert_eq!(ended.events_of(&[8]).expect("none"), []);
        }
    }
}
