//! `GUARANTEES.md`, written from the promises.
//!
//! In: the promises, and the prose around them (`guarantees.md`, in which a line `{{SECTION}}`
//! stands for the promises of a section). Out: the whole document. Pure. [`security`] holds
//! `SECURITY.md` against the same promises.

pub mod security;

use std::collections::BTreeSet;

use protocol::plan::{Clause, Expectation, PlannedArm};
use protocol::record::Fate;

use crate::promise::{Promise, Section};
use crate::promises::{ALL, every_way};

const PROSE: &str = include_str!("guarantees.md");

/// The longest line that `wrapped` makes.
const WIDTH: usize = 100;

const SECTIONS: [(&str, Section); 5] = [
    ("{{enforced}}", Section::Enforced),
    ("{{claimed}}", Section::Claimed),
    ("{{processors}}", Section::Processors),
    ("{{lockdown}}", Section::Lockdown),
    ("{{ways}}", Section::Ways),
];

/// The whole document.
#[must_use]
pub fn document() -> String {
    let mut document = PROSE.to_owned();
    for (mark, section) in SECTIONS {
        let promises = ALL.iter().filter(|promise| promise.section == section);
        let written: Vec<String> = promises.map(|promise| written(promise)).collect();
        document = document.replace(mark, written.join("\n").trim_end());
    }
    document
}

/// The names in the table of what the tiers don't stop, the only one in the prose whose lines begin
/// with a name.
fn limits() -> BTreeSet<&'static str> {
    let rows = PROSE.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| row.split_once("` |"));
    names.map(|(name, _)| name).collect()
}

/// A promise as it stands in the document: its heading, its text, its table.
fn written(promise: &Promise) -> String {
    let table = match promise.section {
        Section::Ways => every_way::table(),
        Section::Enforced | Section::Claimed | Section::Processors | Section::Lockdown => {
            table(promise)
        }
    };
    format!("### `{}`\n\n{}\n{table}", promise.id, wrapped(promise.text))
}

/// A line for each proof: the agent's state, what becomes of the act, the proof.
fn table(promise: &Promise) -> String {
    let mut text = String::from("| state | fate | proof |\n| --- | --- | --- |\n");
    let mut row = |state: &str, fate: &str, id: &str| {
        text.push_str(&format!("| `{state}` | {fate} | `{id}` |\n"));
    };
    for proof in (promise.proofs)() {
        row(proof.configuration.state, &fate(&proof.arms), &proof.id);
    }
    if let Some(comparison) = &promise.comparison {
        row(comparison.state, comparison.fate, comparison.id);
    }
    text
}

/// What a proof is about, in a word: how the agent ended, or the worst that happened to an act
/// that somebody tried while it was up.
fn fate(arms: &[PlannedArm]) -> String {
    let mut worst: Option<(u8, String)> = None;
    for arm in arms {
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

/// Text in lines that are no longer than [`WIDTH`] where words allow it. The items of a list have
/// a line of the text each, and are indented where they go on.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    for paragraph in text.split('\n') {
        let indent = if paragraph.starts_with("- ") {
            "  "
        } else {
            ""
        };
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let longer = line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && longer > WIDTH {
                lines.push_str(&line);
                lines.push('\n');
                line = format!("{indent}{word}");
                continue;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push_str(&line);
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::Boot;

    #[test]
    fn every_promise_is_written_once_and_no_mark_is_left() {
        let document = document();
        for promise in ALL {
            let heading = format!("\n### `{}`\n", promise.id);
            assert_eq!(document.matches(&heading).count(), 1, "{}", promise.id);
        }
        assert!(!document.contains("{{"), "a mark that nobody knows");
        for (mark, _) in SECTIONS {
            assert!(PROSE.contains(mark), "{mark}");
        }
    }

    #[test]
    fn every_limit_that_a_proof_declares_stands_in_the_table_of_limits() {
        fn limit(expect: &Expectation) -> Option<&String> {
            match expect {
                Expectation::Act { limit, .. } | Expectation::Document { limit, .. } => {
                    limit.as_ref()
                }
                Expectation::Race { each, .. } => limit(each),
                Expectation::Exit { .. } | Expectation::NoBpfLeft => None,
            }
        }
        let proofs = ALL.iter().flat_map(|promise| (promise.proofs)());
        let arms: Vec<PlannedArm> = proofs.flat_map(|proof| proof.arms).collect();
        let declared: BTreeSet<&String> =
            arms.iter().filter_map(|arm| limit(&arm.expect)).collect();
        assert!(declared.len() > 8, "{declared:?}");
        let listed = limits();
        for limit in declared {
            assert!(listed.contains(limit.as_str()), "{limit}");
        }
    }

    #[test]
    fn a_race_that_leaks_is_about_the_leak_whatever_else_is_stopped() {
        let proofs = crate::of_boot(Boot::NoBpfLsm, false);
        let of = |id: &str| {
            let mut proofs = proofs.iter();
            let proof = proofs.find(|proof| proof.id == id);
            proof.map(|proof| fate(&proof.arms))
        };
        assert_eq!(of("signal-admits-passed-over").as_deref(), Some("leaks"));
        assert_eq!(of("kills-denied-open").as_deref(), Some("killed"));
    }

    #[test]
    fn words_are_kept_and_items_indented() {
        let words = "word ".repeat(30);
        let text = wrapped(&format!("{}\n\n- {}", words.trim(), words.trim()));
        let longest = text.lines().map(str::len).max();
        assert!(longest <= Some(WIDTH), "{text}");
        assert_eq!(text.matches("word").count(), 60);
        let indented = text.lines().filter(|line| line.starts_with("  word"));
        assert_eq!(indented.count(), 1);
        assert!(text.contains("\n\n- word"));
    }
}
