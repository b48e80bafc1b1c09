//! While somebody calls the kernel about a map, it passes over the programs of the signal tier, and
//! whoever runs in the middle of that opens a denied file: a declared limit, measured as a race.
//! The agent's next report has no claim to enforce any more.

use anyhow::Result;
use protocol::record::{Act, Observation};

use super::Proof;
use crate::cgroup::Place;
use crate::lab::{During, Lab, Seen};
use crate::map_caller::MapCaller;
use crate::paused::Paused;

/// See the module.
pub struct AdmitsPassedOver;

/// As many as the plan has.
const ATTEMPTS: usize = 32;

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
        let mut reports = running.watch_reports()?;
        note(seen, "report", running.report()?);
        // A canary would be passed over as well, and take the claim by itself.
        let paused = Paused::stop(running.pid())?;
        let caller = MapCaller::start()?;
        let attempts = (0..ATTEMPTS).map(|_| lab.ground.open_secret(Place::Plain));
        let acts = attempts.collect::<Result<Vec<Act>>>()?;
        drop(caller);
        drop(paused);
        seen.other("race", Observation::Race { acts });
        note(seen, "report-of-loss", reports.soon("DEGRADED")?);
        note(seen, "evidence-back", reports.soon("ENFORCE_SIGNAL")?);
        seen.act("again", lab.ground.open_secret(Place::Plain)?);
        Ok(())
    }
}
