//! A rule on a folder holds for everything beneath it, however deep, whenever made, by
//! whatever mount it is reached or held, and nothing is taken out of it; and for nothing
//! else, but for files so deep that nobody can say what they are beneath.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use protocol::record::Observation;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use serde_json::{Map, Value, json};

use super::Proof;
use crate::attempt::{Attempt, Verb, account};
use crate::lab::{During, Lab, Seen};
use crate::tier::{Tier, rule};

/// See the module.
pub struct HoldsFolder {
    tier: Tier,
    ids: &'static [&'static str],
    /// Whether another file system is mounted in the folder.
    across_mounts: bool,
}

/// One in each tier.
pub const LSM: HoldsFolder = HoldsFolder {
    tier: Tier::Lsm,
    ids: &["enforce-holds-folder"],
    across_mounts: true,
};
/// See [`LSM`].
pub const MODRET: HoldsFolder = HoldsFolder {
    tier: Tier::Modret,
    ids: &["modret-holds-folder"],
    across_mounts: true,
};
/// See [`LSM`].
pub const SIGNAL: HoldsFolder = HoldsFolder {
    tier: Tier::Signal,
    ids: &["signal-holds-folder"],
    across_mounts: true,
};
/// Where the kernel is locked down. No program can read there on what a file system is mounted;
/// `unreadable_rules` is about a rule that needs it.
pub const LSM_LOCKED_DOWN: HoldsFolder = HoldsFolder {
    ids: &["lockdown-enforce-holds-folder"],
    across_mounts: false,
    ..LSM
};
/// See [`LSM_LOCKED_DOWN`].
pub const MODRET_LOCKED_DOWN: HoldsFolder = HoldsFolder {
    ids: &["lockdown-modret-holds-folder"],
    across_mounts: false,
    ..MODRET
};

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

impl Proof for HoldsFolder {
    fn ids(&self) -> &'static [&'static str] {
        self.ids
    }

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
        seen.other("report", super::live_report(agent)?);
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
        for mounted in ["bound", "folder/mounted"] {
            match unmount(self.path(mounted), UnmountFlags::DETACH) {
                // Not mounted, or not even there.
                Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
                Err(error) => return Err(error).with_context(|| format!("unmounting {mounted}")),
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
        mount("tmpfs", mounted, "tmpfs", MountFlags::empty(), None)?;
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
        let path = SIGNAL.path("too-deep");
        assert_eq!(path.components().count(), 1 + 2 + 1 + TOO_DEEP + 1);
        assert!(path.as_os_str().len() < 4096);
    }
}
