//! `GUARANTEES.md` and the catalogue of proofs name the same proofs, and the same fates.

use std::fs;
use std::path::Path;

use harness::guarantees::{Finding, check, parse};
use harness::manifest::Manifest;
use harness::plan::catalogue::bypass::{self, Tier};
use protocol::bypass::Bypass;

fn text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../GUARANTEES.md");
    fs::read_to_string(path).expect("GUARANTEES.md stands at the top")
}

/// What the document with this text gets wrong: its form, or what it promises.
fn findings(text: &str) -> Vec<Finding> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels.toml");
    let kernels = Manifest::load(&manifest)
        .unwrap_or_else(|failure| panic!("{failure}"))
        .kernels;
    match parse(text) {
        Ok(promises) => check::differences(&promises, &check::shown(&kernels), &bypass::table()),
        Err(findings) => findings,
    }
}

#[test]
fn the_document_promises_what_is_proven_and_nothing_else() {
    assert_eq!(findings(&text()), []);
}

#[test]
fn a_way_that_no_proof_goes_is_found_wherever_its_section_promises_it() {
    let (text, table) = (text(), bypass::table());
    let row = "| `vmsplice` | `vmsplice(2)` | `EPERM` | `EPERM` | killed |\n";
    let second = table.replace("leaks", "`EPERM`");
    for after in [row.to_owned(), format!("\nOr:\n\n{second}")] {
        let altered = text.replace(&table, &format!("{table}{after}"));
        assert_ne!(altered, text);
        let found = findings(&altered);
        assert_eq!(found.len(), 1, "{found:?}");
        let line = found[0].line.expect("it is about a line that is there");
        let line = altered.lines().nth(line - 1);
        assert_eq!(line, after.lines().find(|line| line.starts_with('|')));
    }
}

#[test]
fn every_limit_that_a_proof_shows_is_put_into_words() {
    let text = text();
    let limits = Bypass::ALL
        .into_iter()
        .flat_map(|way| Tier::ALL.map(|tier| bypass::limit(way, tier)));
    for name in limits.flatten() {
        let words = format!("| `{name}` | ");
        assert!(
            text.lines().any(|line| line.starts_with(&words)),
            "GUARANTEES.md says nothing of {name}"
        );
    }
}
