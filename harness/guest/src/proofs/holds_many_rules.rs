//! Ten thousand rules are kept: half of them name files, of which the first and the last are
//! opened, and half name nothing yet. One of those is made, and is denied at once.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use protocol::record::Observation;
use serde_json::{Value, json};

use super::Proof;
use crate::cgroup::Place;
use crate::lab::{During, Lab, Seen};

/// In memory.
const FOLDER: &str = "/run/many-rules";
/// Of each kind.
const EACH: usize = 5_000;

/// See the module.
pub struct HoldsManyRules;

impl Proof for HoldsManyRules {
    fn ids(&self) -> &'static [&'static str] {
        &[
            "enforce-holds-many-rules",
            "modret-holds-many-rules",
            "signal-holds-many-rules",
        ]
    }

    fn rules(&self) -> Result<String> {
        fs::create_dir_all(FOLDER).with_context(|| format!("making {FOLDER}"))?;
        fs::write(benign(), "benign\n").context("writing a benign file")?;
        let mut rules = String::new();
        for number in 0..EACH {
            let path = secret(number);
            fs::write(&path, "secret\n").with_context(|| format!("writing {}", path.display()))?;
            rules += &format!("\n[[deny.file]]\npath = \"{}\"\n", path.display());
        }
        for number in 0..EACH {
            let path = pending(number);
            // The proofs of an agent before this one may have made it.
            let _ = fs::remove_file(&path);
            // Whoever makes it only writes it, and isn't to be stopped.
            let path = path.display();
            rules += &format!("\n[[deny.file]]\npath = \"{path}\"\naccess = \"read\"\n");
        }
        Ok(rules)
    }

    fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        self.open_both(["before-first", "before-last"], lab, seen)
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        let running = super::running(agent)?;
        let mut report = running.report()?;
        // Thousands of lines say the same.
        let unenforced = report["rules"]["unenforced"].as_array().map(Vec::len);
        report["rules"]["unenforced"] = json!(unenforced);
        seen.other("report", Observation::Document { document: report });
        self.open_both(["during-first", "during-last"], lab, seen)?;
        seen.act("benign", lab.ground.open(Place::Plain, &benign())?);

        let made = pending(EACH - 1);
        let mut told = running.listen();
        fs::write(&made, "secret\n").context("making what a rule waits for")?;
        seen.act("made", lab.ground.open(Place::Plain, &made)?);
        let is_made = |line: &Value| {
            line["event"] == "resolved"
                && line["path"].as_str().map(PathBuf::from).as_ref() == Some(&made)
        };
        let document = told.hear("what was made", is_made)?;
        seen.other("told-of-made", Observation::Document { document });
        Ok(())
    }

    fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        self.open_both(["after-first", "after-last"], lab, seen)?;
        // Nothing after it is to run among so many files.
        fs::remove_dir_all(FOLDER).with_context(|| format!("removing {FOLDER}"))
    }
}

impl HoldsManyRules {
    fn open_both(&self, arms: [&'static str; 2], lab: &Lab, seen: &mut Seen) -> Result<()> {
        for (arm, number) in arms.into_iter().zip([0, EACH - 1]) {
            seen.act(arm, lab.ground.open(Place::Plain, &secret(number))?);
        }
        Ok(())
    }
}

fn benign() -> PathBuf {
    PathBuf::from(format!("{FOLDER}/benign"))
}

fn secret(number: usize) -> PathBuf {
    PathBuf::from(format!("{FOLDER}/secret-{number:04}"))
}

fn pending(number: usize) -> PathBuf {
    PathBuf::from(format!("{FOLDER}/pending-{number:04}"))
}
