//! Ten thousand rules are kept: half of them name files, of which the first and the last are
//! opened, and half name nothing yet. One of those is made, and is denied at once.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;

use crate::arms::{allowed, document, equals, stopped};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "holds-many-rules",
    text: "Ten thousand file rules are kept, of which half name what doesn't exist yet: the report \
           counts both, the first and the last file are denied and their neighbour isn't; a file \
           that is made where a rule waits for one is denied at once, and the agent tells that the \
           rule leads to it.",
    proofs,
    comparison: None,
};

/// How many of the rules name files, and how many name nothing.
const EACH: usize = 5_000;

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::HoldsManyRules);
        Proof::of_tier(tier, PROMISE.id, tier.many(), acts, arms(tier))
    };
    Tier::ALL.map(proof).into()
}

/// Beside the one rule of every policy.
fn arms(tier: Tier) -> Vec<PlannedArm> {
    let report = [
        equals("/runtime_state", tier.state()),
        equals("/rules/total", 2 * EACH + 1),
        equals("/rules/enforced", EACH + 1),
        // As a count.
        equals("/rules/unenforced", EACH),
    ];
    let told = [equals("/event", "resolved"), equals("/present", true)];
    vec![
        allowed("before-first"),
        allowed("before-last"),
        document("report", &report),
        stopped("during-first", tier),
        stopped("during-last", tier),
        allowed("benign"),
        stopped("made", tier),
        document("told-of-made", &told),
        allowed("after-first"),
        allowed("after-last"),
    ]
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;
    use std::path::PathBuf;

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use serde_json::{Value, json};

    use super::EACH;
    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, running};

    /// In memory.
    const FOLDER: &str = "/run/many-rules";

    /// See the promise.
    #[derive(Debug)]
    pub struct HoldsManyRules;

    impl Acts for HoldsManyRules {
        fn rules(&self) -> Result<String> {
            fs::create_dir_all(FOLDER).with_context(|| format!("making {FOLDER}"))?;
            fs::write(benign(), "benign\n").context("writing a benign file")?;
            let mut rules = String::new();
            for number in 0..EACH {
                let path = secret(number);
                fs::write(&path, "secret\n")
                    .with_context(|| format!("writing {}", path.display()))?;
                rules += &format!("\n[[deny.file]]\npath = \"{}\"\n", path.display());
            }
            for number in 0..EACH {
                let path = pending(number);
                // The proofs of an agent before this one may have made it.
                let _ = fs::remove_file(&path);
                // Whoever makes it only writes it, and isn't to be stopped.
                let path = path.display();
                rules += &format!("\n[[deny.file]]\npath = \"{path}\"\naccess = \"read\"\n");
            }
            Ok(rules)
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            self.open_both(["before-first", "before-last"], lab, seen)
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            let mut report = running.report()?;
            // Thousands of lines say the same.
            let unenforced = report["rules"]["unenforced"].as_array().map(Vec::len);
            report["rules"]["unenforced"] = json!(unenforced);
            seen.other("report", Observation::Document { document: report });
            self.open_both(["during-first", "during-last"], lab, seen)?;
            seen.act("benign", lab.ground.open(Place::Plain, &benign())?);

            let made = pending(EACH - 1);
            let mut told = running.listen();
            fs::write(&made, "secret\n").context("making what a rule waits for")?;
            seen.act("made", lab.ground.open(Place::Plain, &made)?);
            let is_made = |line: &Value| {
                line["event"] == "resolved"
                    && line["path"].as_str().map(PathBuf::from).as_ref() == Some(&made)
            };
            let document = told.hear("what was made", is_made)?;
            seen.other("told-of-made", Observation::Document { document });
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            self.open_both(["after-first", "after-last"], lab, seen)?;
            // Nothing after it is to run among so many files.
            fs::remove_dir_all(FOLDER).with_context(|| format!("removing {FOLDER}"))
        }
    }

    impl HoldsManyRules {
        fn open_both(&self, arms: [&'static str; 2], lab: &Lab, seen: &mut Seen) -> Result<()> {
            for (arm, number) in arms.into_iter().zip([0, EACH - 1]) {
                seen.act(arm, lab.ground.open(Place::Plain, &secret(number))?);
            }
            Ok(())
        }
    }

    fn benign() -> PathBuf {
        PathBuf::from(format!("{FOLDER}/benign"))
    }

    fn secret(number: usize) -> PathBuf {
        PathBuf::from(format!("{FOLDER}/secret-{number:04}"))
    }

    fn pending(number: usize) -> PathBuf {
        PathBuf::from(format!("{FOLDER}/pending-{number:04}"))
    }
}
