//! An agent that was told to stop leaves no BPF object and no report behind, and nothing is
//! denied any more.

use anyhow::Result;
use protocol::record::Observation;
use serde_json::json;

use super::Proof;
use crate::cgroup::Place;
use crate::lab::{During, Lab, Seen};
use crate::tier::Tier;

/// See the module.
pub struct LeavesNothingBehind(pub Tier);

impl Proof for LeavesNothingBehind {
    fn ids(&self) -> &'static [&'static str] {
        self.0.of(&[
            "enforce-leaves-nothing-behind",
            "modret-leaves-nothing-behind",
            "signal-leaves-nothing-behind",
        ])
    }

    fn during(&self, lab: &Lab, _agent: &During, seen: &mut Seen) -> Result<()> {
        seen.act("during", lab.ground.open_secret(Place::Plain)?);
        Ok(())
    }

    fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        seen.act("after", lab.ground.open_secret(Place::Plain)?);
        let document = json!({ "there": lab.agent.has_report() });
        seen.other("report", Observation::Document { document });
        Ok(())
    }

    fn watches_bpf_objects(&self) -> bool {
        true
    }
}
