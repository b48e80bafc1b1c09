//! The seam can only lower: a `bpf` that stands in its list alone doesn't count, nor does a
//! name in it that only has `bpf` in it.

use std::fs;

use anyhow::{Context, Result};

use super::Proof;
use crate::cgroup::Place;
use crate::lab::{During, Lab, Seen};

/// See the module.
pub struct SeamOnlyLowers;

impl Proof for SeamOnlyLowers {
    fn ids(&self) -> &'static [&'static str] {
        &["seam-never-raises", "seam-takes-whole-names"]
    }

    fn before(&self, lab: &Lab, _seen: &mut Seen) -> Result<()> {
        let listed = fs::read_to_string("/sys/kernel/security/lsm").context("reading the list")?;
        lab.agent.list_through_seam(&misleading(&listed))
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        seen.other("report", super::live_report(agent)?);
        seen.act("during", lab.ground.open_secret(Place::Plain)?);
        Ok(())
    }
}

/// The kernel's list with what mustn't be taken for its `bpf`.
fn misleading(listed: &str) -> String {
    let names: Vec<&str> = listed.trim().split(',').collect();
    match names.contains(&"bpf") {
        true => listed.trim().replace("bpf", "notbpf"),
        false => format!("{},bpf", listed.trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_misleads_whoever_doesn_t_look_twice() {
        assert_eq!(misleading("lockdown,bpf\n"), "lockdown,notbpf");
        assert_eq!(misleading("lockdown,yama\n"), "lockdown,yama,bpf");
    }
}
