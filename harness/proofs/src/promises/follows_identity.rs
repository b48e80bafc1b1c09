//! A rule means whatever file is at its path: one that is created, created again, or renamed
//! over after the start is denied at once, by its name, with the agent standing still; and
//! once the agent has looked, by its inode, under any name.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;
use serde_json::{Value, json};

use crate::arms::{account, all_allowed, differs, document, done, read};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "follows-identity",
    text: "A rule means whatever file is at its path. One that is created there, created again, or \
           renamed over the old one is denied at once, by its name, while the agent stands still; \
           once the agent has looked, by its inode, which the event says; so is a file whose folders \
           too came later. Where names are guarded, such a file is given no second name; in \
           `ENFORCE_SIGNAL` it is denied by that too once the agent has looked.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::FollowsIdentity(tier));
        Proof::of_tier(tier, PROMISE.id, tier.identity(), acts, arms(tier))
    };
    Tier::ALL.map(proof).into()
}

pub(super) fn arms(tier: Tier) -> Vec<PlannedArm> {
    let files = ["created", "recreated", "replaced"];
    let mut arms = vec![all_allowed("before", &files[1..])];
    arms.extend(files.map(|file| tier.unread(&format!("{file}-at-once"), file, "name")));
    arms.push(match tier.name_hooks() {
        Some(_) => tier.unnamed("second-name-at-once", "link", "created", "name"),
        None => done("second-name-at-once", &[]),
    });
    arms.push(match tier.name_hooks() {
        // Nothing but its path is known of a file whose folder isn't there.
        Some(_) => read("in-new-folder-at-once"),
        None => {
            let hook = "tracepoint/syscalls/sys_enter_openat";
            let event = tier.event_of(hook, "unforeseen", "path", "read");
            let arm = "in-new-folder-at-once";
            account(arm, tier.fate_word(), false, json!([event]), &[])
        }
    });
    let resolved = [
        "/created",
        "/recreated",
        "/replaced",
        "/later",
        "/unforeseen",
    ];
    let delays = resolved.map(|rule| differs(rule, Value::Null));
    arms.push(document("resolved", &delays));
    let known = ["created", "recreated", "replaced", "unforeseen", "later"];
    arms.extend(known.map(|file| tier.unread(file, file, "inode")));
    arms.push(read("benign"));
    arms.push(match tier.name_hooks() {
        Some(_) => tier.unnamed("second-name", "link", "created", "inode"),
        None => tier.unread("second-name", "created", "inode"),
    });
    arms.push(read("exempt"));
    arms.push(all_allowed("after", &known));
    arms
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;
    use std::path::PathBuf;

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use serde_json::{Map, Value, json};

    use crate::acts::attempt::{Attempt, Verb, account};
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::paused::Paused;
    use crate::acts::{Acts, rule, running};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct FollowsIdentity(pub Tier);

    /// The rules, with the paths on the ground that they are on.
    const RULES: [(&str, &str); 5] = [
        ("created", "created"),
        ("recreated", "recreated"),
        ("replaced", "replaced"),
        ("unforeseen", UNFORESEEN),
        ("later", LATER),
    ];

    /// In folders that aren't there at the start.
    const UNFORESEEN: &str = "new/newer/unforeseen";
    const LATER: &str = "one/two/later";

    impl Acts for FollowsIdentity {
        fn rules(&self) -> Result<String> {
            let path = |name| self.path(name).display().to_string();
            Ok(RULES
                .map(|(id, name)| rule(id, &path(name), "read"))
                .concat())
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            fs::create_dir(self.path("")).context("making the ground")?;
            for name in ["recreated", "replaced", "neighbour"] {
                self.write(name)?;
            }
            let fates = self.fates(lab, &RULES[1..3])?;
            seen.other("before", fates);
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            let mut heard = running.listen();
            let paused = Paused::stop(running.pid())?;

            self.write("created")?;
            self.read(lab, seen, "created-at-once", "created")?;
            fs::remove_file(self.path("recreated")).context("deleting a file")?;
            self.write("recreated")?;
            self.read(lab, seen, "recreated-at-once", "recreated")?;
            self.write("fresh")?;
            fs::rename(self.path("fresh"), self.path("replaced"))
                .context("renaming a file over")?;
            self.read(lab, seen, "replaced-at-once", "replaced")?;
            let (created, second) = (self.path("created"), self.path("second"));
            let link = Attempt::between(Verb::Link, &created, &second);
            let linked = link.make(lab.ground.limit())?;
            seen.other("second-name-at-once", account(linked, json!({})));
            fs::create_dir_all(self.path("new/newer")).context("making two folders")?;
            self.write(UNFORESEEN)?;
            self.read(lab, seen, "in-new-folder-at-once", UNFORESEEN)?;
            drop(paused);

            fs::create_dir_all(self.path("one/two")).context("making two folders")?;
            self.write(LATER)?;
            let mut resolved = Map::new();
            while !RULES.iter().all(|(rule, _)| resolved.contains_key(*rule)) {
                let mut notice = heard.hear("a resolved rule", |line| {
                    line["event"] == "resolved" && line["present"] == true
                })?;
                if let Some(rule) = notice["rule"].as_str().map(str::to_owned) {
                    resolved.insert(rule, notice["delay_us"].take());
                }
            }
            let document = Value::Object(resolved);
            seen.other("resolved", Observation::Document { document });

            for (arm, name) in RULES.into_iter().chain([("benign", "neighbour")]) {
                self.read(lab, seen, arm, name)?;
            }
            let link = Attempt::between(Verb::Link, &created, &second);
            let linked = match self.0.prevents() {
                true => link.make(lab.ground.limit())?,
                // It has it already.
                false => Attempt::on(Verb::Read, &second).make(lab.ground.limit())?,
            };
            seen.other("second-name", account(linked, json!({})));
            let exempt = Attempt::on(Verb::Read, &created).exempt();
            let read = exempt.make(lab.ground.limit())?;
            seen.other("exempt", account(read, json!({})));
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.other("after", self.fates(lab, &RULES)?);
            Ok(())
        }
    }

    impl FollowsIdentity {
        fn path(&self, name: &str) -> PathBuf {
            self.0.ground("/srv", "identity").join(name)
        }

        fn write(&self, name: &str) -> Result<()> {
            fs::write(self.path(name), name).with_context(|| format!("writing {name}"))
        }

        fn read(&self, lab: &Lab, seen: &mut Seen, arm: &'static str, name: &str) -> Result<()> {
            let read = Attempt::on(Verb::Read, &self.path(name)).make(lab.ground.limit())?;
            seen.other(arm, account(read, json!({})));
            Ok(())
        }

        /// What comes of reading what these rules are on.
        fn fates(&self, lab: &Lab, rules: &[(&str, &str)]) -> Result<Observation> {
            let mut document = Map::new();
            for (rule, name) in rules {
                let path = self.path(name);
                let read = Attempt::on(Verb::Read, &path);
                document.insert((*rule).to_owned(), read.fate(lab.ground.limit())?);
            }
            let document = Value::Object(document);
            Ok(Observation::Document { document })
        }
    }
}
