//! With a rule that denies writing, nothing new comes to stand at its path and what stands
//! there keeps its name: creating, linking and renaming are refused before they happen. In
//! the signal tier they aren't, and its report says so.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use protocol::record::Observation;
use serde_json::{Map, Value, json};

use super::Proof;
use crate::attempt::{Attempt, Verb, account};
use crate::lab::{During, Lab, Seen};
use crate::paused::Paused;
use crate::tier::{Tier, rule};

/// See the module.
pub struct GuardsNames(pub Tier);

/// An act on the names of the ground: the arm, what is done, on which, and to which.
type Act = (&'static str, Verb, &'static str, &'static str);

/// Each of them makes the forbidden name, or takes one from a forbidden file.
const ACTS: [Act; 9] = [
    ("create", Verb::Create, "unborn", ""),
    ("mknod", Verb::Mknod, "unborn", ""),
    ("symlink", Verb::Symlink, "unborn", ""),
    ("link-to-name", Verb::Link, "spare", "unborn"),
    ("rename-to-name", Verb::Rename, "spare", "unborn"),
    ("link-from-name", Verb::Link, "present", "elsewhere"),
    ("rename-from-name", Verb::Rename, "present", "elsewhere"),
    ("rename-over", Verb::Rename, "spare", "present"),
    ("exchange", Verb::Exchange, "spare", "present"),
];

impl Proof for GuardsNames {
    fn ids(&self) -> &'static [&'static str] {
        self.0.any_of(&[
            &["enforce-guards-names", "lockdown-enforce-guards-names"],
            &["modret-guards-names", "lockdown-modret-guards-names"],
            &["signal-leaves-names-open"],
        ])
    }

    fn rules(&self) -> Result<String> {
        Ok(["unborn", "present"]
            .map(|id| rule(id, &self.path(id).display().to_string(), "write"))
            .concat())
    }

    fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        seen.other("before", self.fates(lab)?);
        Ok(())
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        seen.other("report", super::live_report(agent)?);
        // So that it doesn't look at what is made while it is being made.
        let paused = Paused::stop(super::running(agent)?.pid())?;
        for act in ACTS {
            let name = act.0;
            let document = self.attempt(act)?.make(lab)?;
            seen.other(name, account(document, self.names()?));
            // Only the signal tier let it happen.
            if !self.0.prevents() {
                self.lay()?;
            }
        }
        drop(paused);
        let benign = self.attempt(("", Verb::Rename, "spare", "other"))?;
        seen.other("benign", account(benign.make(lab)?, self.names()?));
        let exempt = self.attempt(("", Verb::Create, "unborn", ""))?;
        let document = exempt.as_attempt().exempt().make(lab.ground.limit())?;
        seen.other("exempt", account(document, self.names()?));
        Ok(())
    }

    fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        seen.other("after", self.fates(lab)?);
        Ok(())
    }
}

/// An attempt that owns its paths.
struct Owned(Verb, PathBuf, PathBuf);

impl Owned {
    fn as_attempt(&self) -> Attempt<'_> {
        Attempt::between(self.0, &self.1, &self.2)
    }

    fn make(&self, lab: &Lab) -> Result<Value> {
        self.as_attempt().make(lab.ground.limit())
    }
}

impl GuardsNames {
    fn path(&self, name: &str) -> PathBuf {
        self.0.ground("/srv", "names").join(name)
    }

    fn attempt(&self, (_, verb, path, to): Act) -> Result<Owned> {
        Ok(Owned(verb, self.path(path), self.path(to)))
    }

    /// The names as they are at first.
    fn lay(&self) -> Result<()> {
        let ground = self.path("");
        fs::create_dir_all(&ground).context("making the ground")?;
        for entry in fs::read_dir(&ground).context("listing the ground")? {
            fs::remove_file(entry?.path()).context("clearing the ground")?;
        }
        for name in ["present", "spare"] {
            fs::write(self.path(name), name).with_context(|| format!("writing {name}"))?;
        }
        Ok(())
    }

    /// What stands at each name: a file's content, or that it is none.
    fn names(&self) -> Result<Value> {
        let mut names = Map::new();
        for entry in fs::read_dir(self.path("")).context("listing the ground")? {
            let entry = entry?;
            let content = match entry.file_type()?.is_file() {
                true => fs::read_to_string(entry.path()).context("reading a file")?,
                false => "no file".to_owned(),
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            names.insert(name, content.into());
        }
        Ok(json!({"names": names}))
    }

    /// What comes of each act on names as they are at first.
    fn fates(&self, lab: &Lab) -> Result<Observation> {
        let mut document = Map::new();
        for act in ACTS {
            self.lay()?;
            let mut account = self.attempt(act)?.make(lab)?;
            document.insert(act.0.to_owned(), account["fate"].take());
        }
        self.lay()?;
        let document = Value::Object(document);
        Ok(Observation::Document { document })
    }
}
