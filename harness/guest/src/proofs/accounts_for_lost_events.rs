//! More acts than the event ring has room for, while the agent stands still: each meets its fate,
//! and the report counts those that nobody is told of.

use anyhow::{Context, Result};
use protocol::record::Observation;
use serde_json::Value;

use super::Proof;
use crate::cgroup::Place;
use crate::lab::{During, Lab, Seen};
use crate::many::{self, Many};
use crate::paused::Paused;
use crate::tier::Tier;

/// See the module.
pub struct AccountsForLostEvents(pub Tier);

impl AccountsForLostEvents {
    /// As many tries in every tier, and more than the ring holds: a process that lives tries again.
    fn many(&self) -> Many {
        let (count, tries) = match self.0 {
            Tier::Lsm | Tier::Modret => (8, 104),
            Tier::Signal => (832, 1),
        };
        Many { count, tries }
    }
}

impl Proof for AccountsForLostEvents {
    fn ids(&self) -> &'static [&'static str] {
        self.0.of(&[
            "enforce-accounts-for-lost-events",
            "modret-accounts-for-lost-events",
            "signal-accounts-for-lost-events",
        ])
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        let running = super::running(agent)?;
        let mut reports = running.watch_reports()?;
        let before = running.report()?;
        let paused = Paused::stop(running.pid())?;
        let (ground, many) = (lab.ground, self.many());
        let mut document = many::open(many, Place::Plain, ground.secret(), ground.limit())?;
        drop(paused);
        // It reports again as soon as it has seen that events were lost.
        let newer = |report: &Value| report["generated_at"] != before["generated_at"];
        let after = reports.next("a report on lost events", newer)?;
        document["lost"] = (lost(&after)? - lost(&before)?).into();
        seen.other("during", Observation::Document { document });

        let mut events = running.listen();
        let act = ground.open_secret(Place::Plain)?;
        // Asked to stop, it gives up what isn't told by then; this one is the last.
        let pid = act.pid;
        events.hear("the last open", |line| line["tgid"] == pid)?;
        seen.act("again", act);
        Ok(())
    }
}

fn lost(report: &Value) -> Result<i64> {
    let lost = report["events_lost"].as_i64();
    lost.context("a report that doesn't say how many events were lost")
}
