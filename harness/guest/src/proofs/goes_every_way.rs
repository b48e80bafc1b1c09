//! A denied file is denied whatever the way to it, as far as its tier promises; where it
//! doesn't, the way is gone too, and must lead to the file.

use anyhow::{Context, Result, bail};
use protocol::bypass::Bypass;
use protocol::plan::PlannedProof;
use protocol::record::{Act, Observation};

use super::Proof;
use crate::bypass::trees::Tree;
use crate::lab::{During, Lab, Seen};

/// One way, with the arms that the plan wants of it.
pub struct GoesAWay<'a> {
    /// Which.
    pub way: Bypass,
    /// The plan's arms: not every way has a use for all of them.
    pub planned: &'a PlannedProof,
}

impl GoesAWay<'_> {
    fn wants(&self, arm: &str) -> bool {
        self.planned.arms.iter().any(|planned| planned.arm == arm)
    }

    fn go(&self, lab: &Lab, tree: Tree) -> Result<Act> {
        let actors = lab.actors.context("nobody is there to act")?;
        actors.borrow_mut().go(self.way, tree)
    }

    /// Goes it as often as it is measured, if it is a race.
    fn race(&self, lab: &Lab, seen: &mut Seen, arm: &str) -> Result<()> {
        let attempts = 0..self.way.race().unwrap_or_default();
        let acts = attempts.map(|_| self.go(lab, Tree::Denied));
        if self.wants(arm) {
            let acts = acts.collect::<Result<_>>()?;
            seen.other(arm, Observation::Race { acts });
        }
        Ok(())
    }
}

impl Proof for GoesAWay<'_> {
    fn ids(&self) -> &'static [&'static str] {
        &[]
    }

    fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        if self.wants("before") {
            seen.act("before", self.go(lab, Tree::Denied)?);
        }
        self.race(lab, seen, "race-before")
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        if let During::Ended(_) = agent {
            bail!("the agent has ended");
        }
        if self.wants("report") {
            seen.other("report", super::live_report(agent)?);
        }
        if self.wants("during") {
            seen.act("during", self.go(lab, Tree::Denied)?);
        }
        if self.wants("benign") {
            seen.act("benign", self.go(lab, Tree::Free)?);
        }
        self.race(lab, seen, "race")
    }
}
