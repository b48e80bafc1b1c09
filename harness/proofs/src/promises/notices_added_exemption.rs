//! Root exempts a cgroup behind the agent's back: the exemption is ended and told of.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;
use serde_json::json;

use crate::arms::{allowed, document, equals, reasons, stopped};
use crate::claims::leaves_no_rule_out;
use crate::sabotage::{Mutant, Sweeps};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "notices-added-exemption",
    text: "Where root puts a cgroup among the exempt ones that the policy doesn't exempt, in the \
           place of one that it does, the next report claims no rule, since none held for who was \
           there, and gives the reason; the agent tells which cgroup it was and ends the exemption. \
           The report after that claims the rules again; who is in that cgroup is denied, and who is \
           in the exempt one isn't. (Under lockdown, where programs can't read the kernel's memory, \
           only one more than the policy has is seen.)",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::NoticesAddedExemption);
        let proof = Proof::of_tier(tier, PROMISE.id, tier.verifying(), acts, arms(tier));
        match tier {
            Tier::Lsm => proof.catches(&[OVERLOOKS]),
            Tier::Modret | Tier::Signal => proof,
        }
        .swept(Sweeps::STOPS_ALONE)
    };
    Tier::ALL.map(proof).into()
}

fn arms(tier: Tier) -> Vec<PlannedArm> {
    let listed = [
        equals("/runtime_state", tier.state()),
        equals("/rules/enforced", 0),
        reasons("/rules/unenforced", json!({}), "altered"),
    ];
    let told = [
        equals("/maps", json!(["exempt_cgroups"])),
        equals("/names_cgroup", true),
    ];
    let claimed = [equals("/runtime_state", tier.state()), leaves_no_rule_out()];
    vec![
        allowed("before"),
        document("listed", &listed),
        document("claimed-again", &claimed),
        stopped("during", tier),
        document("told", &told),
        allowed("exempt"),
        allowed("after"),
    ]
}

const OVERLOOKS: Mutant = Mutant::new(
    "overlooks-added-exemptions",
    "an exemption that somebody added is seen by nobody",
    "listed",
    "/rules/enforced: expected 0",
);

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs::{self, File};
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
    pub struct NoticesAddedExemption;

    impl Acts for NoticesAddedExemption {
        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("before", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            let map = agents_maps::named(running.pid(), "exempt_cgroups")?;
            let folder = Place::Plain.dir();
            let cgroup = File::open(&folder).context("opening a cgroup")?;
            let mut reports = Reports::watch(running)?;
            let mut lines = running.listen();
            map.put_descriptor(0, &cgroup)?;

            let listed = reports.soon_that(|report| report["rules"]["enforced"] == 0)?;
            let document = listed.clone();
            seen.other("listed", Observation::Document { document });
            let document = reports.soon_that(|later| {
                later["generated_at"] != listed["generated_at"]
                    && later["rules"]["unenforced"] == json!([])
            })?;
            seen.other("claimed-again", Observation::Document { document });

            let act = lab.ground.open_secret(Place::Plain)?;
            // If nobody noticed, it is exempt and there is no event that would end the wait.
            let heard = match act.fate {
                protocol::record::Fate::Allowed => Vec::new(),
                _ => told_of_alterations(&mut lines, act.pid)?,
            };
            seen.act("during", act);
            let id = fs::metadata(&folder).context("looking at a cgroup")?.ino();
            let names = |line: &serde_json::Value| {
                let reason = line["reason"].as_str().unwrap_or_default();
                reason.ends_with(&format!("the cgroup {id}"))
            };
            let maps: Vec<_> = heard.iter().map(|line| line["map"].clone()).collect();
            let document = json!({"maps": maps, "names_cgroup": heard.iter().any(names)});
            seen.other("told", Observation::Document { document });
            seen.act("exempt", lab.ground.open_secret(Place::Exempt)?);
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("after", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }
    }
}
