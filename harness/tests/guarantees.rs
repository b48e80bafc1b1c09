//! `GUARANTEES.md` and the catalogue of proofs name the same proofs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use harness::plan::{Boot, SEAM_IS_FAITHFUL, catalogue};

/// The ids in the last column of the table.
fn promised() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../GUARANTEES.md");
    let text = fs::read_to_string(path).expect("GUARANTEES.md stands at the top");
    text.lines()
        .filter_map(|line| line.strip_suffix("` |")?.rsplit_once("| `"))
        .map(|(_, id)| id.to_owned())
        .collect()
}

#[test]
fn every_promise_has_its_proof_and_every_proof_its_promise() {
    let mut proven: BTreeSet<String> = Boot::ALL
        .into_iter()
        .flat_map(|boot| catalogue::proofs(boot, true))
        .map(|proof| proof.id)
        .collect();
    proven.insert(SEAM_IS_FAITHFUL.to_owned());
    assert_eq!(promised(), proven);
}
