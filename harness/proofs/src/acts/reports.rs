//! The agent's report, each time that it is written anew.

use std::fs::File;
use std::mem::MaybeUninit;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use crate::acts::agent::Running;
use crate::acts::wait;

/// What can be read once another report has come.
///
/// # Errors
/// The report's folder can't be watched.
pub fn watch_for(report: &Path) -> Result<File> {
    let inotify = init(CreateFlags::CLOEXEC).context("watching the report")?;
    let folder = report.parent().context("a report without a folder")?;
    // Whole and by a rename is how it comes.
    add_watch(&inotify, folder, WatchFlags::MOVED_TO).context("watching its folder")?;
    Ok(File::from(inotify))
}

/// Sees every report from when it began to watch, as long as it looks in time.
pub struct Reports<'a> {
    agent: &'a Running,
    inotify: File,
    limit: Duration,
    /// How many were seen to come.
    written: u64,
}

impl<'a> Reports<'a> {
    /// Watches from now on.
    ///
    /// # Errors
    /// The report's folder can't be watched.
    pub fn watch(agent: &'a Running) -> Result<Self> {
        Ok(Self {
            agent,
            inotify: watch_for(agent.report_path())?,
            limit: agent.limit(),
            written: 0,
        })
    }

    /// The agent whose reports these are.
    pub fn agent(&self) -> &'a Running {
        self.agent
    }

    /// Waits until the report is another one or the agent has ended; whether it is up then.
    ///
    /// # Errors
    /// Neither happened within the limit, or the report isn't the agent's.
    pub fn renewed_before_end(&mut self) -> Result<bool> {
        let process = self.agent.process()?;
        let first = self.agent.report()?["generated_at"].take();
        loop {
            let what = "a newer report or the agent's end";
            if wait::either(&process, &self.inotify, self.limit, what)? {
                return Ok(false);
            }
            self.take()?;
            if self.agent.report()?["generated_at"] != first {
                return Ok(true);
            }
        }
    }

    /// The report as it is now or comes to be, once it is a wanted one.
    ///
    /// # Errors
    /// Nothing new was written within the limit, or what was isn't the agent's.
    pub fn next(&mut self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Result<Value> {
        loop {
            let report = self.agent.report()?;
            if wanted(&report) {
                return Ok(report);
            }
            wait::readable(&self.inotify, self.limit, what)?;
            self.take()?;
        }
    }

    /// How many reports came since it began to watch, as far as it looked.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Takes what tells of reports that came.
    fn take(&mut self) -> Result<()> {
        let mut bytes = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut bytes);
        loop {
            reader.next().context("reading that the report is new")?;
            self.written += 1;
            if reader.is_buffer_empty() {
                return Ok(());
            }
        }
    }

    /// The report once it has this state, or the fourth from now on.
    ///
    /// # Errors
    /// As [`Reports::next`].
    pub fn soon(&mut self, state: &str) -> Result<Value> {
        self.soon_that(|report| report["runtime_state"] == state)
    }

    /// The report once it is a wanted one, or the fourth from now on.
    ///
    /// # Errors
    /// As [`Reports::next`].
    pub fn soon_that(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Result<Value> {
        let (mut written, mut last) = (0, Value::Null);
        self.next("a report", |report| {
            if last != report["generated_at"] {
                written += 1;
                last = report["generated_at"].clone();
            }
            wanted(report) || written > 4
        })
    }
}

/// A moment of a report by the boot clock, in milliseconds: this member of it.
///
/// # Errors
/// It has none.
pub fn boot_ms(report: &Value, member: &str) -> Result<i64> {
    let moment = report[member].as_i64();
    moment.with_context(|| format!("{member}: no moment of the boot clock: {}", report[member]))
}

/// Now by the boot clock, in milliseconds.
///
/// # Errors
/// The clock is beyond what a number holds.
pub fn boot_ms_now() -> Result<i64> {
    let now = clock_gettime(ClockId::Boottime);
    let now = Duration::try_from(now).context("the boot clock")?;
    i64::try_from(now.as_millis()).context("the boot clock")
}

/// The oldest evidence of a report, by the boot clock: of all hooks that fired.
///
/// # Errors
/// No hook fired, or one did at no time.
pub fn oldest_evidence(report: &Value) -> Result<i64> {
    let hooks = report["hooks"].as_array().context("no hooks")?;
    let fired = hooks.iter().filter(|hook| hook["fired"] == true);
    let moments: Result<Vec<i64>> = fired
        .map(|hook| boot_ms(hook, "verified_at_boot_ms"))
        .collect();
    moments?.into_iter().min().context("no hook fired")
}

/// How long a report is valid, from its oldest evidence on, in milliseconds.
///
/// # Errors
/// It doesn't say so.
pub fn valid_for_ms(report: &Value) -> Result<i64> {
    Ok(boot_ms(report, "valid_until_boot_ms")? - oldest_evidence(report)?)
}

/// Milliseconds since 1970 at a time as the report has it, `2026-01-02T03:04:05.678Z`.
///
/// # Errors
/// It is no such time.
pub fn milliseconds(time: &Value) -> Result<i64> {
    let text = time.as_str().unwrap_or_default();
    let numbers: Vec<i64> = text
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    let [year, month, day, hour, minute, second, thousandth] = numbers[..] else {
        anyhow::bail!("no time: {time}");
    };
    // With years that begin in March, leap days come last: days before a month are a formula.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    let seconds = ((days - 719_469) * 24 + hour) * 3600 + minute * 60 + second;
    Ok(seconds * 1000 + thousandth)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_valid_from_its_oldest_evidence_on() {
        let mut report = json!({
            "valid_until_boot_ms": 12_000,
            "hooks": [
                {"fired": true, "verified_at_boot_ms": 3_000},
                {"fired": true, "verified_at_boot_ms": 2_000},
                // Evidence that was lost.
                {"fired": false, "verified_at_boot_ms": 1_000},
                {"fired": false, "verified_at_boot_ms": null},
            ],
        });
        assert_eq!(valid_for_ms(&report).unwrap(), 10_000);
        report["hooks"][0]["verified_at_boot_ms"] = Value::Null;
        assert!(valid_for_ms(&report).is_err());
        report["hooks"] = json!([]);
        assert!(valid_for_ms(&report).is_err());
    }

    #[test]
    fn a_time_is_a_number_that_grows_over_months_and_years() {
        let at = |time: &str| milliseconds(&json!(time)).unwrap();
        assert_eq!(at("1970-01-01T00:00:00.000Z"), 0);
        assert_eq!(at("2000-03-01T00:00:00.001Z"), 951_868_800_001);
        let of_a_leap_year = at("2024-03-01T00:00:00.000Z") - at("2024-02-28T23:59:59.999Z");
        assert_eq!(of_a_leap_year, 86_400_001);
        assert!(milliseconds(&Value::Null).is_err());
    }
}
