//! Decoys: files of our own that rules deny, for the canary to open.
//!
//! In: nothing. Out: a private folder with a control file and a decoy for each tier and
//! action, removed when dropped. Each tier has decoys of its own, so that one tier's canary
//! can't meet another tier's program first.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context as _, Result, anyhow};

use crate::abi::{Action, InodeKey, PathKey, Rule};
use crate::host;
use crate::maps::Contents;
use crate::posture::Tier;
use crate::resolve;

/// Where the folder is made. Volatile, like what is in it.
const RUNTIME_DIR: &str = "/run/aegisbpf";

/// What the folder is called, before the agent's pid.
const PREFIX: &str = "decoys-";

/// Rule numbers from here up are decoys; a policy can't have that many rules.
/// One below what four decoys would need: counting them must not run past the last number.
const FIRST_DECOY_RULE: u32 = u32::MAX - 4;

/// The folder with the decoys.
#[derive(Debug)]
pub struct Decoys {
    folder: PathBuf,
}

const KINDS: [(Tier, Action); 4] = [
    (Tier::Lsm, Action::Deny),
    (Tier::Lsm, Action::Observe),
    (Tier::Signal, Action::Deny),
    (Tier::Signal, Action::Observe),
];

impl Decoys {
    /// How many rules they take in each map.
    pub const RULES: usize = KINDS.len();

    /// Makes the folder and the files.
    pub fn make() -> Result<Self> {
        fs::create_dir_all(RUNTIME_DIR).with_context(|| format!("mkdir {RUNTIME_DIR}"))?;
        for leftover in host::leftovers(RUNTIME_DIR.as_ref(), PREFIX) {
            // If it is in our way, the creation below says so.
            let _ = fs::remove_dir_all(&leftover);
        }
        let folder = Path::new(RUNTIME_DIR).join(format!("{PREFIX}{}", process::id()));
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("mkdir {}", folder.display()))?;
        let decoys = Self { folder };
        fs::write(decoys.control(), "control\n").context("failed to write the control file")?;
        for (tier, action) in KINDS {
            let decoy = decoys.decoy(tier, action);
            fs::write(&decoy, "decoy\n").with_context(|| decoy.display().to_string())?;
        }
        Ok(decoys)
    }

    /// A file that no rule names.
    pub fn control(&self) -> PathBuf {
        self.folder.join("control")
    }

    /// The file that the tier's rule with this action names.
    pub fn decoy(&self, tier: Tier, action: Action) -> PathBuf {
        let action = match action {
            Action::Deny => "deny",
            Action::Observe => "observe",
        };
        self.folder.join(format!("{}-{action}", tier.name()))
    }

    /// Adds the decoys' rules to what the maps are to hold.
    pub fn add_rules(&self, contents: &mut Contents) -> Result<()> {
        let mounts = host::mounts()?;
        for (number, (tier, action)) in (FIRST_DECOY_RULE..).zip(KINDS) {
            let path = self.decoy(tier, action);
            let rule = Rule {
                id: number,
                action: action as u32,
            };
            match tier {
                Tier::Lsm => {
                    let key: InodeKey = resolve::inode(&path, &mounts)
                        .map_err(|limit| anyhow!("{}: {}", path.display(), limit.reason))?;
                    contents.inodes.insert(key, rule);
                }
                Tier::Signal => {
                    let key = PathKey::new(&path).context("the decoy's path is too long")?;
                    contents.paths.insert(key, rule);
                }
            }
        }
        Ok(())
    }

    /// The id and path of a decoy's rule, for events.
    pub fn rule_name(&self, number: u32) -> Option<(&'static str, PathBuf)> {
        let index = number.checked_sub(FIRST_DECOY_RULE)?;
        let (tier, action) = *KINDS.get(index as usize)?;
        let name = match action {
            Action::Deny => "decoy-deny",
            Action::Observe => "decoy-observe",
        };
        Some((name, self.decoy(tier, action)))
    }
}

impl Drop for Decoys {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            crate::log::warn(format_args!(
                "failed to remove the decoys in {}: {error}",
                self.folder.display()
            ));
        }
        // Fails where another agent still has decoys there, which is right.
        let _ = fs::remove_dir(RUNTIME_DIR);
    }
}
