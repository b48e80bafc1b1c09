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

/// The table, a line a mutant, then everything that went other than declared.
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
        grid(&of_kernel.mutants, &mut text);
        text.push('\n');
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

fn grid(mutants: &[Judged], text: &mut String) {
    let by = |judged: &Judged| format!("{}: {}", judged.proof, judged.arm);
    let longest = |cell: &dyn Fn(&Judged) -> usize| mutants.iter().map(cell).max().unwrap_or(0);
    let (name, by_proof) = (
        longest(&|judged| judged.mutant.len()),
        longest(&|judged| by(judged).len()),
    );
    for judged in mutants {
        let word = match judged.fate {
            Fate::Caught => "caught",
            Fate::Missed => "MISSED",
            Fate::Unknown => "err",
        };
        let others = judged.not_passed.iter().filter(|id| **id != judged.proof);
        let others: Vec<&str> = others.map(String::as_str).collect();
        let line = format!(
            "  {:name$}  {word:6}  {:by_proof$}  {}",
            judged.mutant,
            by(judged),
            others.join(", ")
        );
        text.push_str(line.trim_end());
        text.push('\n');
        if judged.fate != Fate::Caught {
            text.push_str(&format!("    {}\n    {}\n", judged.breaks, judged.why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_kernel(fates: &[Fate]) -> OfKernel {
        let mutants = fates.iter().enumerate().map(|(number, fate)| Judged {
            mutant: format!("mutant-{number}"),
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
        insta::assert_snapshot!(table(&[of_kernel(&[Fate::Caught, Fate::Missed])]), @r"
        6.1 (6.1.0, on tcg): 3 proofs passed with nothing broken
          mutant-0  caught  a-proof: during  b-proof
          mutant-1  MISSED  a-proof: during  b-proof
            a promise
            during: expected denied, saw allowed

        1 caught, 1 missed
        ");
    }
}
