//! Whether a mutant was caught: by the proof that it was declared for, in the arm that it was
//! declared for, and for the reason that it was declared for.
//!
//! In: a mutant, and how the proofs came out that it and the control were put to. Out: caught,
//! missed, or nothing known. Pure.

use protocol::sabotage;
use serde::{Deserialize, Serialize};

use proofs::Mutant;

use super::catalogue::ListedMutant;
use crate::outcome::{ProofResult, Status};
use crate::verdict;

/// What became of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The declared proof found it out as declared.
    Caught,
    /// It didn't: another one may have, or a crash.
    Missed,
    /// Without a sound control and a sound boot, neither can be said.
    Unknown,
}

/// One mutant, judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Its name.
    pub mutant: String,
    /// The boot in which it was tried.
    pub boot: String,
    /// What it breaks.
    pub breaks: String,
    /// What became of it.
    pub fate: Fate,
    /// The proof that must catch it.
    pub proof: String,
    /// The arm in which it must show.
    pub arm: String,
    /// The reason that caught it, or why it wasn't caught.
    pub why: String,
    /// Every proof that didn't pass with it.
    pub not_passed: Vec<String>,
}

/// Judges one mutant. `control` and `results` are all proofs of the kernel, in plain and with
/// this mutant; `faults` are those of the boot that it ran in.
#[must_use]
pub fn judge(listed: &ListedMutant, results: &[&ProofResult], faults: &[String]) -> Judged {
    let ListedMutant {
        mutant,
        boot,
        proof,
    } = listed;
    let of = |name: &'static str| {
        results.iter().copied().filter(move |result| {
            let with = sabotage::split(&result.id).1;
            with == Some(name)
        })
    };
    let own = |result: &&ProofResult| sabotage::split(&result.id).0 == proof;
    let (fate, why) = match (of(sabotage::CONTROL).find(own), of(mutant.name).find(own)) {
        (Some(control), _) if control.status != Status::Passed => {
            let why = format!("with nothing broken it doesn't pass: {}", first(control));
            (Fate::Unknown, why)
        }
        (None, _) => (Fate::Unknown, "it wasn't tried with nothing broken".into()),
        (_, Some(result)) => match (caught(listed, result), faults) {
            // What is wrong with the boot is what an incomplete proof is to show.
            (Some(reason), _) if listed.status() == Status::Incomplete => {
                (Fate::Caught, reason.clone())
            }
            (_, [fault, ..]) => (Fate::Unknown, fault.clone()),
            (Some(reason), []) => (Fate::Caught, reason.clone()),
            (None, []) => (Fate::Missed, why_missed(mutant, result)),
        },
        (_, None) => (Fate::Unknown, "it wasn't tried".into()),
    };
    let not_passed = of(mutant.name).filter(|result| result.status != Status::Passed);
    Judged {
        mutant: mutant.name.to_owned(),
        boot: boot.name().to_owned(),
        breaks: mutant.breaks.to_owned(),
        fate,
        proof: proof.to_string(),
        arm: mutant.arm.to_owned(),
        why,
        not_passed: not_passed
            .map(|result| sabotage::split(&result.id).0.to_owned())
            .collect(),
    }
}

/// Why a proof that was to catch it didn't: it crashed, if it did.
fn why_missed(mutant: &Mutant, result: &ProofResult) -> String {
    let mut reasons = result.reasons.iter();
    let crash = reasons.find(|reason| breaks_off(reason) && !mutant.breaks_off);
    crash.cloned().unwrap_or_else(|| first(result))
}

/// Whether a reason says that a proof couldn't be seen to its end: the agent or the guest died, or
/// the agent went on, where it mustn't have.
fn breaks_off(reason: &str) -> bool {
    [verdict::UNOBSERVED, verdict::DIED]
        .iter()
        .any(|beginning| reason.starts_with(beginning))
}

/// The reason by which the proof names the broken promise.
fn caught<'a>(listed: &ListedMutant, result: &'a ProofResult) -> Option<&'a String> {
    if result.status != listed.status() {
        return None;
    }
    let mutant = &listed.mutant;
    let broke_off = result.reasons.iter().any(|reason| breaks_off(reason));
    if broke_off && !mutant.breaks_off {
        return None;
    }
    let of_arm = |reason: &str| {
        reason
            .strip_prefix(mutant.arm)
            .map(|rest| rest.starts_with(": "))
    };
    result
        .reasons
        .iter()
        .find(|reason| of_arm(reason) == Some(true) && reason.contains(mutant.says))
}

fn first(result: &ProofResult) -> String {
    match result.reasons.first() {
        Some(reason) => reason.clone(),
        None => "it passed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proofs::{Boot, ShowsAs, Tried};

    use super::*;

    const BAD: Mutant = Mutant {
        name: "bad",
        breaks: "a promise",
        arm: "during",
        says: "saw allowed",
        shows_as: ShowsAs::Failed,
        tried: Tried::Shared,
        breaks_off: false,
    };

    fn listed(mutant: Mutant) -> ListedMutant {
        ListedMutant {
            mutant,
            boot: Boot::BpfLsm,
            proof: "a-proof".into(),
        }
    }

    fn result(id: &str, status: Status, reasons: &[&str]) -> ProofResult {
        ProofResult {
            id: id.to_owned(),
            status,
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
            duration: Duration::ZERO,
            race: None,
        }
    }

    fn fate_of(mutant: Mutant, results: &[ProofResult], faults: &[String]) -> Fate {
        judge(&listed(mutant), &results.iter().collect::<Vec<_>>(), faults).fate
    }

    fn fate(status: Status, reasons: &[&str]) -> Fate {
        let control = result("a-proof@control", Status::Passed, &[]);
        fate_of(BAD, &[control, result("a-proof@bad", status, reasons)], &[])
    }

    #[test]
    fn only_the_declared_reason_in_the_declared_arm_catches() {
        let expected = "during: expected denied, saw allowed";
        assert_eq!(
            fate(Status::Failed, &["before: odd", expected]),
            Fate::Caught
        );
        for (status, reason) in [
            (Status::Failed, "after: expected denied, saw allowed"),
            (Status::Failed, "during: expected denied, saw killed"),
            (Status::Failed, "during-more: expected denied, saw allowed"),
            (
                Status::Failed,
                "could not be observed: the agent: it saw allowed",
            ),
            (Status::Failed, "the guest died or hung in this proof"),
            (Status::Incomplete, expected),
            (Status::UndeclaredSkip, expected),
        ] {
            assert_eq!(fate(status, &[reason]), Fate::Missed, "{status:?} {reason}");
        }
        assert_eq!(fate(Status::Passed, &[]), Fate::Missed);
    }

    #[test]
    fn a_crash_is_no_catch_even_if_it_shows_as_the_broken_promise() {
        // An agent that dies takes its programs with it, so the act succeeds all the same.
        let expected = "during: expected denied, saw allowed";
        let ended = "could not be observed: the agent: asked to stop, it ended with signal 6";
        let died = "the guest died or hung in this proof; the kernel panicked";
        for crash in [ended, died] {
            assert_eq!(fate(Status::Failed, &[expected, crash]), Fate::Missed);
        }
        let control = result("a-proof@control", Status::Passed, &[]);
        let crashed = result("a-proof@bad", Status::Failed, &[expected, ended]);
        let results = [&control, &crashed];
        assert_eq!(judge(&listed(BAD), &results, &[]).why, ended);
        let ends_agent = Mutant {
            breaks_off: true,
            ..BAD
        };
        assert_eq!(judge(&listed(ends_agent), &results, &[]).fate, Fate::Caught);
    }

    #[test]
    fn another_proof_that_fails_doesn_t_catch() {
        let results = [
            result("a-proof@control", Status::Passed, &[]),
            result("a-proof@bad", Status::Passed, &[]),
            result("b-proof@bad", Status::Failed, &["during: saw allowed"]),
        ];
        let judged = judge(&listed(BAD), &results.iter().collect::<Vec<_>>(), &[]);
        assert_eq!((judged.fate, judged.not_passed.len()), (Fate::Missed, 1));
    }

    #[test]
    fn without_a_green_control_or_with_a_faulty_boot_nothing_counts() {
        let caught = || result("a-proof@bad", Status::Failed, &["during: saw allowed"]);
        let red = result("a-proof@control", Status::Failed, &["during: saw allowed"]);
        assert_eq!(fate_of(BAD, &[red, caught()], &[]), Fate::Unknown);
        assert_eq!(fate_of(BAD, &[caught()], &[]), Fate::Unknown);
        let control = || result("a-proof@control", Status::Passed, &[]);
        assert_eq!(fate_of(BAD, &[control()], &[]), Fate::Unknown);
        let faults = ["incomplete: no `end` record".to_owned()];
        assert_eq!(fate_of(BAD, &[control(), caught()], &faults), Fate::Unknown);
    }

    #[test]
    fn a_broken_world_is_caught_by_a_proof_that_says_it_knows_nothing() {
        let mutant = Mutant {
            says: "no evidence came",
            shows_as: ShowsAs::Incomplete,
            ..BAD
        };
        let faults = ["incomplete: the guest sent 9 records before `end`, 8 arrived".to_owned()];
        let results = |reason| {
            [
                result("a-proof@control", Status::Passed, &[]),
                result("a-proof@bad", Status::Incomplete, &[reason]),
            ]
        };
        let lost = results("during: no evidence came");
        assert_eq!(fate_of(mutant, &lost, &faults), Fate::Caught);
        let other = results("after: no evidence came");
        assert_eq!(fate_of(mutant, &other, &[]), Fate::Missed);
    }
}
