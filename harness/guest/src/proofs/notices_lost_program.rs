//! A program that somebody takes away is missed at the next verification: the state is
//! `DEGRADED`, the report and a notice say so and why. The program is put back, and once that
//! is verified too, the claim is back and denied is denied.

use anyhow::Result;
use protocol::record::Observation;
use serde_json::{Value, json};

use super::Proof;
use crate::cgroup::Place;
use crate::lab::{During, Lab, Seen};
use crate::outsider;

/// See the module.
pub struct NoticesLostProgram {
    ids: &'static [&'static str],
    /// What is taken away, by the name that the kernel has for it.
    pub program: &'static str,
}

/// One for each tier: the program that sees every open.
pub const LSM: NoticesLostProgram = NoticesLostProgram {
    ids: &["enforce-notices-lost-program"],
    program: "lsm_file_open",
};
/// See [`LSM`].
pub const MODRET: NoticesLostProgram = NoticesLostProgram {
    ids: &["modret-notices-lost-program"],
    program: "modret_file_ope",
};
/// See [`LSM`].
pub const SIGNAL: NoticesLostProgram = NoticesLostProgram {
    ids: &["signal-notices-lost-program"],
    program: "sig_file_open",
};

impl Proof for NoticesLostProgram {
    fn ids(&self) -> &'static [&'static str] {
        self.ids
    }

    fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        seen.act("before", lab.ground.open_secret(Place::Plain)?);
        Ok(())
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        let running = super::running(agent)?;
        seen.other("report", super::live_report(agent)?);
        seen.act("during", lab.ground.open_secret(Place::Plain)?);

        let holder = outsider::holder(running.pid(), self.program)?;
        let document = json!({ "errno": holder.ask_to_detach()? });
        seen.other("asked-to-detach", Observation::Document { document });

        let mut notices = running.listen();
        holder.take_away()?;
        // Whoever hears of it and looks at the report finds it there.
        let mut told = |seen: &mut Seen, arms: [&'static str; 2]| -> Result<()> {
            let document = notices.hear(arms[0], is_state)?;
            seen.other(arms[0], Observation::Document { document });
            seen.other(arms[1], super::live_report(agent)?);
            Ok(())
        };
        told(seen, ["told-of-loss", "report-of-loss"])?;
        told(seen, ["told-of-return", "report-of-return"])?;

        seen.act("again", lab.ground.open_secret(Place::Plain)?);
        seen.act("benign", lab.ground.open_benign()?);
        seen.act("exempt", lab.ground.open_secret(Place::Exempt)?);
        Ok(())
    }

    fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        seen.act("after", lab.ground.open_secret(Place::Plain)?);
        Ok(())
    }
}

/// Whether a line tells of another state.
pub fn is_state(line: &Value) -> bool {
    line["event"] == "state"
}
