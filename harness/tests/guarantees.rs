//! `GUARANTEES.md` and the catalogue of proofs name the same proofs, and the same fates.

use std::fs;
use std::path::Path;

use harness::guarantees::{check, parse};
use harness::manifest::Manifest;
use harness::plan::catalogue::bypass::{self, Tier};
use protocol::bypass::Bypass;

fn text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../GUARANTEES.md");
    fs::read_to_string(path).expect("GUARANTEES.md stands at the top")
}

#[test]
fn the_document_promises_what_is_proven_and_nothing_else() {
    let text = text();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels.toml");
    let kernels = Manifest::load(&manifest)
        .unwrap_or_else(|failure| panic!("{failure}"))
        .kernels;
    let promises = parse(&text).expect("GUARANTEES.md is in its form");
    let shown = check::shown(&kernels);
    let findings = check::differences(&promises, &shown, &bypass::table(), &text);
    assert_eq!(findings, []);
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
