//! Decoys: files and names of our own that rules deny, for the canary to meet.
//!
//! In: nothing. Out: a private folder with what each hook's canary needs, removed when
//! dropped, and the rules on it. Hooks that see only paths have decoys of their own, which no
//! inode rule names: else the kprobe could kill for the tracepoint that didn't.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context as _, Result};

use super::acts::{Act, Target};
use super::maps::{Contents, Name, PathBytes};
use crate::classes::Errand;
use crate::host::{self, folder};
use crate::kernel::abi::{ACCESS_READ, ACCESS_WRITE, Rule};
use crate::kernel::identity::{self, Identify, Identity};
use crate::posture::Action;

/// Where the folder is made. Volatile, like what is in it.
const RUNTIME_DIR: &str = "/run/aegisbpf";

/// What the folder is called, before the agent's pid.
const PREFIX: &str = "decoys-";

/// Rule numbers from here up are decoys; a policy can't have that many rules. Below the last
/// one, [`crate::kernel::abi::UNPLACED_RULE`].
const FIRST_DECOY_RULE: u32 = u32::MAX - 16;

/// The folder with the decoys.
#[derive(Debug)]
pub struct Decoys {
    folder: PathBuf,
    /// The folder and the decoy files, as the hooks see them; empty until identified.
    found: Vec<(Decoy, Identity)>,
    found_folder: Option<Identity>,
}

/// How a decoy is named by a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Inode,
    Name,
    Path,
}

type Decoy = (By, Action);

const DECOYS: [Decoy; 6] = [
    (By::Inode, Action::Deny),
    (By::Inode, Action::Observe),
    (By::Name, Action::Deny),
    (By::Name, Action::Observe),
    (By::Path, Action::Deny),
    (By::Path, Action::Observe),
];

impl Decoys {
    /// How many entries they take in a map, at most.
    pub const RULES: usize = DECOYS.len();

    /// Makes the folder and the files.
    pub fn make() -> Result<Self> {
        // Nobody else has a say in what the decoys are, nor in whether they can be made.
        folder::open(RUNTIME_DIR.as_ref())?;
        for leftover in host::leftovers(RUNTIME_DIR.as_ref(), PREFIX) {
            // If it is in our way, the creation below says so.
            let _ = fs::remove_dir_all(&leftover);
        }
        let folder = Path::new(RUNTIME_DIR).join(format!("{PREFIX}{}", process::id()));
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("mkdir {}", folder.display()))?;
        let decoys = Self {
            folder,
            found: Vec::new(),
            found_folder: None,
        };
        fs::write(decoys.control(), "control\n").context("failed to write the control file")?;
        for decoy in DECOYS.iter().filter(|(by, _)| *by != By::Name) {
            let path = decoys.path(*decoy);
            fs::write(&path, "decoy\n").with_context(|| path.display().to_string())?;
        }
        Ok(decoys)
    }

    /// Asks the kernel what the decoys are to the hooks. No rule names one before.
    pub fn identify(&mut self, kernel: &mut dyn Identify) -> Result<()> {
        let files: Vec<Decoy> = DECOYS
            .into_iter()
            .filter(|(by, _)| *by == By::Inode)
            .collect();
        let mut opened = vec![File::open(&self.folder).context("failed to open the decoys")?];
        for decoy in &files {
            opened.push(identity::open(&self.path(*decoy)).context("failed to open a decoy")?);
        }
        let opened: Vec<&File> = opened.iter().collect();
        let mut found = kernel.identify_for_good(&opened)?.into_iter();
        self.found_folder = found.next();
        self.found = files.into_iter().zip(found).collect();
        Ok(())
    }

    /// What the canary is to do by an act, and with which rule's action. A hook that sees only the
    /// path has a decoy of its own.
    pub fn errand(&self, act: Act, by_path: bool, action: Action) -> Errand {
        let by = match act.target() {
            Target::File if by_path => By::Path,
            Target::File => By::Inode,
            Target::NewName => By::Name,
        };
        Errand {
            act: act.into(),
            control: match act.target() {
                Target::File => self.control(),
                Target::NewName => self.folder.join("new-name"),
            },
            decoy: self.path((by, action)),
            scratch: self.folder.join("scratch"),
        }
    }

    /// Adds the decoys' rules to what the maps are to hold.
    pub fn add_rules(&self, contents: &mut Contents) {
        for (number, decoy) in (FIRST_DECOY_RULE..).zip(DECOYS) {
            let (by, action) = decoy;
            let path = self.path(decoy);
            let rule = Rule {
                id: number,
                action: action as u16,
                access: ACCESS_READ | ACCESS_WRITE,
            };
            match by {
                By::Inode => {
                    let found = self.found.iter().find(|(found, _)| *found == decoy);
                    if let Some((_, identity)) = found {
                        contents.inode(identity).exact = rule;
                    }
                }
                By::Name => {
                    let name = path.file_name().unwrap_or(OsStr::new(""));
                    if let Some(folder) = &self.found_folder
                        && let Some(key) = Name::new(folder.inode, name.as_bytes())
                    {
                        contents.inode(folder).has_names = 1;
                        contents.names.insert(key, rule);
                    }
                }
                By::Path => {
                    if let Some(key) = PathBytes::new(path.as_os_str().as_bytes()) {
                        contents.paths.insert(key, rule);
                    }
                }
            }
        }
    }

    /// The id and path of a decoy's rule, for events.
    pub fn rule_name(&self, number: u32) -> Option<(&'static str, PathBuf)> {
        let index = number.checked_sub(FIRST_DECOY_RULE)?;
        let decoy = *DECOYS.get(index as usize)?;
        let name = match decoy.1 {
            Action::Deny => "decoy-deny",
            Action::Observe => "decoy-observe",
        };
        Some((name, self.path(decoy)))
    }

    /// A file that no rule names.
    fn control(&self) -> PathBuf {
        self.folder.join("control")
    }

    fn path(&self, (by, action): Decoy) -> PathBuf {
        let by = match by {
            By::Inode => "file",
            By::Name => "name",
            By::Path => "path",
        };
        let action = match action {
            Action::Deny => "deny",
            Action::Observe => "observe",
        };
        self.folder.join(format!("{by}-{action}"))
    }
}

impl Drop for Decoys {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            crate::output::log::warn(format_args!(
                "failed to remove the decoys in {}: {error}",
                self.folder.display()
            ));
        }
        // Fails where another agent still has decoys there, which is right.
        let _ = fs::remove_dir(RUNTIME_DIR);
    }
}
