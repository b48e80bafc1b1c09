//! What became of the mutants, for people and for programs.
//!
//! In: judged mutants by kernel. Out: a table, and one versioned JSON document. Pure.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::judge::{Fate, Judged};
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

/// A survivor outranks what isn't known.
#[must_use]
pub fn exit_code(kernels: &[OfKernel]) -> ExitCode {
    let has = |fate| {
        let mut mutants = kernels.iter().flat_map(|of_kernel| &of_kernel.mutants);
        mutants.any(|judged| judged.fate == fate)
    };
    let sound =
        |of_kernel: &OfKernel| of_kernel.control_faults.is_empty() && !of_kernel.mutants.is_empty();
    if has(Fate::Missed) {
        ExitCode::Failed
    } else if has(Fate::Unknown) || kernels.is_empty() || !kernels.iter().all(sound) {
        ExitCode::Infrastructure
    } else {
        ExitCode::AsDeclared
    }
}

/// The table, a line a mutant and a column a kernel, then everything that went other than
/// declared.
#[must_use]
pub fn table(kernels: &[OfKernel]) -> String {
    let mut text = String::new();
    for of_kernel in kernels {
        let release = of_kernel.release.as_deref().unwrap_or("never said hello");
        text += &format!(
            "{} ({release}, on {}): {} proofs passed with nothing broken\n",
            of_kernel.kernel, of_kernel.accelerator, of_kernel.control_passed
        );
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
    let count = |fate| {
        let mutants = kernels.iter().flat_map(|of_kernel| &of_kernel.mutants);
        mutants.filter(|judged| judged.fate == fate).count()
    };
    text += &format!(
        "{} caught, {} missed",
        count(Fate::Caught),
        count(Fate::Missed)
    );
    if count(Fate::Unknown) > 0 {
        text += &format!(", {} not known", count(Fate::Unknown));
    }
    text.push('\n');
    text
}

/// What stands in a kernel's column.
fn word(fate: Option<Fate>) -> &'static str {
    match fate {
        Some(Fate::Caught) => "caught",
        Some(Fate::Missed) => "MISSED",
        Some(Fate::Unknown) => "err",
        None => "-",
    }
}

fn grid(kernels: &[OfKernel]) -> String {
    let same =
        |one: &Judged, other: &Judged| (&one.mutant, &one.boot) == (&other.mutant, &other.boot);
    let mut rows: Vec<&Judged> = Vec::new();
    for judged in kernels.iter().flat_map(|of_kernel| &of_kernel.mutants) {
        if !rows.iter().any(|row| same(row, judged)) {
            rows.push(judged);
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
        let of = |of_kernel: &OfKernel| {
            let mut mutants = of_kernel.mutants.iter();
            let judged = mutants.find(|judged| same(judged, row));
            word(judged.map(|judged| judged.fate)).to_owned()
        };
        let others = row.not_passed.iter().filter(|id| **id != row.proof);
        let others: Vec<&str> = others.map(String::as_str).collect();
        let mut line = vec![row.mutant.clone()];
        line.extend(kernels.iter().map(of));
        line.extend([format!("{}: {}", row.proof, row.arm), others.join(", ")]);
        lines.push(line);
    }
    aligned(&lines)
}

/// Lines of cells, each column as wide as it must be.
fn aligned(lines: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().enumerate();
        let cells = cells.map(|(column, cell)| format!("{cell:0$}", width(column)));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
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
}
