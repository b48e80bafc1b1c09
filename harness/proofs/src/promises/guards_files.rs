//! With a rule that denies writing, what is there stays as it is, though whoever acts owns it: nothing
//! of it is removed or changed by acts that open nothing. In the signal tier all of that happens, and
//! its report says so.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;
use serde_json::{Value, json};

use crate::arms::{account, all_allowed, contains, document, done, equals, limited};
use crate::sabotage::{Green, Mutant, Sweeps, Swept};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "guards-files",
    text: "With a rule that denies writing, a user who owns the file and its folder neither removes \
           the file nor changes it without opening it: not by `truncate(2)`, nor its mode, owner, \
           times, extended attributes or access control list. It is so for a folder with such a rule \
           and for what is in it: nothing is made in it, no folder either, nor removed from it. The \
           event names the hook. A neighbour and the exempt cgroup are untouched, and with a rule \
           that denies only reading all of that is allowed.",
    proofs,
    comparison: None,
};

pub(super) const LEAVES_FILES_OPEN: Promise = Promise {
    section: Section::Enforced,
    id: "leaves-files-open",
    text: "In `ENFORCE_SIGNAL` all of that happens, and nobody is told of it; the report has \
           `creates_denied_name`, `removes_denied_file` and `changes_denied_file` among the limits.",
    proofs: leaves_open,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::GuardsFiles(tier));
        let proof = Proof::of_tier(tier, PROMISE.id, tier.identity(), acts, arms(tier));
        match tier {
            Tier::Lsm => proof.catches(&[FORGETS_FOLDERS]),
            Tier::Modret | Tier::Signal => proof.catches(&[FORGETS_FILES]),
        }
    };
    [Tier::Lsm, Tier::Modret].map(proof).into()
}

fn leaves_open() -> Vec<Proof> {
    let (tier, acts) = (Tier::Signal, acts!(acts::GuardsFiles(Tier::Signal)));
    let promise = LEAVES_FILES_OPEN.id;
    let proof = Proof::of_tier(tier, promise, tier.identity(), acts, open_arms(tier));
    let leak = Swept::Green(Green::Leak);
    vec![proof.swept(Sweeps {
        stops_nobody: leak,
        denies_all: leak,
    })]
}

/// An act: its arm, the end of its hook's name, the rule that it meets, by what, and the limit of the
/// tier that doesn't see it.
type Planned = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const CREATES: &str = "creates_denied_name";
const REMOVES: &str = "removes_denied_file";
const CHANGES: &str = "changes_denied_file";

const ACTS: [Planned; 14] = [
    ("unlink", "unlink", "guarded-kept", "inode", REMOVES),
    ("truncate", "setattr", "guarded-kept", "inode", CHANGES),
    ("chmod", "setattr", "guarded-kept", "inode", CHANGES),
    ("chown", "setattr", "guarded-kept", "inode", CHANGES),
    ("utimes", "setattr", "guarded-kept", "inode", CHANGES),
    ("setxattr", "setxattr", "guarded-kept", "inode", CHANGES),
    (
        "removexattr",
        "removexattr",
        "guarded-kept",
        "inode",
        CHANGES,
    ),
    ("set-acl", ACL, "guarded-kept", "inode", CHANGES),
    ("remove-acl", ACL, "guarded-listed", "inode", CHANGES),
    ("mkdir", "mkdir", "guarded-unborn", "name", CREATES),
    ("mkdir-within", "mkdir", "guarded-folder", "folder", CREATES),
    (
        "unlink-within",
        "unlink",
        "guarded-folder",
        "folder",
        REMOVES,
    ),
    ("rmdir-within", "rmdir", "guarded-folder", "folder", REMOVES),
    (
        "chmod-within",
        "setattr",
        "guarded-folder",
        "folder",
        CHANGES,
    ),
];

/// Its hook is one of two, by the kernel's age.
const ACL: &str = "";

fn names() -> Vec<&'static str> {
    ACTS.iter().map(|act| act.0).collect()
}

fn arms(tier: Tier) -> Vec<PlannedArm> {
    let kept = [CREATES, REMOVES, CHANGES];
    let mut arms = vec![all_allowed("before", &names()), tier.report(&[], &kept)];
    for (arm, hook, rule, matched, _) in ACTS {
        let event = event(tier, hook, rule, matched);
        let unchanged = equals("/changed", false);
        arms.push(match hook {
            ACL => document(
                arm,
                &[
                    equals("/fate", tier.fate_word()),
                    contains("/events", event),
                    unchanged,
                ],
            ),
            _ => account(arm, tier.fate_word(), false, json!([event]), &[unchanged]),
        });
    }
    arms.extend(untouched_arms());
    arms
}

fn event(tier: Tier, hook: &str, rule: &str, matched: &str) -> Value {
    let whole = format!("{}{hook}", tier.name_hooks().unwrap_or_default());
    let mut event = tier.event_of(&whole, rule, matched, "write");
    if let (ACL, Value::Object(event)) = (hook, &mut event) {
        event.remove("hook");
    }
    event
}

/// What only readers are denied, a neighbour, the exempt cgroup, and all acts once the agent is gone: nobody stops any.
fn untouched_arms() -> [PlannedArm; 4] {
    [
        all_allowed("readable", &names()),
        all_allowed("benign", &names()),
        done("exempt", &[equals("/changed", true)]),
        all_allowed("after", &names()),
    ]
}

fn open_arms(tier: Tier) -> Vec<PlannedArm> {
    let limits = [CREATES, REMOVES, CHANGES];
    let mut arms = vec![all_allowed("before", &names()), tier.report(&limits, &[])];
    for (arm, _, _, _, limit) in ACTS {
        arms.push(limited(limit, done(arm, &[equals("/changed", true)])));
    }
    arms.extend(untouched_arms());
    arms
}

const FORGETS_FOLDERS: Mutant = Mutant::new(
    "leaves-content-of-folders",
    "what is in a denied folder may be removed and changed",
    "unlink-within",
    "/fate: expected \"EPERM\"",
);
const FORGETS_FILES: Mutant = Mutant::new(
    "leaves-files-to-owners",
    "a file that isn't root's may be removed and changed",
    "unlink",
    "/fate: expected \"EPERM\"",
);

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, chown};
    use std::path::{Path, PathBuf};

    use anyhow::{Context, Result, ensure};
    use protocol::record::Observation;
    use serde_json::{Map, Value, json};

    use super::ACTS;
    use crate::acts::attempt::{self, Attempt, Verb, account};
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::paused::Paused;
    use crate::acts::{Acts, live_report, rule, running};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct GuardsFiles(pub Tier);

    /// He who owns the ground and all that is on it.
    const USER: u32 = 1000;
    const ROOT: u32 = 0;

    /// One that every file system of the kernel's has, but only root may set.
    const ATTRIBUTE: &str = "security.kept";

    /// What is done, to what, and by whom, in the order of [`ACTS`].
    const DONE: [(Verb, &str, &str, u32); ACTS.len()] = [
        (Verb::Unlink, "kept", "", USER),
        (Verb::TruncateByPath, "kept", "", USER),
        (Verb::Chmod, "kept", "", USER),
        (Verb::Chown, "kept", "1000", USER),
        (Verb::Utimes, "kept", "", USER),
        (Verb::Setxattr, "kept", "security.new", ROOT),
        (Verb::Removexattr, "kept", ATTRIBUTE, ROOT),
        (Verb::SetAcl, "kept", "", USER),
        (Verb::RemoveAcl, "listed", "", USER),
        (Verb::Mkdir, "unborn", "", USER),
        (Verb::Mkdir, "folder/new", "", USER),
        (Verb::Unlink, "folder/file", "", USER),
        (Verb::Rmdir, "folder/sub", "", USER),
        (Verb::Chmod, "folder/file", "", USER),
    ];

    /// What is on the ground at first.
    const FILES: [&str; 3] = ["kept", "listed", "folder/file"];

    /// Whatever there may be, folders before what is in them.
    const NAMES: [&str; 7] = [
        "kept",
        "listed",
        "unborn",
        "folder",
        "folder/file",
        "folder/new",
        "folder/sub",
    ];

    /// Where no rule is, and where one denies only reading.
    const GROUNDS: [&str; 3] = ["denied", "free", "readable"];

    impl Acts for GuardsFiles {
        fn rules(&self) -> Result<String> {
            let on = |ground: &str, access: &str| {
                ["kept", "listed", "unborn", "folder/"].map(|path| {
                    let name = path.trim_end_matches('/');
                    let id = match access {
                        "write" => format!("guarded-{name}"),
                        _ => format!("guarded-{name}-{access}"),
                    };
                    let path = self.path(ground, path).display().to_string();
                    rule(&id, &path, access)
                })
            };
            Ok([on("denied", "write"), on("readable", "read")]
                .concat()
                .concat())
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.other("before", self.fates(lab, "denied")?);
            for ground in GROUNDS {
                self.lay(ground)?;
            }
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            seen.other("report", live_report(agent)?);
            // So that it doesn't look at what is changed while it is being changed.
            let paused = Paused::stop(running(agent)?.pid())?;
            for (number, (arm, ..)) in ACTS.iter().enumerate() {
                let document = self.attempt(lab, "denied", number)?;
                seen.other(arm, document);
                // Only the signal tier let it happen.
                if !self.0.prevents() {
                    self.lay("denied")?;
                }
            }
            seen.other("readable", self.fates(lab, "readable")?);
            seen.other("benign", self.fates(lab, "free")?);
            let (before, path) = (self.state("denied")?, self.path("denied", "kept"));
            let exempt = Attempt::on(Verb::TruncateByPath, &path).exempt();
            let document = exempt.make(lab.ground.limit())?;
            let changed = self.state("denied")? != before;
            seen.other("exempt", account(document, json!({"changed": changed})));
            drop(paused);
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.other("after", self.fates(lab, "denied")?);
            Ok(())
        }
    }

    impl GuardsFiles {
        fn path(&self, ground: &str, name: &str) -> PathBuf {
            let all = self.0.ground("/srv", "files");
            // `join` would make a slash of an empty name, which is a folder's.
            match name {
                "" => all.join(ground),
                _ => all.join(ground).join(name),
            }
        }

        fn attempt(&self, lab: &Lab, ground: &str, number: usize) -> Result<Observation> {
            let (verb, name, to, user) = DONE[number];
            let (path, to) = (self.path(ground, name), Path::new(to));
            let before = self.state(ground)?;
            let attempt = Attempt::between(verb, &path, to).as_user(user);
            let document = attempt.make(lab.ground.limit())?;
            let changed = self.state(ground)? != before;
            Ok(account(document, json!({"changed": changed})))
        }

        /// What comes of each act on things as they are at first. Nothing counts that changed nothing.
        fn fates(&self, lab: &Lab, ground: &str) -> Result<Observation> {
            let mut document = Map::new();
            for (number, (arm, ..)) in ACTS.iter().enumerate() {
                self.lay(ground)?;
                let Observation::Document { document: mut seen } =
                    self.attempt(lab, ground, number)?
                else {
                    unreachable!("an account is a document");
                };
                ensure!(
                    seen["fate"] != "allowed" || seen["changed"] == true,
                    "{arm} succeeded and changed nothing"
                );
                document.insert((*arm).to_owned(), seen["fate"].take());
            }
            self.lay(ground)?;
            let document = Value::Object(document);
            Ok(Observation::Document { document })
        }

        /// Makes everything as it is at first, without a look into a folder: a rule may deny that.
        fn lay(&self, ground: &str) -> Result<()> {
            let root = self.path(ground, "");
            for name in NAMES.into_iter().rev() {
                let path = root.join(name);
                let removed = match fs::symlink_metadata(&path).map(|found| found.is_dir()) {
                    Ok(true) => fs::remove_dir(&path),
                    Ok(false) => fs::remove_file(&path),
                    Err(_) => Ok(()),
                };
                removed.with_context(|| format!("removing {name}"))?;
            }
            fs::create_dir_all(root.join("folder/sub")).context("making the ground")?;
            for name in FILES {
                let path = root.join(name);
                fs::write(&path, name).with_context(|| format!("writing {name}"))?;
                let nothing = rustix::fs::XattrFlags::empty();
                rustix::fs::setxattr(&path, ATTRIBUTE, b"", nothing)
                    .with_context(|| format!("{ATTRIBUTE} of {name}"))?;
            }
            for name in ["", "folder", "folder/sub"].into_iter().chain(FILES) {
                let path = self.path(ground, name);
                chown(&path, Some(USER), Some(0)).context("giving him the ground")?;
            }
            attempt::give_list(&root.join("listed")).context("an access control list")
        }

        /// All that an act could change of what has these names.
        fn state(&self, ground: &str) -> Result<Vec<String>> {
            let of_name = |name: &str| -> Result<String> {
                let path = self.path(ground, name);
                let Ok(found) = fs::symlink_metadata(&path) else {
                    return Ok(format!("{name}: nothing"));
                };
                let mut attributes = vec![0; 1024];
                let length = rustix::fs::listxattr(&path, &mut attributes);
                attributes.truncate(length.context("asking for attributes")?);
                let (mode, size) = (found.mode(), found.len());
                let owner = (found.uid(), found.gid());
                let time = (found.mtime(), found.mtime_nsec());
                Ok(format!(
                    "{name}: {mode:o} {size} {owner:?} {time:?} {attributes:?}"
                ))
            };
            NAMES.into_iter().map(of_name).collect()
        }
    }
}
