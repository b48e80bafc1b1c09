//! `GUARANTEES.md` and the catalogue of proofs name the same proofs, and the same fates.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use harness::plan::catalogue::bypass::{self, Tier};
use harness::plan::{Boot, SEAM_IS_FAITHFUL, catalogue};
use protocol::bypass::Bypass;

fn text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../GUARANTEES.md");
    fs::read_to_string(path).expect("GUARANTEES.md stands at the top")
}

/// The ids in the last column of the table of promises.
fn promised(text: &str) -> BTreeSet<String> {
    let ways = bypass::table();
    text.lines()
        .filter(|line| !ways.lines().any(|way| way == *line))
        .filter_map(|line| line.strip_suffix("` |")?.rsplit_once("| `"))
        .map(|(_, id)| id.to_owned())
        .collect()
}

/// The ids that the table of ways stands for, a cell each.
fn ways() -> BTreeSet<String> {
    Bypass::ALL
        .into_iter()
        .flat_map(|way| Tier::ALL.map(|tier| bypass::id(way, tier)))
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
    let mut promised = promised(&text());
    promised.extend(ways());
    assert_eq!(promised, proven);
}

#[test]
fn the_table_of_ways_is_the_one_that_is_proven() {
    let (text, table) = (text(), bypass::table());
    assert!(
        text.contains(&table),
        "GUARANTEES.md must have this table, and nothing between its lines:\n{table}"
    );
}

#[test]
fn every_limit_that_a_proof_shows_is_put_into_words() {
    let text = text();
    for id in ways() {
        if let Some(limit) = id.strip_prefix("limit-") {
            let (_, name) = limit.split_once('-').expect("limit-TIER-NAME");
            let words = format!("| `{name}` | ");
            assert!(
                text.lines().any(|line| line.starts_with(&words)),
                "GUARANTEES.md says nothing of {name}"
            );
        }
    }
}
