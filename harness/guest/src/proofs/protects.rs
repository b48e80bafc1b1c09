//! A protected executable is never signalled, nor is the agent itself, whatever a rule says; the
//! tiers that deny deny it all the same.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use protocol::record::Observation;
use serde_json::json;

use super::Proof;
use crate::attempt::{Attempt, Verb, account};
use crate::lab::{During, Lab, Seen};
use crate::tier::{Tier, rule};

/// A copy of this program, and so a file of its own.
const PROGRAM: &str = "/srv/protected-program";

/// See the module.
pub struct Protects(pub Tier);

impl Proof for Protects {
    fn ids(&self) -> &'static [&'static str] {
        self.0.of(&[
            "enforce-denies-protected",
            "modret-denies-protected",
            "signal-spares-protected",
        ])
    }

    fn rules(&self) -> Result<String> {
        fs::copy("/proc/self/exe", PROGRAM).with_context(|| format!("copying to {PROGRAM}"))?;
        Ok(String::new())
    }

    fn rules_on_reports(&self, folder: &Path) -> String {
        match self.0 {
            // It would have nothing to report to.
            Tier::Lsm | Tier::Modret => String::new(),
            Tier::Signal => rule("reports", &format!("{}/", folder.display()), "write"),
        }
    }

    fn protected(&self) -> &'static [&'static str] {
        &[PROGRAM]
    }

    fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        self.read(lab, seen, "before", Some(PROGRAM))
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        let running = super::running(agent)?;
        seen.other("report", super::live_report(agent)?);
        self.read(lab, seen, "during", None)?;
        self.read(lab, seen, "protected", Some(PROGRAM))?;
        if self.0 == Tier::Signal {
            // To report again it opens a file in the denied folder.
            let up = running.watch_reports()?.renewed_before_end()?;
            let document = json!({"up": up, "pid": running.pid(), "events": null});
            seen.other("agent", Observation::Document { document });
        }
        Ok(())
    }
}

impl Protects {
    fn read(
        &self,
        lab: &Lab,
        seen: &mut Seen,
        arm: &'static str,
        program: Option<&str>,
    ) -> Result<()> {
        let attempt = Attempt::on(Verb::Read, lab.ground.secret());
        let attempt = match program {
            Some(program) => attempt.by(Path::new(program)),
            None => attempt,
        };
        let read = attempt.make(lab.ground.limit())?;
        seen.other(arm, account(read, json!({})));
        Ok(())
    }
}
