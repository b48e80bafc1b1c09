//! `SECURITY.md` against the promises that it rests on.
//!
//! In: its text. Out: what it names that isn't there, and which of its promises nothing shows. What
//! is in backticks within parentheses is an id there: of a promise, a proof or a limit. Pure.

use std::collections::BTreeSet;

use super::limits;
use crate::promises::ALL;

/// The sections whose lists are promises, so that each sentence of an item must end with the id of
/// a promise or proof that shows it. A limit's shows nothing: it is what a promise doesn't hold for.
const PROMISING: [&str; 2] = [
    "What is promised against a user",
    "What root can do, and when it is noticed",
];

/// What is wrong with the document, or with there being none.
#[must_use]
pub fn violations(text: Option<&str>) -> Vec<String> {
    let Some(text) = text else {
        return vec![
            "SECURITY.md is missing: it says what is promised against whom; restore it with `git \
             checkout HEAD -- SECURITY.md`"
                .to_owned(),
        ];
    };
    let (shown, limits) = (shown(), limits());
    let shows = |id: &str| shown.contains(id);
    let blocks = blocks(text);
    let mut violations = Vec::new();
    for block in &blocks {
        for (line, id) in cited(&block.text, block.line) {
            if !shows(&id) && !limits.contains(id.as_str()) {
                violations.push(format!(
                    "SECURITY.md:{line}: no promise, proof or limit of GUARANTEES.md is called \
                     `{id}`; correct the id, or take what is none out of the parentheses"
                ));
            }
        }
        if block.is_promise() {
            let unshown = unshown(&block.text, shows).into_iter().map(|sentence| {
                format!(
                    "SECURITY.md:{}: nothing shows that {sentence:?}; end it with the id of a promise \
                     or proof of GUARANTEES.md, as (`denies-open`), or put it into another section \
                     than {:?}",
                    block.line, block.section
                )
            });
            violations.extend(unshown);
        }
    }
    // Or a heading that is worded anew has nothing under it looked at.
    for section in PROMISING {
        let is_of = |block: &Block| block.is_promise() && block.section == section;
        if !blocks.iter().any(is_of) {
            violations.push(format!(
                "SECURITY.md has no list beneath \"## {section}\"; call the section so, or change \
                 PROMISING in harness/proofs/src/contract/security.rs"
            ));
        }
    }
    violations
}

/// The ids of all promises and of their proofs.
fn shown() -> BTreeSet<String> {
    let ids = ALL.iter().flat_map(|promise| {
        let proofs = (promise.proofs)().into_iter().map(|proof| proof.id);
        let comparison = promise.comparison.iter();
        let comparison = comparison.map(|comparison| comparison.id.to_owned());
        proofs.chain(comparison).chain([promise.id.to_owned()])
    });
    ids.collect()
}

/// A paragraph, a heading or an item of a list.
struct Block<'a> {
    /// Its first line, from one on.
    line: usize,
    /// The heading of the second level that it is beneath.
    section: &'a str,
    is_item: bool,
    /// Its lines, each without what it is indented by.
    text: String,
}

impl Block<'_> {
    fn is_promise(&self) -> bool {
        self.is_item && PROMISING.contains(&self.section)
    }
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut section = "";
    let mut goes_on = false;
    for (line, written) in (1..).zip(text.lines()) {
        let written = written.trim();
        if let Some(heading) = written.strip_prefix("## ") {
            section = heading;
        }
        let is_item = is_item(written);
        let is_heading = written.starts_with('#');
        match blocks.last_mut() {
            _ if written.is_empty() => {}
            Some(block) if goes_on && !is_item && !is_heading => {
                block.text.push('\n');
                block.text.push_str(written);
            }
            _ => blocks.push(Block {
                line,
                section,
                is_item,
                text: written.to_owned(),
            }),
        }
        goes_on = !written.is_empty() && !is_heading;
    }
    blocks
}

/// Whether a line begins an item, of a numbered list too.
fn is_item(line: &str) -> bool {
    let Some((marker, _)) = line.split_once(' ') else {
        return false;
    };
    let number = marker.strip_suffix(['.', ')']);
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    ["-", "*", "+"].contains(&marker) || number.is_some_and(is_number)
}

/// What is in backticks within parentheses, each with its line.
fn cited(text: &str, first_line: usize) -> Vec<(usize, String)> {
    let mut cited = Vec::new();
    let (mut line, mut depth) = (first_line, 0_usize);
    // What is in backticks is every second part.
    for (part, is_code) in text.split('`').zip([false, true].into_iter().cycle()) {
        if is_code && depth > 0 {
            cited.push((line, part.to_owned()));
        }
        for character in part.chars() {
            match character {
                '\n' => line += 1,
                '(' if !is_code => depth += 1,
                ')' if !is_code => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
    }
    cited
}

/// The sentences of an item that don't end with what shows them.
fn unshown(item: &str, shows: impl Fn(&str) -> bool) -> Vec<String> {
    let (_marker, text) = item.split_once(' ').unwrap_or_default();
    let text = text.replace('\n', " ");
    let sentences = text.split(". ").map(|text| text.trim_end_matches('.'));
    let unshown = sentences.filter(|sentence| {
        let last = sentence.rfind('(').map(|start| &sentence[start..]);
        let last = last.filter(|last| last.ends_with(')'));
        !last.is_some_and(|last| cited(last, 1).iter().any(|(_, id)| shows(id)))
    });
    unshown.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document with these items beneath the first heading, the first of them on line 4.
    fn with(items: &str) -> String {
        let [first, second] = PROMISING;
        format!(
            "# Security\n\n## {first}\n{items}\n\n## {second}\n\n- It is missed \
             (`notices-lost-program`).\n\n## Not promised\n\n- Anything else.\n"
        )
    }

    fn of(items: &str) -> Vec<String> {
        violations(Some(&with(items)))
    }

    #[test]
    fn promises_that_something_shows_are_as_they_should_be() {
        for items in [
            "- A promise (`denies-open`).",
            "- A proof (`enforce-denies-open`).",
            "- The proof that compares boots (`seam-is-faithful`).",
            "- Limits (`denies-open`, `already_open_files`).",
            "- On two\n  lines (`denies-open`,\n  `holds-out`).\n- And another (`holds-out`)",
            "- One (`denies-open`). Two (`holds-out`).",
            "- Of `bpf(2)` and (in words) of a `file` (`denies-open`).",
            "Prose says what it likes, of `files` too.\n\n### A heading\n\n- One (`denies-open`).",
        ] {
            assert_eq!(of(items), [""; 0], "{items}");
        }
    }

    #[test]
    fn an_id_that_nothing_has_is_found_on_its_line_wherever_it_stands() {
        for (text, line) in [
            (with("- A promise (`denies-all`, `denies-open`)."), 4),
            (with("- One\n  (`denies-open`,\n  `denies-all`)."), 6),
            (
                with("- One (`denies-open`)").replace(" else.", " (`denies-all`)."),
                12,
            ),
            (
                with("- One (`denies-open`)\n\nProse (as of `denies-all`)."),
                6,
            ),
        ] {
            let told = violations(Some(&text));
            let [told] = &told[..] else {
                panic!("{text}: {told:?}");
            };
            let place = format!("SECURITY.md:{line}: no promise, proof or limit");
            assert!(told.starts_with(&place), "{told}");
            assert!(told.contains("`denies-all`"), "{told}");
        }
    }

    #[test]
    fn a_promise_that_nothing_shows_is_found() {
        for (items, sentence) in [
            ("- He can't.", "He can't"),
            ("- He can't,\n  at all", "He can't, at all"),
            ("* He can't.", "He can't"),
            ("1. He can't.", "He can't"),
            ("- One (`denies-open`)\n  - He can't.", "He can't"),
            ("- He (`denies-open`) can't.", "He (`denies-open`) can't"),
            ("- He can't (at all).", "He can't (at all)"),
            ("- One (`denies-open`). He can't.", "He can't"),
            ("- He can't. Two (`denies-open`).", "He can't"),
            // What a promise doesn't hold for shows none.
            (
                "- He can't (`already_open_files`).",
                "He can't (`already_open_files`)",
            ),
        ] {
            let told = of(items);
            let [told] = &told[..] else {
                panic!("{items}: {told:?}");
            };
            assert!(told.starts_with("SECURITY.md:"), "{told}");
            let named = format!("nothing shows that {sentence:?}; end it with the id");
            assert!(told.contains(&named), "{told}");
        }
    }

    #[test]
    fn a_document_without_a_section_of_promises_is_found_and_so_is_none() {
        let whole = with("- One (`denies-open`).");
        for section in PROMISING {
            let told = violations(Some(&whole.replace(section, "Something else")));
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].contains(&format!("\"## {section}\"")), "{told:?}");
        }
        assert_eq!(of("No list.").len(), 1);
        assert_eq!(violations(Some("")).len(), PROMISING.len());
        let told = violations(None);
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("SECURITY.md is missing"), "{told:?}");
    }
}
