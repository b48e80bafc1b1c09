//! The agent that was ready is still there once it has verified again.

use anyhow::Result;
use protocol::record::Observation;
use serde_json::json;

use super::Proof;
use crate::lab::{During, Lab, Seen};
use crate::tier::Tier;

/// See the module.
pub struct StaysUp(pub Tier);

impl Proof for StaysUp {
    fn ids(&self) -> &'static [&'static str] {
        self.0
            .of(&["enforce-stays-up", "modret-stays-up", "signal-stays-up"])
    }

    fn during(&self, _lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        let running = super::running(agent)?;
        let up = running.watch_reports()?.renewed_before_end()?;
        let document = json!({ "up": up });
        seen.other("verified-again", Observation::Document { document });
        Ok(())
    }
}
