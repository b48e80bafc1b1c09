//! Where the kernel refuses the signal, nobody is killed, and the agent says no such thing: its
//! event is `observed`, and it is `DEGRADED`.

use anyhow::{Context, Result};
use protocol::record::Observation;

use super::Proof;
use super::notices_lost_program::is_state;
use crate::cgroup::Place;
use crate::lab::{During, Lab, Seen};

/// See the module.
pub struct AdmitsRefusedSignal;

impl Proof for AdmitsRefusedSignal {
    fn ids(&self) -> &'static [&'static str] {
        &["signal-admits-refused-signal"]
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        let running = super::running(agent)?;
        seen.other("report", super::live_report(agent)?);
        let mut notices = running.listen();
        let act = lab.ground.open_secret(Place::Plain)?;
        let who = format!("process {} ", act.pid);
        seen.act("during", act);
        let mut document = notices.hear("the loss", is_state)?;
        let reason = document["reason"].as_str().context("a state without why")?;
        let names = [&who, "the signal helper returned -"].map(|what| reason.contains(what));
        document["names_process"] = names[0].into();
        document["names_result"] = names[1].into();
        seen.other("told-of-loss", Observation::Document { document });
        seen.other("report-of-loss", super::live_report(agent)?);
        Ok(())
    }
}
