//! A rule goes on denying each file that its path led to, however often another takes its place, up to a
//! number that the report tells of.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;
use serde_json::{Map, Value};

use crate::arms::{all_allowed, contains, document, equals, lacks, limited, read};
use crate::sabotage::Mutant;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "remembers-former-targets",
    text: "A file that a rule's path led to once stays denied where it is now, though a user moved the \
           folder that it is in and put another in its place, seven times more; so does what was beneath \
           a folder. A ninth isn't denied where it is moved to, and `forgets_former_targets` is among the \
           limits from then on; the first ones stay denied. Once one of them is deleted, there is room \
           for another.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::RemembersFormerTargets(tier));
        let proof = Proof::of_tier(tier, PROMISE.id, tier.identity(), acts, arms(tier));
        match tier {
            Tier::Lsm => proof.catches(&[REMEMBERS_ONE]),
            Tier::Modret | Tier::Signal => proof,
        }
    };
    Tier::ALL.map(proof).into()
}

/// How many are remembered.
const ROOM: usize = 8;

const FILE: &str = "former-file";
const FOLDER: &str = "former-folder";
const LIMIT: &str = "forgets_former_targets";
const LIMITS: &str = "/classes/file/limits";

fn arms(tier: Tier) -> Vec<PlannedArm> {
    let stopped: Map<String, Value> = (1..=ROOM)
        .map(|number| (number.to_string(), tier.fate_word().into()))
        .collect();
    vec![
        all_allowed("before", &["file", "beneath"]),
        tier.unread("first", FILE, "inode"),
        tier.unread("first-beneath", FOLDER, "folder"),
        tier.unread("second", FILE, "inode"),
        document("all", &[equals("", stopped.clone())]),
        document("all-beneath", &[equals("", stopped.clone())]),
        document("report", &[lacks(LIMITS, LIMIT)]),
        limited(LIMIT, read("ninth")),
        document("still-all", &[equals("", stopped)]),
        document("report-on-ninth", &[contains(LIMITS, LIMIT)]),
        tier.unread("tenth", FILE, "inode"),
        tier.unread("present", FILE, "inode"),
        read("benign"),
        all_allowed("after", &["file", "beneath"]),
    ]
}

const REMEMBERS_ONE: Mutant = Mutant::new(
    "remembers-one-former",
    "of what a rule's path led to before, one file is remembered",
    "second",
    "/fate: expected \"EPERM\"",
);

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;
    use std::path::PathBuf;

    use anyhow::{Context, Result, ensure};
    use protocol::record::Observation;
    use serde_json::{Map, Value, json};

    use super::{FILE, FOLDER, ROOM};
    use crate::acts::agent::Running;
    use crate::acts::attempt::{Attempt, Verb, account};
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, live_report, rule, running};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct RemembersFormerTargets(pub Tier);

    /// He whose folder `his` is.
    const USER: u32 = 1000;

    impl Acts for RemembersFormerTargets {
        fn rules(&self) -> Result<String> {
            let path = |name| self.path(name).display().to_string();
            Ok([
                rule(FILE, &path("his/there/file"), "read"),
                rule(FOLDER, &format!("{}/", path("his/there/folder")), "read"),
            ]
            .concat())
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            let ground = self.0.ground("/srv", "formers");
            if ground.exists() {
                fs::remove_dir_all(&ground).context("clearing the ground")?;
            }
            fs::create_dir_all(self.path("his")).context("making the ground")?;
            self.fill("his/there")?;
            fs::write(self.path("neighbour"), "neighbour").context("writing the neighbour")?;
            std::os::unix::fs::chown(self.path("his"), Some(USER), Some(USER))
                .context("giving him his folder")?;
            let file = self.fate(lab, "his/there/file")?;
            let beneath = self.fate(lab, "his/there/folder/file")?;
            let document = json!({"file": file, "beneath": beneath});
            seen.other("before", Observation::Document { document });
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            for number in 1..=ROOM {
                self.replace(lab, running, number)?;
            }
            self.read(lab, seen, "first", "his/1/file")?;
            self.read(lab, seen, "first-beneath", "his/1/folder/file")?;
            self.read(lab, seen, "second", "his/2/file")?;
            seen.other("all", self.fates(lab, "file")?);
            seen.other("all-beneath", self.fates(lab, "folder/file")?);
            seen.other("report", live_report(agent)?);
            self.replace(lab, running, ROOM + 1)?;
            self.read(lab, seen, "ninth", "his/9/file")?;
            seen.other("still-all", self.fates(lab, "file")?);
            seen.other("report-on-ninth", live_report(agent)?);
            fs::remove_file(self.path("his/3/file")).context("deleting a former target")?;
            self.replace(lab, running, ROOM + 2)?;
            self.read(lab, seen, "tenth", "his/10/file")?;
            self.read(lab, seen, "present", "his/there/file")?;
            self.read(lab, seen, "benign", "neighbour")
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            let file = self.fate(lab, "his/1/file")?;
            let beneath = self.fate(lab, "his/1/folder/file")?;
            let document = json!({"file": file, "beneath": beneath});
            seen.other("after", Observation::Document { document });
            Ok(())
        }
    }

    impl RemembersFormerTargets {
        fn path(&self, name: &str) -> PathBuf {
            self.0.ground("/srv", "formers").join(name)
        }

        /// Makes a folder with what the rules are on.
        fn fill(&self, name: &str) -> Result<()> {
            let folder = self.path(name);
            fs::create_dir_all(folder.join("folder")).context("making folders")?;
            for file in ["file", "folder/file"] {
                fs::write(folder.join(file), name).context("writing a file")?;
            }
            Ok(())
        }

        /// Has him move what is there, and put something else there, and waits until the agent knows.
        /// What he puts there is complete before.
        fn replace(&self, lab: &Lab, running: &Running, number: usize) -> Result<()> {
            let mut heard = running.listen();
            self.fill(&format!("next-{number}"))?;
            let (there, next) = (self.path("his/there"), self.path(&format!("next-{number}")));
            let gone = self.path(&format!("his/{number}"));
            let away = Attempt::between(Verb::Rename, &there, &gone).as_user(USER);
            let away = away.fate(lab.ground.limit())?;
            ensure!(away == "allowed", "moving what is there: {away}");
            fs::rename(next, there).context("moving something there")?;
            for rule in [FILE, FOLDER] {
                heard.hear("what is there now", |line| {
                    line["event"] == "resolved" && line["rule"] == rule && line["present"] == true
                })?;
            }
            Ok(())
        }

        fn read(&self, lab: &Lab, seen: &mut Seen, arm: &'static str, name: &str) -> Result<()> {
            let path = self.path(name);
            let read = Attempt::on(Verb::Read, &path).as_user(USER);
            seen.other(arm, account(read.make(lab.ground.limit())?, json!({})));
            Ok(())
        }

        fn fate(&self, lab: &Lab, name: &str) -> Result<Value> {
            let path = self.path(name);
            let read = Attempt::on(Verb::Read, &path).as_user(USER);
            read.fate(lab.ground.limit())
        }

        /// What comes of reading what was there, by how many were before it.
        fn fates(&self, lab: &Lab, file: &str) -> Result<Observation> {
            let mut document = Map::new();
            for number in 1..=ROOM {
                let fate = self.fate(lab, &format!("his/{number}/{file}"))?;
                document.insert(number.to_string(), fate);
            }
            let document = Value::Object(document);
            Ok(Observation::Document { document })
        }
    }
}
