//! Holds the promises of `GUARANTEES.md` against the catalogue of proofs.
//!
//! In: promises; what each planned proof shows; on how many kernels it is planned. Out: every
//! difference. Pure.

use std::collections::{BTreeMap, BTreeSet};

use protocol::plan::{Clause, Expectation, PlannedProof};
use protocol::record::Fate;

use super::{EVERY_WAY, Finding, Promise};
use crate::manifest::Kernel;
use crate::plan::{Boot, CROSS_BOOT, SEAM_IS_FAITHFUL, catalogue};

/// What a proof shows, by the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    /// The suite in which it is planned: a boot, or the comparison of two.
    pub boot: String,
    /// The proof's id, which another boot may have too.
    pub proof: String,
    /// The agent's state in it.
    pub state: String,
    /// What becomes of the act that it is about, in the words of `GUARANTEES.md`.
    pub fate: String,
    /// Whether it goes one of the ways to a denied file, which have a table of their own.
    pub is_way: bool,
    /// On how many kernels it is planned without a skip.
    pub kernels: usize,
}

impl Shown {
    /// Whether the promise rests on it.
    #[must_use]
    pub fn is_for(&self, promise: &Promise) -> bool {
        if promise.id == EVERY_WAY {
            return self.is_way;
        }
        let mut rows = promise.rows.iter();
        rows.any(|row| row.proof == self.proof && row.state == self.state)
    }
}

/// What the catalogue shows on these kernels.
#[must_use]
pub fn shown(kernels: &[Kernel]) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Boot::ALL
        .into_iter()
        .flat_map(|boot| {
            let proofs = catalogue::proofs(boot, true);
            proofs.into_iter().map(move |proof| Shown {
                boot: boot.name().to_owned(),
                state: catalogue::state(&proof.configuration).to_owned(),
                fate: fate(&proof),
                is_way: proof.bypass.is_some(),
                kernels: planned_on(kernels, boot.name(), &proof.id),
                proof: proof.id,
            })
        })
        .collect();
    shown.push(Shown {
        boot: CROSS_BOOT.to_owned(),
        proof: SEAM_IS_FAITHFUL.to_owned(),
        state: catalogue::state("signal").to_owned(),
        fate: "same report".to_owned(),
        is_way: false,
        kernels: planned_on(kernels, CROSS_BOOT, SEAM_IS_FAITHFUL),
    });
    shown
}

fn planned_on(kernels: &[Kernel], boot: &str, proof: &str) -> usize {
    let skips = |kernel: &&Kernel| {
        let mut skips = kernel.skips.iter();
        !skips.any(|skip| skip.is_of(boot, proof))
    };
    kernels.iter().filter(skips).count()
}

/// What a proof is about, in a word: how the agent ended, or the worst that happened to an act
/// that somebody tried while it was up.
fn fate(proof: &PlannedProof) -> String {
    let mut worst: Option<(u8, String)> = None;
    for arm in &proof.arms {
        let found = match &arm.expect {
            Expectation::Exit { code } => (4, format!("exit code {code}")),
            Expectation::Act { fate, event, .. } => match fate {
                Fate::Denied { .. } => (3, "`EPERM`".to_owned()),
                Fate::Killed { signal: 9 } => (2, "killed".to_owned()),
                Fate::Killed { signal } => (2, format!("killed by {signal}")),
                Fate::Allowed if event.is_some() => (1, "told of".to_owned()),
                Fate::Allowed | Fate::Broken { .. } => continue,
            },
            Expectation::Document { clauses, .. } => match told_fate(clauses) {
                Some("EPERM") => (3, "`EPERM`".to_owned()),
                Some("SIGKILL") => (2, "killed".to_owned()),
                Some(signal) if signal.starts_with("SIG") => (2, format!("killed by {signal}")),
                _ => continue,
            },
            Expectation::Race { each, .. } => match **each {
                Expectation::Act { leaks: true, .. } => (4, "leaks".to_owned()),
                // Attempts at what another arm does once.
                _ => continue,
            },
            Expectation::NoBpfLeft => continue,
        };
        if worst.as_ref().is_none_or(|(rank, _)| *rank < found.0) {
            worst = Some(found);
        }
    }
    worst.map_or_else(|| "reported".to_owned(), |(_, word)| word)
}

/// The fate that the account of an attempt must have, where these are clauses about one, or of
/// many that all meet the same.
fn told_fate(clauses: &[Clause]) -> Option<&str> {
    clauses.iter().find_map(|clause| match clause {
        Clause::Equals { pointer, value } => match pointer.as_str() {
            "/fate" => value.as_str(),
            // Of many at once, each with how many met it.
            "/fates" => value.as_object()?.keys().next().map(String::as_str),
            _ => None,
        },
        _ => None,
    })
}

/// Every difference between the document and the catalogue. `ways` is the table that the
/// promise [`EVERY_WAY`] must have, and no other.
#[must_use]
pub fn differences(promises: &[Promise], shown: &[Shown], ways: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut ids = BTreeSet::new();
    for promise in promises {
        if !ids.insert(&promise.id) {
            let message = format!("there is a promise {} already", promise.id);
            findings.push(Finding::at(promise.line, message));
        }
        if promise.sentence.is_empty() {
            let message = format!("{} promises nothing: write a sentence", promise.id);
            findings.push(Finding::at(promise.line, message));
        }
        if promise.rows.is_empty() && promise.id != EVERY_WAY {
            let message = format!("{} has no proof: add a line to its table", promise.id);
            findings.push(Finding::at(promise.line, message));
        }
        if promise.id == EVERY_WAY {
            findings.extend(table_of_ways(promise, ways));
        }
    }
    if !ids.iter().any(|id| *id == EVERY_WAY) {
        findings.push(Finding::missing(format!("no promise is named {EVERY_WAY}")));
    }
    findings.extend(rows(promises, shown));
    let of_no_kernel = shown.iter().filter(|shown| shown.kernels == 0);
    findings.extend(of_no_kernel.map(|shown| {
        let proof = &shown.proof;
        Finding::missing(format!("{proof} is planned on no kernel of kernels.toml"))
    }));
    findings
}

/// The first line in which the table of ways isn't the one that is proven, which is one table
/// without a gap.
fn table_of_ways(promise: &Promise, ways: &str) -> Option<Finding> {
    let mut proven = ways.lines();
    let mut last = None;
    for (line, text) in &promise.ways {
        let message = match proven.next() {
            None => Some("no proof shows this line, with which the table of ways goes on".into()),
            Some(proven) if proven != text => Some(format!("the table of ways has here: {proven}")),
            Some(_) if last.is_some_and(|last| last + 1 != *line) => {
                Some("the table of ways has a gap above this line".to_owned())
            }
            Some(_) => None,
        };
        if let Some(message) = message {
            return Some(Finding::at(*line, message));
        }
        last = Some(*line);
    }
    let missing = proven.next()?;
    let message = format!("the table of ways goes on below this line: {missing}");
    Some(Finding::at(last.unwrap_or(promise.line), message))
}

/// What is wrong with single lines of the promises' tables, and which are missing.
fn rows(promises: &[Promise], shown: &[Shown]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut to_promise: BTreeMap<(&str, &str), &Shown> = shown
        .iter()
        .filter(|shown| !shown.is_way)
        .map(|shown| ((shown.proof.as_str(), shown.state.as_str()), shown))
        .collect();
    for row in promises.iter().flat_map(|promise| &promise.rows) {
        let (proof, state) = (row.proof.as_str(), row.state.as_str());
        let found = to_promise.remove(&(proof, state));
        let message = match found {
            Some(shown) if shown.fate == row.fate => continue,
            Some(shown) => format!("{proof} shows {}, not {}", shown.fate, row.fate),
            None if shown.iter().any(|shown| shown.proof == proof) => {
                format!("{proof} is promised twice, or isn't about {state}")
            }
            None => format!("there is no proof {proof}"),
        };
        findings.push(Finding::at(row.line, message));
    }
    findings.extend(to_promise.values().map(|shown| {
        let Shown {
            proof, state, fate, ..
        } = shown;
        Finding::missing(format!(
            "{proof} shows what nobody promises; its line is | `{state}` | {fate} | `{proof}` |"
        ))
    }));
    findings
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::promises;
    use super::*;

    const WAYS: &str = "| way |\n| --- |\n| `dot` |\n";

    pub(crate) fn shown() -> Vec<Shown> {
        let of = |proof: &str, state: &str, fate: &str, is_way| Shown {
            boot: match state {
                "ENFORCE" => "bpf-lsm".to_owned(),
                _ => "no-bpf-lsm".to_owned(),
            },
            proof: proof.to_owned(),
            state: state.to_owned(),
            fate: fate.to_owned(),
            is_way,
            kernels: 11,
        };
        vec![
            of("enforce-denies-open", "ENFORCE", "`EPERM`", false),
            of("kills-denied-open", "ENFORCE_SIGNAL", "killed", false),
            of("enforce-stops-dot", "ENFORCE", "`EPERM`", true),
        ]
    }

    /// With this table, from line 42 on; an empty line is one between.
    fn ways(table: &str) -> Promise {
        let lines = (42..).zip(table.lines().map(str::to_owned));
        Promise {
            id: EVERY_WAY.to_owned(),
            sentence: "Every way.".to_owned(),
            rows: Vec::new(),
            ways: lines.filter(|(_, text)| !text.is_empty()).collect(),
            line: 40,
        }
    }

    fn told(promises: &[Promise], shown: &[Shown]) -> Vec<String> {
        let promises: Vec<Promise> = promises.iter().cloned().chain([ways(WAYS)]).collect();
        let findings = differences(&promises, shown, WAYS);
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_document_that_is_the_catalogue_has_no_differences() {
        assert_eq!(told(&promises(), &shown()), [""; 0]);
    }

    #[test]
    fn a_promise_without_a_proof_is_found() {
        let mut without = promises();
        without[0].rows.clear();
        assert_eq!(
            told(&without, &shown()[2..]),
            ["GUARANTEES.md:5: denies-open has no proof: add a line to its table"]
        );
        assert_eq!(
            told(&promises(), &shown()[1..]),
            ["GUARANTEES.md:12: there is no proof enforce-denies-open"]
        );
    }

    #[test]
    fn a_proof_without_a_promise_is_found() {
        let mut fewer = promises();
        fewer[0].rows.pop();
        assert_eq!(
            told(&fewer, &shown()),
            [
                "GUARANTEES.md: kills-denied-open shows what nobody promises; its line is \
              | `ENFORCE_SIGNAL` | killed | `kills-denied-open` |"
            ]
        );
    }

    #[test]
    fn another_fate_and_another_state_are_found() {
        let mut other = promises();
        other[0].rows[1].fate = "`EPERM`".to_owned();
        assert_eq!(
            told(&other, &shown()),
            ["GUARANTEES.md:13: kills-denied-open shows killed, not `EPERM`"]
        );
        let mut other = promises();
        other[0].rows[1].state = "ENFORCE".to_owned();
        let told = told(&other, &shown());
        assert_eq!(
            told[0],
            "GUARANTEES.md:13: kills-denied-open is promised twice, or isn't about ENFORCE"
        );
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn a_race_that_leaks_is_about_the_leak_whatever_else_is_stopped() {
        let proofs = catalogue::proofs(Boot::NoBpfLsm, false);
        let of = |id: &str| proofs.iter().find(|proof| proof.id == id).map(fate);
        let leaks = Some("leaks".to_owned());
        assert_eq!(of("signal-admits-passed-over"), leaks);
        assert_ne!(of("kills-denied-open"), leaks);
    }

    #[test]
    fn a_proof_on_no_kernel_is_found_a_way_too() {
        let mut nowhere = shown();
        nowhere[2].kernels = 0;
        assert_eq!(
            told(&promises(), &nowhere),
            ["GUARANTEES.md: enforce-stops-dot is planned on no kernel of kernels.toml"]
        );
    }

    #[test]
    fn promises_are_made_once_and_in_words() {
        let mut promises = [promises(), promises()].concat();
        promises[0].sentence.clear();
        let told = told(&promises, &shown());
        assert_eq!(
            told[..2],
            [
                "GUARANTEES.md:5: denies-open promises nothing: write a sentence",
                "GUARANTEES.md:5: there is a promise denies-open already",
            ]
        );
    }

    #[test]
    fn the_table_of_ways_is_the_proven_one_and_no_line_more() {
        for (table, expected) in [
            (
                format!("{WAYS}| `vmsplice` |\n"),
                "GUARANTEES.md:45: no proof shows this line, with which the table of ways goes on",
            ),
            (
                format!("{WAYS}\n| way |\n"),
                "GUARANTEES.md:46: no proof shows this line, with which the table of ways goes on",
            ),
            (
                WAYS.replace("dot", "dirfd"),
                "GUARANTEES.md:44: the table of ways has here: | `dot` |",
            ),
            (
                WAYS.replace("| `dot`", "\n| `dot`"),
                "GUARANTEES.md:45: the table of ways has a gap above this line",
            ),
            (
                WAYS.replace("| `dot` |\n", ""),
                "GUARANTEES.md:43: the table of ways goes on below this line: | `dot` |",
            ),
            (
                String::new(),
                "GUARANTEES.md:40: the table of ways goes on below this line: | way |",
            ),
        ] {
            let promises = [promises(), vec![ways(&table)]].concat();
            let findings = differences(&promises, &shown(), WAYS);
            let told: Vec<String> = findings.iter().map(Finding::to_string).collect();
            assert_eq!(told, [expected]);
        }
        let without = differences(&promises(), &shown(), WAYS);
        assert_eq!(without[0].message, "no promise is named every-way");
    }
}
