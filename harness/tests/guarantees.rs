//! `GUARANTEES.md` is the one that the promises make.

use std::fs;
use std::path::Path;

use harness::kernels::manifest::Manifest;
use harness::report::guarantees::{difference, on_no_kernel};
use proofs::contract;

fn text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../GUARANTEES.md");
    fs::read_to_string(path).expect("GUARANTEES.md stands at the top")
}

#[test]
fn the_document_promises_what_is_proven_and_nothing_else() {
    assert_eq!(difference(&text(), &contract::document()), None);
}

#[test]
fn every_proof_is_planned_on_a_kernel() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels.toml");
    let manifest = Manifest::load(&manifest).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(on_no_kernel(&manifest.kernels), [""; 0]);
}

#[test]
fn a_fate_a_row_and_a_word_that_no_proof_bears_out_are_found() {
    let text = text();
    for (from, to) in [
        (
            "| `EPERM` | `modret-denies-open` |",
            "| killed | `modret-denies-open` |",
        ),
        ("| `dirfd` |", "| `vmsplice` |"),
        ("A denied file is not opened", "No file is opened"),
    ] {
        let altered = text.replacen(from, to, 1);
        assert_ne!(altered, text, "{from}");
        let told = difference(&altered, &contract::document()).expect(from);
        assert!(told.starts_with("GUARANTEES.md:"), "{told}");
    }
}
