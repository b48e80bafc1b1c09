//! Null sweeps: every proof of a kernel, put to an agent that keeps no promise of one kind.
//!
//! In: the catalogue of proofs, and how the proofs came out over such an agent. Out: which of them
//! are other than they must be. A mutant shows that one proof can fail; a sweep, that every one
//! does which is about what the agent doesn't do. Pure.

use anyhow::{Context, Result};
use protocol::plan::{BootPlan, Clause, Doer, Expectation, GuestPlan, PlannedProof};
use protocol::record::Fate;
use protocol::sabotage;
use serde::Serialize;
use serde_json::Value;

use crate::exit::ExitCode;
use crate::kernels::ReadyKernel;
use crate::launch::Pace;
use crate::outcome::{BootResult, Status};
use crate::plan::{self, Boot, PlannedBoot, catalogue};

/// The file in `--out`.
pub const FILE: &str = "sweep.json";

/// The agent of the sweep: it tells everything, and enforces nothing but its own canaries. By the
/// name of its mutant.
pub const NULL: &str = "enforces-only-canaries";

/// Why a proof must stay green over an agent that stops nobody: nothing in it is about a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Green {
    /// It promises that something gets by, as the agent declares.
    Leak,
    /// It promises that the agent ends, or leaves nothing behind.
    Refusal,
    /// It promises what the agent says.
    Report,
}

/// What a proof must come to over that agent: red, or green for a reason that its arms bear out.
#[must_use]
pub fn expected(proof: &PlannedProof) -> Option<Green> {
    let arms = || proof.arms.iter().map(|arm| &arm.expect);
    if arms().any(stops) {
        return None;
    }
    let is_limited = |expect: &Expectation| match expect {
        Expectation::Act { limit, .. } | Expectation::Document { limit, .. } => limit.is_some(),
        Expectation::Race { each, .. } => is_limited_act(each),
        Expectation::Exit { .. } | Expectation::NoBpfLeft => false,
    };
    let ends =
        |expect: &Expectation| matches!(expect, Expectation::Exit { .. } | Expectation::NoBpfLeft);
    Some(if arms().any(is_limited) {
        Green::Leak
    } else if arms().any(ends) {
        Green::Refusal
    } else {
        Green::Report
    })
}

fn is_limited_act(expect: &Expectation) -> bool {
    matches!(expect, Expectation::Act { limit: Some(_), .. })
}

/// Whether somebody is stopped where this is as expected.
fn stops(expect: &Expectation) -> bool {
    match expect {
        Expectation::Act { fate, by, .. } => {
            let helper = match by {
                Doer::Helper { fate } => *fate,
                Doer::Itself | Doer::Worker => Fate::Allowed,
            };
            [*fate, helper].iter().any(|fate| *fate != Fate::Allowed)
        }
        Expectation::Race { each, .. } => stops(each),
        Expectation::Exit { .. } | Expectation::NoBpfLeft => false,
        Expectation::Document { clauses, .. } => clauses.iter().any(|clause| match clause {
            Clause::Equals { value, .. } | Clause::Contains { value, .. } => names_a_stop(value),
            Clause::Differs { .. } | Clause::Lacks { .. } | Clause::Reasons { .. } => false,
        }),
    }
}

/// Whether a fate that isn't `allowed` stands in a document, as a value or as what is counted.
fn names_a_stop(value: &Value) -> bool {
    let is_stop = |text: &str| ["EPERM", "SIGKILL", "SIGTERM"].contains(&text);
    match value {
        Value::String(text) => is_stop(text),
        Value::Array(values) => values.iter().any(names_a_stop),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| is_stop(name) || names_a_stop(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A proof that came out other than it must.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Surprise {
    /// The boot.
    pub boot: String,
    /// The proof.
    pub proof: String,
    /// What it must be.
    pub expected: &'static str,
    /// What it was.
    pub seen: Status,
    /// Why, as the verdict has it.
    pub reasons: Vec<String>,
}

/// One kernel's sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// As in `kernels.toml`.
    pub kernel: String,
    /// How many were red, as they must be.
    pub red: usize,
    /// How many were green for each reason: leak, refusal, report.
    pub green: [usize; 3],
    /// How many were skipped.
    pub skipped: usize,
    /// All others.
    pub surprises: Vec<Surprise>,
    /// What was wrong with the boots.
    pub faults: Vec<String>,
}

/// Plans one kernel's boots with all of their proofs.
pub fn kernel(
    kernel: &ReadyKernel,
    pace: Pace,
    mut nonce: impl FnMut() -> String,
) -> (GuestPlan, Vec<PlannedBoot>) {
    let boots: Vec<PlannedBoot> = Boot::ALL
        .into_iter()
        .map(|boot| {
            let proofs = catalogue::proofs(boot, false)
                .into_iter()
                .map(|proof| PlannedProof {
                    id: sabotage::with(&proof.id, NULL),
                    configuration: sabotage::with(&proof.configuration, NULL),
                    ..proof
                });
            plan::boot(kernel, boot, boot.name(), proofs.collect(), nonce())
        })
        .collect();
    (plan::guest(kernel, pace, &boots), boots)
}

/// Holds a kernel's boots against what each of their proofs must come to.
#[must_use]
pub fn judge(kernel: &str, boots: &[(&BootPlan, &BootResult)]) -> Swept {
    let mut swept = Swept {
        kernel: kernel.to_owned(),
        red: 0,
        green: [0; 3],
        skipped: 0,
        surprises: Vec::new(),
        faults: Vec::new(),
    };
    for (plan, result) in boots {
        swept.faults.extend(result.faults.iter().cloned());
        for planned in &plan.proofs {
            let came = result.proofs.iter().find(|proof| proof.id == planned.id);
            let status = came.map_or(Status::Incomplete, |proof| proof.status);
            match (expected(planned), status) {
                (_, Status::Skipped | Status::UndeclaredSkip) => swept.skipped += 1,
                (None, Status::Failed) => swept.red += 1,
                (Some(why), Status::Passed) => swept.green[why as usize] += 1,
                (expected, seen) => swept.surprises.push(Surprise {
                    boot: plan.boot.clone(),
                    proof: sabotage::split(&planned.id).0.to_owned(),
                    expected: expected.map_or("red", |_| "green"),
                    seen,
                    reasons: came.map(|proof| proof.reasons.clone()).unwrap_or_default(),
                }),
            }
        }
    }
    swept
}

/// The whole document, indented, with a line end.
///
/// # Errors
/// It can't be written as JSON.
pub fn json(kernels: &[Swept]) -> Result<String> {
    let document = serde_json::json!({"schema_version": 1, "agent": NULL, "kernels": kernels});
    let text = serde_json::to_string_pretty(&document).context("writing the sweep as JSON")?;
    Ok(text + "\n")
}

/// A line a kernel, and each surprise with its reasons.
#[must_use]
pub fn table(kernels: &[Swept]) -> String {
    let mut text = format!("Every proof, put to an agent that {NULL}:\n\n");
    for swept in kernels {
        let [leaks, refusals, reports] = swept.green;
        text += &format!(
            "{}: {} red; green {leaks} that promise a leak, {refusals} a refusal, {reports} a \
             report; {} skipped; {} other than they must be\n",
            swept.kernel,
            swept.red,
            swept.skipped,
            swept.surprises.len()
        );
        for fault in &swept.faults {
            text += &format!("  fault: {fault}\n");
        }
        for surprise in &swept.surprises {
            let Surprise {
                boot,
                proof,
                expected,
                seen,
                reasons,
            } = surprise;
            text += &format!("  {boot} {proof}: must be {expected}, is {seen:?}\n");
            for reason in reasons {
                text += &format!("    {reason}\n");
            }
        }
    }
    text
}

/// A proof that doesn't see what it must is worse than anything that couldn't be found out.
#[must_use]
pub fn exit_code(kernels: &[Swept]) -> ExitCode {
    let mut surprises = kernels.iter().flat_map(|swept| &swept.surprises);
    if surprises.clone().any(|it| it.seen != Status::Incomplete) {
        return ExitCode::Failed;
    }
    let sound = |swept: &Swept| swept.red > 0 && swept.faults.is_empty();
    match surprises.next().is_none() && !kernels.is_empty() && kernels.iter().all(sound) {
        true => ExitCode::AsDeclared,
        false => ExitCode::Infrastructure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::{boot, proof};
    use crate::verdict::samples;

    /// Every proof of the catalogue, with its boot.
    fn all() -> Vec<(Boot, PlannedProof)> {
        let of = |boot| {
            catalogue::proofs(boot, false)
                .into_iter()
                .map(move |it| (boot, it))
        };
        Boot::ALL.into_iter().flat_map(of).collect()
    }

    #[test]
    fn most_proofs_are_about_a_stop_and_the_others_are_green_for_what_they_promise() {
        let of = |id: &str| {
            let all = all();
            let proof = all.iter().find(|(_, proof)| proof.id == id);
            expected(&proof.expect(id).1)
        };
        for id in [
            "enforce-denies-open",
            "modret-holds-folder",
            "signal-term-can-be-ignored",
        ] {
            assert_eq!(of(id), None, "{id}");
        }
        assert_eq!(of("fails-closed-without-opt-in"), Some(Green::Refusal));
        assert_eq!(
            of("enforce-leaks-hardlink-out-of-folder"),
            Some(Green::Leak)
        );
        assert_eq!(of("promotes-to-enforce-signal"), Some(Green::Report));
        let red = all()
            .iter()
            .filter(|(_, proof)| expected(proof).is_none())
            .count();
        assert!(red * 4 > all().len() * 3, "{red} of {}", all().len());
    }

    #[test]
    fn a_leak_is_one_that_a_limit_of_the_agent_s_declares() {
        for (_, proof) in all() {
            let named = proof.id.contains("leaks-");
            if expected(&proof) == Some(Green::Leak) {
                assert!(named, "{}", proof.id);
            }
        }
    }

    #[test]
    fn a_proof_that_can_not_fail_is_found_out() {
        let plan = samples::plan();
        let [reports, kills, refuses] = [samples::PROMOTES, samples::KILLS, samples::REFUSES];
        let judged = |statuses: [Status; 3]| {
            let ids = [reports, kills, refuses];
            let proofs = ids
                .iter()
                .zip(statuses)
                .map(|(id, status)| proof(id, status, &["why"]));
            let result = boot("6.1", "no-bpf-lsm", proofs.collect());
            judge("6.1", &[(&plan, &result)])
        };
        use Status::{Failed, Incomplete, Passed};
        let swept = judged([Passed, Failed, Passed]);
        assert_eq!((swept.red, swept.green), (1, [0, 1, 1]));
        assert_eq!(exit_code(&[swept]), ExitCode::AsDeclared);
        for (statuses, proof) in [
            ([Passed, Passed, Passed], kills),
            ([Failed, Failed, Passed], reports),
            ([Passed, Failed, Failed], refuses),
        ] {
            let swept = judged(statuses);
            assert_eq!(swept.surprises[0].proof, proof);
            assert!(table(std::slice::from_ref(&swept)).contains(proof));
            assert_eq!(exit_code(&[swept]), ExitCode::Failed);
        }
        let unknown = judged([Passed, Failed, Incomplete]);
        assert_eq!(exit_code(&[unknown]), ExitCode::Infrastructure);
        assert_eq!(exit_code(&[]), ExitCode::Infrastructure);
        let none = judge("6.1", &[]);
        assert_eq!(exit_code(&[none]), ExitCode::Infrastructure);
    }
}
