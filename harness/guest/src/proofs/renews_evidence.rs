//! A claim is renewed from one verification to the next: `verified_at` of the hook that it
//! rests on, and `valid_until` of the report. Meanwhile it goes on holding: whoever opens the
//! file from before the verification until after it is denied.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use protocol::record::Observation;
use serde_json::{Value, json};

use super::Proof;
use crate::cgroup::Place;
use crate::lab::{During, Lab, Seen};
use crate::many::{self, Many};
use crate::reports::milliseconds;

/// See the module.
pub struct RenewsEvidence;

/// So few at a time that hardly any is after the verification.
const MANY: Many = Many {
    count: 32,
    tries: 1,
};

impl Proof for RenewsEvidence {
    fn ids(&self) -> &'static [&'static str] {
        &[
            "enforce-renews-evidence",
            "modret-renews-evidence",
            "signal-renews-evidence",
        ]
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        let running = super::running(agent)?;
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
            "valid_for_ms": milliseconds(&second["valid_until"])?
                - milliseconds(&second["generated_at"])?,
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
