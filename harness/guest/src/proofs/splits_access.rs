//! A rule that denies reading lets the file be written, and one that denies writing lets it
//! be read and executed. Executing is reading; truncating is writing.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use protocol::record::Observation;
use serde_json::{Map, Value, json};

use super::Proof;
use crate::attempt::{Attempt, SCRIPT, Verb, account};
use crate::lab::{During, Lab, Seen};
use crate::tier::{Tier, rule};

/// See the module.
pub struct SplitsAccess(pub Tier);

/// The arm, what is done, and to which file.
const ACTS: [(&str, Verb, &str); 15] = [
    ("unread-read", Verb::Read, "unread"),
    ("unread-execute", Verb::Execute, "unread"),
    ("unread-read-write", Verb::ReadWrite, "unread"),
    ("unread-write", Verb::Write, "unread"),
    ("unread-append", Verb::Append, "unread"),
    ("unwritten-read", Verb::Read, "unwritten"),
    ("unwritten-execute", Verb::Execute, "unwritten"),
    ("unwritten-read-write", Verb::ReadWrite, "unwritten"),
    ("unwritten-write", Verb::Write, "unwritten"),
    ("unwritten-append", Verb::Append, "unwritten"),
    ("unwritten-truncate", Verb::Truncate, "unwritten"),
    ("benign-read", Verb::Read, "neighbour"),
    ("benign-execute", Verb::Execute, "neighbour"),
    ("benign-write", Verb::Write, "neighbour"),
    ("benign-truncate", Verb::Truncate, "neighbour"),
];

impl Proof for SplitsAccess {
    fn ids(&self) -> &'static [&'static str] {
        self.0.of(&[
            "enforce-splits-access",
            "modret-splits-access",
            "signal-splits-access",
        ])
    }

    fn rules(&self) -> Result<String> {
        let rule = |id: &str, access| rule(id, &self.path(id).display().to_string(), access);
        Ok(rule("unread", "read") + &rule("unwritten", "write"))
    }

    fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        fs::create_dir(self.path("")).context("making the ground")?;
        seen.other("before", self.fates(lab)?);
        self.lay()
    }

    fn during(&self, lab: &Lab, _agent: &During, seen: &mut Seen) -> Result<()> {
        for (arm, verb, name) in ACTS {
            let path = self.path(name);
            let made = Attempt::on(verb, &path).make(lab.ground.limit())?;
            let empty = fs::metadata(path).context("asking for its length")?.len() == 0;
            seen.other(arm, account(made, json!({"empty": empty})));
        }
        Ok(())
    }

    fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        seen.other("after", self.fates(lab)?);
        Ok(())
    }
}

impl SplitsAccess {
    fn path(&self, name: &str) -> PathBuf {
        self.0.ground("/srv", "access").join(name)
    }

    fn lay(&self) -> Result<()> {
        for name in ["unread", "unwritten", "neighbour"] {
            let path = self.path(name);
            fs::write(&path, SCRIPT).with_context(|| format!("writing {name}"))?;
            rustix::fs::chmod(&path, rustix::fs::Mode::from_raw_mode(0o755))
                .with_context(|| format!("making {name} executable"))?;
        }
        Ok(())
    }

    /// What comes of each act while no agent is there.
    fn fates(&self, lab: &Lab) -> Result<Observation> {
        self.lay()?;
        let mut document = Map::new();
        for (arm, verb, name) in ACTS {
            let path = self.path(name);
            let fate = Attempt::on(verb, &path).fate(lab.ground.limit())?;
            document.insert(arm.to_owned(), fate);
        }
        let document = Value::Object(document);
        Ok(Observation::Document { document })
    }
}
