//! A rule that denies reading lets the file be written, and one that denies writing lets it
//! be read and executed. Executing is reading; truncating is writing.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;
use serde_json::json;

use crate::arms::{account, all_allowed, done, equals};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "splits-access",
    text: "`access = \"read\"` denies reading and executing, not writing and appending; `access = \
           \"write\"` denies writing, appending and truncating, not reading and executing. In \
           `ENFORCE_SIGNAL` the file is empty by then if it was truncated.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::SplitsAccess(tier));
        Proof::of_tier(tier, PROMISE.id, tier.identity(), acts, arms(tier))
    };
    Tier::ALL.map(proof).into()
}

fn arms(tier: Tier) -> Vec<PlannedArm> {
    let whole = [equals("/empty", false)];
    let stopped = |arm: &str, rule: &str, access: &str| {
        let event = tier.event(rule, "inode", access);
        // The signal comes after the file was truncated.
        let empty = arm == "unwritten-truncate" && tier.name_hooks().is_none();
        let also = [equals("/empty", empty)];
        account(arm, tier.fate_word(), false, json!([event]), &also)
    };
    let gives = |arm: &str| account(arm, "allowed", true, json!([]), &whole);
    let during = [
        stopped("unread-read", "unread", "read"),
        stopped("unread-execute", "unread", "read"),
        stopped("unread-read-write", "unread", "read-write"),
        done("unread-write", &whole),
        done("unread-append", &whole),
        gives("unwritten-read"),
        gives("unwritten-execute"),
        stopped("unwritten-read-write", "unwritten", "read-write"),
        stopped("unwritten-write", "unwritten", "write"),
        stopped("unwritten-append", "unwritten", "write"),
        stopped("unwritten-truncate", "unwritten", "read-write"),
        gives("benign-read"),
        gives("benign-execute"),
        done("benign-write", &whole),
        done("benign-truncate", &[equals("/empty", true)]),
    ];
    let acts: Vec<&str> = during.iter().map(|arm| arm.arm.as_str()).collect();
    let (before, after) = (all_allowed("before", &acts), all_allowed("after", &acts));
    [vec![before], during.to_vec(), vec![after]].concat()
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;
    use std::path::PathBuf;

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use serde_json::{Map, Value, json};

    use crate::acts::attempt::{Attempt, SCRIPT, Verb, account};
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, rule};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct SplitsAccess(pub Tier);

    /// The arm, what is done, and to which file.
    const ACTS: [(&str, Verb, &str); 15] = [
        ("unread-read", Verb::Read, "unread"),
        ("unread-execute", Verb::Execute, "unread"),
        ("unread-read-write", Verb::ReadWrite, "unread"),
        ("unread-write", Verb::Write, "unread"),
        ("unread-append", Verb::Append, "unread"),
        ("unwritten-read", Verb::Read, "unwritten"),
        ("unwritten-execute", Verb::Execute, "unwritten"),
        ("unwritten-read-write", Verb::ReadWrite, "unwritten"),
        ("unwritten-write", Verb::Write, "unwritten"),
        ("unwritten-append", Verb::Append, "unwritten"),
        ("unwritten-truncate", Verb::Truncate, "unwritten"),
        ("benign-read", Verb::Read, "neighbour"),
        ("benign-execute", Verb::Execute, "neighbour"),
        ("benign-write", Verb::Write, "neighbour"),
        ("benign-truncate", Verb::Truncate, "neighbour"),
    ];

    impl Acts for SplitsAccess {
        fn rules(&self) -> Result<String> {
            let rule = |id: &str, access| rule(id, &self.path(id).display().to_string(), access);
            Ok(rule("unread", "read") + &rule("unwritten", "write"))
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            fs::create_dir(self.path("")).context("making the ground")?;
            seen.other("before", self.fates(lab)?);
            self.lay()
        }

        fn during(&self, lab: &Lab, _agent: &During, seen: &mut Seen) -> Result<()> {
            for (arm, verb, name) in ACTS {
                let path = self.path(name);
                let made = Attempt::on(verb, &path).make(lab.ground.limit())?;
                let empty = fs::metadata(path).context("asking for its length")?.len() == 0;
                seen.other(arm, account(made, json!({"empty": empty})));
            }
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.other("after", self.fates(lab)?);
            Ok(())
        }
    }

    impl SplitsAccess {
        fn path(&self, name: &str) -> PathBuf {
            self.0.ground("/srv", "access").join(name)
        }

        fn lay(&self) -> Result<()> {
            for name in ["unread", "unwritten", "neighbour"] {
                let path = self.path(name);
                fs::write(&path, SCRIPT).with_context(|| format!("writing {name}"))?;
                rustix::fs::chmod(&path, rustix::fs::Mode::from_raw_mode(0o755))
                    .with_context(|| format!("making {name} executable"))?;
            }
            Ok(())
        }

        /// What comes of each act while no agent is there.
        fn fates(&self, lab: &Lab) -> Result<Observation> {
            self.lay()?;
            let mut document = Map::new();
            for (arm, verb, name) in ACTS {
                let path = self.path(name);
                let fate = Attempt::on(verb, &path).fate(lab.ground.limit())?;
                document.insert(arm.to_owned(), fate);
            }
            let document = Value::Object(document);
            Ok(Observation::Document { document })
        }
    }
}
