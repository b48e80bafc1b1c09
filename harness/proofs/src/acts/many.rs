//! The same forbidden open by many processes, one after the other: that enforcement doesn't
//! tire, and that every one of them is told of.
//!
//! The guest re-executes itself (`/init many …`); that process forks a child for each open, as
//! starting a program for each would take longer than all the opens.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use protocol::record::Observation;
use serde_json::{Value, json};

use crate::acts::act::{self, NOT_TRIED};
use crate::acts::attempt;
use crate::acts::cgroup::{self, Place};
use crate::acts::wait;

/// How many of them, and how often each tries, if it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Many {
    /// How many processes.
    pub count: usize,
    /// How often each.
    pub tries: usize,
}

/// The process's side: `many CGROUP_DIR PATH COUNT TRIES` joins the cgroup, and has as many
/// children open. It prints a line for each: its pid, and the raw status with which it ended.
pub fn commit(arguments: &[String]) -> ExitCode {
    let [cgroup, path, count, tries] = arguments else {
        return ExitCode::from(NOT_TRIED);
    };
    let (Ok(count), Ok(tries)) = (count.parse::<usize>(), tries.parse()) else {
        return ExitCode::from(NOT_TRIED);
    };
    if cgroup::join(Path::new(cgroup)).is_err() {
        return ExitCode::from(NOT_TRIED + 1);
    }
    for _ in 0..count {
        let Ok((pid, status)) = open_in_child(Path::new(path), tries) else {
            return ExitCode::from(NOT_TRIED + 2);
        };
        println!("{pid} {status}");
    }
    ExitCode::SUCCESS
}

fn open_in_child(path: &Path, tries: usize) -> io::Result<(i32, i32)> {
    // SAFETY: this process has one thread, so the child may do anything that it could.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let mut opened = (0..tries).map(|_| File::open(path));
        // Open at any try is open.
        let code = opened.try_fold(0, |_, file| match file {
            Ok(_) => Err(0),
            Err(error) => Ok(error.raw_os_error().unwrap_or(NOT_TRIED.into())),
        });
        let code = code.unwrap_or_else(|opened| opened);
        // SAFETY: ends the child at once, without flushing what belongs to its parent.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the status outlives the call.
    if pid < 0 || unsafe { libc::waitpid(pid, &raw mut status, 0) } != pid {
        return Err(io::Error::last_os_error());
    }
    Ok((pid, status))
}

/// Has the file opened by many processes, and counts what came of them.
///
/// # Errors
/// They couldn't be started, or took longer than the limit.
pub fn open(many: Many, place: Place, path: &Path, limit: Duration) -> Result<Value> {
    let mut child = Command::new("/proc/self/exe")
        .arg("many")
        .args([place.dir().as_path(), path])
        .args([many.count, many.tries].map(|number| number.to_string()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the process whose children open the file")?;
    let output = child.stdout.take().context("its stdout is piped")?;
    // What there is to read is far smaller than a pipe's buffer.
    let status = wait::ended(&mut child, limit, "many processes that open a file")?;
    let lines = io::read_to_string(output).context("reading its output")?;
    if !status.success() {
        bail!("the process whose children open the file ended with {status}");
    }
    let mut fates = BTreeMap::<String, usize>::new();
    let mut pids = Vec::new();
    for line in lines.lines() {
        let (pid, status) = line.split_once(' ').context("a line without a status")?;
        pids.push(pid.parse::<u32>()?);
        let fate = act::fate(ExitStatus::from_raw(status.parse()?));
        *fates.entry(attempt::word(fate)).or_default() += 1;
    }
    Ok(json!({"fates": fates, "pids": pids}))
}

/// Whether a document has the pids of processes of which nothing was told yet.
pub fn awaits(document: &Value) -> bool {
    document.get("pids").is_some_and(Value::is_array)
}

/// Puts what the agent told of the processes in the place of their pids: how many events of
/// each outcome, and how many processes it told nothing of. Where the agent lost events, and says
/// how many, also how many that accounts for, the outcomes alone, and whether those are all tries.
pub fn join<'a>(events: &[Value], observations: impl Iterator<Item = &'a mut Observation>) {
    for observation in observations {
        let Observation::Document { document } = observation else {
            continue;
        };
        let Some(Value::Array(pids)) = document.get("pids") else {
            continue;
        };
        let pids: BTreeSet<u64> = pids.iter().filter_map(Value::as_u64).collect();
        let mut told = BTreeMap::<&str, u64>::new();
        let mut told_of = BTreeSet::new();
        for event in events {
            let Some(pid) = event["tgid"].as_u64().filter(|pid| pids.contains(pid)) else {
                continue;
            };
            told_of.insert(pid);
            *told
                .entry(event["outcome"].as_str().unwrap_or("?"))
                .or_default() += 1;
        }
        let untold = pids.len() - told_of.len();
        let mut joined = json!({"fates": document["fates"], "told": told, "untold": untold});
        if let Some(lost) = document["lost"].as_u64() {
            joined["lost"] = lost.into();
            joined["accounted"] = (told.values().sum::<u64>() + lost).into();
            joined["outcomes"] = told.keys().copied().collect();
            if let Some(tries) = document["tries"].as_u64() {
                joined["tries"] = tries.into();
                joined["accounts_for_all"] = (joined["accounted"] == tries).into();
            }
        }
        *document = joined;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_by_outcome_and_whoever_has_none_is_untold() {
        let document = json!({"fates": {"EPERM": 3}, "pids": [7, 8, 9]});
        let other = Observation::Document {
            document: json!({"pid": 7}),
        };
        let mut seen = [Observation::Document { document }, other.clone()];
        let event = |tgid: u32, outcome| json!({"tgid": tgid, "outcome": outcome});
        let events = [event(7, "denied"), event(9, "denied"), event(6, "denied")];
        join(&events, seen.iter_mut());
        let expected = json!({"fates": {"EPERM": 3}, "told": {"denied": 2}, "untold": 1});
        let expected = Observation::Document { document: expected };
        assert_eq!(seen, [expected, other]);
    }

    #[test]
    fn lost_events_and_told_ones_are_accounted_for_together() {
        let document = json!({"fates": {"EPERM": 1}, "pids": [7], "lost": 5});
        let mut seen = Observation::Document { document };
        let event = json!({"tgid": 7, "outcome": "denied"});
        join(&[event.clone(), event], std::iter::once(&mut seen));
        let document = json!({"fates": {"EPERM": 1}, "told": {"denied": 2}, "untold": 0,
                              "lost": 5, "accounted": 7, "outcomes": ["denied"]});
        assert_eq!(seen, Observation::Document { document });
    }

    #[test]
    fn all_tries_are_accounted_for_or_it_is_said_that_they_are_not() {
        for (tries, all) in [(6, true), (7, false)] {
            let mut seen = Observation::Document {
                document: json!({"fates": [], "pids": [7], "lost": 5, "tries": tries}),
            };
            join(
                &[json!({"tgid": 7, "outcome": "denied"})],
                std::iter::once(&mut seen),
            );
            let Observation::Document { document } = seen else {
                panic!("it stays a document");
            };
            assert_eq!(document["accounts_for_all"], all);
        }
    }
}
