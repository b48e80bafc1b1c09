//! Each rule of the verdict with the damage that it must see.

use std::time::Duration;

use protocol::plan::Expectation;
use protocol::record::{Fate, Hello, Level, Observation, Outcome, Record};
use serde_json::json;

use super::explain::whole_console;
use super::samples::*;
use super::{DeclaredSkip, Documents, Judged, judge};
use crate::channel::Channel;
use crate::outcome::{Ending, Status};

mod boot;
mod content;
mod form;

const CLEAN_END: Ending = Ending::Exited { code: 0 };
const PANIC: &str = "[    2.5] Kernel panic - not syncing: Attempted to kill init!\n";

const PASSED: (Status, &[&str]) = (Status::Passed, &[]);

fn judged(channel: &Channel, skips: &[DeclaredSkip], ending: &Ending, console: &str) -> Judged {
    let console = format!("{console}{}", whole_console(NONCE));
    judge(&plan(), NONCE, skips, channel, ending, &console)
}

/// Judges records as they would come from a guest that ended well.
fn of(records: &[Record]) -> Judged {
    judged(&channel(records), &[], &CLEAN_END, "")
}

/// Judges the good guest's records with one change, `end` counting what was sent.
fn with(change: impl FnOnce(&mut Vec<Record>)) -> Judged {
    let mut records = records();
    change(&mut records);
    of(&ended(records))
}

fn position(records: &[Record], wanted: &Record) -> usize {
    let found = records.iter().position(|record| record == wanted);
    found.expect("the record is there")
}

fn statuses(judged: &Judged) -> Vec<Status> {
    judged.proofs.iter().map(|proof| proof.status).collect()
}

fn reasons(judged: &Judged, id: &str) -> Vec<String> {
    let proof = judged.proofs.iter().find(|proof| proof.id == id);
    proof
        .expect("every planned proof has a result")
        .reasons
        .clone()
}

/// Asserts how the three proofs came out, with every reason, and the faults.
fn assert_judged(judged: &Judged, proofs: [(Status, &[&str]); 3], faults: &[&str]) {
    let seen: Vec<(Status, Vec<&str>)> = judged
        .proofs
        .iter()
        .map(|p| (p.status, p.reasons.iter().map(String::as_str).collect()))
        .collect();
    let expected: Vec<_> = proofs.iter().map(|(s, r)| (*s, r.to_vec())).collect();
    assert_eq!(seen, expected);
    assert_eq!(judged.faults, faults);
}

fn skip(proof: &str) -> DeclaredSkip {
    let reason = "no cgroup2".into();
    let proof = proof.into();
    DeclaredSkip { proof, reason }
}
