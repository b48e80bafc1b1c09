//! A fallback state never pretends: `enforce_capable` stays false and the blocker is named.

use anyhow::Result;

use super::Proof;
use crate::lab::{During, Lab, Seen};

/// See the module.
pub struct NoPretend;

impl Proof for NoPretend {
    fn ids(&self) -> &'static [&'static str] {
        &["no-pretend", "modret-no-pretend"]
    }

    fn during(&self, _lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        seen.other("report", super::live_report(agent)?);
        Ok(())
    }
}
