//! What became of the mutants, for people and for programs.
//!
//! In: judged mutants by kernel. Out: a table, and one versioned JSON document. Pure.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::judge::{Fate, Judged};
use super::skip::Skipped;
use crate::columns;
use crate::exit::ExitCode;

/// The file in `--out`.
pub const FILE: &str = "sabotage.json";

/// Version of the document.
const VERSION: u32 = 1;

/// One kernel's mutants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfKernel {
    /// As in `kernels.toml`.
    pub kernel: String,
    /// `uname -r` as the guest said it.
    pub release: Option<String>,
    /// `kvm` or `tcg`.
    pub accelerator: String,
    /// The proofs that were put to the sabotaged build with nothing broken, and passed.
    pub control_passed: usize,
    /// Why the control isn't sound; empty if it is.
    pub control_faults: Vec<String>,
    /// Every mutant that was tried.
    pub mutants: Vec<Judged>,
    /// Every mutant whose proof is declared not to run on this kernel.
    pub skipped: Vec<Skipped>,
}

/// The whole document, indented, with a line end.
///
/// # Errors
/// It can't be written as JSON.
pub fn json(kernels: &[OfKernel]) -> Result<String> {
    let document = serde_json::json!({"schema_version": VERSION, "kernels": kernels});
    let text = serde_json::to_string_pretty(&document).context("writing the mutants as JSON")?;
    Ok(text + "\n")
}

/// A survivor outranks what isn't known. A kernel on which every mutant is a declared skip is no
/// fault, as long as another one tries some.
#[must_use]
pub fn exit_code(kernels: &[OfKernel]) -> ExitCode {
    let sound = |of_kernel: &OfKernel| {
        let all = of_kernel.mutants.len() + of_kernel.skipped.len();
        of_kernel.control_faults.is_empty() && all > 0
    };
    if count(kernels, Fate::Missed) > 0 {
        ExitCode::Failed
    } else if count(kernels, Fate::Unknown) > 0
        || nothing_was_tried(kernels)
        || !kernels.iter().all(sound)
    {
        ExitCode::Infrastructure
    } else {
        ExitCode::AsDeclared
    }
}

fn count(kernels: &[OfKernel], fate: Fate) -> usize {
    let mutants = kernels.iter().flat_map(|of_kernel| &of_kernel.mutants);
    mutants.filter(|judged| judged.fate == fate).count()
}

fn nothing_was_tried(kernels: &[OfKernel]) -> bool {
    kernels.iter().all(|of_kernel| of_kernel.mutants.is_empty())
}

/// How many mutants came out how, on a line.
#[must_use]
pub fn summary(kernels: &[OfKernel]) -> String {
    let skipped: usize = kernels
        .iter()
        .map(|of_kernel| of_kernel.skipped.len())
        .sum();
    if nothing_was_tried(kernels) {
        return format!(
            "nothing was tried, so nothing is known of any mutant: {skipped} skipped\n"
        );
    }
    let [caught, missed, unknown] =
        [Fate::Caught, Fate::Missed, Fate::Unknown].map(|fate| count(kernels, fate));
    let mut text = format!("{caught} caught, {missed} missed");
    for (number, word) in [(unknown, "not known"), (skipped, "skipped")] {
        if number > 0 {
            text += &format!(", {number} {word}");
        }
    }
    text + "\n"
}

/// The table, a line a mutant and a column a kernel, then everything that went other than
/// declared.
#[must_use]
pub fn table(kernels: &[OfKernel]) -> String {
    let mut text = String::new();
    for of_kernel in kernels {
        text += &heading(of_kernel);
        for fault in &of_kernel.control_faults {
            text += &format!("  err: {fault}\n");
        }
    }
    text.push('\n');
    text += &grid(kernels);
    text.push('\n');
    for of_kernel in kernels {
        for judged in &of_kernel.mutants {
            if judged.fate != Fate::Caught {
                text += &detail(&of_kernel.kernel, judged);
            }
        }
    }
    for of_kernel in kernels {
        for skipped in &of_kernel.skipped {
            let Skipped {
                mutant,
                boot,
                breaks,
                proof,
                reason,
                ..
            } = skipped;
            let kernel = &of_kernel.kernel;
            text += &format!("{SKIP} {kernel}/{boot} {mutant}: {breaks}\n  {proof}: {reason}\n\n");
        }
    }
    text + &summary(kernels)
}

fn heading(of_kernel: &OfKernel) -> String {
    let OfKernel {
        kernel,
        accelerator,
        control_passed,
        ..
    } = of_kernel;
    if of_kernel.mutants.is_empty() {
        return format!("{kernel}: nothing was tried\n");
    }
    let release = of_kernel.release.as_deref().unwrap_or("never said hello");
    format!(
        "{kernel} ({release}, on {accelerator}): {control_passed} proofs passed with nothing \
         broken\n"
    )
}

/// What stands in a kernel's column for a mutant that is skipped on it.
const SKIP: &str = "skip";

/// What stands in a kernel's column.
fn word(fate: Option<Fate>) -> &'static str {
    match fate {
        Some(Fate::Caught) => "caught",
        Some(Fate::Missed) => "MISSED",
        Some(Fate::Unknown) => "err",
        None => "-",
    }
}

/// A line of the grid: a mutant in a boot, and what must catch it.
struct Row<'a> {
    mutant: &'a str,
    boot: &'a str,
    proof: &'a str,
    arm: &'a str,
}

impl<'a> Row<'a> {
    fn of_judged(judged: &'a Judged) -> Self {
        Self {
            mutant: &judged.mutant,
            boot: &judged.boot,
            proof: &judged.proof,
            arm: &judged.arm,
        }
    }

    fn of_skipped(skipped: &'a Skipped) -> Self {
        Self {
            mutant: &skipped.mutant,
            boot: &skipped.boot,
            proof: &skipped.proof,
            arm: &skipped.arm,
        }
    }

    fn is_of(&self, other: &Row) -> bool {
        (self.mutant, self.boot) == (other.mutant, other.boot)
    }

    /// What became of it on this kernel, if it was tried there.
    fn judged<'b>(&self, of_kernel: &'b OfKernel) -> Option<&'b Judged> {
        let mut mutants = of_kernel.mutants.iter();
        mutants.find(|judged| self.is_of(&Row::of_judged(judged)))
    }

    fn word(&self, of_kernel: &OfKernel) -> &'static str {
        let mut skipped = of_kernel.skipped.iter();
        if skipped.any(|skipped| self.is_of(&Row::of_skipped(skipped))) {
            return SKIP;
        }
        word(self.judged(of_kernel).map(|judged| judged.fate))
    }

    /// The other proofs that didn't pass with it on some kernel.
    fn others<'b>(&self, kernels: &'b [OfKernel]) -> BTreeSet<&'b str> {
        let judged = kernels
            .iter()
            .filter_map(|of_kernel| self.judged(of_kernel));
        let not_passed = judged.flat_map(|judged| &judged.not_passed);
        let not_passed = not_passed.map(String::as_str);
        not_passed.filter(|id| *id != self.proof).collect()
    }
}

fn grid(kernels: &[OfKernel]) -> String {
    let mut rows: Vec<Row> = Vec::new();
    for of_kernel in kernels {
        let tried = of_kernel.mutants.iter().map(Row::of_judged);
        let skipped = of_kernel.skipped.iter().map(Row::of_skipped);
        for row in tried.chain(skipped) {
            if !rows.iter().any(|known| known.is_of(&row)) {
                rows.push(row);
            }
        }
    }
    let mut header = vec![String::new()];
    header.extend(kernels.iter().map(|of_kernel| of_kernel.kernel.clone()));
    header.extend([
        "must be caught by".to_owned(),
        "was caught too by".to_owned(),
    ]);
    let mut lines = vec![header];
    for row in rows {
        let others: Vec<&str> = row.others(kernels).into_iter().collect();
        let mut line = vec![row.mutant.to_owned()];
        let words = kernels.iter().map(|of_kernel| row.word(of_kernel));
        line.extend(words.map(str::to_owned));
        line.extend([format!("{}: {}", row.proof, row.arm), others.join(", ")]);
        lines.push(line);
    }
    columns::lay_out(&lines, &[])
}

fn detail(kernel: &str, judged: &Judged) -> String {
    let Judged {
        mutant,
        boot,
        breaks,
        proof,
        why,
        ..
    } = judged;
    let word = word(Some(judged.fate));
    format!("{word} {kernel}/{boot} {mutant}: {breaks}\n  {proof}: {why}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_kernel(fates: &[Fate]) -> OfKernel {
        let mutants = fates.iter().enumerate().map(|(number, fate)| Judged {
            mutant: format!("mutant-{number}"),
            boot: "bpf-lsm".to_owned(),
            breaks: "a promise".to_owned(),
            fate: *fate,
            proof: "a-proof".to_owned(),
            arm: "during".to_owned(),
            why: "during: expected denied, saw allowed".to_owned(),
            not_passed: vec!["a-proof".to_owned(), "b-proof".to_owned()],
        });
        OfKernel {
            kernel: "6.1".to_owned(),
            release: Some("6.1.0".to_owned()),
            accelerator: "tcg".to_owned(),
            control_passed: 3,
            control_faults: Vec::new(),
            mutants: mutants.collect(),
            skipped: Vec::new(),
        }
    }

    /// On another kernel: its proof can't run there.
    fn with_skip(fates: &[Fate]) -> OfKernel {
        let skipped = Skipped {
            mutant: "mutant-0".to_owned(),
            boot: "bpf-lsm".to_owned(),
            breaks: "a promise".to_owned(),
            proof: "a-proof".to_owned(),
            arm: "during".to_owned(),
            reason: "it has no loop device".to_owned(),
        };
        OfKernel {
            kernel: "6.19".to_owned(),
            skipped: vec![skipped],
            ..of_kernel(fates)
        }
    }

    #[test]
    fn one_survivor_fails_the_run_and_nothing_unknown_passes_it() {
        use Fate::{Caught, Missed, Unknown};
        assert_eq!(exit_code(&[of_kernel(&[Caught])]), ExitCode::AsDeclared);
        let both = [of_kernel(&[Caught]), of_kernel(&[Unknown, Missed])];
        assert_eq!(exit_code(&both), ExitCode::Failed);
        let unknown = [of_kernel(&[Caught, Unknown])];
        assert_eq!(exit_code(&unknown), ExitCode::Infrastructure);
        assert_eq!(exit_code(&[]), ExitCode::Infrastructure);
        assert_eq!(exit_code(&[of_kernel(&[])]), ExitCode::Infrastructure);
        assert_eq!(exit_code(&[with_skip(&[])]), ExitCode::Infrastructure);
        let elsewhere = [with_skip(&[]), of_kernel(&[Caught])];
        assert_eq!(exit_code(&elsewhere), ExitCode::AsDeclared);
        let mut red = of_kernel(&[Caught]);
        red.control_faults.push("a-proof: broken".to_owned());
        assert_eq!(exit_code(&[red]), ExitCode::Infrastructure);
    }

    #[test]
    fn a_survivor_stands_out_with_what_it_breaks_and_what_was_seen_instead() {
        let kernels = [
            of_kernel(&[Fate::Caught, Fate::Missed]),
            of_kernel(&[Fate::Caught]),
        ];
        insta::assert_snapshot!(table(&kernels));
    }
    #[test]
    fn what_caught_a_mutant_too_on_any_kernel_is_told() {
        let mut kernels = [of_kernel(&[Fate::Caught]), of_kernel(&[Fate::Caught])];
        kernels[1].mutants[0].not_passed.push("c-proof".to_owned());
        let table = table(&kernels);
        assert!(table.contains("  b-proof, c-proof\n"), "{table}");
    }

    #[test]
    fn a_mutant_that_was_not_tried_is_told_with_the_declared_reason() {
        let kernels = [of_kernel(&[Fate::Caught]), with_skip(&[])];
        insta::assert_snapshot!(table(&kernels));
        let json = json(&kernels).expect("it can be written");
        assert!(
            json.contains("\"reason\": \"it has no loop device\""),
            "{json}"
        );
    }

    #[test]
    fn a_run_that_tried_nothing_says_so() {
        let summary = summary(&[with_skip(&[])]);
        let expected = "nothing was tried, so nothing is known of any mutant: 1 skipped\n";
        assert_eq!(summary, expected);
    }
}
