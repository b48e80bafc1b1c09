//! From names in a policy to what the kernel side compares: inodes, paths, cgroup ids.
//!
//! In: the policy and the machine's files. Out: for each rule the keys of its target, or why
//! a tier has none. Targets are opened with `O_PATH`, which no open hook sees, so the agent
//! doesn't trip over its own rules.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::abi::{InodeKey, PATH_KEY_LEN, PathKey};
use crate::cgroups::Hierarchy;
use crate::gate::{Limit, RuleFacts};
use crate::host::{self, Mount};
use crate::policy::{Access, ExemptCgroup, FileRule, Policy, PolicyError};
use crate::posture::{Class, Tier};

/// A rule with what its tiers compare.
#[derive(Debug)]
pub struct ResolvedRule {
    /// The rule's id.
    pub id: String,
    /// The path as the policy has it.
    pub path: String,
    /// For tiers that see an inode.
    pub inode: Result<InodeKey, Limit>,
    /// For the tier that sees paths: as written and, if it differs, canonical.
    pub paths: Result<Vec<PathKey>, Limit>,
}

impl ResolvedRule {
    /// The rule, as the gate sees it.
    pub fn facts(&self) -> RuleFacts {
        let mut limits = BTreeMap::new();
        if let Err(limit) = &self.inode {
            limits.insert(Tier::Lsm, limit.clone());
        }
        if let Err(limit) = &self.paths {
            limits.insert(Tier::Signal, limit.clone());
        }
        RuleFacts {
            id: self.id.clone(),
            class: Class::File,
            limits,
        }
    }
}

/// Resolves every rule against the files as they are now.
pub fn rules(policy: &Policy) -> Result<Vec<ResolvedRule>> {
    let mounts = host::mounts()?;
    Ok(policy
        .files
        .iter()
        .map(|rule| {
            let path = Path::new(&rule.path);
            let (inode, paths) = match not_yet(rule) {
                Some(limit) => (Err(limit.clone()), Err(limit)),
                None => (inode(path, &mounts), paths(path)),
            };
            ResolvedRule {
                id: rule.id.clone(),
                path: rule.path.clone(),
                inode,
                paths,
            }
        })
        .collect())
}

/// Why no tier can keep a rule yet: the programs deny a file as a whole.
fn not_yet(rule: &FileRule) -> Option<Limit> {
    let what = match rule {
        FileRule { folder: true, .. } => "folder rules aren't",
        FileRule {
            access: Access::Read | Access::Write,
            ..
        } => "rules for one access alone aren't",
        _ => return None,
    };
    Some(Limit {
        reason: format!("{what} enforced by any tier yet"),
        pending: false,
    })
}

/// Who is exempt or protected, as far as they exist now.
#[derive(Debug, Default)]
pub struct Present {
    /// Ids of exempt cgroups.
    pub exempt: Vec<u64>,
    /// Inodes of protected executables.
    pub protected: Vec<InodeKey>,
    /// What doesn't exist, each as a line for the log.
    pub missing: Vec<String>,
}

/// Looks at the exempt cgroups and protected executables. Both come and go: what is missing
/// while the agent runs is only told, and looked for again.
pub fn present(policy: &Policy, hierarchy: &Hierarchy) -> Result<Present> {
    let mounts = host::mounts()?;
    let mut present = Present::default();
    for cgroup in &policy.exempt_cgroups {
        match hierarchy.id(&cgroup.path) {
            Ok(id) => present.exempt.push(id),
            Err(error) => {
                let line = format!("exempt cgroup {:?}: {error:#}", cgroup.path);
                present.missing.push(line);
            }
        }
    }
    for path in &policy.protected_executables {
        match inode(Path::new(path), &mounts) {
            Ok(key) => present.protected.push(key),
            Err(limit) => {
                let line = format!("protected executable {path:?}: {}", limit.reason);
                present.missing.push(line);
            }
        }
    }
    Ok(present)
}

/// Which exempt cgroups don't exist, each an error in the policy. At start, one that doesn't
/// makes the policy invalid here: to run without an exemption that somebody relies on may
/// kill what must live.
pub fn check_exempt(policy: &Policy, hierarchy: &Hierarchy) -> Result<(), Vec<PolicyError>> {
    let check = |cgroup: &ExemptCgroup| {
        let error = hierarchy.id(&cgroup.path).err()?;
        Some(cgroup.error(format!("{error:#}")))
    };
    let errors: Vec<PolicyError> = policy.exempt_cgroups.iter().filter_map(check).collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// The inode key of a file.
pub fn inode(path: &Path, mounts: &[Mount]) -> Result<InodeKey, Limit> {
    let limit = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Limit {
            reason: "pending: the path doesn't exist yet".to_owned(),
            pending: true,
        },
        _ => Limit {
            reason: format!("the path can't be looked up: {error}"),
            pending: false,
        },
    };
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)
        .map_err(limit)?;
    let stat = rustix::fs::fstat(&file).map_err(|error| limit(error.into()))?;
    let device = (
        rustix::fs::major(stat.st_dev),
        rustix::fs::minor(stat.st_dev),
    );
    // Where a filesystem tells user space another device number than its own (btrfs
    // subvolumes, overlayfs), a key made of it would never match: better said than claimed.
    let fdinfo = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
    let mount = fs::read_to_string(fdinfo)
        .ok()
        .and_then(|info| mount_id(&info))
        .and_then(|id| mounts.iter().find(|mount| mount.id == id));
    if let Some(mount) = mount.filter(|mount| mount.device != device) {
        return Err(Limit {
            reason: format!(
                "its filesystem ({}) shows user space another device number than the kernel's",
                mount.fs_type
            ),
            pending: false,
        });
    }
    Ok(InodeKey::new(device.0, device.1, stat.st_ino))
}

fn mount_id(fdinfo: &str) -> Option<u64> {
    let value = fdinfo.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    value?.trim().parse().ok()
}

/// The path keys of a file: as written and canonical.
pub fn paths(path: &Path) -> Result<Vec<PathKey>, Limit> {
    let mut keys = Vec::new();
    for spelling in [Some(path.to_owned()), canonical(path)]
        .into_iter()
        .flatten()
    {
        let Some(key) = PathKey::new(&spelling) else {
            return Err(Limit {
                reason: format!(
                    "the path {} is longer than the {} bytes that the signal tier compares",
                    if spelling == path {
                        "as written"
                    } else {
                        "in its canonical form"
                    },
                    PATH_KEY_LEN - 1
                ),
                pending: false,
            });
        };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// Without links on the way. For a file that doesn't exist, of the folder that it would be
/// in; `None` if there is no such folder either.
fn canonical(path: &Path) -> Option<PathBuf> {
    if let Ok(canonical) = fs::canonicalize(path) {
        return Some(canonical);
    }
    let folder = fs::canonicalize(path.parent()?).ok()?;
    Some(folder.join(path.file_name()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    #[test]
    fn a_link_leads_to_its_target_s_inode_and_to_both_spellings() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let (target, link) = (root.join("target"), root.join("link"));
        fs::write(&target, "secret").unwrap();
        symlink(&target, &link).unwrap();

        let key = inode(&link, &[]).unwrap();
        assert_eq!(key.ino, fs::metadata(&target).unwrap().ino());
        let keys = paths(&link).unwrap();
        let expected = [link, target].map(|path| PathKey::new(&path).unwrap());
        assert_eq!(keys, expected);
    }

    #[test]
    fn a_missing_file_is_pending_and_still_has_its_paths() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        symlink(&root, root.join("alias")).unwrap();
        let missing = root.join("alias/missing");

        assert!(inode(&missing, &[]).unwrap_err().pending);
        let expected = [missing.clone(), root.join("missing")];
        let expected = expected.map(|path| PathKey::new(&path).unwrap());
        assert_eq!(paths(&missing).unwrap(), expected);
    }

    #[test]
    fn a_rule_that_no_tier_keeps_yet_is_never_silently_a_lesser_rule() {
        let text = r#"
            version = 1
            deny.file = [
                { path = "/proc/" },
                { path = "/proc/uptime", access = "write" },
                { path = "/proc/version" },
            ]
        "#;
        let policy = crate::policy::parse(text.as_bytes()).unwrap();
        let rules = rules(&policy).unwrap();
        let enforced = rules.iter().map(|rule| rule.facts().limits.is_empty());
        assert_eq!(enforced.collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn every_exempt_cgroup_that_does_not_exist_is_told_with_its_place() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("here")).unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        let text = "version = 1\nexempt_cgroups = [\n  \"/gone\", \"/here\", \"/file\"\n]\n";
        let policy = crate::policy::parse(text.as_bytes()).unwrap();
        let hierarchy = Hierarchy::at(root.path().to_owned());

        let errors = check_exempt(&policy, &hierarchy).unwrap_err();
        let places: Vec<_> = errors
            .iter()
            .map(|error| (error.line, error.column))
            .collect();
        assert_eq!(places, [(3, 3), (3, 21)]);
        let shown = errors[0].display("p.toml");
        let start = "p.toml:3:3: exempt cgroup \"/gone\": ";
        assert!(
            shown.starts_with(start) && shown.contains("No such file"),
            "{shown}"
        );
    }

    #[test]
    fn an_over_long_path_is_a_limit_and_not_a_shorter_path() {
        let path = format!("/{}", "x".repeat(255));
        let limit = paths(Path::new(&path)).unwrap_err();
        assert!(!limit.pending);
        assert!(limit.reason.contains("255 bytes"), "{}", limit.reason);
    }

    #[test]
    fn a_device_number_that_isn_t_the_kernel_s_is_a_limit() {
        // Its mount is in every process's table; that of a temporary folder isn't in a chroot.
        let file = Path::new("/proc/version");
        let mut mounts = host::mounts().unwrap();
        assert!(inode(file, &mounts).is_ok());
        for mount in &mut mounts {
            mount.device.1 += 1;
        }
        let limit = inode(file, &mounts).unwrap_err();
        assert!(!limit.pending);
        assert!(limit.reason.contains("another device number"));
    }
}
