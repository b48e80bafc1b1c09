//! The tracepoints of system calls, which cost every process, are attached only once a rule is
//! known by its path alone, and then kept. What the kernel holds shows it, beside the report.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, Result};
use protocol::record::Observation;
use serde_json::json;

use super::Proof;
use crate::agent::Running;
use crate::attempt::{Attempt, Verb, account};
use crate::bpf_objects;
use crate::lab::{During, Lab, Seen};
use crate::paused::Paused;
use crate::tier::{Tier, rule};

/// See the module.
pub struct AttachesWhatIsNeeded;

/// The programs of the signal tier are called so.
const OURS: &str = "sig_";

impl Proof for AttachesWhatIsNeeded {
    fn ids(&self) -> &'static [&'static str] {
        &["signal-attaches-what-is-needed"]
    }

    fn rules(&self) -> Result<String> {
        let file = folder().join("file");
        Ok(rule("wandering", &file.display().to_string(), "read-write"))
    }

    fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        // An earlier life of the agent in this boot may have had it too.
        match fs::remove_dir_all(ground()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).context("removing the ground of before");
            }
            _ => make()?,
        }
        self.fate(lab, seen, "before")
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        let running = super::running(agent)?;
        programs(seen, "at-start")?;
        seen.other("report-at-start", super::live_report(agent)?);

        let mut heard = running.listen();
        // At once with all that is in it.
        fs::rename(folder(), folder().with_extension("away"))
            .context("renaming the folder of a rule")?;
        heard.hear("a rule that leads nowhere", |line| {
            line["event"] == "resolved" && line["present"] == false
        })?;
        programs(seen, "once-needed")?;
        seen.other("report-once-needed", super::live_report(agent)?);
        by_path(lab, running, seen)?;
        heard.hear("a rule that leads somewhere", |line| {
            line["event"] == "resolved" && line["present"] == true
        })?;
        programs(seen, "kept")
    }

    fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        self.fate(lab, seen, "after")
    }
}

impl AttachesWhatIsNeeded {
    /// What comes of reading the file without the agent.
    fn fate(&self, lab: &Lab, seen: &mut Seen, arm: &str) -> Result<()> {
        let file = folder().join("file");
        let read = Attempt::on(Verb::Read, &file);
        let document = json!({ "fate": read.fate(lab.ground.limit())? });
        seen.other(arm, Observation::Document { document });
        Ok(())
    }
}

/// While the agent stands still, so that it can't have looked at what is there now.
fn by_path(lab: &Lab, running: &Running, seen: &mut Seen) -> Result<()> {
    let paused = Paused::stop(running.pid())?;
    make()?;
    let read = Attempt::on(Verb::Read, &folder().join("file")).make(lab.ground.limit())?;
    seen.other("by-path", account(read, json!({})));
    drop(paused);
    Ok(())
}

fn ground() -> PathBuf {
    Tier::Signal.ground("/srv", "needs")
}

fn folder() -> PathBuf {
    ground().join("wandering")
}

fn make() -> Result<()> {
    fs::create_dir_all(folder()).context("making the folder of a rule")?;
    fs::write(folder().join("file"), "secret\n").context("making the file of a rule")
}

/// Which of the agent's programs the kernel holds, by the names that it has for them.
fn programs(seen: &mut Seen, arm: &str) -> Result<()> {
    let names = bpf_objects::program_names()?;
    let names: Vec<&String> = names.iter().filter(|name| name.starts_with(OURS)).collect();
    let document = json!({ "programs": names });
    seen.other(arm, Observation::Document { document });
    Ok(())
}
