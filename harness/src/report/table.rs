//! The final table: what holds on which kernel, at a glance, then everything that doesn't.
//!
//! In: judged boots. Out: text. Proofs are rows, grouped by boot, and kernels are columns: a
//! matrix has more letters in its proofs' names than in its kernels'. Legible without
//! colour. Pure.

use super::summary::{self, Word};
use crate::columns;
use crate::outcome::{BootResult, CROSS_BOOT, Status};
use crate::vm::Files;
use proofs::Boot;

/// The row that shows a fault of the boot itself.
const BOOT_ROW: &str = "(the boot itself)";

/// The whole text.
#[must_use]
pub fn render(results: &[BootResult], colour: bool) -> String {
    let mut results: Vec<&BootResult> = results.iter().collect();
    results.sort_by_cached_key(|result| {
        let suite = &result.suite;
        (
            summary::kernel_order(&suite.kernel),
            boot_order(&suite.boot),
        )
    });
    let mut text = String::new();
    grid(&results, colour, &mut text);
    totals(&results, &mut text);
    notes(&results, &mut text);
    for result in &results {
        details(result, colour, &mut text);
    }
    text
}

/// The boots in the order of the plan, the comparison last.
fn boot_order(boot: &str) -> (usize, String) {
    let names = Boot::ALL.map(Boot::name);
    let names = [&names[..], &[CROSS_BOOT]].concat();
    let position = names.iter().position(|name| *name == boot);
    (position.unwrap_or(names.len()), boot.to_string())
}

fn grid(results: &[&BootResult], colour: bool, text: &mut String) {
    let kernels = distinct(results.iter().map(|result| result.suite.kernel.as_str()));
    let mut boots = distinct(results.iter().map(|result| result.suite.boot.as_str()));
    boots.sort_by_key(|boot| boot_order(boot));

    let mut lines = vec![vec![String::new()]];
    lines[0].extend(kernels.iter().map(|&kernel| kernel.to_owned()));
    for boot in boots {
        let of_boot: Vec<&BootResult> = results
            .iter()
            .copied()
            .filter(|result| result.suite.boot == boot)
            .collect();
        lines.push(vec![boot.to_owned()]);
        let mut rows = distinct(
            of_boot
                .iter()
                .flat_map(|result| result.proofs.iter().map(|proof| proof.id.as_str())),
        );
        if of_boot.iter().any(|result| summary::at_fault(result)) {
            rows.insert(0, BOOT_ROW);
        }
        for row in rows {
            let words = kernels.iter().map(|kernel| cell(&of_boot, kernel, row));
            let mut line = vec![format!("  {row}")];
            line.extend(words.map(|word| word.painted(colour)));
            lines.push(line);
        }
    }
    text.push_str(&columns::lay_out(&lines, &[]));
}

/// The worst of what that kernel's boot says of a row; a suite may be there twice.
fn cell(of_boot: &[&BootResult], kernel: &str, row: &str) -> Word {
    let of_kernel = of_boot
        .iter()
        .filter(|result| result.suite.kernel == kernel);
    let words = of_kernel.flat_map(|result| {
        let boot = match summary::at_fault(result) {
            true => Word::Err,
            false => Word::Ok,
        };
        let own = (row == BOOT_ROW).then_some(boot);
        let proofs = result.proofs.iter().filter(|proof| proof.id == row);
        own.into_iter()
            .chain(proofs.map(|proof| proof.status.into()))
    });
    words.max().unwrap_or(Word::None)
}

fn totals(results: &[&BootResult], text: &mut String) {
    let kernels = distinct(results.iter().map(|result| result.suite.kernel.as_str()));
    let launchers = distinct(results.iter().map(|result| result.launcher.as_str()));
    let accelerators = distinct(results.iter().map(|result| result.accelerator.as_str()));
    let plural = |n: usize, name: &str| format!("{n} {name}{}", if n == 1 { "" } else { "s" });
    line(text, |_| {});
    line(text, |line| {
        line.push_str(&format!(
            "{}, {}: {}",
            plural(kernels.len(), "kernel"),
            plural(results.len(), "suite"),
            summary::counts(results.iter().copied()),
        ));
        if !results.is_empty() {
            let (by, on) = (launchers.join(" and "), accelerators.join(" and "));
            line.push_str(&format!(" (launched by {by}, on {on})"));
        }
    });
}

/// A version that the lock had and the archive no longer has is never replaced in silence.
fn notes(results: &[&BootResult], text: &mut String) {
    let notes = results.iter().filter_map(|result| {
        let old = result.replaced_version.as_deref()?;
        let new = result.package_version.as_deref().unwrap_or("unknown");
        let kernel = &result.suite.kernel;
        Some(format!(
            "note: {kernel}: {old} is no longer on offer; this run took {new}"
        ))
    });
    for note in distinct(notes) {
        line(text, |line| line.push_str(&note));
    }
}

fn details(result: &BootResult, colour: bool, text: &mut String) {
    let suite = &result.suite;
    if summary::at_fault(result) {
        line(text, |_| {});
        let word = Word::Err.painted(colour);
        line(text, |line| line.push_str(&format!("{word} {suite}")));
        if result.proofs.is_empty() {
            reason(text, "no proof was planned");
        }
        for fault in &result.faults {
            reason(text, fault);
        }
        ways_on(result, &[], text);
    }
    for group in summary::groups(result) {
        line(text, |_| {});
        let word = Word::from(group.status).painted(colour);
        let ids = group.ids.join(", ");
        line(text, |line| line.push_str(&format!("{word} {suite} {ids}")));
        for why in group.reasons {
            reason(text, why);
        }
        // A declared skip asks for nothing, and a boot at fault has said above where to look.
        let told = group.status == Status::Incomplete && summary::at_fault(result);
        if group.status != Status::Skipped && !told {
            ways_on(result, &group.ids, text);
        }
    }
}

/// Where to look, and how to see it again.
fn ways_on(result: &BootResult, ids: &[&str], text: &mut String) {
    // A comparison has no console of its own.
    if result.ending.is_some() {
        let console = Files::of(&result.dir).console;
        reason(text, &format!("console: {}", console.display()));
    }
    reason(text, &format!("again: {}", summary::rerun(result, ids)));
}

fn reason(text: &mut String, why: &str) {
    line(text, |line| line.push_str(&format!("  {why}")));
}

/// One line without blanks at its end.
fn line(text: &mut String, write: impl FnOnce(&mut String)) {
    let mut line = String::new();
    write(&mut line);
    text.push_str(line.trim_end());
    text.push('\n');
}

/// Each once, in order of first appearance.
fn distinct<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for item in items {
        if !found.contains(&item) {
            found.push(item);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn a_run_with_one_of_everything() {
        insta::assert_snapshot!(render(&samples::results(), false));
    }

    #[test]
    fn a_run_in_which_all_holds_says_so_in_few_lines() {
        let kernels = ["7.0", "6.12", "6.1", "5.10"];
        let results: Vec<BootResult> = kernels
            .iter()
            .flat_map(|kernel| {
                [
                    samples::boot(
                        kernel,
                        "no-bpf-lsm",
                        samples::passed(&["kills-denied-open"]),
                    ),
                    samples::boot(kernel, "bpf-lsm", samples::passed(&["enforce-denies-open"])),
                ]
            })
            .collect();
        insta::assert_snapshot!(render(&results, false));
    }

    #[test]
    fn colour_changes_no_letter() {
        let plain = render(&samples::results(), false);
        let coloured = render(&samples::results(), true);
        assert!(!plain.contains('\u{1b}'));
        assert!(coloured.contains("\u{1b}[31m"));
        let stripped = console::strip_ansi_codes(&coloured);
        let trimmed: Vec<&str> = stripped.lines().map(str::trim_end).collect();
        assert_eq!(trimmed, plain.lines().collect::<Vec<_>>());
    }

    #[test]
    fn a_fault_is_never_shown_as_green() {
        let mut result = samples::boot("6.1", "bpf-lsm", samples::passed(&["a-proof"]));
        result.faults = vec!["incomplete: no `end` record".into()];
        let text = render(&[result], false);
        assert!(text.contains("(the boot itself)  err"), "{text}");
        assert!(text.contains("\nerr 6.1/bpf-lsm\n  incomplete: no `end` record\n"));
    }

    #[test]
    fn the_worst_of_two_results_for_one_cell_shows() {
        let boot = |status| {
            samples::boot(
                "6.1",
                "bpf-lsm",
                vec![samples::proof("a-proof", status, &[])],
            )
        };
        for results in [
            [boot(Status::Failed), boot(Status::Passed)],
            [boot(Status::Passed), boot(Status::Failed)],
        ] {
            let text = render(&results, false);
            assert!(text.contains("a-proof  FAIL"), "{text}");
        }
    }

    #[test]
    fn nothing_at_all_is_told_as_nothing() {
        assert_eq!(render(&[], false).trim(), "0 kernels, 0 suites: 0 passed");
    }
}
