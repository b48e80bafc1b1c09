//! A file of procfs or sysfs is another one to whoever mounts that anew in namespaces of his own, as any
//! user can: a rule on one isn't among those that are enforced.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;
use serde_json::json;

use crate::arms::{all_allowed, document, equals, read, reasons};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "admits-mounted-anew",
    text: "A file of procfs or sysfs is denied where the rule's path leads to it, and not to a user who \
           mounts the file system anew in user, mount, pid and network namespaces of his own: the \
           report lists a rule on one as unenforced, with the file system as the reason.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::AdmitsMountedAnew);
        Proof::of_tier(tier, PROMISE.id, tier.identity(), acts, arms(tier))
    };
    Tier::ALL.map(proof).into()
}

/// What the rules are on, which nobody else here reads.
const FILES: [(&str, &str); 2] = [
    ("procfs", "/proc/softirqs"),
    ("sysfs", "/sys/kernel/fscaps"),
];

fn arms(tier: Tier) -> Vec<PlannedArm> {
    let mut claim = vec![equals("/runtime_state", tier.state())];
    claim.extend(FILES.map(|(name, _)| reasons("/rules/unenforced", json!({"rule": name}), name)));
    let acts = ["procfs", "procfs-anew", "sysfs", "sysfs-anew"];
    let mut arms = vec![all_allowed("before", &acts), document("report", &claim)];
    for (name, _) in FILES {
        arms.push(tier.unread(name, name, "inode"));
        arms.push(read(&format!("{name}-anew")));
    }
    arms.push(read("benign"));
    arms.push(all_allowed("after", &acts));
    arms
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::path::Path;

    use anyhow::Result;
    use protocol::record::Observation;
    use serde_json::{Map, Value, json};

    use super::FILES;
    use crate::acts::attempt::{Attempt, Verb, account};
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, live_report, rule};

    /// See the promise.
    #[derive(Debug)]
    pub struct AdmitsMountedAnew;

    /// Who mounts them.
    const USER: u32 = 1000;

    /// The ways to each of them.
    const WAYS: [(&str, Verb); 2] = [("", Verb::Read), ("-anew", Verb::ReadMountedAnew)];

    impl Acts for AdmitsMountedAnew {
        fn rules(&self) -> Result<String> {
            Ok(FILES.map(|(name, path)| rule(name, path, "read")).concat())
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.other("before", fates(lab)?);
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            seen.other("report", live_report(agent)?);
            for (name, path) in FILES {
                for (way, verb) in WAYS {
                    let act = Attempt::on(verb, Path::new(path)).as_user(USER);
                    let acted = act.make(lab.ground.limit())?;
                    seen.other(&format!("{name}{way}"), account(acted, json!({})));
                }
            }
            let benign = Attempt::on(Verb::Read, Path::new("/proc/uptime")).as_user(USER);
            let read = benign.make(lab.ground.limit())?;
            seen.other("benign", account(read, json!({})));
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.other("after", fates(lab)?);
            Ok(())
        }
    }

    fn fates(lab: &Lab) -> Result<Observation> {
        let mut document = Map::new();
        for (name, path) in FILES {
            for (way, verb) in WAYS {
                let act = Attempt::on(verb, Path::new(path)).as_user(USER);
                document.insert(format!("{name}{way}"), act.fate(lab.ground.limit())?);
            }
        }
        let document = Value::Object(document);
        Ok(Observation::Document { document })
    }
}
