//! Where the kernel is locked down, a rule that needs what no BPF program may read there is listed
//! as not enforced, with that reason: one on a file whose name is too long to stand in the dentry
//! itself, and one on a folder in which a file system is mounted that is shown elsewhere too. With
//! `--enforce-gate-mode=audit-fallback` the other rules are enforced; fail-closed, the agent
//! refuses.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::Clause;
use serde_json::json;

use crate::arms::{denied_open, equals, reasons, refused};
use crate::boot::Boot;
use crate::claims::claims_enforce;
use crate::configuration::{LOCKDOWN_ENFORCE_UNREADABLE, LOCKDOWN_FAIL_CLOSED};
use crate::sabotage::Sweeps;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Lockdown,
    id: "admits-unreadable-rules",
    text: "A rule that needs what can't be read there is listed as not enforced, and the reason \
           names the lockdown: a rule on a file whose name is too long to stand in the dentry itself \
           (one of 60 bytes is tried), and a rule on a folder in which a file system is mounted that \
           is shown elsewhere too. With `--enforce-gate-mode=audit-fallback` the other rules are enforced all the \
           same; fail-closed, the agent refuses, and leaves no BPF program or link behind.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    // They are listed, and the third is enforced.
    let claim = [
        &claims_enforce()[..],
        &names_unreadable(),
        &[equals("/rules/enforced", 1)],
    ];
    // Fail-closed, they keep the agent from starting, and nothing else does.
    let nothing_else = equals("/enforce_blockers", json!([]));
    let because = [&names_unreadable()[..], &[nothing_else]];
    vec![
        Proof::new(
            "lockdown-admits-unreadable-rules",
            Boot::Lockdown,
            &LOCKDOWN_ENFORCE_UNREADABLE,
            acts!(acts::AdmitsUnreadableRules),
            denied_open(&claim.concat(), Tier::Lsm),
        ),
        Proof::new(
            "lockdown-refuses-unreadable-rules",
            Boot::Lockdown,
            &LOCKDOWN_FAIL_CLOSED,
            acts!(acts::RefusesUnreadableRules),
            refused(&because.concat()),
        )
        .swept(Sweeps::REFUSAL),
    ]
}

/// The rules that need what can't be read there: on a name too long to stand in the dentry
/// itself, and on a folder in which a file system is mounted that is shown elsewhere too.
fn names_unreadable() -> [Clause; 3] {
    let word = "lockdown";
    [
        equals("/rules/total", 3),
        reasons("/rules/unenforced", json!({"rule": "long-name"}), word),
        reasons("/rules/unenforced", json!({"rule": "mounted-upon"}), word),
    ]
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;
    use std::path::Path;

    use anyhow::{Context, Result};
    use rustix::mount::{MountFlags, mount, mount_bind};

    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, rule};
    use crate::promises::denies_open::acts::DeniesOpen;
    use crate::promises::fails_closed::acts::Refuses;

    /// The rule on the secret is enforced beside those that aren't.
    #[derive(Debug)]
    pub struct AdmitsUnreadableRules;

    /// Nothing is enforced, and no agent runs.
    #[derive(Debug)]
    pub struct RefusesUnreadableRules;

    /// Longer than any kernel's dentry has room for: 40 bytes with the NUL, and fewer in older ones.
    const LONG_NAME: &str = "a-name-of-sixty-bytes-which-stands-outside-of-its-own-dentry";

    impl Acts for AdmitsUnreadableRules {
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

    impl Acts for RefusesUnreadableRules {
        fn rules(&self) -> Result<String> {
            lay(Path::new("/srv/refuses-unreadable"))
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            Refuses.during(lab, agent, seen)
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
        let shown = ground.join("shown");
        fs::create_dir_all(&shown).with_context(|| format!("making {}", shown.display()))?;
        mount_bind(&mounted, &shown)
            .with_context(|| format!("showing it on {}", shown.display()))?;
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
}
