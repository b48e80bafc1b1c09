//! Asked to fall back to auditing, the agent runs where it can't enforce, says so, and
//! tells of the open without touching it.

use anyhow::Result;

use super::Proof;
use crate::cgroup::Place;
use crate::lab::{During, Lab, Seen};

/// See the module.
pub struct AuditFallbackWhenAsked;

impl Proof for AuditFallbackWhenAsked {
    fn ids(&self) -> &'static [&'static str] {
        &["audit-fallback-when-asked"]
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        seen.other("report", super::live_report(agent)?);
        seen.act("during", lab.ground.open_secret(Place::Plain)?);
        seen.act("benign", lab.ground.open_benign()?);
        seen.act("exempt", lab.ground.open_secret(Place::Exempt)?);
        Ok(())
    }
}
