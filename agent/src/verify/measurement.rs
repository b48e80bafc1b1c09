//! What is known of a hook, and what a canary's evidence makes of it.
//!
//! In: what the canaries showed. Out: a [`Measurement`] for each hook and action. Pure.

use std::ops::Range;

use anyhow::Result;
use serde::Serialize;

use super::canary::Fate;
use crate::classes::hooks::{HOOKS, Hook, Role};
use crate::classes::need::Need;
use crate::host::moment::Moment;
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
    /// How many canaries were sent until this one. Not in the report either.
    #[serde(skip)]
    pub sent: u32,
}

/// What a canary shows of the program that it was sent through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The program did what the claim needs.
    Works,
    /// It didn't.
    Fails,
    /// The kernel skipped the program, which may work or not.
    Nothing,
}

impl Evidence {
    /// What the canary shows. Good evidence stays good while the program is skipped for others,
    /// since a program that was skipped counts no hit. Bad evidence is excused only if it is just
    /// what a skipped program leaves: an act that nobody hindered and nobody counted.
    pub fn shown(&self) -> Shown {
        let Range { start, end } = self.recursion_misses;
        let let_by = self.observed == Fate::Allowed.to_string() && self.hits == 0;
        // One act, one hit: more would mean that something else was counted.
        match self.observed == self.expected && self.hits == 1 {
            true => Shown::Works,
            false if let_by && end > start => Shown::Nothing,
            false => Shown::Fails,
        }
    }
}

/// What is known of one hook with one action.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// The outcome.
    pub verdict: Verdict,
    /// Whether the kernel took program and link when it was tried.
    pub attached: bool,
    /// When the evidence was last found good.
    pub verified_at: Option<Moment>,
    /// The last canary's.
    pub evidence: Option<Evidence>,
    /// Why it isn't verified.
    pub reason: Option<String>,
}

impl Measurement {
    /// Whether a canary showed that the program doesn't work. Else it is to stay attached: what
    /// can't be shown to work may work.
    pub fn is_broken(&self) -> bool {
        let shown = self.evidence.as_ref().map(Evidence::shown);
        self.verdict != Verdict::Verified && shown == Some(Shown::Fails)
    }

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
pub fn judge(measurement: &mut Measurement, evidence: Result<Evidence>, now: Moment) {
    measurement.verdict = Verdict::CanaryFailed;
    match evidence {
        Err(error) => {
            measurement.evidence = None;
            measurement.reason = Some(format!("no canary could be sent: {error:#}"));
        }
        Ok(evidence) => {
            let shown = evidence.shown();
            measurement.reason = why_not_good(&evidence, shown);
            if shown == Shown::Works {
                measurement.verdict = Verdict::Verified;
                measurement.verified_at = Some(now);
            }
            measurement.evidence = Some(evidence);
        }
    }
}

fn why_not_good(evidence: &Evidence, shown: Shown) -> Option<String> {
    let Evidence { sent, hits, .. } = evidence;
    match shown {
        Shown::Works => None,
        Shown::Fails => Some(format!(
            "the canary was to be {} with 1 hit, and was {} with {hits}",
            evidence.expected, evidence.observed
        )),
        Shown::Nothing => Some(format!(
            "nothing shows that it works: the kernel skipped the program for {sent} canaries in a \
             row (recursion_misses went from {} to {} during the last), since a task was preempted \
             within it, or within a call on a map, on the same processor; the next verification \
             tries again",
            evidence.recursion_misses.start, evidence.recursion_misses.end
        )),
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;

    fn at(second: i64) -> Moment {
        Moment {
            time: Timestamp::UNIX_EPOCH,
            boot: SignedDuration::from_secs(second),
        }
    }

    fn evidence(observed: &str, hits: u64) -> Result<Evidence> {
        Ok(after("denied:EPERM", observed, hits, 5..5))
    }

    fn after(expected: &str, observed: &str, hits: u64, recursion_misses: Range<u64>) -> Evidence {
        Evidence {
            pid: 7,
            cgroup: 8,
            duration_us: 9,
            expected: expected.to_owned(),
            observed: observed.to_owned(),
            hits,
            recursion_misses,
            sent: 3,
        }
    }

    #[test]
    fn only_a_canary_that_was_let_by_and_not_counted_may_have_been_skipped() {
        let (denied, killed, allowed) = ("denied:EPERM", "killed:SIGKILL", "allowed");
        for (expected, observed, hits, grown, shown) in [
            (denied, denied, 1, false, Shown::Works),
            (denied, denied, 1, true, Shown::Works),
            (denied, denied, 0, true, Shown::Fails),
            (denied, denied, 2, true, Shown::Fails),
            (denied, allowed, 0, false, Shown::Fails),
            (denied, allowed, 0, true, Shown::Nothing),
            (denied, allowed, 1, true, Shown::Fails),
            (denied, "denied:errno 2", 0, true, Shown::Fails),
            (denied, "control-failed", 0, true, Shown::Fails),
            (denied, "stuck", 0, true, Shown::Fails),
            (killed, killed, 1, true, Shown::Works),
            (killed, "killed:signal 15", 1, true, Shown::Fails),
            (killed, allowed, 0, false, Shown::Fails),
            (killed, allowed, 0, true, Shown::Nothing),
            // Only watched.
            (allowed, allowed, 1, true, Shown::Works),
            (allowed, allowed, 0, false, Shown::Fails),
            (allowed, allowed, 0, true, Shown::Nothing),
        ] {
            let case = after(expected, observed, hits, 5..5 + u64::from(grown));
            assert_eq!(case.shown(), shown, "{case:?}");
        }
    }

    #[test]
    fn a_claim_is_lost_without_evidence_but_only_a_broken_program_is_replaced() {
        for (evidence, broken) in [
            (evidence("allowed", 0), true),
            (evidence("denied:EPERM", 1), false),
            (Ok(after("denied:EPERM", "allowed", 0, 5..7)), false),
            (Err(anyhow::anyhow!("no room")), false),
        ] {
            let works = evidence.as_ref().is_ok_and(|evidence| evidence.hits == 1);
            let mut measurement = Measurement::not_tried();
            judge(&mut measurement, evidence, at(0));
            assert_eq!(measurement.verdict == Verdict::Verified, works);
            assert_eq!(measurement.is_broken(), broken);
        }
    }

    #[test]
    fn who_reads_the_reason_learns_that_the_program_was_skipped() {
        let mut measurement = Measurement::not_tried();
        let skipped = after("denied:EPERM", "allowed", 0, 5..7);
        judge(&mut measurement, Ok(skipped), at(0));
        let reason = measurement.reason.unwrap();
        assert!(
            reason.contains("skipped the program for 3 canaries"),
            "{reason}"
        );
        assert!(
            reason.contains("recursion_misses went from 5 to 7"),
            "{reason}"
        );
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
            judge(&mut measurement, evidence, at(0));
            assert_eq!(measurement.verdict, verdict);
            let good = verdict == Verdict::Verified;
            assert_eq!(measurement.verified_at.is_some(), good);
            assert_eq!(measurement.reason.is_none(), good);
        }
    }

    #[test]
    fn lost_evidence_leaves_the_time_at_which_it_was_last_good() {
        let mut measurement = Measurement::not_tried();
        judge(&mut measurement, evidence("denied:EPERM", 1), at(1));
        judge(&mut measurement, evidence("allowed", 0), at(2));
        assert_eq!(measurement.verdict, Verdict::CanaryFailed);
        assert_eq!(measurement.verified_at, Some(at(1)));
    }
}
