//! What is known of a hook, and what a canary's evidence makes of it.
//!
//! In: what the canaries showed. Out: a [`Measurement`] for each hook and action. Pure.

use std::ops::Range;

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;

use crate::classes::hooks::{HOOKS, Hook, Need, Role};
use crate::posture::gate::Verdict;
use crate::posture::{Action, Class, Tier};

/// What one canary showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The canary's process id.
    pub pid: u32,
    /// Its cgroup's id.
    pub cgroup: u64,
    /// From its release to its end.
    pub duration_us: u64,
    /// The fate that the claim needs.
    pub expected: String,
    /// The fate that it met.
    pub observed: String,
    /// How often this very hook's program counted it.
    pub hits: u64,
    /// The program's `recursion_misses` before the canary was sent and after its end. Not in the
    /// report: two runs on the same machine differ in it.
    #[serde(skip)]
    pub recursion_misses: Range<u64>,
}

/// What is known of one hook with one action.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// The outcome.
    pub verdict: Verdict,
    /// Whether the kernel took program and link when it was tried.
    pub attached: bool,
    /// When the evidence was last found good.
    pub verified_at: Option<Timestamp>,
    /// The last canary's.
    pub evidence: Option<Evidence>,
    /// Why it isn't verified.
    pub reason: Option<String>,
}

impl Measurement {
    /// Nothing was tried yet.
    pub fn not_tried() -> Self {
        Self {
            verdict: Verdict::NotTried,
            attached: false,
            verified_at: None,
            evidence: None,
            reason: None,
        }
    }
}

/// What is known of every hook, in the order of [`HOOKS`].
#[derive(Debug, Clone)]
pub struct Measurements {
    deny: Vec<Measurement>,
    observe: Vec<Measurement>,
}

impl Measurements {
    /// Nothing was tried yet.
    pub fn none() -> Self {
        let all = || HOOKS.iter().map(|_| Measurement::not_tried()).collect();
        Self {
            deny: all(),
            observe: all(),
        }
    }

    /// What is known of a hook with this action.
    pub fn of(&self, hook: &Hook, action: Action) -> &Measurement {
        let index = hook.number as usize;
        match action {
            Action::Deny => &self.deny[index],
            Action::Observe => &self.observe[index],
        }
    }

    /// Notes a new measurement.
    pub fn set(&mut self, hook: &Hook, action: Action, measurement: Measurement) {
        let index = hook.number as usize;
        match action {
            Action::Deny => self.deny[index] = measurement,
            Action::Observe => self.observe[index] = measurement,
        }
    }

    /// The verdict on a tier for a class: that of the worst hook that it can't do without.
    pub fn verdict(
        &self,
        tier: Tier,
        class: Class,
        action: Action,
        needed: impl Fn(Need) -> bool,
    ) -> Verdict {
        let hooks = HOOKS.iter().filter(|hook| hook.is_of(tier, class));
        hooks
            .filter(|hook| hook.role == Role::Core && needed(hook.need))
            .map(|hook| self.of(hook, action).verdict)
            .min()
            .unwrap_or(Verdict::NotTried)
    }
}

/// What a canary's evidence, or the lack of it, makes of a hook's measurement, as of `now`.
pub fn judge(measurement: &mut Measurement, evidence: Result<Evidence>, now: Timestamp) {
    measurement.verdict = Verdict::CanaryFailed;
    match evidence {
        Err(error) => {
            measurement.evidence = None;
            measurement.reason = Some(format!("no canary could be sent: {error:#}"));
        }
        Ok(evidence) => {
            // One act, one hit: more would mean that something else was counted.
            let good = evidence.observed == evidence.expected && evidence.hits == 1;
            measurement.reason = (!good).then(|| why_not_good(&evidence));
            if good {
                measurement.verdict = Verdict::Verified;
                measurement.verified_at = Some(now);
            }
            measurement.evidence = Some(evidence);
        }
    }
}

fn why_not_good(evidence: &Evidence) -> String {
    let Range { start, end } = evidence.recursion_misses;
    let skipped = match end > start {
        true => format!(" (the program's recursion_misses went from {start} to {end} meanwhile)"),
        false => String::new(),
    };
    format!(
        "the canary was to be {} with 1 hit, and was {} with {}{skipped}",
        evidence.expected, evidence.observed, evidence.hits
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(observed: &str, hits: u64) -> Result<Evidence> {
        Ok(Evidence {
            pid: 7,
            cgroup: 8,
            duration_us: 9,
            expected: "denied:EPERM".to_owned(),
            observed: observed.to_owned(),
            hits,
            recursion_misses: 0..0,
        })
    }

    #[test]
    fn only_the_expected_fate_counted_once_verifies_a_hook() {
        for (evidence, verdict) in [
            (evidence("denied:EPERM", 1), Verdict::Verified),
            (evidence("denied:EPERM", 0), Verdict::CanaryFailed),
            (evidence("denied:EPERM", 2), Verdict::CanaryFailed),
            (evidence("allowed", 1), Verdict::CanaryFailed),
            (Err(anyhow::anyhow!("no room")), Verdict::CanaryFailed),
        ] {
            let mut measurement = Measurement::not_tried();
            judge(&mut measurement, evidence, Timestamp::UNIX_EPOCH);
            assert_eq!(measurement.verdict, verdict);
            let good = verdict == Verdict::Verified;
            assert_eq!(measurement.verified_at.is_some(), good);
            assert_eq!(measurement.reason.is_none(), good);
        }
    }

    #[test]
    fn lost_evidence_leaves_the_time_at_which_it_was_last_good() {
        let mut measurement = Measurement::not_tried();
        judge(
            &mut measurement,
            evidence("denied:EPERM", 1),
            Timestamp::UNIX_EPOCH,
        );
        judge(&mut measurement, evidence("allowed", 0), Timestamp::MAX);
        assert_eq!(measurement.verdict, Verdict::CanaryFailed);
        assert_eq!(measurement.verified_at, Some(Timestamp::UNIX_EPOCH));
    }
}
