//! While somebody calls the kernel about a map, it passes over the programs of the signal tier, and
//! whoever runs in the middle of that opens a denied file: a declared limit, measured as a race.
//! The agent's next report has no claim to enforce any more.

use anyhow::Result;
use protocol::plan::ATTEMPTS;
use protocol::record::{Act, Observation};
use serde_json::{Value, json};

use super::Proof;
use super::notices_lost_program::is_state;
use crate::cgroup::Place;
use crate::lab::{During, Lab, Seen};
use crate::map_caller::MapCaller;
use crate::paused::Paused;

/// See the module.
pub struct AdmitsPassedOver;

impl Proof for AdmitsPassedOver {
    fn ids(&self) -> &'static [&'static str] {
        &["signal-admits-passed-over"]
    }

    fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        seen.act("before", lab.ground.open_secret(Place::Plain)?);
        Ok(())
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        let running = super::running(agent)?;
        let note = |seen: &mut Seen, arm: &str, document| {
            seen.other(arm, Observation::Document { document });
        };
        let mut notices = running.listen();
        let mut reports = running.watch_reports()?;
        note(seen, "report", running.report()?);
        // A canary would be skipped as well, and take the claim by itself; right after a
        // report none is out.
        reports.renewed_before_end()?;
        let paused = Paused::stop(running.pid())?;
        let caller = MapCaller::start(lab.ground.limit())?;
        let attempts = (0..ATTEMPTS).map(|_| lab.ground.open_secret(Place::Plain));
        let acts = attempts.collect::<Result<Vec<Act>>>()?;
        drop(caller);
        drop(paused);
        seen.other("race", Observation::Race { acts });
        let report = reports.soon("DEGRADED")?;
        let told = match report["runtime_state"] == "DEGRADED" {
            true => notices.hear("the loss", is_state)?,
            false => Value::Null,
        };
        note(seen, "report-of-loss", report);
        note(seen, "told-of-loss", with_cause(told));
        note(seen, "evidence-back", reports.soon("ENFORCE_SIGNAL")?);
        seen.act("again", lab.ground.open_secret(Place::Plain)?);
        Ok(())
    }
}

/// What was told, and whether it says what took the claim.
fn with_cause(mut told: Value) -> Value {
    if told.is_object() {
        let reason = told["reason"].as_str().unwrap_or_default();
        told["names_cause"] = json!(reason.contains("the kernel skipped the program"));
    }
    told
}
