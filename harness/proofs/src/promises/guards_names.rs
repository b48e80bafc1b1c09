//! With a rule that denies writing, nothing new comes to stand at its path and what stands
//! there keeps its name: creating, linking and renaming are refused before they happen. In
//! the signal tier they aren't, and its report says so.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;
use serde_json::{Value, json};

use crate::arms::{account, all_allowed, done, equals, limited};
use crate::sabotage::Sweeps;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "guards-names",
    text: "With a rule that denies writing, nothing is made at its path or brought there (open, \
           `mknod`, symbolic link, link, rename, exchange), and the file that is there is neither \
           linked nor renamed nor replaced: every name is as it was, and the event names the hook. \
           Another name and the exempt cgroup are untouched.",
    proofs,
    comparison: None,
};

pub(super) const LEAVES_NAMES_OPEN: Promise = Promise {
    section: Section::Enforced,
    id: "leaves-names-open",
    text: "In `ENFORCE_SIGNAL` all of that happens, only who creates the file by opening it is \
           killed after that; the report has `creates_before_kill`, `creates_denied_name`, \
           `links_denied_file` and `replaces_denied_name` among the limits.",
    proofs: leaves_open,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::GuardsNames(tier));
        Proof::of_tier(tier, PROMISE.id, tier.identity(), acts, arms(tier))
    };
    [Tier::Lsm, Tier::Modret].map(proof).into()
}

fn leaves_open() -> Vec<Proof> {
    let (tier, acts) = (Tier::Signal, acts!(acts::GuardsNames(Tier::Signal)));
    let promise = LEAVES_NAMES_OPEN.id;
    let proof = Proof::of_tier(tier, promise, tier.identity(), acts, open_arms(tier));
    vec![proof.swept(Sweeps::LEAKS_ALL_THE_SAME)]
}

/// The acts on names, each with the end of its hook's name, the rule that it meets, by what,
/// and what stands where afterwards if it isn't stopped.
fn acts_on_names() -> [(
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Value,
); 9] {
    let (present, spare) = ("present", "spare");
    let beside = |name: &str, content: &str| {
        let mut names = json!({"present": present, "spare": spare});
        names[name] = content.into();
        names
    };
    [
        ("create", "create", "unborn", "name", beside("unborn", "")),
        (
            "mknod",
            "mknod",
            "unborn",
            "name",
            beside("unborn", "no file"),
        ),
        (
            "symlink",
            "symlink",
            "unborn",
            "name",
            beside("unborn", "no file"),
        ),
        (
            "link-to-name",
            "link",
            "unborn",
            "name",
            beside("unborn", spare),
        ),
        (
            "rename-to-name",
            "rename",
            "unborn",
            "name",
            json!({"present": present, "unborn": spare}),
        ),
        (
            "link-from-name",
            "link",
            "present",
            "inode",
            beside("elsewhere", present),
        ),
        (
            "rename-from-name",
            "rename",
            "present",
            "inode",
            json!({"elsewhere": present, "spare": spare}),
        ),
        (
            "rename-over",
            "rename",
            "present",
            "inode",
            json!({"present": spare}),
        ),
        (
            "exchange",
            "rename",
            "present",
            "inode",
            json!({"present": spare, "spare": present}),
        ),
    ]
}

pub(super) fn arms(tier: Tier) -> Vec<PlannedArm> {
    let acts = acts_on_names();
    let names: Vec<&str> = acts.iter().map(|act| act.0).collect();
    let untouched = [equals(
        "/names",
        json!({"present": "present", "spare": "spare"}),
    )];
    let kept = [
        "creates_denied_name",
        "links_denied_file",
        "replaces_denied_name",
    ];
    let mut arms = vec![all_allowed("before", &names), tier.report(&[], &kept)];
    for (arm, hook, rule, matched, _) in acts {
        let hook = format!("{}{hook}", tier.name_hooks().unwrap_or_default());
        let event = tier.event_of(&hook, rule, matched, "write");
        arms.push(account(
            arm,
            tier.fate_word(),
            false,
            json!([event]),
            &untouched,
        ));
    }
    arms.extend(untouched_arms(&names));
    arms
}

/// Another name, the exempt cgroup, and all acts once the agent is gone: nobody stops any.
fn untouched_arms(names: &[&str]) -> [PlannedArm; 3] {
    let renamed = json!({"present": "present", "other": "spare"});
    let created = json!({"present": "present", "other": "spare", "unborn": ""});
    [
        done("benign", &[equals("/names", renamed)]),
        done("exempt", &[equals("/names", created)]),
        all_allowed("after", names),
    ]
}

/// The same acts where nobody is asked before them: all leave their traces, and only what
/// opens a file is told of.
fn open_arms(tier: Tier) -> Vec<PlannedArm> {
    let acts = acts_on_names();
    let names: Vec<&str> = acts.iter().map(|act| act.0).collect();
    let limits = [
        "creates_before_kill",
        "creates_denied_name",
        "links_denied_file",
        "replaces_denied_name",
    ];
    let mut arms = vec![all_allowed("before", &names), tier.report(&limits, &[])];
    for (arm, hook, rule, _, after) in acts {
        let after = [equals("/names", after)];
        arms.push(match (arm, hook) {
            ("create", _) => {
                let event = tier.event(rule, "name", "write");
                account(arm, tier.fate_word(), false, json!([event]), &after)
            }
            (_, "link") => limited("links_denied_file", done(arm, &after)),
            (_, "rename") => limited("replaces_denied_name", done(arm, &after)),
            _ => limited("creates_denied_name", done(arm, &after)),
        });
    }
    arms.extend(untouched_arms(&names));
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
    use crate::acts::{Acts, live_report, rule, running};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct GuardsNames(pub Tier);

    /// An act on the names of the ground: the arm, what is done, on which, and to which.
    type Act = (&'static str, Verb, &'static str, &'static str);

    /// Each of them makes the forbidden name, or takes one from a forbidden file.
    const ACTS: [Act; 9] = [
        ("create", Verb::Create, "unborn", ""),
        ("mknod", Verb::Mknod, "unborn", ""),
        ("symlink", Verb::Symlink, "unborn", ""),
        ("link-to-name", Verb::Link, "spare", "unborn"),
        ("rename-to-name", Verb::Rename, "spare", "unborn"),
        ("link-from-name", Verb::Link, "present", "elsewhere"),
        ("rename-from-name", Verb::Rename, "present", "elsewhere"),
        ("rename-over", Verb::Rename, "spare", "present"),
        ("exchange", Verb::Exchange, "spare", "present"),
    ];

    impl Acts for GuardsNames {
        fn rules(&self) -> Result<String> {
            Ok(["unborn", "present"]
                .map(|id| rule(id, &self.path(id).display().to_string(), "write"))
                .concat())
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.other("before", self.fates(lab)?);
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            seen.other("report", live_report(agent)?);
            // So that it doesn't look at what is made while it is being made.
            let paused = Paused::stop(running(agent)?.pid())?;
            for act in ACTS {
                let name = act.0;
                let document = self.attempt(act)?.make(lab)?;
                seen.other(name, account(document, self.names()?));
                // Only the signal tier let it happen.
                if !self.0.prevents() {
                    self.lay()?;
                }
            }
            drop(paused);
            let benign = self.attempt(("", Verb::Rename, "spare", "other"))?;
            seen.other("benign", account(benign.make(lab)?, self.names()?));
            let exempt = self.attempt(("", Verb::Create, "unborn", ""))?;
            let document = exempt.as_attempt().exempt().make(lab.ground.limit())?;
            seen.other("exempt", account(document, self.names()?));
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.other("after", self.fates(lab)?);
            Ok(())
        }
    }

    /// An attempt that owns its paths.
    struct Owned(Verb, PathBuf, PathBuf);

    impl Owned {
        fn as_attempt(&self) -> Attempt<'_> {
            Attempt::between(self.0, &self.1, &self.2)
        }

        fn make(&self, lab: &Lab) -> Result<Value> {
            self.as_attempt().make(lab.ground.limit())
        }
    }

    impl GuardsNames {
        fn path(&self, name: &str) -> PathBuf {
            self.0.ground("/srv", "names").join(name)
        }

        fn attempt(&self, (_, verb, path, to): Act) -> Result<Owned> {
            Ok(Owned(verb, self.path(path), self.path(to)))
        }

        /// The names as they are at first.
        fn lay(&self) -> Result<()> {
            let ground = self.path("");
            fs::create_dir_all(&ground).context("making the ground")?;
            for entry in fs::read_dir(&ground).context("listing the ground")? {
                fs::remove_file(entry?.path()).context("clearing the ground")?;
            }
            for name in ["present", "spare"] {
                fs::write(self.path(name), name).with_context(|| format!("writing {name}"))?;
            }
            Ok(())
        }

        /// What stands at each name: a file's content, or that it is none.
        fn names(&self) -> Result<Value> {
            let mut names = Map::new();
            for entry in fs::read_dir(self.path("")).context("listing the ground")? {
                let entry = entry?;
                let content = match entry.file_type()?.is_file() {
                    true => fs::read_to_string(entry.path()).context("reading a file")?,
                    false => "no file".to_owned(),
                };
                let name = entry.file_name().to_string_lossy().into_owned();
                names.insert(name, content.into());
            }
            Ok(json!({"names": names}))
        }

        /// What comes of each act on names as they are at first.
        fn fates(&self, lab: &Lab) -> Result<Observation> {
            let mut document = Map::new();
            for act in ACTS {
                self.lay()?;
                let mut account = self.attempt(act)?.make(lab)?;
                document.insert(act.0.to_owned(), account["fate"].take());
            }
            self.lay()?;
            let document = Value::Object(document);
            Ok(Observation::Document { document })
        }
    }
}
