//! A rule on a folder holds what is mounted beneath it by whatever other mount it is reached: those
//! that a user makes for himself in namespaces of his own. What the machine shows elsewhere too is
//! held beneath the folder alone, and the report says so.

use crate::promise::{ActsOf, Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;
use serde_json::json;

use crate::arms::{account, all_allowed, contains, document, equals, lacks, limited, read};
use crate::boot::Boot;
use crate::configuration::LOCKDOWN_ENFORCE_MOUNTS;
use crate::sabotage::Mutant;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "holds-what-is-mounted",
    text: "What is mounted beneath a denied folder and is shown nowhere else on the machine is held \
           wherever a user shows it, as an unprivileged one does in user and mount namespaces of his \
           own: he lists and opens nothing of a file system, of another that is mounted in that, nor \
           a single file that is mounted on another; and where names are guarded, he makes and brings \
           nothing there, neither by his mount nor by the folder itself: no name is left behind. So \
           it is with what is mounted while the agent is up, from when it has looked. A file system \
           that is mounted beside the folder is untouched. What is shown elsewhere too can be read \
           there and is denied beneath the folder alone; the report says `mount_out_of_folder` from \
           then on, and not before.",
    proofs,
    comparison: None,
};

const LIMIT: &str = "mount_out_of_folder";

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts_of(tier, true);
        let proof = Proof::of_tier(tier, PROMISE.id, tier.mounts(), acts, arms(tier, true));
        match tier {
            Tier::Lsm => proof.catches(&[HOLDS_NOTHING]),
            Tier::Modret | Tier::Signal => proof,
        }
    };
    Tier::ALL.map(proof).into()
}

/// The same where the kernel is locked down, but for what is shown elsewhere: there such a rule isn't
/// enforced, which `admits-unreadable-rules` is about.
pub(super) fn under_lockdown() -> Proof {
    let tier = Tier::Lsm;
    let id = format!("lockdown-{}-{}", tier.name(), PROMISE.id);
    let configuration = &LOCKDOWN_ENFORCE_MOUNTS;
    let (acts, arms) = (acts_of(tier, false), arms(tier, false));
    Proof::new(id, Boot::Lockdown, configuration, acts, arms)
}

fn acts_of(tier: Tier, shown_elsewhere: bool) -> ActsOf {
    #[cfg(not(feature = "acts"))]
    let _ = (tier, shown_elsewhere);
    acts!(acts::HoldsMounted {
        tier,
        shown_elsewhere
    })
}

/// What is read or listed by a user's own mount, each with what matches there.
const BY_HIS_MOUNT: [(&str, &str); 5] = [
    ("his-mount", "folder"),
    ("his-mount-deep", "folder"),
    ("his-mount-nested", "folder"),
    ("his-mount-list", "inode"),
    ("his-mount-file", "inode"),
];

/// What makes or brings a name, each with the end of its hook's name.
const NAMES: [(&str, &str); 5] = [
    ("create", "create"),
    ("mknod", "mknod"),
    ("symlink", "symlink"),
    ("link", "link"),
    ("rename", "rename"),
];

fn arms(tier: Tier, shown_elsewhere: bool) -> Vec<PlannedArm> {
    let names = NAMES.map(|(name, _)| [format!("his-mount-{name}"), format!("beneath-{name}")]);
    let reads = BY_HIS_MOUNT.map(|(arm, _)| arm);
    let others = ["beneath", "benign", "later"];
    let before: Vec<&str> = reads
        .into_iter()
        .chain(others)
        .chain(names.as_flattened().iter().map(String::as_str))
        .collect();
    let mut arms = vec![
        all_allowed("before", &before),
        document(
            "report",
            &[
                equals("/runtime_state", tier.state()),
                equals("/rules/unenforced", json!([])),
                lacks("/classes/file/limits", LIMIT),
            ],
        ),
        tier.unread("beneath", "mounted", "folder"),
    ];
    arms.extend(BY_HIS_MOUNT.map(|(arm, matched)| tier.unread(arm, "mounted", matched)));
    arms.push(read("benign"));
    if let Some(hooks) = tier.name_hooks() {
        for by in ["his-mount", "beneath"] {
            arms.extend(NAMES.map(|(name, hook)| {
                let event = tier.event_of(&format!("{hooks}{hook}"), "mounted", "folder", "write");
                let (arm, nothing) = (format!("{by}-{name}"), [equals("/left", false)]);
                account(&arm, tier.fate_word(), false, json!([event]), &nothing)
            }));
        }
    }
    arms.extend([read("exempt"), tier.unread("later", "mounted", "folder")]);
    if shown_elsewhere {
        arms.extend([
            limited(LIMIT, read("shown-elsewhere")),
            tier.unread("shown-beneath", "mounted", "folder"),
            document("report-shown", &[contains("/classes/file/limits", LIMIT)]),
            tier.unread("no-longer-shown", "mounted", "folder"),
            document("report-no-longer", &[lacks("/classes/file/limits", LIMIT)]),
        ]);
    }
    arms.push(all_allowed("after", &before));
    arms
}

const HOLDS_NOTHING: Mutant = Mutant::new(
    "holds-nothing-mounted",
    "what is mounted beneath a folder is held by no other mount than that",
    "his-mount",
    r#"/fate: expected "EPERM", saw "allowed""#,
);

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use rustix::io::Errno;
    use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_move, unmount};
    use serde_json::{Map, Value, json};

    use crate::acts::attempt::{Attempt, Verb, account};
    use crate::acts::cause::NotHere;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::told::Listener;
    use crate::acts::worlds::lacks_user_namespaces;
    use crate::acts::{Acts, live_report, rule, running};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct HoldsMounted {
        pub tier: Tier,
        /// Whether something that is mounted in the folder is shown elsewhere too, at last.
        pub shown_elsewhere: bool,
    }

    /// Whoever he is.
    const USER: u32 = 1000;

    /// What is mounted, each on something that was there or is mounted before. Taken up in the
    /// opposite order.
    const MOUNTS: [&str; 8] = [
        "folder/inner",
        "folder/inner/nested",
        "folder/single",
        "beside",
        "aside",
        "folder/later",
        "public",
        "staging",
    ];

    /// Where he mounts: a folder and a file.
    const PLACE: &str = "place";
    const PLACE_OF_FILE: &str = "place-of-file";

    /// An act: the arm, what is done, on what and to what, and what he mounts for it, on what.
    #[derive(Clone, Copy)]
    struct Try {
        arm: &'static str,
        verb: Verb,
        path: &'static str,
        to: &'static str,
        shown: Option<(&'static str, &'static str)>,
    }

    const fn by_his_mount(arm: &'static str, verb: Verb, path: &'static str) -> Try {
        Try {
            arm,
            verb,
            path,
            to: "",
            shown: Some(("folder/inner", PLACE)),
        }
    }

    const fn beneath(arm: &'static str, verb: Verb, path: &'static str) -> Try {
        Try {
            shown: None,
            ..by_his_mount(arm, verb, path)
        }
    }

    const READS: [Try; 5] = [
        by_his_mount("his-mount", Verb::Read, "place/file"),
        by_his_mount("his-mount-deep", Verb::Read, "place/a/b/file"),
        by_his_mount("his-mount-nested", Verb::Read, "place/nested/file"),
        by_his_mount("his-mount-list", Verb::List, "place"),
        Try {
            shown: Some(("folder/single", PLACE_OF_FILE)),
            ..by_his_mount("his-mount-file", Verb::Read, PLACE_OF_FILE)
        },
    ];

    const BENEATH: Try = beneath("beneath", Verb::Read, "folder/inner/file");

    const BENIGN: Try = Try {
        shown: Some(("beside", PLACE)),
        ..by_his_mount("benign", Verb::Read, "place/file")
    };

    /// Before it is mounted in the folder, it is `aside`.
    const LATER: Try = Try {
        shown: Some(("folder/later", PLACE)),
        ..by_his_mount("later", Verb::Read, "place/file")
    };

    /// By his mount and beneath the folder, each with the name that it would leave behind last.
    const NAMES: [Try; 10] = [
        by_his_mount("his-mount-create", Verb::Create, "place/open/made"),
        by_his_mount("his-mount-mknod", Verb::Mknod, "place/open/made"),
        by_his_mount("his-mount-symlink", Verb::Symlink, "place/open/made"),
        Try {
            to: "place/open/made",
            ..by_his_mount("his-mount-link", Verb::Link, "place/open/file")
        },
        Try {
            to: "place/open/made",
            ..by_his_mount("his-mount-rename", Verb::Rename, "place/open/spare")
        },
        beneath("beneath-create", Verb::Create, "folder/inner/open/made"),
        beneath("beneath-mknod", Verb::Mknod, "folder/inner/open/made"),
        beneath("beneath-symlink", Verb::Symlink, "folder/inner/open/made"),
        Try {
            to: "folder/inner/open/made",
            ..beneath("beneath-link", Verb::Link, "folder/inner/open/file")
        },
        Try {
            to: "folder/inner/open/made",
            ..beneath("beneath-rename", Verb::Rename, "folder/inner/open/spare")
        },
    ];

    /// Where all of those would have left something.
    const MADE: &str = "folder/inner/open/made";
    const SPARE: &str = "folder/inner/open/spare";

    impl Acts for HoldsMounted {
        fn rules(&self) -> Result<String> {
            let folder = self.path("folder").display().to_string();
            Ok(rule("mounted", &format!("{folder}/"), "read-write"))
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            if let Some(why) = lacks_user_namespaces() {
                return Err(NotHere(why.to_owned()).into());
            }
            self.lay().context("making the ground")?;
            seen.other("before", self.fates(lab, "aside")?);
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            seen.other("report", live_report(agent)?);
            for act in [BENEATH].into_iter().chain(READS).chain([BENIGN]) {
                self.make(lab, seen, act)?;
            }
            if self.tier.prevents() {
                for act in NAMES {
                    self.make_name(lab, seen, act)?;
                }
            }
            let exempt = self.attempt(READS[0], |attempt| {
                attempt.exempt().make(lab.ground.limit())
            });
            seen.other("exempt", account(exempt?, json!({})));
            let mut heard = running(agent)?.listen();
            mount_move(self.path("aside"), self.path("folder/later"))
                .context("mounting another in the folder")?;
            looked(&mut heard, "what is mounted in the folder by now")?;
            self.make(lab, seen, LATER)?;
            if self.shown_elsewhere {
                self.show(lab, agent, seen)?;
            }
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.other("after", self.fates(lab, "folder/later")?);
            self.take_up()
        }
    }

    impl HoldsMounted {
        fn path(&self, name: &str) -> PathBuf {
            self.tier.ground("/srv", "mounts").join(name)
        }

        /// Shows what is mounted in the folder elsewhere, and takes that away again.
        fn show(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let mut heard = running(agent)?.listen();
            mount_bind(self.path("folder/later"), self.path("public"))
                .context("showing it elsewhere")?;
            looked(&mut heard, "what is shown elsewhere")?;
            self.make(
                lab,
                seen,
                beneath("shown-elsewhere", Verb::Read, "public/file"),
            )?;
            self.make(
                lab,
                seen,
                beneath("shown-beneath", Verb::Read, "folder/later/file"),
            )?;
            seen.other("report-shown", live_report(agent)?);
            unmount(self.path("public"), UnmountFlags::empty()).context("showing it no longer")?;
            looked(&mut heard, "what is shown elsewhere no longer")?;
            let no_longer = Try {
                arm: "no-longer-shown",
                ..LATER
            };
            self.make(lab, seen, no_longer)?;
            seen.other("report-no-longer", live_report(agent)?);
            Ok(())
        }

        /// Takes up what was mounted here, if it was.
        fn take_up(&self) -> Result<()> {
            for name in MOUNTS.iter().rev() {
                match unmount(self.path(name), UnmountFlags::DETACH) {
                    // Not mounted, or not even there.
                    Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
                    Err(error) => return Err(error).with_context(|| format!("unmounting {name}")),
                }
            }
            let ground = self.path("");
            match ground.exists() {
                true => fs::remove_dir_all(&ground).context("clearing the ground"),
                false => Ok(()),
            }
        }

        /// In a folder of what is mounted everybody may do what he likes; all else is root's, or nobody
        /// could say that it stays where it is.
        fn lay(&self) -> Result<()> {
            self.take_up()?;
            for folder in [
                "folder/inner",
                "folder/later",
                "beside",
                "aside",
                "public",
                PLACE,
            ] {
                let path = self.path(folder);
                fs::create_dir_all(&path).with_context(|| format!("making {folder}"))?;
            }
            for file in ["folder/single", PLACE_OF_FILE] {
                self.write(file)?;
            }
            for name in ["folder/inner", "beside", "aside"] {
                self.mount(name)?;
            }
            for file in ["file", "a/b/file", "open/file", "open/spare"] {
                self.write(&format!("folder/inner/{file}"))?;
            }
            for (open, mode) in [("", 0o777), ("file", 0o666), ("spare", 0o666)] {
                let path = self.path("folder/inner/open").join(open);
                fs::set_permissions(path, Permissions::from_mode(mode))?;
            }
            fs::create_dir(self.path("folder/inner/nested"))?;
            self.mount("folder/inner/nested")?;
            for file in ["folder/inner/nested/file", "beside/file", "aside/file"] {
                self.write(file)?;
            }
            // A file of a file system that is mounted nowhere else.
            fs::create_dir(self.path("staging"))?;
            self.mount("staging")?;
            self.write("staging/file")?;
            mount_bind(self.path("staging/file"), self.path("folder/single"))
                .context("mounting a file on another")?;
            unmount(self.path("staging"), UnmountFlags::empty()).context("leaving the file alone")
        }

        fn mount(&self, name: &str) -> Result<()> {
            let mode = Some(c"mode=0755");
            mount("tmpfs", self.path(name), "tmpfs", MountFlags::empty(), mode)
                .with_context(|| format!("mounting tmpfs on {name}"))
        }

        fn write(&self, name: &str) -> Result<()> {
            let path = self.path(name);
            let folder = path.parent().context("it has a folder")?;
            fs::create_dir_all(folder).with_context(|| format!("making the folder of {name}"))?;
            fs::write(&path, name).with_context(|| format!("writing {name}"))
        }

        /// His attempt.
        fn attempt<T>(&self, act: Try, make: impl FnOnce(Attempt) -> T) -> T {
            let to = match act.to {
                "" => PathBuf::new(),
                to => self.path(to),
            };
            let path = self.path(act.path);
            let attempt = Attempt::between(act.verb, &path, &to).as_user(USER);
            match act.shown {
                Some((shown, place)) => make(attempt.showing(&self.path(shown), &self.path(place))),
                None => make(attempt),
            }
        }

        fn make(&self, lab: &Lab, seen: &mut Seen, act: Try) -> Result<()> {
            let made = self.attempt(act, |attempt| attempt.make(lab.ground.limit()))?;
            seen.other(act.arm, account(made, json!({})));
            Ok(())
        }

        /// The same, and whether it left a name behind.
        fn make_name(&self, lab: &Lab, seen: &mut Seen, act: Try) -> Result<()> {
            let made = self.attempt(act, |attempt| attempt.make(lab.ground.limit()))?;
            let left = exists(&self.path(MADE));
            self.undo(act)?;
            seen.other(act.arm, account(made, json!({"left": left})));
            Ok(())
        }

        /// Puts the names back as they were.
        fn undo(&self, act: Try) -> Result<()> {
            let made = self.path(MADE);
            if !exists(&made) {
                return Ok(());
            }
            let undone = match act.verb {
                Verb::Rename => fs::rename(&made, self.path(SPARE)),
                _ => fs::remove_file(&made),
            };
            undone.with_context(|| format!("undoing {}", act.arm))
        }

        /// What comes of each act while no agent is there. `later` is where that file system is.
        fn fates(&self, lab: &Lab, later: &'static str) -> Result<Observation> {
            let later = Try {
                shown: Some((later, PLACE)),
                ..LATER
            };
            let acts = READS.into_iter().chain([BENEATH, BENIGN, later]);
            let mut document = Map::new();
            for act in acts.chain(NAMES) {
                let fate = self.attempt(act, |attempt| attempt.fate(lab.ground.limit()))?;
                self.undo(act)?;
                document.insert(act.arm.to_owned(), fate);
            }
            let document = Value::Object(document);
            Ok(Observation::Document { document })
        }
    }

    /// Waits until the agent has looked at what is mounted.
    fn looked(heard: &mut Listener, what: &str) -> Result<()> {
        heard.hear(what, |line| {
            line["event"] == "resolved" && line["rule"] == "mounted" && line["present"] == true
        })?;
        Ok(())
    }

    fn exists(path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok()
    }
}
