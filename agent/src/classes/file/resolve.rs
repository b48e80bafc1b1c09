//! From names in a policy to what the kernel side compares: inodes, names, cgroup ids.
//!
//! In: the policy and the machine's files. Out: for each rule the keys of its target, or why
//! there are none. Targets are opened with `O_PATH`, which no open hook sees, so the agent
//! doesn't trip over its own rules.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::host::cgroups::Hierarchy;
use crate::kernel::abi::InodeKey;
use crate::kernel::identity::{self, Identify, Identity};
use crate::policy::{ExemptCgroup, FileRule, Policy, PolicyError};
use crate::posture::gate::{Obstacle, RuleFacts};
use crate::posture::{Class, Tier};

/// How many descriptors are open at once: far below what any process may have.
const BATCH: usize = 256;

/// A rule with what its tiers compare.
#[derive(Debug)]
pub struct ResolvedRule {
    /// The rule.
    pub rule: FileRule,
    /// What the path leads to now.
    pub target: Result<Identity, Obstacle>,
    /// Where the path stands, as written and, where links lead elsewhere, canonical: the
    /// folder and the name in it. Empty if there is no such folder.
    pub names: Vec<(Identity, OsString)>,
    /// What the path led to before: a file that was renamed away is still the denied one.
    pub former: Option<Identity>,
}

impl ResolvedRule {
    /// Everything by which the hooks know the target; the descriptor was only for looking.
    pub fn identity(&self) -> Option<(InodeKey, u32)> {
        let target = self.target.as_ref().ok()?;
        Some((target.inode, target.generation))
    }

    /// A rule of which nothing is known.
    pub fn unknown(rule: FileRule) -> Self {
        Self {
            rule,
            target: Err(untold()),
            names: Vec::new(),
            former: None,
        }
    }

    /// Remembers what the same rule's path led to before, if it leads elsewhere now.
    pub fn after(mut self, before: Self) -> Self {
        self.former = match before.target {
            Ok(target) => {
                let same = self.identity() == Some((target.inode, target.generation));
                if same { before.former } else { Some(target) }
            }
            Err(_) => before.former,
        };
        self
    }

    /// The rule, as the gate sees it.
    pub fn facts(&self) -> RuleFacts {
        let mut obstacles = BTreeMap::new();
        if let Err(obstacle) = &self.target {
            for tier in Tier::ALL {
                obstacles.insert(tier, obstacle.clone());
            }
        }
        RuleFacts {
            id: self.rule.id.clone(),
            class: Class::File,
            obstacles,
        }
    }
}

/// Why nothing is known of a file: no program is loaded that could tell.
fn untold() -> Obstacle {
    Obstacle {
        reason: "nothing is loaded that could tell what the path is to the kernel".to_owned(),
        pending: false,
    }
}

/// Resolves rules against the files as they are now. Without `kernel` no file is known.
pub fn rules<'a>(
    rules: impl Iterator<Item = &'a FileRule>,
    kernel: Option<&mut dyn Identify>,
) -> Result<Vec<ResolvedRule>> {
    let Some(kernel) = kernel else {
        return Ok(rules
            .map(|rule| ResolvedRule::unknown(rule.clone()))
            .collect());
    };
    let mut folders = Folders::default();
    let rules: Vec<&FileRule> = rules.collect();
    let mut resolved = Vec::with_capacity(rules.len());
    for batch in rules.chunks(BATCH) {
        let (mut looked, mut files) = (Vec::new(), Vec::new());
        for &rule in batch {
            let (spellings, file) = look(rule);
            // The place of its file among all that are there.
            let file = file.map(|file| {
                files.push(file);
                files.len() - 1
            });
            looked.push((rule, spellings, file));
        }
        let spellings = looked.iter().flat_map(|(_, spellings, _)| spellings);
        folders.add(spellings.filter_map(|path| path.parent()), kernel)?;
        let identities = kernel.identify(&files)?;
        for (rule, spellings, file) in looked {
            if let (true, Ok(place)) = (rule.folder, &file) {
                // The hooks know a folder from above by its inode's address.
                kernel.keep(&files[*place])?;
            }
            resolved.push(ResolvedRule {
                rule: rule.clone(),
                target: file.map(|place| identities[place]),
                names: folders.names(&spellings),
                former: None,
            });
        }
    }
    Ok(resolved)
}

/// Makes two rules whose targets are different files under the same key an obstacle for all
/// but the first: the hooks can't tell such files apart, so only one can be looked up. That
/// happens on an overlay of two filesystems.
pub fn mark_twins(rules: &mut [ResolvedRule]) {
    let mut first: HashMap<InodeKey, (u64, String)> = HashMap::new();
    for resolved in rules {
        let Ok(target) = &resolved.target else {
            continue;
        };
        let (address, id) = first
            .entry(target.inode)
            .or_insert_with(|| (target.address, resolved.rule.id.clone()));
        if *address != target.address {
            resolved.target = Err(Obstacle {
                reason: format!(
                    "its filesystem gives it the same number as the file of the rule {id}"
                ),
                pending: false,
            });
        }
    }
}

/// A rule's target, open, and its path as written and, if that differs, canonical.
fn look(rule: &FileRule) -> (Vec<PathBuf>, Result<File, Obstacle>) {
    let path = PathBuf::from(&rule.path);
    let file = open(&path, rule.folder);
    let canonical = match &file {
        // Cheaper than to walk the path once more.
        Ok(file) => fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok(),
        Err(_) => None,
    };
    let mut spellings = vec![path];
    spellings.extend(canonical.filter(|canonical| *canonical != spellings[0]));
    (spellings, file)
}

/// The folders that rules' targets are in, each looked at once.
#[derive(Default)]
struct Folders {
    /// `None` for one that doesn't exist.
    known: HashMap<PathBuf, Option<Identity>>,
}

impl Folders {
    fn add<'a>(
        &mut self,
        paths: impl Iterator<Item = &'a Path>,
        kernel: &mut dyn Identify,
    ) -> Result<()> {
        let mut new: Vec<(&Path, File)> = Vec::new();
        for path in paths {
            if self.known.contains_key(path) {
                continue;
            }
            self.known.insert(path.to_owned(), None);
            if let Ok(file) = identity::open(path) {
                new.push((path, file));
            }
        }
        let (paths, files): (Vec<&Path>, Vec<File>) = new.into_iter().unzip();
        if files.is_empty() {
            return Ok(());
        }
        for (path, identity) in paths.into_iter().zip(kernel.identify(&files)?) {
            self.known.insert(path.to_owned(), Some(identity));
        }
        Ok(())
    }

    /// Where these paths stand, as far as there is such a folder.
    fn names(&self, paths: &[PathBuf]) -> Vec<(Identity, OsString)> {
        let mut names = Vec::new();
        for path in paths {
            let folder = path.parent().and_then(|folder| self.known.get(folder));
            if let (Some(Some(folder)), Some(name)) = (folder, path.file_name()) {
                let name = (*folder, name.to_owned());
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }
}

/// Opens a rule's target.
fn open(path: &Path, folder: bool) -> Result<File, Obstacle> {
    let file = identity::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Obstacle {
            reason: "pending: the path doesn't exist yet".to_owned(),
            pending: true,
        },
        _ => Obstacle {
            reason: format!("the path can't be looked up: {error}"),
            pending: false,
        },
    })?;
    let is_folder = file.metadata().is_ok_and(|metadata| metadata.is_dir());
    if folder && !is_folder {
        return Err(Obstacle {
            reason: "pending: the path is no folder, as its final slash says".to_owned(),
            pending: true,
        });
    }
    Ok(file)
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
pub fn present(
    policy: &Policy,
    hierarchy: &Hierarchy,
    kernel: Option<&mut dyn Identify>,
) -> Result<Present> {
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
    let mut files = Vec::new();
    for path in &policy.protected_executables {
        match open(Path::new(path), false) {
            Ok(file) => files.push(file),
            Err(obstacle) => {
                let line = format!("protected executable {path:?}: {}", obstacle.reason);
                present.missing.push(line);
            }
        }
    }
    if let (false, Some(kernel)) = (files.is_empty(), kernel) {
        let identities = kernel.identify(&files)?;
        present.protected = identities.iter().map(|found| found.inode).collect();
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;
    use crate::policy::Access;

    /// As far as `stat(2)` can tell, which is enough where the tests run.
    struct Stat;

    impl Identify for Stat {
        fn identify(&mut self, files: &[File]) -> Result<Vec<Identity>> {
            let identity = |file: &File| {
                let metadata = file.metadata()?;
                Ok(Identity {
                    inode: InodeKey::new(0, 0, metadata.ino()),
                    generation: 0,
                    address: metadata.dev() << 32 | metadata.ino(),
                })
            };
            files.iter().map(identity).collect()
        }

        fn keep(&mut self, _: &File) -> Result<()> {
            Ok(())
        }
    }

    fn resolve(path: &Path, folder: bool) -> ResolvedRule {
        let rule = FileRule {
            id: "rule".to_owned(),
            path: path.display().to_string(),
            folder,
            access: Access::ReadWrite,
        };
        let resolved = rules([&rule].into_iter(), Some(&mut Stat));
        resolved.unwrap().remove(0)
    }

    fn ino(path: &Path) -> u64 {
        fs::metadata(path).unwrap().ino()
    }

    #[test]
    fn a_link_leads_to_its_target_s_inode_and_to_both_places() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let (inner, link) = (root.join("inner"), root.join("link"));
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("target"), "secret").unwrap();
        symlink(inner.join("target"), &link).unwrap();

        let resolved = resolve(&link, false);
        assert_eq!(
            resolved.target.unwrap().inode.ino,
            ino(&inner.join("target"))
        );
        let names: Vec<(u64, &str)> = resolved
            .names
            .iter()
            .map(|(folder, name)| (folder.inode.ino, name.to_str().unwrap()))
            .collect();
        assert_eq!(names, [(ino(&root), "link"), (ino(&inner), "target")]);
    }

    #[test]
    fn a_missing_file_is_pending_and_still_has_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let resolved = resolve(&folder.path().join("missing"), false);
        assert!(resolved.target.unwrap_err().pending);
        assert_eq!(resolved.names.len(), 1);
        assert_eq!(resolved.names[0].0.inode.ino, ino(folder.path()));

        let nowhere = resolve(&folder.path().join("no/such/folder"), false);
        assert!(nowhere.target.unwrap_err().pending);
        assert!(nowhere.names.is_empty());
    }

    #[test]
    fn a_folder_rule_on_a_file_waits_for_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(resolve(&file, true).target.unwrap_err().pending);
        assert!(resolve(folder.path(), true).target.is_ok());
    }

    #[test]
    fn different_files_under_one_key_aren_t_both_enforced() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        fs::write(&one, "").unwrap();
        fs::hard_link(&one, &other).unwrap();
        let mut rules = vec![resolve(&one, false), resolve(&other, false)];
        mark_twins(&mut rules);
        assert!(rules.iter().all(|rule| rule.target.is_ok()), "one file");

        rules[1].target.as_mut().unwrap().address += 1;
        mark_twins(&mut rules);
        assert!(rules[0].target.is_ok());
        assert!(!rules[1].target.as_ref().unwrap_err().pending);
    }

    #[test]
    fn without_the_kernel_s_word_no_rule_is_resolved() {
        let rule = resolve(Path::new("/"), false).rule;
        let resolved = rules([&rule].into_iter(), None).unwrap().remove(0);
        assert!(!resolved.target.unwrap_err().pending);
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
}
