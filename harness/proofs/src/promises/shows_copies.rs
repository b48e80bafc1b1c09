//! Copies of a program on one hook are shown as one hook, which lists them.

use protocol::plan::PlannedArm;

use crate::arms::{document, equals};
use crate::promise::{Promise, Proof, Section, acts};
use crate::sabotage::Sweeps;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "shows-copies",
    text: "The three copies of the program on `security_file_open` are one hook of the report, which \
           is attached and fired only if each is, and lists them with the evidence of a canary each.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let tier = Tier::Modret;
    let acts = acts!(acts::ShowsCopies);
    vec![Proof::of_tier(tier, PROMISE.id, tier.plain(), acts, arms()).swept(Sweeps::REPORT)]
}

pub(super) fn arms() -> Vec<PlannedArm> {
    let report = [
        equals("/rows", 1),
        equals("/copies", 3),
        equals("/fired", 3),
        equals("/canaries", 3),
    ];
    vec![document("report", &report)]
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use serde_json::{Value, json};

    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, running};

    /// See the promise.
    #[derive(Debug)]
    pub struct ShowsCopies;

    const HOOK: &str = "fmod_ret/security_file_open";

    impl Acts for ShowsCopies {
        fn during(&self, _lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let document = shown(&running(agent)?.report()?)?;
            seen.other("report", Observation::Document { document });
            Ok(())
        }
    }

    /// The rows of the hook in a report, and how many copies there are to the first and fired.
    fn shown(report: &Value) -> Result<Value> {
        let rows = report["hooks"].as_array().context("no hooks")?;
        let rows: Vec<&Value> = rows.iter().filter(|row| row["hook"] == HOOK).collect();
        let copies = rows.first().and_then(|row| row["copies"].as_array());
        let fired = copies.into_iter().flatten();
        let fired = fired.filter(|copy| copy["attached"] == true && copy["fired"] == true);
        let mut canaries: Vec<u64> = fired
            .clone()
            .filter_map(|copy| copy["evidence"]["pid"].as_u64())
            .collect();
        canaries.sort_unstable();
        canaries.dedup();
        Ok(json!({
            "rows": rows.len(),
            "copies": copies.map(Vec::len),
            "fired": fired.count(),
            // One for each copy: what one of them counted is no evidence for another.
            "canaries": canaries.len(),
        }))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn rows_copies_and_their_canaries_are_counted() {
            let copy = |fired: bool, pid: u32| json!({"attached": true, "fired": fired, "evidence": {"pid": pid}});
            let copies = [copy(true, 7), copy(true, 7), copy(false, 8)];
            let rows = json!([{"hook": "other"}, {"hook": HOOK, "copies": copies}]);
            let expected = json!({"rows": 1, "copies": 3, "fired": 2, "canaries": 1});
            assert_eq!(shown(&json!({ "hooks": rows })).expect("hooks"), expected);
            let rows = json!([{"hook": HOOK}, {"hook": HOOK}]);
            let expected = json!({"rows": 2, "copies": null, "fired": 0, "canaries": 0});
            assert_eq!(shown(&json!({ "hooks": rows })).expect("hooks"), expected);
        }
    }
}
