//! `GUARANTEES.md` is the one that the promises make, and `SECURITY.md` rests on them.

use std::fs;
use std::path::Path;

use harness::cli::guarantees::{GuaranteesArgs, run};
use harness::exit::ExitCode;
use harness::kernels::manifest::Manifest;
use harness::report::guarantees::{difference, on_no_kernel};
use proofs::contract;

fn at_the_top(name: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    fs::read_to_string(path).ok()
}

fn text() -> String {
    at_the_top("GUARANTEES.md").expect("GUARANTEES.md stands at the top")
}

#[test]
fn what_the_security_policy_promises_is_shown_by_a_proof() {
    let security = at_the_top("SECURITY.md");
    assert_eq!(contract::security::violations(security.as_deref()), [""; 0]);
}

#[test]
fn the_document_promises_what_is_proven_and_nothing_else() {
    assert_eq!(difference(&text(), &contract::document()), None);
}

#[test]
fn the_command_fails_where_the_security_policy_is_missing_or_rests_on_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    for name in ["GUARANTEES.md", "kernels.toml"] {
        let text = at_the_top(name).expect(name);
        fs::write(root.path().join(name), text).expect(name);
    }
    let run = || run(&GuaranteesArgs::default(), root.path());
    let missing = run().expect_err("no SECURITY.md");
    assert_eq!(missing.code, ExitCode::Failed);
    assert!(missing.to_string().contains("SECURITY.md is missing"));
    let security = at_the_top("SECURITY.md").expect("SECURITY.md stands at the top");
    for (from, to, told) in [
        (
            "(`denies-open`)",
            "(`denies-all`)",
            "is called `denies-all`",
        ),
        (" (`holds-folder`).", ".", "nothing shows that"),
    ] {
        let altered = security.replacen(from, to, 1);
        assert_ne!(altered, security, "{from}");
        fs::write(root.path().join("SECURITY.md"), altered).expect("it can be written");
        let failure = run().expect_err(told);
        assert_eq!(failure.code, ExitCode::Failed);
        assert!(failure.to_string().contains(told), "{failure}");
    }
    fs::write(root.path().join("SECURITY.md"), security).expect("it can be written");
    assert_eq!(run().expect("as written"), ExitCode::AsDeclared);
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
