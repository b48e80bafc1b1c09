//! Where the kernel refuses the signal while nobody reads what the agent tells, its report says so
//! all the same, once for each refusal: that somebody reads of it later is nothing new.

use anyhow::Result;
use protocol::record::Observation;
use serde_json::Value;

use super::Proof;
use crate::cgroup::Place;
use crate::lab::{During, Lab, Seen};
use crate::many::{self, Many};

/// See the module.
pub struct AdmitsUnreadRefusal;

/// Told of, they are more than a pipe holds, and untold less than the event ring does.
const CROWD: Many = Many {
    count: 300,
    tries: 1,
};

impl Proof for AdmitsUnreadRefusal {
    fn ids(&self) -> &'static [&'static str] {
        &["signal-admits-unread-refusal"]
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        let running = super::running(agent)?;
        let mut events = running.listen();
        let mut reports = running.watch_reports()?;
        let reader = running.hold();
        let ground = lab.ground;
        many::open(CROWD, Place::Plain, ground.secret(), ground.limit())?;
        let mut note = |arm: &str, document| {
            seen.other(arm, Observation::Document { document });
        };
        note("evidence-back", reports.soon("ENFORCE_SIGNAL")?);

        let act = ground.open_secret(Place::Plain)?;
        note("unread-loss", reports.soon("DEGRADED")?);
        note("evidence-back-again", reports.soon("ENFORCE_SIGNAL")?);

        drop(reader);
        let pid = act.pid;
        events.hear("the last open", |line| line["tgid"] == pid)?;
        let before = running.report()?;
        let newer = |report: &Value| report["generated_at"] != before["generated_at"];
        note("read-at-last", reports.next("a report after that", newer)?);
        seen.act("during", act);
        Ok(())
    }
}
