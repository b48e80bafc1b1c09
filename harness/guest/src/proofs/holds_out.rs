//! Enforcement doesn't tire: more processes than any budget of decisions has room for meet the
//! same fate, and every one of them is told of.

use std::path::Path;

use anyhow::Result;
use protocol::record::Observation;

use super::Proof;
use crate::cgroup::Place;
use crate::lab::{During, Lab, Seen};
use crate::many::{self, Many};
use crate::tier::Tier;

const MANY: Many = Many {
    count: 128,
    tries: 2,
};

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
    let document = many::open(MANY, Place::Plain, path, lab.ground.limit())?;
    seen.other(arm, Observation::Document { document });
    Ok(())
}
