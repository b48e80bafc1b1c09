//! A rule on a folder holds for everything beneath it, however deep, whenever made, by
//! whatever mount it is reached or held, and nothing is taken out of it; and for nothing
//! else, but for files so deep that nobody can say what they are beneath.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;

use crate::arms::{all_allowed, done, limited, read};
use crate::sabotage::Mutant;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "holds-folder",
    text: "A rule on a folder denies listing it and opening all beneath it: 200 levels deep, in a \
           subfolder made later, through a bind mount elsewhere, on another file system mounted in \
           it, even one that is shown elsewhere too. Where names are guarded, nothing is created in it, and nothing is renamed or linked \
           out of it, nor the folder itself moved. A folder whose name starts the same, a file 200 \
           levels deep elsewhere, and a pipe opened anew, are untouched; 300 levels deep on a file \
           system that has such a folder, where nobody can say what it is beneath, a file is denied \
           and the event says `too_deep`. A hard link made before leads out, and the report says \
           `hardlink_out_of_folder`.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let across_mounts = true;
        let acts = acts!(acts::HoldsFolder {
            tier,
            across_mounts
        });
        let arms = arms(tier, across_mounts);
        let proof = Proof::of_tier(tier, PROMISE.id, tier.identity(), acts, arms);
        match tier {
            Tier::Lsm => proof.catches(&[STAYS_BELOW]),
            Tier::Modret | Tier::Signal => proof,
        }
    };
    Tier::ALL.map(proof).into()
}

/// With `across_mounts`, another file system is mounted in the folder, and elsewhere too: it is held by
/// what it is mounted on alone.
pub(super) fn arms(tier: Tier, across_mounts: bool) -> Vec<PlannedArm> {
    let mut reads = vec![
        "beneath",
        "three-deep",
        "by-bind-mount",
        "deep",
        "list",
        "list-subfolder",
    ];
    if across_mounts {
        reads.push("in-a-mount");
    }
    let others = [
        "benign",
        "benign-deep",
        "benign-pipe",
        "too-deep",
        "linked-out-before",
    ];
    let moves = [
        ("create", "create", "folder"),
        ("rename-out", "rename", "folder"),
        ("rename-subfolder-out", "rename", "folder"),
        ("rename-folder", "rename", "inode"),
        ("link-out", "link", "folder"),
    ];
    let all = [&reads[..], &others, &moves.map(|act| act.0)].concat();
    let limits: &[&str] = match across_mounts {
        true => &["hardlink_out_of_folder", "mount_out_of_folder"],
        false => &["hardlink_out_of_folder"],
    };
    let mut arms = vec![all_allowed("before", &all), tier.report(limits, &[])];
    arms.extend(reads.into_iter().map(|read| match read {
        // The rule is on the folder itself too.
        "list" => tier.unread(read, "folder", "inode"),
        _ => tier.unread(read, "folder", "folder"),
    }));
    arms.extend([
        read("benign"),
        read("benign-deep"),
        done("benign-pipe", &[]),
        tier.unread("too-deep", "folder rules", "too_deep"),
        limited("hardlink_out_of_folder", read("linked-out-before")),
        done("exempt-mkdir", &[]),
        done("exempt-create", &[]),
        tier.unread("new", "folder", "folder"),
    ]);
    if tier.name_hooks().is_some() {
        arms.extend(moves.map(|(arm, hook, matched)| tier.unnamed(arm, hook, "folder", matched)));
    }
    arms.extend([read("exempt"), all_allowed("after", &all)]);
    arms
}

const STAYS_BELOW: Mutant = Mutant::new(
    "stays-below-mounts",
    "a folder with a rule doesn't cover what is mounted in it",
    "in-a-mount",
    r#"/fate: expected "EPERM", saw "allowed""#,
);

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;
    use std::path::{Path, PathBuf};

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use rustix::io::Errno;
    use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
    use serde_json::{Map, Value, json};

    use crate::acts::attempt::{Attempt, Verb, account};
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, live_report, rule};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct HoldsFolder {
        pub tier: Tier,
        /// Whether another file system is mounted in the folder, and elsewhere too. Where the kernel
        /// is locked down, no program can read on what one is mounted; `admits-unreadable-rules` is
        /// about a rule that needs it.
        pub across_mounts: bool,
    }

    /// How deep the deep files are: within what is looked at, and beyond it.
    const DEEP: usize = 200;
    const TOO_DEEP: usize = 300;

    /// An act on the ground: the arm, what is done, on which, and to which.
    type Act = (&'static str, Verb, &'static str, &'static str);

    /// What the rule forbids.
    const READS: [Act; 6] = [
        ("beneath", Verb::Read, "folder/file", ""),
        ("three-deep", Verb::Read, "folder/a/b/file", ""),
        ("by-bind-mount", Verb::Read, "bound/b/file", ""),
        ("deep", Verb::Read, "folder/deep", ""),
        ("list", Verb::List, "folder", ""),
        ("list-subfolder", Verb::List, "folder/a", ""),
    ];

    /// What it forbids on another file system.
    const READ_IN_MOUNT: Act = ("in-a-mount", Verb::Read, "folder/mounted/file", "");

    /// What it forbids, and what changes the ground if it isn't kept.
    const MOVES: [Act; 5] = [
        ("create", Verb::Create, "folder/a/made", ""),
        ("rename-out", Verb::Rename, "folder/file", "out"),
        ("rename-subfolder-out", Verb::Rename, "folder/a/b", "out"),
        ("rename-folder", Verb::Rename, "folder", "out"),
        ("link-out", Verb::Link, "folder/file", "out"),
    ];

    /// What it doesn't forbid.
    const OTHERS: [Act; 5] = [
        ("benign", Verb::Read, "folder-sibling/file", ""),
        ("benign-deep", Verb::Read, "deep", ""),
        ("benign-pipe", Verb::Write, "/proc/self/fd/1", ""),
        ("too-deep", Verb::Read, "too-deep", ""),
        ("linked-out-before", Verb::Read, "linked", ""),
    ];

    impl Acts for HoldsFolder {
        fn rules(&self) -> Result<String> {
            let folder = self.path("folder").display().to_string();
            Ok(rule("folder", &format!("{folder}/"), "read-write"))
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            self.lay().context("making the ground")?;
            seen.other("before", self.fates(lab)?);
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            seen.other("report", live_report(agent)?);
            for act in self.reads().chain(OTHERS) {
                self.make(lab, seen, act)?;
            }
            // By somebody who may; nobody else can.
            for (verb, name) in [
                (Verb::Mkdir, "folder/new"),
                (Verb::Create, "folder/new/file"),
            ] {
                let path = self.path(name);
                let made = Attempt::on(verb, &path).exempt().make(lab.ground.limit())?;
                let arm = match verb {
                    Verb::Mkdir => "exempt-mkdir",
                    _ => "exempt-create",
                };
                seen.other(arm, account(made, json!({})));
            }
            self.make(lab, seen, ("new", Verb::Read, "folder/new/file", ""))?;
            if self.tier.prevents() {
                for act in MOVES {
                    self.make(lab, seen, act)?;
                }
            }
            let file = self.path("folder/file");
            let read = Attempt::on(Verb::Read, &file)
                .exempt()
                .make(lab.ground.limit())?;
            seen.other("exempt", account(read, json!({})));
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.other("after", self.fates(lab)?);
            Ok(())
        }
    }

    impl HoldsFolder {
        /// What the rule forbids on this ground.
        fn reads(&self) -> impl Iterator<Item = Act> {
            let in_mount = self.across_mounts.then_some(READ_IN_MOUNT);
            READS.into_iter().chain(in_mount)
        }

        fn ground(&self) -> PathBuf {
            self.tier.ground("/srv", "folders")
        }

        /// Takes up what this proof laid before, if it runs once more in this boot.
        fn take_up(&self) -> Result<()> {
            let ground = self.ground();
            if !ground.exists() {
                return Ok(());
            }
            for mounted in ["bound", "shown", "folder/mounted"] {
                match unmount(self.path(mounted), UnmountFlags::DETACH) {
                    // Not mounted, or not even there.
                    Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
                    Err(error) => {
                        return Err(error).with_context(|| format!("unmounting {mounted}"));
                    }
                }
            }
            fs::remove_dir_all(&ground).with_context(|| format!("removing {}", ground.display()))
        }

        /// A name of the ground; the deep ones are short for where they are.
        fn path(&self, name: &str) -> PathBuf {
            let ground = self.ground();
            match name {
                "deep" => beneath(&ground.join("well"), DEEP),
                "too-deep" => beneath(&ground.join("abyss"), TOO_DEEP),
                "folder/deep" => beneath(&ground.join("folder"), DEEP),
                name => ground.join(name),
            }
        }

        fn lay(&self) -> Result<()> {
            self.take_up()?;
            for name in [
                "folder/file",
                "folder/a/b/file",
                "folder/a/linked",
                "folder/deep",
                "folder-sibling/file",
                "deep",
                "too-deep",
            ] {
                self.write(name)?;
            }
            fs::hard_link(self.path("folder/a/linked"), self.path("linked"))?;
            fs::create_dir(self.path("bound"))?;
            mount_bind(self.path("folder/a"), self.path("bound"))?;
            if !self.across_mounts {
                return Ok(());
            }
            let mounted = self.path("folder/mounted");
            fs::create_dir(&mounted)?;
            mount("tmpfs", &mounted, "tmpfs", MountFlags::empty(), None)?;
            fs::create_dir(self.path("shown"))?;
            mount_bind(mounted, self.path("shown"))?;
            self.write("folder/mounted/file")
        }

        fn write(&self, name: &str) -> Result<()> {
            let path = self.path(name);
            let folder = path.parent().context("it has a folder")?;
            fs::create_dir_all(folder).with_context(|| format!("making the folder of {name}"))?;
            fs::write(path, name).with_context(|| format!("writing {name}"))
        }

        fn make(&self, lab: &Lab, seen: &mut Seen, (arm, verb, path, to): Act) -> Result<()> {
            let (path, to) = (self.path(path), self.path(to));
            let made = Attempt::between(verb, &path, &to).make(lab.ground.limit())?;
            seen.other(arm, account(made, json!({})));
            Ok(())
        }

        /// What comes of each act while no agent is there, and is then undone.
        fn fates(&self, lab: &Lab) -> Result<Observation> {
            let mut document = Map::new();
            for (arm, verb, path, to) in self.reads().chain(OTHERS).chain(MOVES) {
                let (path, to) = (self.path(path), self.path(to));
                let fate = Attempt::between(verb, &path, &to).fate(lab.ground.limit())?;
                match (verb, fate == "allowed") {
                    (Verb::Create, true) => fs::remove_file(&path).context("undoing it")?,
                    (Verb::Rename, true) => fs::rename(&to, &path).context("undoing it")?,
                    (Verb::Link, true) => fs::remove_file(&to).context("undoing it")?,
                    _ => {}
                }
                document.insert(arm.to_owned(), fate);
            }
            let document = Value::Object(document);
            Ok(Observation::Document { document })
        }
    }

    /// A file so deep beneath a folder.
    fn beneath(folder: &Path, levels: usize) -> PathBuf {
        let mut path = folder.to_owned();
        path.extend(std::iter::repeat_n("d", levels));
        path.join("file")
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_deep_path_is_one_that_a_system_call_takes() {
            let acts = HoldsFolder {
                tier: Tier::Signal,
                across_mounts: true,
            };
            let path = acts.path("too-deep");
            assert_eq!(path.components().count(), 1 + 2 + 1 + TOO_DEEP + 1);
            assert!(path.as_os_str().len() < 4096);
        }
    }
}
