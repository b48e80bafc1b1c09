//! From the paths of file rules to what the kernel side compares: inodes and names.
//!
//! In: rules and the machine's files. Out: for each rule the keys of its target, or why there are
//! none. Targets are opened with `O_PATH`, which no open hook sees, so the agent doesn't trip over
//! its own rules. Whoever isn't root leads no rule to what isn't his: see [`crate::host::way`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, Result};
use rustix::fs::FileType;

use super::former::Formers;
use super::hold;
use super::mounted::Mounted;
use crate::classes::file::former;
use crate::host::tree::Folder;
use crate::host::way::{Lost, Place, Target, Way, Ways, is_shortage};
use crate::kernel::abi::{InodeKey, NAME_INLINE_LEN};
use crate::kernel::identity::{Identify, Identity};
use crate::output::text;
use crate::policy::FileRule;
use crate::posture::gate::{Obstacle, RuleFacts};
use crate::posture::{Class, Tier};

/// How many rules are looked at at once. Each holds up to three descriptors until all are looked at,
/// far below what any process may have.
const BATCH: usize = 128;

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
    /// What the path led to before.
    pub formers: Formers,
    /// Where the target of a rule on a folder stands.
    pub stands: Option<StandsAt>,
    /// What is mounted beneath that folder, as [`super::mounted::hold`] found it.
    pub mounted: Mounted,
}

/// Where a folder stands in the tree of all paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandsAt {
    /// A path without links.
    pub path: PathBuf,
    /// The mount that it was reached by.
    pub mount: u64,
}

impl ResolvedRule {
    /// A rule of which nothing is known yet.
    pub fn unknown(rule: FileRule) -> Self {
        Self {
            rule,
            target: Err(untold()),
            names: Vec::new(),
            formers: Formers::default(),
            stands: None,
            mounted: Mounted::default(),
        }
    }

    /// What the maps know it by: its target, the folders of its names, its former targets, and what is
    /// mounted beneath it.
    pub fn known(&self) -> impl Iterator<Item = &Identity> {
        let names = self.names.iter().map(|(folder, _)| folder);
        let known = self.target.iter().chain(names).chain(self.formers.iter());
        known.chain(self.mounted.held.iter().map(|held| &held.identity))
    }

    /// Whether neither an inode nor a folder is known for it.
    pub fn is_known_by_path_alone(&self) -> bool {
        self.names.is_empty()
    }

    /// Takes what the path leads to now, and remembers what it led to before, if that is something
    /// else; says whether it is. `room` is for how many former targets there is room.
    fn update(
        &mut self,
        target: Result<Identity, Obstacle>,
        names: Vec<(Identity, OsString)>,
        room: usize,
    ) -> bool {
        let before = std::mem::replace(&mut self.target, target);
        self.names = names;
        let moved = match (&before, &self.target) {
            (Ok(before), Ok(now)) => !before.is_same_as(now),
            (Err(_), Err(_)) => false,
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => true,
        };
        if let Ok(now) = &self.target {
            self.formers.found(now);
        }
        if let (Ok(before), true) = (before, moved) {
            self.formers.add(before, room);
        }
        moved
    }

    /// The rule, as the gate sees it. `memory_readable` as lockdown leaves it.
    pub fn facts(&self, memory_readable: bool) -> RuleFacts {
        let mut obstacles = BTreeMap::new();
        if !memory_readable && let Some(obstacle) = self.unreadable() {
            for tier in Tier::ALL {
                obstacles.insert(tier, obstacle.clone());
            }
        }
        if let Some(obstacle) = self.obstacle() {
            for tier in Tier::ALL {
                obstacles.entry(tier).or_insert_with(|| obstacle.clone());
            }
        }
        RuleFacts {
            id: self.rule.id.clone(),
            class: Class::File,
            obstacles,
        }
    }

    /// Why it isn't claimed in any tier. Who owns a folder on the way decides on it, so it keeps no
    /// agent from starting.
    fn obstacle(&self) -> Option<Obstacle> {
        let target = match &self.target {
            Ok(target) => target,
            Err(obstacle) => return Some(obstacle.clone()),
        };
        let reason = hold::why_not(target, self.names.iter().map(|(folder, _)| folder))?;
        let pending = true;
        Some(Obstacle { reason, pending })
    }

    /// What the rule needs that programs can't read under lockdown.
    fn unreadable(&self) -> Option<Obstacle> {
        let long = self.names.iter().map(|(_, name)| name.len());
        let long = long.filter(|len| *len >= NAME_INLINE_LEN).max();
        let mounted = self.mounted.loose.as_ref().filter(|loose| !loose.is_held);
        let reason = match (long, mounted) {
            (Some(len), _) => format!(
                "lockdown: its name has {len} bytes, and programs can read no name of more than {} \
                 there",
                NAME_INLINE_LEN - 1
            ),
            (None, Some(loose)) => format!(
                "lockdown: what is mounted beneath it, on {}, {}, and programs can't read there \
                 what a file system is mounted on; unmount it, or name what is in it by rules of \
                 their own",
                text::path(&loose.point),
                loose.why
            ),
            (None, None) => return None,
        };
        let pending = false;
        Some(Obstacle { reason, pending })
    }
}

/// Why nothing is known of a file: no program is loaded that could tell.
fn untold() -> Obstacle {
    Obstacle {
        reason: "nothing is loaded that could tell what the path is to the kernel".to_owned(),
        pending: false,
    }
}

/// Resolves these of the rules against the files as they are now, and says which lead elsewhere
/// than before. What is mounted beneath folders is for [`super::mounted::hold`] to find out.
///
/// # Errors
/// The kernel didn't say what a file is.
pub fn resolve(
    rules: &mut [ResolvedRule],
    which: &[usize],
    kernel: &mut dyn Identify,
) -> Result<Vec<usize>> {
    let mut moved = pass(rules, which, kernel)?;
    // Of two under one key, one that wasn't looked at now may be gone.
    let stale: BTreeSet<usize> = twins(rules)
        .into_iter()
        .flat_map(|(one, other)| [one, other])
        .filter(|number| !which.contains(number))
        .collect();
    if !stale.is_empty() {
        let stale: Vec<usize> = stale.into_iter().collect();
        moved.extend(pass(rules, &stale, kernel)?);
    }
    mark_twins(rules);
    Ok(moved)
}

fn pass(
    rules: &mut [ResolvedRule],
    which: &[usize],
    kernel: &mut dyn Identify,
) -> Result<Vec<usize>> {
    let mut ways = Ways::new().context("failed to open the root of all paths")?;
    let mut moved = Vec::new();
    let room = former::room(rules.len());
    for batch in which.chunks(BATCH) {
        let looked: Vec<(usize, Looked)> = batch
            .iter()
            .map(|&number| Ok((number, look(&rules[number].rule, &mut ways)?)))
            .collect::<Result<_>>()?;
        let mut folders = Folders::default();
        for place in looked.iter().flat_map(|(_, looked)| &looked.places) {
            folders.add(&place.folder);
        }
        let targets = looked
            .iter()
            .filter_map(|(_, looked)| looked.target.as_ref().ok());
        let files = folders.all.iter().map(|folder| &folder.file);
        let files: Vec<&File> = files.chain(targets.map(Target::file)).collect();
        let mut identities = kernel.identify(&files)?.into_iter();
        let folders = folders.identified(&mut identities, kernel)?;
        for (number, looked) in looked {
            let resolved = &mut rules[number];
            resolved.stands = match &looked.target {
                Ok(Target::Folder(folder)) if resolved.rule.folder => Some(StandsAt {
                    path: folder.path.clone(),
                    mount: folder.mount,
                }),
                _ => None,
            };
            let names = names(looked.places, &folders);
            let target = match looked.target {
                Ok(target) => {
                    let mut identity = identities
                        .next()
                        .context("a file that the kernel told nothing of")?;
                    let (file, is_folder) = (target.file(), resolved.rule.folder);
                    let before = resolved.target.as_ref().ok();
                    let kept = hold::keep_target(&mut identity, file, is_folder, before, kernel);
                    kept.map(|()| identity).map_err(|error| Obstacle {
                        reason: format!("{error:#}"),
                        pending: true,
                    })
                }
                Err(obstacle) => Err(obstacle),
            };
            resolved.formers.drop_gone(|watch| kernel.exists(watch));
            if resolved.update(target, names, room) {
                moved.push(number);
            }
        }
    }
    Ok(moved)
}

/// Rules whose targets are different files under the same key, each with the first that has it.
fn twins(rules: &[ResolvedRule]) -> Vec<(usize, usize)> {
    let mut first: HashMap<InodeKey, (u64, usize)> = HashMap::new();
    let mut twins = Vec::new();
    for (number, resolved) in rules.iter().enumerate() {
        let Ok(target) = &resolved.target else {
            continue;
        };
        let (address, earlier) = *first
            .entry(target.inode)
            .or_insert((target.address, number));
        if address != target.address {
            twins.push((earlier, number));
        }
    }
    twins
}

/// Makes two rules whose targets are different files under the same key an obstacle for all
/// but the first: the hooks can't tell such files apart, so only one can be looked up. That
/// happens on an overlay of two filesystems. Whoever may make files there decides on it, so it is
/// nothing that keeps an agent from starting.
fn mark_twins(rules: &mut [ResolvedRule]) {
    for (earlier, number) in twins(rules) {
        let reason = format!(
            "its filesystem gives it the same number as the file of the rule {}",
            rules[earlier].rule.id
        );
        let pending = true;
        rules[number].target = Err(Obstacle { reason, pending });
    }
}

/// What was found of a rule.
struct Looked {
    /// Where the path stands.
    places: Vec<Place>,
    target: Result<Target, Obstacle>,
}

/// Looks at a rule's target. None of what keeps it from being found keeps an agent from starting: who
/// owns a folder on the way decides on it.
///
/// # Errors
/// The agent has used up what a look takes: that says nothing of the path.
fn look(rule: &FileRule, ways: &mut Ways) -> Result<Looked> {
    let Way { target, places } = ways.follow(Path::new(&rule.path));
    let pending = |reason| {
        let pending = true;
        Obstacle { reason, pending }
    };
    let target = match target {
        Ok(target) if rule.folder && !target.is_folder() => Err(pending(
            "pending: the path is no folder, as its final slash says".to_owned(),
        )),
        Ok(Target::File(leaf, _)) if leaf.kind == FileType::Socket => Err(pending(
            "a socket is at the path, and nobody opens one: a rule on files denies no connecting to it"
                .to_owned(),
        )),
        Ok(target) if target.path() == Path::new("/") => Err(pending(
            "not followed: it leads to the root of all paths, so everything would be denied"
                .to_owned(),
        )),
        Ok(target) => Ok(target),
        Err(Lost::Missing) => Err(pending("pending: the path doesn't exist yet".to_owned())),
        Err(Lost::Astray(why)) => Err(pending(format!("not followed: {why}"))),
        Err(Lost::Failed(error)) if is_shortage(&error) => {
            return Err(error).context("failed to look up the rules' paths");
        }
        Err(Lost::Failed(error)) => Err(pending(format!("the path can't be looked up: {error}"))),
    };
    Ok(Looked { places, target })
}

/// The folders that rules' targets are in, each once.
#[derive(Default)]
struct Folders {
    all: Vec<Rc<Folder>>,
    seen: HashSet<*const Folder>,
}

impl Folders {
    fn add(&mut self, folder: &Rc<Folder>) {
        if self.seen.insert(Rc::as_ptr(folder)) {
            self.all.push(Rc::clone(folder));
        }
    }

    /// What they are to the hooks, kept in memory where need be; the identities stand in their order.
    fn identified(
        self,
        identities: &mut impl Iterator<Item = Identity>,
        kernel: &mut dyn Identify,
    ) -> Result<HashMap<*const Folder, (Rc<Folder>, Identity)>> {
        let all = self.all.into_iter().zip(identities);
        all.map(|(folder, mut identity)| {
            hold::keep_folder(&mut identity, &folder.file, kernel)?;
            Ok((Rc::as_ptr(&folder), (folder, identity)))
        })
        .collect()
    }
}

/// These places, as the hooks know them.
fn names(
    places: Vec<Place>,
    folders: &HashMap<*const Folder, (Rc<Folder>, Identity)>,
) -> Vec<(Identity, OsString)> {
    let mut names = Vec::new();
    for place in places {
        if let Some((_, folder)) = folders.get(&Rc::as_ptr(&place.folder)) {
            let name = (*folder, place.name);
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::super::mounted::Loose;
    use super::*;
    use crate::kernel::identity::Watch;
    use crate::policy::Access;

    /// As far as `stat(2)` can tell, which is enough where the tests run.
    struct Stat;

    impl Identify for Stat {
        fn identify(&mut self, files: &[&File]) -> Result<Vec<Identity>> {
            let identity = |file: &&File| {
                let metadata = file.metadata()?;
                Ok(Identity {
                    inode: InodeKey::new(0, 0, metadata.ino()),
                    generation: 0,
                    address: metadata.dev() << 32 | metadata.ino(),
                    superblock: metadata.dev(),
                    filesystem: 0,
                    kept: None,
                })
            };
            files.iter().map(identity).collect()
        }

        fn identify_for_good(&mut self, files: &[&File]) -> Result<Vec<Identity>> {
            self.identify(files)
        }

        fn keep(&mut self, file: &File) -> Result<Watch> {
            Ok(Watch(i32::try_from(file.metadata()?.ino() & 0xffff)?))
        }

        fn keep_if_room(&mut self, file: &File) -> Option<Watch> {
            self.keep(file).ok()
        }

        fn exists(&self, _: Watch) -> bool {
            true
        }

        fn release_all_but(&mut self, _: &BTreeSet<Watch>) {}
    }

    fn unknown(path: &Path, folder: bool) -> ResolvedRule {
        ResolvedRule::unknown(FileRule {
            id: "rule".to_owned(),
            path: path.display().to_string(),
            folder,
            access: Access::ReadWrite,
        })
    }

    fn resolve(path: &Path, folder: bool) -> ResolvedRule {
        let mut rules = [unknown(path, folder)];
        super::resolve(&mut rules, &[0], &mut Stat).unwrap();
        let [resolved] = rules;
        resolved
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
    fn a_link_to_the_root_of_all_paths_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("/", &link).unwrap();
        for is_folder in [false, true] {
            let target = resolve(&link, is_folder).target.unwrap_err();
            assert!(target.pending && target.reason.starts_with("not followed: "));
        }
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
        assert!(rules[1].target.as_ref().unwrap_err().pending);
    }

    #[test]
    fn without_the_kernel_s_word_no_rule_is_resolved() {
        let unknown = unknown(Path::new("/"), false);
        assert!(!unknown.target.unwrap_err().pending);
    }

    #[test]
    fn a_socket_is_nothing_that_a_rule_on_files_is_enforced_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let resolved = resolve(&path, false);
        let target = resolved.target.unwrap_err();
        assert!(target.pending && target.reason.contains("a socket"));
        assert_eq!(resolved.names.len(), 1);
    }

    #[test]
    fn files_that_went_away_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut rules = [unknown(&path, false)];
        let mut look = || super::resolve(&mut rules, &[0], &mut Stat).unwrap();
        fs::write(&path, "").unwrap();
        let first = ino(&path);
        assert_eq!(look(), [0]);
        assert!(look().is_empty());
        fs::rename(&path, folder.path().join("away")).unwrap();
        assert_eq!(look(), [0]);
        assert!(look().is_empty());
        assert!(rules[0].target.as_ref().unwrap_err().pending);
        let formers = |rules: &[ResolvedRule; 1]| -> Vec<u64> {
            let formers = rules[0].formers.iter();
            formers.map(|former| former.inode.ino).collect()
        };
        assert_eq!(formers(&rules), [first]);
        fs::write(&path, "").unwrap();
        let second = ino(&path);
        super::resolve(&mut rules, &[0], &mut Stat).unwrap();
        fs::rename(&path, folder.path().join("away too")).unwrap();
        super::resolve(&mut rules, &[0], &mut Stat).unwrap();
        assert_eq!(formers(&rules), [first, second]);
        fs::rename(folder.path().join("away"), &path).unwrap();
        super::resolve(&mut rules, &[0], &mut Stat).unwrap();
        assert_eq!(formers(&rules), [second]);
    }

    #[test]
    fn under_lockdown_a_rule_that_needs_what_can_t_be_read_is_an_obstacle_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let long = resolve(&root.join("x".repeat(NAME_INLINE_LEN)), false);
        let short = resolve(&root.join("x".repeat(NAME_INLINE_LEN - 1)), false);
        for (rule, memory_readable, told) in [
            (&long, true, false),
            (&long, false, true),
            (&short, false, false),
        ] {
            let facts = rule.facts(memory_readable);
            let obstacle = &facts.obstacles[&Tier::Lsm];
            assert_eq!(
                obstacle.reason.starts_with("lockdown: "),
                told,
                "{obstacle:?}"
            );
            assert_eq!(obstacle.pending, !told);
        }

        for (loose, told) in [(None, false), (Some(true), false), (Some(false), true)] {
            let mut rule = resolve(&root, true);
            rule.mounted.loose = loose.map(|is_held| Loose {
                point: root.join("mounted"),
                why: "is shown outside of the folder too".to_owned(),
                is_held,
                others: 0,
            });
            let facts = rule.facts(false);
            let obstacle = facts.obstacles.get(&Tier::Modret);
            assert_eq!(obstacle.is_some(), told, "{loose:?}");
            if let Some(obstacle) = obstacle {
                assert!(obstacle.reason.contains("/mounted, is shown outside"));
            }
            assert!(rule.facts(true).obstacles.is_empty());
        }
    }
}
