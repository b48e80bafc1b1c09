//! Root takes a rule's entry out of the agent's map: until the next verification has found it in
//! its place again, the report doesn't claim that rule.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::{Clause, PlannedArm};
use serde_json::json;

use crate::arms::{allowed, document, equals, reasons, stopped};
use crate::claims::leaves_no_rule_out;
use crate::sabotage::Mutant;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "notices-altered-rule",
    text: "What is in the agent's maps is read back at each verification and compared with what it \
           put there. Where root deletes one rule's entry, the next report lists that rule, by name \
           and reason, among those that aren't enforced, and no other, and the agent tells of the \
           map. The entry is put right by then; the report after that claims the rule again, and the \
           file is denied by it.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::NoticesAlteredRule);
        let proof = Proof::of_tier(tier, PROMISE.id, tier.verifying(), acts, arms(tier));
        match tier {
            Tier::Lsm => proof.catches(&[OVERLOOKS]),
            Tier::Modret | Tier::Signal => proof,
        }
    };
    Tier::ALL.map(proof).into()
}

/// The rule on the secret, which has no name of its own.
const RULE: &str = "file[0]";

pub(super) fn arms(tier: Tier) -> Vec<PlannedArm> {
    let listed = [
        equals("/state", tier.state()),
        // As a count.
        equals("/unenforced", 1),
        reasons("/rules", json!({"rule": RULE}), "altered"),
    ];
    let told: [Clause; 2] = [
        equals("/maps", json!(["rules_by_inode"])),
        equals("/entries", 1),
    ];
    let claimed = [equals("/runtime_state", tier.state()), leaves_no_rule_out()];
    vec![
        allowed("before"),
        document("listed", &listed),
        document("claimed-again", &claimed),
        stopped("during", tier),
        document("told", &told),
        allowed("benign"),
        allowed("after"),
    ]
}

const OVERLOOKS: Mutant = Mutant::new(
    "overlooks-altered-rules",
    "what somebody altered in the maps of rules is seen by nobody",
    "listed",
    "/unenforced: expected 1, saw 0",
);

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use serde_json::json;

    use crate::acts::agents_maps::{self, told_of_alterations};
    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::reports::Reports;
    use crate::acts::{Acts, running};

    /// See the promise.
    #[derive(Debug)]
    pub struct NoticesAlteredRule;

    impl Acts for NoticesAlteredRule {
        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("before", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            let map = agents_maps::named(running.pid(), "rules_by_inode")?;
            let secret = fs::metadata(lab.ground.secret()).context("looking at the secret")?;
            let keys = || -> Result<Vec<Vec<u8>>> {
                let mut keys = map.keys()?;
                // An inode's key begins with its number.
                keys.retain(|key| key.starts_with(&secret.ino().to_ne_bytes()));
                Ok(keys)
            };
            let [key] = &keys()?[..] else {
                anyhow::bail!("not one entry for the secret: {:?}", keys()?);
            };
            let mut reports = Reports::watch(running)?;
            let mut lines = running.listen();
            map.delete(key)?;

            let report = reports.soon_that(|report| report["rules"]["unenforced"] != json!([]))?;
            let rules = &report["rules"]["unenforced"];
            let document = json!({
                "state": report["runtime_state"],
                "unenforced": rules.as_array().map(Vec::len),
                "rules": rules,
            });
            seen.other("listed", Observation::Document { document });
            let document = reports.soon_that(|later| {
                later["generated_at"] != report["generated_at"]
                    && later["rules"]["unenforced"] == json!([])
            })?;
            seen.other("claimed-again", Observation::Document { document });

            let act = lab.ground.open_secret(Place::Plain)?;
            let told = told_of_alterations(&mut lines, act.pid)?;
            seen.act("during", act);
            let maps: Vec<_> = told.iter().map(|line| line["map"].clone()).collect();
            let document = json!({"maps": maps, "entries": keys()?.len()});
            seen.other("told", Observation::Document { document });
            seen.act("benign", lab.ground.open_benign()?);
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("after", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }
    }
}
