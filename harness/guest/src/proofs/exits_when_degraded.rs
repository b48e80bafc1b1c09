//! Asked to end rather than to run on without evidence, the agent ends: it tells of the loss,
//! its exit code says that something went wrong, and neither report nor program is left.

use anyhow::Result;
use protocol::record::Observation;
use serde_json::json;

use super::Proof;
use super::notices_lost_program::{self as notices, is_state};
use crate::cgroup::Place;
use crate::lab::{During, Lab, Seen};
use crate::outsider;

/// See the module.
pub struct ExitsWhenDegraded {
    ids: &'static [&'static str],
    program: &'static str,
}

/// One for each tier: the program that sees every open is taken away.
pub const LSM: ExitsWhenDegraded = ExitsWhenDegraded {
    ids: &["enforce-exits-when-degraded"],
    program: notices::LSM.program,
};
/// See [`LSM`].
pub const MODRET: ExitsWhenDegraded = ExitsWhenDegraded {
    ids: &["modret-exits-when-degraded"],
    program: notices::MODRET.program,
};
/// See [`LSM`].
pub const SIGNAL: ExitsWhenDegraded = ExitsWhenDegraded {
    ids: &["signal-exits-when-degraded"],
    program: notices::SIGNAL.program,
};

impl Proof for ExitsWhenDegraded {
    fn ids(&self) -> &'static [&'static str] {
        self.ids
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        let running = super::running(agent)?;
        seen.act("during", lab.ground.open_secret(Place::Plain)?);
        let mut notices = running.listen();
        outsider::holder(running.pid(), self.program)?.take_away()?;
        let document = notices.hear("the loss", is_state)?;
        seen.other("told-of-loss", Observation::Document { document });
        seen.other("exit", running.ends()?);
        let document = json!({ "there": running.has_report() });
        seen.other("report", Observation::Document { document });
        seen.act("after", lab.ground.open_secret(Place::Plain)?);
        Ok(())
    }

    fn ends_agent(&self) -> bool {
        true
    }

    fn watches_bpf_objects(&self) -> bool {
        true
    }
}
