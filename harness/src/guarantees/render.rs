//! A run as a table kernel × promise, in Markdown: what a release shows for what it says.
//!
//! In: promises and judged suites. Out: text. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{EVERY_WAY, Promise};
use crate::guarantees::check::Shown;
use crate::outcome::{BootResult, Race, Status};

/// The table, with the kernels in the order of the results.
#[must_use]
pub fn table(promises: &[Promise], shown: &[Shown], results: &[BootResult]) -> String {
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
    for promise in promises {
        text.push_str(&format!("| `{}` |", promise.id));
        let proofs = proofs(promise, shown);
        for kernel in &kernels {
            text.push_str(&format!(" {} |", cell(kernel, &proofs, results)));
        }
        text.push('\n');
    }
    text
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

fn proofs<'a>(promise: &'a Promise, shown: &'a [Shown]) -> BTreeSet<&'a str> {
    if promise.id == EVERY_WAY {
        let ways = shown.iter().filter(|shown| shown.is_way);
        return ways.map(|shown| shown.proof.as_str()).collect();
    }
    let rows = promise.rows.iter();
    rows.map(|row| row.proof.as_str()).collect()
}

/// What is known of a promise on one kernel: the worst that any suite says of its proofs. A
/// suite with a fault has shown nothing.
fn cell(kernel: &str, proofs: &BTreeSet<&str>, results: &[BootResult]) -> String {
    let (mut passed, mut skipped, mut unknown) = (0, 0, 0);
    let mut seen = BTreeSet::new();
    for result in results
        .iter()
        .filter(|result| result.suite.kernel == kernel)
    {
        for proof in &result.proofs {
            if !proofs.contains(proof.id.as_str()) {
                continue;
            }
            seen.insert(proof.id.as_str());
            match proof.status {
                Status::Failed | Status::UnexpectedPass | Status::UndeclaredSkip => {
                    return "**FAIL**".to_owned();
                }
                Status::Passed if result.faults.is_empty() => passed += 1,
                Status::Skipped if result.faults.is_empty() => skipped += 1,
                Status::Passed | Status::Skipped | Status::Incomplete => unknown += 1,
            }
        }
    }
    unknown += proofs.len() - seen.len();
    match (passed, skipped, unknown) {
        (passed, 0, 0) if passed > 0 => format!("{passed} ok"),
        (0, skipped, 0) => format!("{skipped} skipped"),
        (passed, skipped, 0) => format!("{passed} ok, {skipped} skipped"),
        (_, _, unknown) => format!("{unknown} unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::promises;
    use super::*;
    use crate::report::samples::{boot, proof};

    const DENIES: &str = "enforce-denies-open";
    const KILLS: &str = "kills-denied-open";

    fn row(results: &[BootResult]) -> String {
        let table = table(&promises(), &[], results);
        table.lines().last().expect("a line a promise").to_owned()
    }

    fn results(denies: Status, kills: Status) -> Vec<BootResult> {
        vec![
            boot("6.1", "bpf-lsm", vec![proof(DENIES, denies, &[])]),
            boot("6.1", "no-bpf-lsm", vec![proof(KILLS, kills, &[])]),
        ]
    }

    #[test]
    fn a_cell_counts_what_was_shown() {
        use Status::{Failed, Incomplete, Passed, Skipped, UndeclaredSkip};
        for (denies, kills, expected) in [
            (Passed, Passed, "2 ok"),
            (Passed, Skipped, "1 ok, 1 skipped"),
            (Skipped, Skipped, "2 skipped"),
            (Passed, Failed, "**FAIL**"),
            (Passed, UndeclaredSkip, "**FAIL**"),
            (Passed, Incomplete, "1 unknown"),
        ] {
            let results = results(denies, kills);
            assert_eq!(row(&results), format!("| `denies-open` | {expected} |"));
        }
    }

    #[test]
    fn what_was_not_run_or_ran_in_a_faulty_boot_is_unknown() {
        let mut results = results(Status::Passed, Status::Passed);
        assert_eq!(row(&results[..1]), "| `denies-open` | 1 unknown |");
        results[1].faults = vec!["no `end` record".to_owned()];
        assert_eq!(row(&results), "| `denies-open` | 1 unknown |");
    }

    #[test]
    fn a_race_shows_what_was_measured_on_each_kernel() {
        let mut results = results(Status::Passed, Status::Passed);
        assert_eq!(races(&results), "");
        let (attempts, leaks) = (32, 8);
        results[1].proofs[0].race = Some(Race { attempts, leaks });
        results.push(boot("7.3", "no-bpf-lsm", vec![]));
        let expected = "| race | 6.1 | 7.3 |\n| --- | --- | --- |\n\
                        | `kills-denied-open` | 8 of 32 attempts leaked (25 %) | unknown |\n";
        assert_eq!(races(&results), expected);
    }

    #[test]
    fn each_kernel_has_a_column() {
        let mut results = results(Status::Passed, Status::Passed);
        results.push(boot(
            "7.3",
            "bpf-lsm",
            vec![proof(DENIES, Status::Passed, &[])],
        ));
        let table = table(&promises(), &[], &results);
        assert_eq!(table.lines().next(), Some("| promise | 6.1 | 7.3 |"));
        assert_eq!(row(&results), "| `denies-open` | 2 ok | 1 unknown |");
    }
}
