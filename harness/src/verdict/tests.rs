//! Each rule of the verdict with the damage that it must see.

use std::time::Duration;

use protocol::plan::Expectation;
use protocol::record::{Fate, Hello, Level, Observation, Outcome, Phase, Record};
use serde_json::json;

use super::explain::whole_console;
use super::samples::{place as position, *};
use super::{DeclaredSkip, Documents, Judged, judge};
use crate::outcome::{Ending, Status};
use crate::vm::channel::Channel;

mod boot;
mod content;
mod deaths;
mod form;

const CLEAN_END: Ending = Ending::Exited { code: 0 };
const PANIC: &str = "[    2.5] Kernel panic - not syncing: Attempted to kill init!\n";

const PASSED: (Status, &[&str]) = (Status::Passed, &[]);

fn judged(channel: &Channel, skips: &[DeclaredSkip], ending: &Ending, console: &str) -> Judged {
    let console = format!("{console}{}", whole_console(NONCE));
    judge(&plan(), IDENTITY, skips, channel, ending, &console)
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

/// Puts another record in the place of one.
fn replace(records: &mut [Record], old: &Record, new: Record) {
    let at = position(records, old);
    records[at] = new;
}

/// Puts another finish in the place of a proof's.
fn refinish(records: &mut [Record], id: &str, new: Record) {
    replace(records, &finished(id, Outcome::Observed, None, 0), new);
}

/// Leaves out what a proof observed in these arms.
fn unobserve(records: &mut Vec<Record>, of: &str, arms: &[&str]) {
    records.retain(|record| match record {
        Record::Preliminary { id, arm, .. } | Record::Evidence { id, arm, .. } => {
            id != of || !arms.contains(&arm.as_str())
        }
        _ => true,
    });
}

/// Whether a record is of this proof.
fn is_of(record: &Record, proof: &str) -> bool {
    match record {
        Record::ProofStarted { id, .. }
        | Record::Preliminary { id, .. }
        | Record::Evidence { id, .. }
        | Record::ProofFinished { id, .. } => id == proof,
        Record::Phase { id, .. } => id.as_deref() == Some(proof),
        _ => false,
    }
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
