//! Where the kernel is locked down, a rule that needs what no BPF program may read there is listed
//! as not enforced, with that reason: one on a file whose name is too long to stand in the dentry
//! itself, and one on a folder in which another file system is mounted. With
//! `--enforce-gate-mode=audit-fallback` the other rules are enforced; fail-closed, the agent
//! refuses.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};

use super::Proof;
use super::denies_open::DeniesOpen;
use super::refuses::Refuses;
use crate::lab::{During, Lab, Seen};
use crate::tier::rule;

/// The rule on the secret is enforced beside those that aren't.
pub struct AdmitsUnreadableRules;

/// Nothing is enforced, and no agent runs.
pub struct RefusesUnreadableRules;

/// Longer than any kernel's dentry has room for: 40 bytes with the NUL, and fewer in older ones.
const LONG_NAME: &str = "a-name-of-sixty-bytes-which-stands-outside-of-its-own-dentry";

impl Proof for AdmitsUnreadableRules {
    fn ids(&self) -> &'static [&'static str] {
        &["lockdown-admits-unreadable-rules"]
    }

    fn rules(&self) -> Result<String> {
        lay(Path::new("/srv/admits-unreadable"))
    }

    fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        DeniesOpen.before(lab, seen)
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        DeniesOpen.during(lab, agent, seen)
    }

    fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        DeniesOpen.after(lab, seen)
    }
}

impl Proof for RefusesUnreadableRules {
    fn ids(&self) -> &'static [&'static str] {
        &["lockdown-refuses-unreadable-rules"]
    }

    fn rules(&self) -> Result<String> {
        lay(Path::new("/srv/refuses-unreadable"))
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        Refuses.during(lab, agent, seen)
    }

    fn watches_bpf_objects(&self) -> bool {
        Refuses.watches_bpf_objects()
    }
}

/// Makes what the rules are on, and gives them. It is all there at the start: nothing is listed
/// for being awaited.
fn lay(ground: &Path) -> Result<String> {
    let (long, folder) = (ground.join(LONG_NAME), ground.join("folder"));
    let mounted = folder.join("mounted");
    fs::create_dir_all(&mounted).with_context(|| format!("making {}", mounted.display()))?;
    mount("tmpfs", &mounted, "tmpfs", MountFlags::empty(), None)
        .with_context(|| format!("mounting tmpfs on {}", mounted.display()))?;
    fs::write(&long, LONG_NAME).with_context(|| format!("writing {}", long.display()))?;
    Ok([
        rule("long-name", &long.display().to_string(), "read-write"),
        rule(
            "mounted-upon",
            &format!("{}/", folder.display()),
            "read-write",
        ),
    ]
    .concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_name_is_as_long_as_it_says() {
        assert_eq!(LONG_NAME.len(), 60);
    }
}
