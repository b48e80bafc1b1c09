//! A denied open meets its fate, and nothing else does: the five arms of enforcement.
//!
//! The tiers differ only in the fate that the plan expects: `EPERM` under the BPF LSM and in
//! the tier that modifies the kernel's own functions, death by `SIGKILL` in the signal tier,
//! for real and through the seam.

use anyhow::Result;

use super::Proof;
use crate::cgroup::Place;
use crate::lab::{During, Lab, Seen};

/// See the module.
pub struct DeniesOpen;

impl Proof for DeniesOpen {
    fn ids(&self) -> &'static [&'static str] {
        &[
            "enforce-denies-open",
            "modret-denies-open",
            "kills-denied-open",
            "seam-kills-denied-open",
            "enforce-outlives-rejected-guard",
            "falls-back-from-rejected-lsm",
            "lockdown-enforce-denies-open",
            "lockdown-modret-denies-open",
        ]
    }

    fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        seen.act("before", lab.ground.open_secret(Place::Plain)?);
        Ok(())
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        seen.other("report", super::live_report(agent)?);
        seen.act("during", lab.ground.open_secret(Place::Plain)?);
        seen.act("benign", lab.ground.open_benign()?);
        seen.act("exempt", lab.ground.open_secret(Place::Exempt)?);
        seen.act("exempt-child", lab.ground.open_secret(Place::ExemptChild)?);
        Ok(())
    }

    fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        seen.act("after", lab.ground.open_secret(Place::Plain)?);
        Ok(())
    }
}
