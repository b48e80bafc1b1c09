//! With another signal than SIGKILL a process that doesn't ignore it dies, and one that does
//! reads the file: the operator's choice, which the report has among its limits.

use anyhow::Result;
use serde_json::json;
use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::Proof;
use crate::attempt::{Attempt, Verb, account};
use crate::lab::{During, Lab, Seen};
use crate::tier::rule;

/// See the module.
pub struct TermCanBeIgnored;

const SECRET: &str = "/srv/term-secret";
const NEIGHBOUR: &str = "/srv/term-neighbour";

impl Proof for TermCanBeIgnored {
    fn ids(&self) -> &'static [&'static str] {
        &["signal-term-can-be-ignored"]
    }

    fn rules(&self) -> Result<String> {
        Ok(rule("term", SECRET, "read-write"))
    }

    fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        for path in [SECRET, NEIGHBOUR] {
            fs::write(path, path).with_context(|| format!("writing {path}"))?;
        }
        read(lab, seen, "before", Verb::Read, SECRET)
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        seen.other("report", super::live_report(agent)?);
        read(lab, seen, "during", Verb::Read, SECRET)?;
        read(lab, seen, "ignoring", Verb::ReadIgnoringTerm, SECRET)?;
        read(lab, seen, "benign", Verb::Read, NEIGHBOUR)
    }

    fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        read(lab, seen, "after", Verb::Read, SECRET)
    }
}

fn read(lab: &Lab, seen: &mut Seen, arm: &'static str, verb: Verb, path: &str) -> Result<()> {
    let read = Attempt::on(verb, Path::new(path)).make(lab.ground.limit())?;
    seen.other(arm, account(read, json!({})));
    Ok(())
}
