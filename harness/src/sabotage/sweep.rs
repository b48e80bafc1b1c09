//! Null sweeps: every proof of a kernel, run on an agent that breaks all promises of one kind.
//!
//! In: the proofs, each with its declared result for such an agent, and their results. Out: which
//! results aren't as declared. A mutant shows that one proof can fail; a sweep shows that every
//! proof of the broken kind does. Pure.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use globset::GlobSet;
use proofs::{Boot, Green, Proof, Swept};
use protocol::plan::{BootPlan, GuestPlan, PlannedProof};
use protocol::sabotage;
use serde::Serialize;

use crate::exit::ExitCode;
use crate::kernels::ReadyKernel;
use crate::outcome::{BootResult, Status};
use crate::run::plan::{self, PlannedBoot, Wanted};
use crate::vm::Pace;

/// The file in `--out`.
pub const FILE: &str = "sweep.json";

/// An agent that breaks all promises of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Null {
    /// It tells everything, and stops nobody but its own canaries.
    StopsNobody,
    /// It denies every open and every new name that isn't exempt.
    DeniesAll,
}

impl Null {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::StopsNobody, Self::DeniesAll];

    /// The mutant that is this agent.
    #[must_use]
    pub fn mutant(self) -> &'static str {
        match self {
            Self::StopsNobody => proofs::STOPS_NOBODY,
            Self::DeniesAll => proofs::DENIES_ALL,
        }
    }

    /// What a proof is declared to come to over it.
    fn declared(self, proof: &Proof) -> Swept {
        match self {
            Self::StopsNobody => proof.sweeps.stops_nobody,
            Self::DeniesAll => proof.sweeps.denies_all,
        }
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

/// One kernel's sweep with one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sweep {
    /// As in `kernels.toml`.
    pub kernel: String,
    /// The agent.
    pub agent: Null,
    /// Whether every proof was asked for.
    pub whole: bool,
    /// How many were red, as they must be.
    pub red: usize,
    /// How many were green, for each reason.
    pub green: BTreeMap<Green, usize>,
    /// How many were skipped.
    pub skipped: usize,
    /// All others.
    pub surprises: Vec<Surprise>,
    /// What was wrong with the boots.
    pub faults: Vec<String>,
}

/// What a sweep is of when every proof was asked for.
#[must_use]
pub fn wanted(proofs: Option<&GlobSet>) -> Wanted<'_> {
    Wanted {
        boots: &Boot::ALL,
        proofs,
        // It is an agent that is broken in yet another way.
        sabotaged_agent: false,
    }
}

/// Plans one kernel's boots with the proofs asked for, over each of the agents.
pub fn kernel(
    kernel: &ReadyKernel,
    wanted: &Wanted<'_>,
    pace: Pace,
    mut nonce: impl FnMut() -> String,
) -> (GuestPlan, Vec<PlannedBoot>) {
    let mut boots = Vec::new();
    for null in Null::BOTH {
        for &boot in wanted.boots {
            let proofs = plan::proofs(boot, wanted).into_iter();
            let over = |proof: PlannedProof| PlannedProof {
                id: sabotage::with(&proof.id, null.mutant()),
                configuration: sabotage::with(&proof.configuration, null.mutant()),
                ..proof
            };
            let proofs: Vec<PlannedProof> = proofs.map(over).collect();
            if proofs.is_empty() {
                continue;
            }
            let name = sabotage::with(boot.name(), null.mutant());
            boots.push(plan::boot(kernel, boot, &name, proofs, nonce()));
        }
    }
    (plan::guest(kernel, pace, &boots), boots)
}

/// Holds a kernel's boots over one of the agents against what each of the proofs asked for is
/// declared to come to; boots over the other are passed over.
#[must_use]
pub fn judge(
    kernel: &str,
    null: Null,
    wanted: &Wanted<'_>,
    boots: &[(&BootPlan, &BootResult)],
) -> Sweep {
    let mut swept = Sweep {
        kernel: kernel.to_owned(),
        agent: null,
        whole: wanted.proofs.is_none(),
        red: 0,
        green: BTreeMap::new(),
        skipped: 0,
        surprises: Vec::new(),
        faults: Vec::new(),
    };
    for &boot in wanted.boots {
        let ids: BTreeSet<String> = plan::proofs(boot, wanted)
            .into_iter()
            .map(|proof| proof.id)
            .collect();
        if ids.is_empty() {
            continue;
        }
        let name = sabotage::with(boot.name(), null.mutant());
        let Some((_, result)) = boots.iter().find(|(plan, _)| plan.boot == name) else {
            swept.faults.push(format!("{name} was never run"));
            continue;
        };
        swept.faults.extend(result.faults.iter().cloned());
        let all = proofs::of_boot(boot, false).into_iter();
        for proof in all.filter(|proof| ids.contains(&proof.id)) {
            let id = sabotage::with(&proof.id, null.mutant());
            let came = result.proofs.iter().find(|proof| proof.id == id);
            let status = came.map_or(Status::Incomplete, |proof| proof.status);
            match (null.declared(&proof), status) {
                (_, Status::Skipped | Status::UndeclaredSkip) => swept.skipped += 1,
                // A declared leak that isn't there fails a run as well.
                (Swept::Red, Status::Failed | Status::UnexpectedPass) => swept.red += 1,
                (Swept::Green(why), Status::Passed) => *swept.green.entry(why).or_default() += 1,
                (expected, seen) => swept.surprises.push(Surprise {
                    boot: boot.name().to_owned(),
                    expected: match expected {
                        Swept::Red => "red",
                        Swept::Green(_) => "green",
                    },
                    proof: proof.id,
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
pub fn json(kernels: &[Sweep]) -> Result<String> {
    let document = serde_json::json!({"schema_version": 2, "sweeps": kernels});
    let text = serde_json::to_string_pretty(&document).context("writing the sweep as JSON")?;
    Ok(text + "\n")
}

/// A line a kernel and agent, and each surprise with its reasons.
#[must_use]
pub fn table(kernels: &[Sweep]) -> String {
    let mut text = String::from("Every proof, put to agents that keep no promise of a kind:\n\n");
    for swept in kernels {
        let green = swept.green.iter();
        let green = green.map(|(why, count)| format!("{count} that promise {}", why.in_words()));
        let mut green: Vec<String> = green.collect();
        if green.is_empty() {
            green.push("none".to_owned());
        }
        text += &format!(
            "{}, {}: {} red; green {}; {} skipped; {} other than declared\n",
            swept.kernel,
            swept.agent.mutant(),
            swept.red,
            green.join(", "),
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
pub fn exit_code(kernels: &[Sweep]) -> ExitCode {
    let mut surprises = kernels.iter().flat_map(|swept| &swept.surprises);
    if surprises.clone().any(|it| it.seen != Status::Incomplete) {
        return ExitCode::Failed;
    }
    // Some of all proofs must be red; those that somebody picked may all be declared green.
    let showed = |swept: &Sweep| swept.red > 0 || (!swept.whole && !swept.green.is_empty());
    let sound = |swept: &Sweep| showed(swept) && swept.faults.is_empty();
    match surprises.next().is_none() && !kernels.is_empty() && kernels.iter().all(sound) {
        true => ExitCode::AsDeclared,
        false => ExitCode::Infrastructure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::{boot, proof};

    /// The boots over an agent, in which every proof comes out as declared, but those changed.
    fn boots(null: Null, change: impl Fn(&str) -> Option<Status>) -> Vec<BootResult> {
        let of = |kind: Boot| {
            let proofs = proofs::of_boot(kind, false).into_iter().map(|of| {
                let declared = match null.declared(&of) {
                    Swept::Red => Status::Failed,
                    Swept::Green(_) => Status::Passed,
                };
                let status = change(&of.id).unwrap_or(declared);
                let id = sabotage::with(&of.id, null.mutant());
                proof(&id, status, &["why"])
            });
            let name = sabotage::with(kind.name(), null.mutant());
            boot("6.1", &name, proofs.collect())
        };
        Boot::ALL.map(of).into()
    }

    fn judged(null: Null, results: &[BootResult]) -> Sweep {
        judged_of(null, None, results)
    }

    fn judged_of(null: Null, globs: Option<&GlobSet>, results: &[BootResult]) -> Sweep {
        let plans: Vec<BootPlan> = results
            .iter()
            .map(|result| BootPlan {
                boot: result.suite.boot.clone(),
                ..crate::verdict::samples::plan()
            })
            .collect();
        let boots: Vec<_> = plans.iter().zip(results).collect();
        judge("6.1", null, &wanted(globs), &boots)
    }

    #[test]
    fn a_sweep_in_which_all_is_as_declared_is_green() {
        for null in Null::BOTH {
            let swept = judged(null, &boots(null, |_| None));
            assert_eq!(swept.surprises, []);
            assert!(swept.red > 150, "{}", swept.red);
            assert_eq!(exit_code(&[swept]), ExitCode::AsDeclared);
        }
    }

    #[test]
    fn a_proof_that_can_not_fail_is_found_out_and_so_is_one_that_always_does() {
        let null = Null::StopsNobody;
        for (id, seen) in [
            ("kills-denied-open", Status::Passed),
            ("promotes-to-enforce-signal", Status::Failed),
            ("fails-closed-without-opt-in", Status::Failed),
        ] {
            let swept = judged(null, &boots(null, |proof| (proof == id).then_some(seen)));
            assert_eq!(swept.surprises.len(), 1, "{id}");
            assert_eq!(swept.surprises[0].proof, id);
            assert!(table(std::slice::from_ref(&swept)).contains(id));
            assert_eq!(exit_code(&[swept]), ExitCode::Failed);
        }
        let unknown = |proof: &str| (proof == "kills-denied-open").then_some(Status::Incomplete);
        let swept = judged(null, &boots(null, unknown));
        assert_eq!(exit_code(&[swept]), ExitCode::Infrastructure);
    }

    #[test]
    fn of_some_proofs_no_other_counts_and_none_has_to_be_red() {
        for (pattern, null, red, green) in [
            ("kills-denied-open", Null::StopsNobody, 1, 0),
            ("renews-*", Null::DeniesAll, 0, 0),
            ("promotes-to-enforce-signal", Null::StopsNobody, 0, 1),
        ] {
            let glob = globset::Glob::new(pattern).expect("a glob");
            let mut globs = globset::GlobSetBuilder::new();
            let globs = globs.add(glob).build().expect("globs");
            let all = boots(null, |_| None);
            let of = |red: usize, green: usize, swept: &Sweep| {
                let seen = (swept.red, swept.green.values().sum::<usize>());
                assert_eq!(seen, (red, green), "{pattern}");
            };
            let swept = judged_of(null, Some(&globs), &all);
            of(red, green, &swept);
            let code = match red + green {
                0 => ExitCode::Infrastructure,
                _ => ExitCode::AsDeclared,
            };
            assert_eq!(exit_code(&[swept]), code, "{pattern}");
        }
    }

    #[test]
    fn a_boot_that_was_never_run_has_shown_nothing() {
        let null = Null::DeniesAll;
        let all = boots(null, |_| None);
        let swept = judged(null, &all[1..]);
        assert_eq!(swept.faults.len(), 1);
        assert_eq!(exit_code(&[swept]), ExitCode::Infrastructure);
        // Those of the other agent are others.
        let swept = judged(Null::StopsNobody, &all);
        assert_eq!((swept.red, swept.faults.len()), (0, all.len()));
        assert_eq!(exit_code(&[]), ExitCode::Infrastructure);
    }
}
