//! A claim is renewed from one verification to the next: `verified_at` of the hook that it
//! rests on, and `valid_until` of the report. Meanwhile it goes on holding: whoever opens the
//! file from before the verification until after it is denied.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;
use serde_json::json;

use crate::arms::{contains, document, equals, lacks};
use crate::sabotage::{Mutant, Sweeps};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "renews-evidence",
    text: "A claim is renewed: from one verification to the next `verified_at` of every hook that it \
           rests on and `valid_until` of the report advance, each on a canary of its own. A report \
           is valid for twice the interval of verification, at least ten seconds, and no longer, from \
           its oldest evidence on. A \
           verification leaves no gap: whoever opens a denied file, again and again from before it \
           until after it, meets the fate each time.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::RenewsEvidence);
        let proof = Proof::of_tier(tier, PROMISE.id, tier.verifying(), acts, arms(tier))
            .swept(Sweeps::STOPS_ALONE);
        match tier {
            Tier::Lsm => proof.catches(MUTANTS),
            Tier::Modret | Tier::Signal => proof,
        }
    };
    Tier::ALL.map(proof).into()
}

pub(super) fn arms(tier: Tier) -> Vec<PlannedArm> {
    let renewed = [
        equals("/valid_until/later", true),
        // Every hook that fired is listed.
        contains("/hooks", json!({"hook": tier.open_hook(), "later": true})),
        lacks("/hooks", json!({"later": false})),
        // Each verification sends a canary of its own.
        lacks("/hooks", json!({"same_canary": true})),
        // The shortest validity, as the interval is shorter than half of it.
        equals("/valid_for_ms", 10_000),
        equals("/state", tier.state()),
    ];
    let fates = json!([tier.fate_word()]);
    vec![
        document("meanwhile", &[equals("/fates", fates)]),
        document("renewed", &renewed),
    ]
}

const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "rests-while-verifying",
        "no rule is in force while the agent verifies",
        "meanwhile",
        r#"/fates: expected ["EPERM"], saw ["EPERM","allowed"]"#,
    ),
    Mutant::new(
        "renews-without-canary",
        "a claim is renewed without another canary",
        "renewed",
        r#""same_canary":true"#,
    ),
    Mutant::new(
        "reports-for-a-year",
        "the report may be believed for a year",
        "renewed",
        "/valid_for_ms: expected",
    ),
];

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::collections::BTreeSet;
    use std::time::Instant;

    use anyhow::{Context, Result, ensure};
    use protocol::record::Observation;
    use serde_json::{Value, json};

    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::many::{self, Many};
    use crate::acts::reports::valid_for_ms;
    use crate::acts::{Acts, running};

    /// See the promise.
    #[derive(Debug)]
    pub struct RenewsEvidence;

    /// So few at a time that hardly any is after the verification.
    const MANY: Many = Many {
        count: 32,
        tries: 1,
    };

    impl Acts for RenewsEvidence {
        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            let first = running.report()?;
            let deadline = Instant::now() + lab.ground.limit();
            let mut fates = BTreeSet::new();
            let second = loop {
                let many = many::open(MANY, Place::Plain, lab.ground.secret(), lab.ground.limit())?;
                let met = many["fates"].as_object().context("no fates")?;
                fates.extend(met.keys().cloned());
                let report = running.report()?;
                if report["generated_at"] != first["generated_at"] {
                    break report;
                }
                ensure!(Instant::now() < deadline, "no newer report came in time");
            };
            let document = json!({ "fates": fates });
            seen.other("meanwhile", Observation::Document { document });
            let document = json!({
                "hooks": verified_later(&first, &second)?,
                "valid_until": later(&first["valid_until"], &second["valid_until"])?,
                "valid_for_ms": valid_for_ms(&second)?,
                "state": second["runtime_state"],
            });
            seen.other("renewed", Observation::Document { document });
            Ok(())
        }
    }

    /// For each hook that fired in the first report, whether the second verified it later.
    fn verified_later(first: &Value, second: &Value) -> Result<Value> {
        let hooks = |report: &Value| report["hooks"].as_array().cloned();
        let (before, after) = hooks(first).zip(hooks(second)).context("no hooks")?;
        let fired = before
            .iter()
            .zip(&after)
            .filter(|(hook, _)| hook["fired"] == true);
        fired
            .map(|(before, after)| {
                let mut hook = later(&before["verified_at"], &after["verified_at"])?;
                hook["hook"] = after["hook"].clone();
                let pid = |hook: &Value| hook["evidence"]["pid"].clone();
                hook["same_canary"] = json!(pid(before) == pid(after));
                Ok(hook)
            })
            .collect()
    }

    /// Whether the second time is later, as `later`; both for whoever reads the record.
    fn later(first: &Value, second: &Value) -> Result<Value> {
        let times = first.as_str().zip(second.as_str());
        let (before, after) = times.with_context(|| format!("no times: {first}, {second}"))?;
        // Written alike, times sort as text does.
        ensure!(
            before.len() == after.len(),
            "{before} and {after} differ in form"
        );
        Ok(json!({"first": before, "second": after, "later": after > before}))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_time_is_later_or_not_and_one_of_another_form_is_an_error() {
            let is_later = |first: &str, second: &str| {
                let times = later(&json!(first), &json!(second));
                times.map(|times| times["later"] == true).ok()
            };
            let (one, two) = ("2026-01-02T03:04:05.999Z", "2026-01-02T03:04:06.000Z");
            assert_eq!(is_later(one, two), Some(true));
            assert_eq!(is_later(two, one), Some(false));
            assert_eq!(is_later(one, one), Some(false));
            assert_eq!(is_later(one, "2026-01-02T03:04:06Z"), None);
            assert!(later(&Value::Null, &json!(two)).is_err());
        }
    }
}
