//! A judged boot in words: what progress and table have in common.
//!
//! In: a [`BootResult`]. Out: its word, its counts, its troubles in groups, and the command
//! that runs it again. Pure.

use console::Style;

use super::screen::paint;
use crate::outcome::{BootResult, Status};

/// One word for how something came out. The greatest of several stands for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// Nothing of the kind was planned.
    None,
    /// Skipped as declared.
    Skip,
    /// As promised.
    Ok,
    /// Couldn't be found out.
    Err,
    /// An unexpected pass: a declared limit is none.
    Xpass,
    /// A promise broke, or a skip that nobody declared.
    Fail,
}

impl Word {
    /// As shown.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::None => "-",
            Self::Ok => "ok",
            Self::Skip => "skip",
            Self::Err => "err",
            Self::Xpass => "XPASS",
            Self::Fail => "FAIL",
        }
    }

    /// As shown, in its colour where there is any.
    #[must_use]
    pub fn painted(self, colour: bool) -> String {
        let style = match self {
            Self::None => Style::new().dim(),
            Self::Ok => Style::new().green(),
            Self::Skip => Style::new().yellow(),
            Self::Err => Style::new().magenta().bold(),
            Self::Xpass | Self::Fail => Style::new().red().bold(),
        };
        paint(self.text(), style, colour)
    }
}

impl From<Status> for Word {
    fn from(status: Status) -> Self {
        match status {
            Status::Passed => Self::Ok,
            Status::Skipped => Self::Skip,
            Status::Incomplete => Self::Err,
            Status::UnexpectedPass => Self::Xpass,
            Status::Failed | Status::UndeclaredSkip => Self::Fail,
        }
    }
}

/// How the boot as a whole came out: its worst, faults included. A boot that proved nothing
/// isn't ok.
#[must_use]
pub fn word(result: &BootResult) -> Word {
    let proofs = result.proofs.iter().map(|proof| proof.status.into());
    let worst = proofs.max().unwrap_or(Word::Err);
    match at_fault(result) {
        true => worst.max(Word::Err),
        false => worst,
    }
}

/// Whether something is wrong with the boot itself, whatever its proofs say.
#[must_use]
pub fn at_fault(result: &BootResult) -> bool {
    !result.faults.is_empty() || result.proofs.is_empty()
}

/// `2 passed, 1 failed`, without what there is none of.
#[must_use]
pub fn counts<'a>(results: impl IntoIterator<Item = &'a BootResult>) -> String {
    let kinds = [
        (Status::Passed, "passed"),
        (Status::Failed, "failed"),
        (Status::UnexpectedPass, "unexpectedly passed"),
        (Status::UndeclaredSkip, "skipped undeclared"),
        (Status::Incomplete, "incomplete"),
        (Status::Skipped, "skipped as declared"),
    ];
    let mut numbers = [0_usize; 6];
    let mut faults = 0;
    for result in results {
        faults += result.faults.len();
        for proof in &result.proofs {
            for (number, (status, _)) in numbers.iter_mut().zip(&kinds) {
                *number += usize::from(proof.status == *status);
            }
        }
    }
    let mut parts: Vec<String> = numbers
        .iter()
        .zip(&kinds)
        .filter(|(number, (status, _))| **number > 0 || *status == Status::Passed)
        .map(|(number, (_, name))| format!("{number} {name}"))
        .collect();
    match faults {
        0 => {}
        1 => parts.push("1 fault of the boot".to_string()),
        n => parts.push(format!("{n} faults of the boot")),
    }
    parts.join(", ")
}

/// Proofs of a boot that came out the same way for the same reasons: a panic leaves many.
#[derive(Debug, PartialEq)]
pub struct Group<'a> {
    /// How.
    pub status: Status,
    /// Which.
    pub ids: Vec<&'a str>,
    /// Why.
    pub reasons: &'a [String],
}

/// Everything but the passes, in the plan's order of each group's first.
#[must_use]
pub fn groups(result: &BootResult) -> Vec<Group<'_>> {
    let mut groups: Vec<Group> = Vec::new();
    for proof in &result.proofs {
        if proof.status == Status::Passed {
            continue;
        }
        let same = groups
            .iter_mut()
            .find(|group| group.status == proof.status && group.reasons == proof.reasons);
        match same {
            Some(group) => group.ids.push(&proof.id),
            None => groups.push(Group {
                status: proof.status,
                ids: vec![&proof.id],
                reasons: &proof.reasons,
            }),
        }
    }
    groups
}

/// The command that runs a proof of this boot again, or the whole boot for any other number.
/// A run that asked for certain proofs is repeated as it was.
#[must_use]
pub fn rerun(result: &BootResult, ids: &[&str]) -> String {
    match ids {
        [id] if !result.again.contains("--proof") => format!("{} --proof {id}", result.again),
        _ => result.again.clone(),
    }
}

/// A key that sorts kernels by their numbers: 5.10 after 5.4, 6.1 before 6.12.
#[must_use]
pub fn kernel_order(name: &str) -> Vec<(u64, String)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let text = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (text, tail) = tail.split_at(text);
        parts.push((number.parse().unwrap_or(0), text.to_string()));
        rest = tail;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    fn with(statuses: &[Status], faults: &[&str]) -> BootResult {
        let proofs = statuses.iter().map(|s| samples::proof("p", *s, &[]));
        let mut result = samples::boot("6.1", "bpf-lsm", proofs.collect());
        result.faults = faults.iter().map(ToString::to_string).collect();
        result
    }

    #[test]
    fn a_boot_is_as_good_as_its_worst_part() {
        use Status::{Failed, Incomplete, Passed, Skipped, UndeclaredSkip, UnexpectedPass};
        for (statuses, faults, expected) in [
            (&[Passed, Passed][..], &[][..], Word::Ok),
            (&[Passed, Skipped], &[], Word::Ok),
            (&[Skipped, Skipped], &[], Word::Skip),
            (&[Passed, Incomplete], &[], Word::Err),
            (&[Failed, Incomplete], &[], Word::Fail),
            (&[UndeclaredSkip, Passed], &[], Word::Fail),
            (&[UnexpectedPass, Passed], &[], Word::Xpass),
            (&[UnexpectedPass, Failed], &[], Word::Fail),
            (&[Passed], &["no end"], Word::Err),
            (&[Failed], &["no end"], Word::Fail),
            (&[], &[], Word::Err),
        ] {
            assert_eq!(word(&with(statuses, faults)), expected, "{statuses:?}");
        }
    }

    #[test]
    fn counts_name_what_there_is() {
        let all = samples::results();
        assert_eq!(
            counts(&all),
            "6 passed, 1 failed, 1 skipped undeclared, 2 incomplete, 1 skipped as declared, \
             1 fault of the boot"
        );
        assert_eq!(counts(&all[2..3]), "2 passed");
        assert_eq!(
            counts(&[with(&[], &["a", "b"])]),
            "0 passed, 2 faults of the boot"
        );
    }

    #[test]
    fn what_came_out_the_same_is_told_once() {
        let results = samples::results();
        let panicked = groups(&results[1]);
        assert_eq!(panicked.len(), 1);
        assert_eq!(
            panicked[0].ids,
            ["enforce-denies-open", "seam-kills-denied-open"]
        );
        assert_eq!(groups(&results[0]).len(), 2);
        assert!(groups(&results[2]).is_empty());
    }

    #[test]
    fn the_command_runs_just_that_again() {
        let mut result = samples::results().remove(0);
        let boot = "cargo xtask matrix --kernel 6.12 --boot no-bpf-lsm --accel tcg";
        assert_eq!(rerun(&result, &[]), boot);
        assert_eq!(rerun(&result, &["no-pretend", "kills-denied-open"]), boot);
        assert_eq!(
            rerun(&result, &["kills-denied-open"]),
            format!("{boot} --proof kills-denied-open")
        );
        result.again.push_str(" --proof 'kills-*'");
        assert_eq!(rerun(&result, &["kills-denied-open"]), result.again);
    }

    #[test]
    fn kernels_sort_by_their_numbers() {
        let mut names = ["7.0", "6.12", "own", "5.10", "6.1", "6.1-no-lsm", "5.4"];
        names.sort_by_key(|name| kernel_order(name));
        assert_eq!(
            names,
            ["own", "5.4", "5.10", "6.1", "6.1-no-lsm", "6.12", "7.0"]
        );
    }
}
