//! Enforcement doesn't tire: more processes than any budget of decisions has room for meet the
//! same fate, and every one of them is told of.

use std::path::Path;

use anyhow::Result;

use super::Proof;
use crate::cgroup::Place;
use crate::lab::{During, Lab, Seen};
use crate::many;
use crate::tier::Tier;

/// See the module.
pub struct HoldsOut(pub Tier);

impl Proof for HoldsOut {
    fn ids(&self) -> &'static [&'static str] {
        self.0
            .of(&["enforce-holds-out", "modret-holds-out", "signal-holds-out"])
    }

    fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        open(lab, seen, "before", lab.ground.secret())
    }

    fn during(&self, lab: &Lab, _agent: &During, seen: &mut Seen) -> Result<()> {
        open(lab, seen, "during", lab.ground.secret())?;
        open(lab, seen, "benign", lab.ground.benign())
    }

    fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        open(lab, seen, "after", lab.ground.secret())
    }
}

fn open(lab: &Lab, seen: &mut Seen, arm: &str, path: &Path) -> Result<()> {
    seen.other(arm, many::open(Place::Plain, path, lab.ground.limit())?);
    Ok(())
}
