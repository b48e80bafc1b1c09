//! A run as a table kernel × promise, in Markdown: what a release shows for what it says.
//!
//! In: judged suites. Out: text. Pure.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};

use super::{Shown, shown};
use crate::outcome::{BootResult, Provenance, Race, Status};

/// The table, with the kernels in the order of the results.
#[must_use]
pub fn table(results: &[BootResult]) -> String {
    let kernels = kernels(results);
    let mut text = header("promise", &kernels);
    text.push_str("| *package* |");
    for kernel in &kernels {
        let of_kernel = |result: &&BootResult| result.suite.kernel == *kernel;
        let mut packages = results.iter().filter(of_kernel);
        let package = packages.find_map(|result| result.package_version.as_deref());
        text.push_str(&format!(" {} |", package.unwrap_or("by path")));
    }
    text.push('\n');
    for promise in proofs::ALL {
        text.push_str(&format!("| `{}` |", promise.id));
        let proofs = shown(promise);
        for kernel in &kernels {
            text.push_str(&format!(" {} |", cell(kernel, &proofs, results)));
        }
        text.push('\n');
    }
    text
}

/// Of which agent, guest and commit the results are, and of which days.
///
/// # Errors
/// They aren't all of the same: together they would say what no run has shown.
pub fn provenance(results: &[BootResult]) -> Result<String> {
    let mut all = results.iter();
    let first = all.next().context("no results")?;
    let is_other = |other: &&BootResult| of_what(other) != of_what(first);
    if let Some(other) = all.find(is_other) {
        bail!(
            "the results are of different programs: {} of {}, and {} of {}; show those of one run",
            first.suite,
            of_what(first),
            other.suite,
            of_what(other)
        );
    }
    let days = results.iter().map(|result| {
        let began = result.provenance.began_at.to_string();
        began.split('T').next().unwrap_or_default().to_owned()
    });
    let days: Vec<String> = days.collect::<BTreeSet<_>>().into_iter().collect();
    Ok(format!(
        "Of {}; run on {}.\n",
        of_what(first),
        days.join(", ")
    ))
}

fn of_what(result: &BootResult) -> String {
    let Provenance {
        agent_sha256,
        guest_sha256,
        commit,
        ..
    } = &result.provenance;
    let commit = commit.as_deref().unwrap_or("unknown");
    format!("agent `{agent_sha256}`, guest `{guest_sha256}`, commit {commit}")
}

/// The races with what was measured of each while the agent was up: leaks of attempts. Empty if
/// none was.
#[must_use]
pub fn races(results: &[BootResult]) -> String {
    let kernels = kernels(results);
    let mut rows = BTreeMap::<&str, BTreeMap<&str, Race>>::new();
    for result in results {
        for proof in &result.proofs {
            if let Some(race) = proof.race {
                let row = rows.entry(&proof.id).or_default();
                row.insert(&result.suite.kernel, race);
            }
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut text = header("race", &kernels);
    for (id, measured) in rows {
        text.push_str(&format!("| `{id}` |"));
        for kernel in &kernels {
            let measured = measured.get(kernel).map(Race::to_string);
            let measured = measured.unwrap_or_else(|| "unknown".to_owned());
            text.push_str(&format!(" {measured} |"));
        }
        text.push('\n');
    }
    text
}

/// Every kernel, in the order of the results.
fn kernels(results: &[BootResult]) -> Vec<&str> {
    let mut kernels: Vec<&str> = Vec::new();
    for result in results {
        if !kernels.contains(&result.suite.kernel.as_str()) {
            kernels.push(&result.suite.kernel);
        }
    }
    kernels
}

fn header(first: &str, kernels: &[&str]) -> String {
    let mut text = format!("| {first} |");
    for kernel in kernels {
        text.push_str(&format!(" {kernel} |"));
    }
    text.push_str("\n| --- |");
    text.push_str(&" --- |".repeat(kernels.len()));
    text.push('\n');
    text
}

/// What a run says of one proof on one kernel; of several answers the last in this order counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Passed,
    Skipped,
    Unknown,
    Failed,
}

/// What is known of a promise on one kernel: how its proofs came out, each in the boot that it is
/// promised for.
fn cell(kernel: &str, proofs: &[Shown], results: &[BootResult]) -> String {
    let answers: Vec<Answer> = proofs
        .iter()
        .map(|shown| answer(kernel, shown, results))
        .collect();
    let count = |wanted| answers.iter().filter(|answer| **answer == wanted).count();
    if count(Answer::Failed) > 0 {
        return "**FAIL**".to_owned();
    }
    let [passed, skipped, unknown] = [Answer::Passed, Answer::Skipped, Answer::Unknown].map(count);
    match (passed, skipped, unknown) {
        (passed, 0, 0) if passed > 0 => format!("{passed} ok"),
        (0, skipped, 0) => format!("{skipped} skipped"),
        (passed, skipped, 0) => format!("{passed} ok, {skipped} skipped"),
        (_, _, unknown) => format!("{unknown} unknown"),
    }
}

/// The worst that any suite says of a proof. A suite with a fault has shown nothing.
fn answer(kernel: &str, shown: &Shown, results: &[BootResult]) -> Answer {
    let suites = results
        .iter()
        .filter(|result| result.suite.kernel == kernel && result.suite.boot == shown.boot);
    let answers = suites.flat_map(|result| {
        let proofs = result.proofs.iter();
        let proofs = proofs.filter(|proof| proof.id == shown.proof);
        proofs.map(|proof| match proof.status {
            Status::Failed | Status::UnexpectedPass | Status::UndeclaredSkip => Answer::Failed,
            Status::Passed if result.faults.is_empty() => Answer::Passed,
            Status::Skipped if result.faults.is_empty() => Answer::Skipped,
            Status::Passed | Status::Skipped | Status::Incomplete => Answer::Unknown,
        })
    });
    answers.max().unwrap_or(Answer::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::{boot, proof};

    const KILLS: &str = "kills-denied-open";
    const ATTACH: &str = "attach-is-not-enforcement";

    /// What the table has for the promise that one program attaches in both boots and enforces in
    /// one.
    fn cell_of(results: &[BootResult]) -> String {
        let table = table(results);
        let row = format!("| `{ATTACH}` | ");
        let row = table.lines().find_map(|line| line.strip_prefix(&row));
        row.expect("a line a promise").to_owned()
    }

    fn results(first: Status, second: Status) -> Vec<BootResult> {
        vec![
            boot("6.1", "bpf-lsm", vec![proof(ATTACH, first, &[])]),
            boot(
                "6.1",
                "no-bpf-lsm",
                vec![proof(ATTACH, second, &[]), proof(KILLS, second, &[])],
            ),
        ]
    }

    #[test]
    fn a_cell_counts_what_was_shown() {
        use Status::{Failed, Incomplete, Passed, Skipped, UndeclaredSkip};
        for (first, second, expected) in [
            (Passed, Passed, "2 ok |"),
            (Passed, Skipped, "1 ok, 1 skipped |"),
            (Skipped, Skipped, "2 skipped |"),
            (Passed, Failed, "**FAIL** |"),
            (Passed, UndeclaredSkip, "**FAIL** |"),
            (Passed, Incomplete, "1 unknown |"),
        ] {
            assert_eq!(cell_of(&results(first, second)), expected);
        }
    }

    #[test]
    fn what_was_not_run_or_ran_in_a_faulty_boot_is_unknown() {
        let mut results = results(Status::Passed, Status::Passed);
        assert_eq!(cell_of(&results[..1]), "1 unknown |");
        results[1].faults = vec!["no `end` record".to_owned()];
        assert_eq!(cell_of(&results), "1 unknown |");
    }

    #[test]
    fn a_proof_counts_in_the_boot_that_it_is_promised_for_and_in_no_other() {
        let both = results(Status::Passed, Status::Passed);
        assert_eq!(cell_of(&both), "2 ok |");
        for one in both.chunks(1) {
            assert_eq!(cell_of(one), "1 unknown |");
        }
        // The same run, given twice, shows no more than once.
        let twice = [both[0].clone(), both[0].clone()];
        assert_eq!(cell_of(&twice), "1 unknown |");
    }

    #[test]
    fn a_race_shows_what_was_measured_on_each_kernel() {
        let mut results = results(Status::Passed, Status::Passed);
        assert_eq!(races(&results), "");
        let (attempts, leaks) = (32, 8);
        results[1].proofs[1].race = Some(Race { attempts, leaks });
        results.push(boot("7.3", "no-bpf-lsm", vec![]));
        let expected = "| race | 6.1 | 7.3 |\n| --- | --- | --- |\n\
                        | `kills-denied-open` | 8 of 32 attempts leaked (25 %) | unknown |\n";
        assert_eq!(races(&results), expected);
    }

    #[test]
    fn each_kernel_has_a_column() {
        let mut results = results(Status::Passed, Status::Passed);
        results.push(boot("7.3", "bpf-lsm", vec![]));
        let table = table(&results);
        assert_eq!(table.lines().next(), Some("| promise | 6.1 | 7.3 |"));
        for promise in proofs::ALL {
            let row = format!("\n| `{}` |", promise.id);
            assert_eq!(table.matches(&row).count(), 1, "{}", promise.id);
        }
    }

    #[test]
    fn results_are_shown_with_what_they_are_of_and_never_mixed() {
        let mut results = crate::report::samples::results();
        results[0].provenance.began_at = "2026-01-03T00:00:00Z".parse().unwrap();
        let (agent, guest, commit) = ("a".repeat(64), "b".repeat(64), "c".repeat(40));
        let said = format!(
            "Of agent `{agent}`, guest `{guest}`, commit {commit}; run on 2026-01-02, 2026-01-03.\n"
        );
        assert_eq!(provenance(&results).unwrap(), said);
        let others: [fn(&mut Provenance); 3] = [
            |of| of.agent_sha256 = "d".repeat(64),
            |of| of.guest_sha256 = "d".repeat(64),
            |of| of.commit = None,
        ];
        for change in others {
            let mut mixed = results.clone();
            change(&mut mixed[2].provenance);
            let told = provenance(&mixed).unwrap_err().to_string();
            assert!(told.contains("different programs"), "{told}");
        }
        provenance(&[]).unwrap_err();
    }
}
