//! Whoever owns a file on some file systems can give it another generation, by which the kernel tells it
//! from an earlier one of its number. A rule on it holds all the same.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;
use serde_json::json;

use crate::arms::{account, all_allowed, done, read};
use crate::sabotage::Mutant;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "knows-regenerated-inode",
    text: "A file on ext4 to which its owner, who may write it or read it, gives another generation \
           (`FS_IOC_SETVERSION`) stays denied, under any name, while the agent stands still; so is \
           what is beneath a folder that he does that to, and what he makes there at a denied name. \
           A neighbour is untouched.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proofs = Proof::on_ext4(PROMISE.id, |tier| {
        (acts!(acts::KnowsRegeneratedInode(tier)), arms(tier))
    });
    let catching = |proof: Proof| match proof.boot == Tier::Lsm.boot() {
        true => proof.catches(&[GENERATION_ALONE]),
        false => proof,
    };
    proofs.into_iter().map(catching).collect()
}

fn arms(tier: Tier) -> Vec<PlannedArm> {
    let written = tier.event(FOLDER, "folder", "write");
    vec![
        all_allowed("before", &["read", "write"]),
        all_allowed("regenerated", &["file", "folder", "named", "neighbour"]),
        tier.unread("read", FILE, "inode"),
        account("write", tier.fate_word(), false, json!([written]), &[]),
        done("made", &[]),
        tier.unread("name", NAME, "name"),
        read("benign"),
        all_allowed("after", &["read", "write"]),
    ]
}

/// The rules.
const FILE: &str = "regenerated-file";
const FOLDER: &str = "regenerated-folder";
const NAME: &str = "regenerated-name";

const GENERATION_ALONE: Mutant = Mutant::new(
    "goes-by-generation-alone",
    "a file that is kept in memory and has another generation is taken for another file",
    "read",
    "/fate: expected \"EPERM\"",
);

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;
    use std::os::unix::fs::chown;
    use std::path::PathBuf;

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use serde_json::{Map, Value, json};

    use super::{FILE, FOLDER, NAME};
    use crate::acts::attempt::{Attempt, Verb, WRITING, account};
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::paused::Paused;
    use crate::acts::{Acts, rule, running};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct KnowsRegeneratedInode(pub Tier);

    /// He who owns it all.
    const USER: u32 = 1000;

    const FOLDERS: [&str; 4] = ["", "his", "his/folder", "his/named"];
    const FILES: [&str; 3] = ["his/file", "his/folder/file", "his/neighbour"];
    /// Another name of the denied file, of which no rule knows.
    const SECOND: &str = "his/second";

    impl Acts for KnowsRegeneratedInode {
        fn rules(&self) -> Result<String> {
            let path = |name| self.path(name).display().to_string();
            Ok([
                rule(FILE, &path("his/file"), "read"),
                rule(FOLDER, &format!("{}/", path("his/folder")), "write"),
                rule(NAME, &path("his/named/new"), "read"),
            ]
            .concat())
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            let ground = self.path("");
            if ground.exists() {
                fs::remove_dir_all(&ground).context("clearing the ground")?;
            }
            for folder in FOLDERS {
                fs::create_dir(self.path(folder)).context("making the ground")?;
            }
            for file in FILES {
                fs::write(self.path(file), file).with_context(|| format!("writing {file}"))?;
            }
            fs::hard_link(self.path(FILES[0]), self.path(SECOND)).context("a second name")?;
            for his in FOLDERS[1..].iter().chain(&FILES) {
                chown(self.path(his), Some(USER), Some(USER))
                    .with_context(|| format!("giving him {his}"))?;
            }
            seen.other("before", self.fates(lab)?);
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let paused = Paused::stop(running(agent)?.pid())?;
            let mut regenerated = Map::new();
            for (name, file, to) in [
                // Only what the rule on it leaves to him.
                ("file", "his/file", WRITING),
                ("folder", "his/folder", ""),
                ("named", "his/named", ""),
                ("neighbour", "his/neighbour", ""),
            ] {
                let (file, to) = (self.path(file), PathBuf::from(to));
                let act = Attempt::between(Verb::Regenerate, &file, &to).as_user(USER);
                regenerated.insert(name.to_owned(), act.fate(lab.ground.limit())?);
            }
            let document = Value::Object(regenerated);
            seen.other("regenerated", Observation::Document { document });
            for (arm, verb, file) in [
                ("read", Verb::Read, SECOND),
                ("write", Verb::Write, "his/folder/file"),
                ("made", Verb::Create, "his/named/new"),
                ("name", Verb::Read, "his/named/new"),
                ("benign", Verb::Read, "his/neighbour"),
            ] {
                let file = self.path(file);
                let act = Attempt::on(verb, &file).as_user(USER);
                seen.other(arm, account(act.make(lab.ground.limit())?, json!({})));
            }
            drop(paused);
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.other("after", self.fates(lab)?);
            Ok(())
        }
    }

    impl KnowsRegeneratedInode {
        fn path(&self, name: &str) -> PathBuf {
            let ground = self.0.ground("/srv/ext4", "generation");
            match name {
                "" => ground,
                name => ground.join(name),
            }
        }

        /// What comes of what is denied.
        fn fates(&self, lab: &Lab) -> Result<Observation> {
            let fate = |verb, file| {
                let file = self.path(file);
                let act = Attempt::on(verb, &file).as_user(USER);
                act.fate(lab.ground.limit())
            };
            let read = fate(Verb::Read, SECOND)?;
            let write = fate(Verb::Write, "his/folder/file")?;
            let document = json!({"read": read, "write": write});
            Ok(Observation::Document { document })
        }
    }
}
