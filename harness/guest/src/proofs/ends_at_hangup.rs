//! An agent whose terminal or session goes away ends as one that was told to stop: by its own
//! doing, with nothing left behind.

use anyhow::Result;
use protocol::record::Observation;
use serde_json::json;

use super::Proof;
use crate::cgroup::Place;
use crate::lab::{During, Lab, Seen};

/// See the module.
pub struct EndsAtHangup;

impl Proof for EndsAtHangup {
    fn ids(&self) -> &'static [&'static str] {
        &["enforce-ends-at-hangup"]
    }

    fn during(&self, _lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        let running = super::running(agent)?;
        running.hang_up()?;
        seen.other("exit", running.ends()?);
        let document = json!({ "there": running.has_report() });
        seen.other("report", Observation::Document { document });
        Ok(())
    }

    fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
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
