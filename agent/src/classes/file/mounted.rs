//! What is mounted beneath the folders that rules are on.
//!
//! In: resolved rules and the mount table. Out: for each rule on a folder, what is mounted beneath it
//! as the hooks know it, and what a rule is loose on.
//!
//! The hooks find the folder above what is opened, and from the top of a file system on the folder
//! that it is mounted on. That is the folder of the very mount that the file was reached by: whoever
//! mounts the file system elsewhere, as any user can in namespaces of his own, leaves the folder
//! behind. So what is mounted beneath it becomes a target of the rule itself, whatever mount it is
//! reached by. Where the machine shows it elsewhere too, it doesn't: the rule names the folder and not
//! what stands elsewhere.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, Result};

use super::hold::keep_target;
use super::resolve::ResolvedRule;
use crate::host::Mount;
use crate::host::shown::{Beneath, Device, Shown};
use crate::host::tree::{Folder, Leaf, Stands, mount_shown};
use crate::host::way::{Ways, is_shortage};
use crate::kernel::abi::InodeKey;
use crate::kernel::identity::{Identify, Identity};

/// How much that is mounted beneath folders is held for all rules together. Each takes a place in the
/// maps, whose sizes are set before anything is known of mounts, and a descriptor while it is looked
/// at.
pub const MOST: usize = 64;

/// Other machines or processes answer for these. Whoever asks may wait for ever, so none is asked.
const ANSWERED_ELSEWHERE: [&str; 15] = [
    "9p", "afs", "ceph", "cifs", "coda", "fuse", "fuseblk", "gfs2", "lustre", "nfs", "nfs4",
    "ocfs2", "orangefs", "smb3", "virtiofs",
];

/// A user mounts these anew in namespaces of his own: another file system to the kernel, with the
/// same in it.
const MADE_ANEW: [&str; 4] = ["devpts", "mqueue", "proc", "sysfs"];

/// What has nothing in it but mount points, and mounts something there as soon as it is entered.
const AUTOMOUNT: &str = "autofs";

/// What is mounted beneath a rule's folder.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// What the rule holds wherever it is shown.
    pub held: Vec<Held>,
    /// What can be had by another mount.
    pub loose: Option<Loose>,
}

/// What one mount shows, as the hooks know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The folder or the file.
    pub identity: Identity,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// What is mounted beneath a rule's folder and can be had by another mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loose {
    /// On what it is mounted.
    pub point: PathBuf,
    /// Why, as the end of a sentence on what is mounted there.
    pub why: String,
    /// Whether it is held wherever it is shown, and can be made anew.
    pub is_held: bool,
    /// How much else is.
    pub others: usize,
}

impl Mounted {
    fn loosen(&mut self, point: &Path, why: String, is_held: bool) {
        let others = self.loose.as_ref().map_or(0, |loose| loose.others + 1);
        match &mut self.loose {
            // What isn't held at all is the worse.
            Some(loose) if is_held || !loose.is_held => loose.others = others,
            loose => {
                *loose = Some(Loose {
                    point: point.to_owned(),
                    why,
                    is_held,
                    others,
                });
            }
        }
    }
}

/// Looks at what is mounted beneath the rules' folders. Says for which rules that is something else
/// than before.
///
/// # Errors
/// The kernel didn't say what a file is, or the agent has used up what a look takes.
pub fn hold(
    rules: &mut [ResolvedRule],
    mounts: &[Mount],
    kernel: &mut dyn Identify,
) -> Result<Vec<usize>> {
    let shown = Shown::new(mounts);
    let mut look = Look::new(&shown, rules)?;
    let mut plans = Vec::new();
    for (number, resolved) in rules.iter().enumerate() {
        if let (Some(stands), Ok(_)) = (&resolved.stands, &resolved.target) {
            let plan = look.beneath(&stands.path, stands.mount)?;
            if plan != Plan::default() {
                plans.push((number, plan));
            }
        }
    }
    let files: Vec<&File> = look.reached.iter().map(Reached::file).collect();
    let identities = match files.is_empty() {
        true => Vec::new(),
        false => kernel.identify(&files)?,
    };
    let mut found: Vec<Result<Held, String>> = Vec::new();
    for (reached, mut identity) in look.reached.iter().zip(identities) {
        let address = *look.keys.entry(identity.inode).or_insert(identity.address);
        let is_folder = matches!(reached, Reached::Folder(_));
        let kept = match address == identity.address {
            // The hooks tell a folder from another of its number by its inode's address.
            true => keep_target(&mut identity, reached.file(), is_folder, None, kernel)
                .map_err(|error| format!("isn't held: {error:#}")),
            false => Err("has the number of another file that a rule is on".to_owned()),
        };
        found.push(kept.map(|()| Held {
            identity,
            is_folder,
        }));
    }
    let mut now: HashMap<usize, Mounted> = HashMap::new();
    for (number, plan) in plans {
        now.insert(number, plan.mounted(&found)?);
    }
    let mut changed = Vec::new();
    for (number, resolved) in rules.iter_mut().enumerate() {
        let mounted = now.remove(&number).unwrap_or_default();
        if resolved.mounted != mounted {
            resolved.mounted = mounted;
            changed.push(number);
        }
    }
    Ok(changed)
}

/// What a rule is to hold: places in the list of what was reached, each with a point at which it is
/// mounted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan<'a> {
    held: Vec<(usize, &'a Path)>,
    mounted: Mounted,
}

impl Plan<'_> {
    fn mounted(self, found: &[Result<Held, String>]) -> Result<Mounted> {
        let mut mounted = self.mounted;
        for (index, point) in self.held {
            let found = found.get(index);
            match found.context("a mount that the kernel told nothing of")? {
                Ok(held) => mounted.held.push(*held),
                Err(why) => mounted.loosen(point, why.clone(), false),
            }
        }
        Ok(mounted)
    }
}

/// What a mount shows, open with `O_PATH`.
enum Reached {
    Folder(Rc<Folder>),
    File(Leaf),
}

impl Reached {
    fn file(&self) -> &File {
        match self {
            Self::Folder(folder) => &folder.file,
            Self::File(leaf) => &leaf.file,
        }
    }
}

/// A look at what is mounted, for all rules at about one moment.
struct Look<'a> {
    shown: &'a Shown<'a>,
    ways: Ways,
    reached: Vec<Reached>,
    /// What was looked at before: a place in the list above, or why it can't be reached.
    known: HashMap<(Device, &'a Path), Result<usize, String>>,
    /// What the rules' own targets are known by.
    keys: HashMap<InodeKey, u64>,
}

impl<'a> Look<'a> {
    fn new(shown: &'a Shown<'a>, rules: &[ResolvedRule]) -> Result<Self> {
        let targets = rules.iter().filter_map(|rule| rule.target.as_ref().ok());
        let keys = targets.map(|target| (target.inode, target.address));
        Ok(Self {
            shown,
            ways: Ways::new().context("failed to open the root of all paths")?,
            reached: Vec::new(),
            known: HashMap::new(),
            keys: keys.collect(),
        })
    }

    /// What is to be held of what is mounted beneath a folder that was reached by this mount.
    fn beneath(&mut self, folder: &Path, mount: u64) -> Result<Plan<'a>> {
        let mut plan = Plan::default();
        let mut roots: HashMap<Device, Vec<PathBuf>> = HashMap::new();
        if let Some((device, root)) = in_its_file_system(self.shown, folder, mount) {
            roots.entry(device).or_default().push(root);
        }
        for beneath in self.shown.beneath(folder) {
            let Some(first) = beneath.mounts.first() else {
                continue;
            };
            // Both what the rule is on and what it holds reach down to all that is in it.
            let held = roots.entry(beneath.device).or_default();
            let is_within = held.iter().any(|root| beneath.root.starts_with(root));
            if is_within || first.fs_type == AUTOMOUNT {
                continue;
            }
            if beneath.elsewhere {
                let why = "is shown outside of the folder too".to_owned();
                plan.mounted.loosen(&first.point, why, false);
                continue;
            }
            match self.reach(&beneath, folder)? {
                Ok(index) => {
                    held.push(beneath.root.to_owned());
                    plan.held.push((index, &first.point));
                    if MADE_ANEW.contains(&first.fs_type.as_str()) {
                        let why = format!("is {}, which anybody can mount anew", first.fs_type);
                        plan.mounted.loosen(&first.point, why, true);
                    }
                }
                Err(why) => plan.mounted.loosen(&first.point, why, false),
            }
        }
        Ok(plan)
    }

    /// Opens what a mount shows, by any of the mounts that show it beneath the folder.
    fn reach(&mut self, beneath: &Beneath<'a>, folder: &Path) -> Result<Result<usize, String>> {
        let key = (beneath.device, beneath.root);
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        if self.reached.len() >= MOST {
            let why = format!("comes after {MOST} others that rules hold, and no more are held");
            return Ok(Err(why));
        }
        let mut reached = Err(String::new());
        for mount in beneath.mounts.iter().take(MOST) {
            reached = self.open(mount, folder)?;
            if reached.is_ok() {
                break;
            }
        }
        let reached = reached.map(|reached| {
            self.reached.push(reached);
            self.reached.len() - 1
        });
        self.known.insert(key, reached.clone());
        Ok(reached)
    }

    /// Opens what a mount shows. Whoever moves folders about meanwhile may have its path lead
    /// elsewhere, so what was opened must be that mount's.
    fn open(&mut self, mount: &Mount, folder: &Path) -> Result<Result<Reached, String>> {
        let on_the_way = mount.point.ancestors();
        let mut on_the_way = on_the_way.take_while(|point| point.starts_with(folder));
        let asks_others = |point: &Path| {
            let mounts = self.shown.on(point).iter();
            mounts
                .map(|mount| mount.fs_type.as_str())
                .any(answered_elsewhere)
        };
        if on_the_way.any(asks_others) {
            let why = "is on a file system that another machine or a process answers for";
            return Ok(Err(why.to_owned()));
        }
        let stands = match self.ways.look(&mount.point) {
            Ok((_, stands)) => stands,
            Err(error) if is_shortage(&error) => {
                return Err(error).context("failed to look up what is mounted beneath a folder");
            }
            Err(error) => return Ok(Err(format!("can't be looked up: {error}"))),
        };
        let reached = match stands {
            Stands::Folder(folder) => Reached::Folder(folder),
            Stands::File(leaf) => Reached::File(leaf),
            Stands::Barred(why) => return Ok(Err(format!("isn't looked up, as it {why}"))),
            Stands::Missing | Stands::Link { .. } => {
                return Ok(Err("isn't where the mount table has it".to_owned()));
            }
        };
        match mount_shown(reached.file()) {
            Ok(Some(id)) if id == mount.id => Ok(Ok(reached)),
            Ok(_) => Ok(Err("has another mount over it".to_owned())),
            Err(error) => Ok(Err(format!("can't be looked at: {error}"))),
        }
    }
}

/// Which folder of its file system a folder is, that was reached by this mount. `None` where the
/// mount is gone, or another by now.
fn in_its_file_system(shown: &Shown, folder: &Path, mount: u64) -> Option<(Device, PathBuf)> {
    let mount = shown.by_id(mount)?;
    let within = folder.strip_prefix(&mount.point).ok()?;
    Some((mount.device, mount.root.join(within)))
}

fn answered_elsewhere(fs_type: &str) -> bool {
    fs_type.starts_with("fuse.") || ANSWERED_ELSEWHERE.contains(&fs_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(id: u64, device: Device, root: &str, point: &str) -> Mount {
        Mount {
            id,
            device,
            root: PathBuf::from(root),
            point: PathBuf::from(point),
            fs_type: "ext4".to_owned(),
            user: None,
        }
    }

    #[test]
    fn a_folder_has_a_path_in_its_own_file_system_whatever_of_that_is_mounted_where() {
        let mounts = [
            mount(1, (8, 1), "/", "/"),
            mount(2, (8, 2), "/x/y", "/srv/a"),
        ];
        let shown = Shown::new(&mounts);
        let of = |folder: &str, mount| in_its_file_system(&shown, Path::new(folder), mount);
        assert_eq!(of("/srv", 1), Some(((8, 1), "/srv".into())));
        assert_eq!(of("/srv/a", 2), Some(((8, 2), "/x/y".into())));
        assert_eq!(of("/srv/a/b", 2), Some(((8, 2), "/x/y/b".into())));
        assert_eq!(of("/srv", 2), None, "it was moved");
        assert_eq!(of("/srv", 3), None);
    }

    #[test]
    fn file_systems_of_other_machines_and_processes_are_known_by_their_types() {
        for fs_type in ["fuse", "fuse.sshfs", "nfs4", "virtiofs"] {
            assert!(answered_elsewhere(fs_type), "{fs_type}");
        }
        for fs_type in ["ext4", "tmpfs", "overlay", "fusectl", "nfsd"] {
            assert!(!answered_elsewhere(fs_type), "{fs_type}");
        }
    }

    #[test]
    fn of_what_is_loose_the_first_that_isn_t_held_at_all_is_told_with_how_many_there_are() {
        let mut mounted = Mounted::default();
        for (point, is_held) in [("/a", true), ("/b", false), ("/c", false), ("/d", true)] {
            mounted.loosen(Path::new(point), format!("is {point}"), is_held);
        }
        let loose = mounted.loose.expect("some are");
        assert_eq!((loose.point.as_path(), loose.others), (Path::new("/b"), 3));
        assert_eq!(loose.why, "is /b");
    }
}
