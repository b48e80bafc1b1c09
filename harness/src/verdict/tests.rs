//! Each rule of the verdict with the damage that it must see.

use std::time::Duration;

use protocol::record::{Fate, Hello, Level, Observation, Outcome, Record};
use serde_json::json;

use super::samples::*;
use super::{DeclaredSkip, Documents, Judged, judge};
use crate::channel::Channel;
use crate::outcome::{Ending, Status};

const CLEAN_END: Ending = Ending::Exited { code: Some(0) };
const PANIC: &str = "[    2.5] Kernel panic - not syncing: Attempted to kill init!\n";

const PASSED: (Status, &[&str]) = (Status::Passed, &[]);

fn judged(channel: &Channel, skips: &[DeclaredSkip], ending: &Ending, console: &str) -> Judged {
    judge(&plan(), NONCE, skips, channel, ending, console)
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

#[test]
fn a_guest_that_keeps_to_the_plan_passes() {
    let judged = of(&ended(records()));
    assert_judged(&judged, [PASSED; 3], &[]);
    assert_eq!(judged.release.as_deref(), Some("6.1.0-9-cloud-amd64"));
    assert_eq!(judged.proofs[1].duration, Duration::from_secs(4));
    let key = (PROMOTES.to_string(), "report".to_string());
    assert_eq!(judged.documents, Documents::from([(key, report())]));
}

#[test]
fn logs_judge_nothing_but_count() {
    let log = Record::Log {
        level: Level::Error,
        message: "a failure, so it says".into(),
    };
    let judged = with(|records| {
        records.insert(1, log.clone());
        records.insert(6, log);
    });
    assert_judged(&judged, [PASSED; 3], &[]);
}

#[test]
fn dropping_any_one_record_is_never_green() {
    for dropped in 0..=records().len() {
        let mut records = ended(records());
        records.remove(dropped);
        let recount = of(&records);
        assert!(
            !recount.faults.is_empty() || statuses(&recount) != [Status::Passed; 3],
            "{dropped}"
        );
        let is_log_or_end = dropped == records.len();
        if let Some(Record::End { count }) = records.last_mut() {
            *count -= 1;
        }
        let honest_count = of(&records);
        assert!(
            is_log_or_end || statuses(&honest_count) != [Status::Passed; 3],
            "{dropped}"
        );
    }
}

#[test]
fn doubling_any_one_record_is_never_green() {
    for doubled in 0..records().len() {
        let judged = with(|records| records.insert(doubled, records[doubled].clone()));
        assert!(
            !judged.faults.is_empty() || statuses(&judged) != [Status::Passed; 3],
            "{doubled}"
        );
    }
}

#[test]
fn swapping_any_two_records_is_never_green() {
    for first in 0..records().len() {
        for second in first + 1..records().len() {
            let judged = with(|records| records.swap(first, second));
            let clean = judged.faults.is_empty() && statuses(&judged) == [Status::Passed; 3];
            // Proofs of one configuration may overlap: the second of two may start before
            // the first has finished.
            let overlap = (first, second) == (3, 4);
            assert_eq!(clean, overlap, "{first} {second}");
        }
    }
}

#[test]
fn a_channel_cut_at_any_byte_is_never_green() {
    let bytes = bytes(&ended(records()));
    for cut in 0..bytes.len() {
        for close in [true, false] {
            let mut channel = Channel::default();
            channel.push(&bytes[..cut], Duration::ZERO);
            if close {
                channel.close();
            }
            let judged = judged(&channel, &[], &CLEAN_END, "");
            assert!(!judged.faults.is_empty(), "{cut}");
        }
    }
}

#[test]
fn without_a_hello_from_the_planned_machine_nothing_is_judged() {
    let wrong = |change: fn(&mut Hello)| {
        with(|records| {
            let mut hello = hello();
            change(&mut hello);
            records[0] = Record::Hello(hello);
        })
    };
    for (judged, fault) in [
        (
            of(&[]),
            "incomplete: the guest never said hello; QEMU ended with exit code 0",
        ),
        (
            with(|records| drop(records.remove(0))),
            "incomplete: the first record isn't the guest's hello",
        ),
        (
            with(|records| records.swap(0, 1)),
            "incomplete: the first record isn't the guest's hello",
        ),
        (
            wrong(|h| h.nonce = "n-0".into()),
            "nonce: expected `n-1`, saw `n-0`",
        ),
        (
            wrong(|h| h.version = 7),
            "protocol version: expected `1`, saw `7`",
        ),
        (
            wrong(|h| h.release = "6.12.0-9-cloud-amd64".into()),
            "kernel release: expected `6.1.0-9-cloud-amd64`, saw `6.12.0-9-cloud-amd64`",
        ),
        (
            wrong(|h| h.mismatches.push("BTF is missing".into())),
            "the guest found: BTF is missing",
        ),
    ] {
        let reason = format!("not judged: {fault}");
        let unjudged: (Status, &[&str]) = (Status::Incomplete, &[&reason]);
        assert_judged(&judged, [unjudged; 3], &[fault]);
        assert!(judged.documents.is_empty());
    }
}

#[test]
fn noise_before_hello_is_no_hello() {
    let mut noisy = b"SeaBIOS\n".to_vec();
    noisy.extend(bytes(&ended(records())));
    let mut channel = Channel::default();
    channel.push(&noisy, Duration::ZERO);
    let judged = judged(&channel, &[], &CLEAN_END, "");
    assert_eq!(statuses(&judged), [Status::Incomplete; 3]);
    assert!(judged.faults[0].starts_with("incomplete: the first line isn't the guest's hello"));
}

#[test]
fn a_death_before_hello_is_infrastructure_and_explained() {
    let judged = judged(&channel(&[]), &[], &Ending::Hung { limit_s: 60 }, PANIC);
    assert_eq!(statuses(&judged), [Status::Incomplete; 3]);
    assert_eq!(
        judged.faults,
        [
            "incomplete: the guest never said hello; kernel panic: `Kernel panic - not syncing: \
          Attempted to kill init!`; the guest hung: not done after 60 s, the whole boot's limit"
        ]
    );
}

#[test]
fn a_death_after_hello_and_before_any_proof_is_infrastructure() {
    let judged = judged(&channel(&records()[..1]), &[], &CLEAN_END, PANIC);
    assert_eq!(statuses(&judged), [Status::Incomplete; 3]);
}

#[test]
fn a_panic_after_some_proofs_is_not_all_of_them_succeeded() {
    let records = records();
    let panicked = |upto: usize| judged(&channel(&records[..upto]), &[], &CLEAN_END, PANIC);
    let said = "kernel panic: `Kernel panic - not syncing: Attempted to kill init!`; \
                QEMU ended with exit code 0";
    let died = format!("the guest died or hung in this proof; {said}");
    let never = format!("it never started; {said}");
    let fault = format!("incomplete: no `end` record; {said}");
    // In the second proof, after its second arm: that one failed, the first stays judged.
    assert_judged(
        &panicked(7),
        [
            PASSED,
            (Status::Failed, &[&died]),
            (Status::Incomplete, &[&never]),
        ],
        &[&fault],
    );
    // Between two proofs: no proof is to blame, and the run isn't clean.
    assert_judged(
        &panicked(9),
        [PASSED, PASSED, (Status::Incomplete, &[&never])],
        &[&fault],
    );
    // After the last proof: all passed, and the run still isn't clean.
    assert_judged(&panicked(13), [PASSED; 3], &[&fault]);
}

#[test]
fn a_hang_fails_the_proof_that_ran() {
    let hung = Ending::Hung { limit_s: 90 };
    let judged = judged(&channel(&records()[..6]), &[], &hung, "");
    assert_eq!(
        reasons(&judged, KILLS),
        [
            "the guest died or hung in this proof; the guest hung: not done after 90 s, the whole \
          boot's limit"
        ]
    );
    assert_eq!(judged.proofs[1].status, Status::Failed);
}

#[test]
fn records_cut_half_way_are_incomplete_unless_the_guest_is_known_to_have_died() {
    let whole = bytes(&records()[..6]);
    let mut cut = Channel::default();
    cut.push(&whole[..whole.len() - 20], Duration::ZERO);
    cut.close();
    let quiet = judged(&cut, &[], &CLEAN_END, "reboot: Power down\n");
    assert_eq!(
        statuses(&quiet),
        [Status::Passed, Status::Incomplete, Status::Incomplete]
    );
    assert!(reasons(&quiet, KILLS)[1].starts_with("its records are cut off half-way"));
    let died = judged(&cut, &[], &CLEAN_END, PANIC);
    assert_eq!(
        statuses(&died),
        [Status::Passed, Status::Failed, Status::Incomplete]
    );
}

#[test]
fn a_broken_line_is_a_fault_and_spoils_the_proof_in_which_it_came() {
    let mut damaged = Vec::new();
    for (number, record) in ended(records()).iter().enumerate() {
        if number == 6 {
            damaged.extend_from_slice(b"[    3.1] a kernel message\n");
        }
        damaged.extend(bytes(std::slice::from_ref(record)));
    }
    let mut channel = Channel::default();
    channel.push(&damaged, Duration::ZERO);
    let judged = judged(&channel, &[], &CLEAN_END, "");
    assert_eq!(
        statuses(&judged),
        [Status::Passed, Status::Incomplete, Status::Passed]
    );
    assert_eq!(judged.faults.len(), 1);
    assert!(judged.faults[0].starts_with("incomplete: line 7 of the result channel is no record"));
}

#[test]
fn endless_noise_is_summed_up() {
    let mut channel = channel(&records());
    for _ in 0..1000 {
        channel.push(b"noise\n", Duration::ZERO);
    }
    let judged = judged(&channel, &[], &CLEAN_END, "");
    assert_eq!(judged.faults.len(), 5);
    assert_eq!(
        judged.faults[4],
        "incomplete: 1000 broken lines on the result channel in all"
    );
}

#[test]
fn end_must_count_what_came() {
    let mut records = records();
    records.push(Record::End { count: 14 });
    assert_judged(
        &of(&records),
        [PASSED; 3],
        &["incomplete: the guest sent 14 records before `end`, 13 arrived"],
    );
}

#[test]
fn nothing_comes_after_end() {
    let mut records = ended(records());
    records.push(records[1].clone());
    assert_judged(
        &of(&records),
        [PASSED; 3],
        &["something came on the result channel after `end`"],
    );
}

#[test]
fn an_arm_that_shows_something_else_fails_its_proof_alone() {
    let judged = with(|records| {
        let during = position(records, &evidence(KILLS, "during", seen(KILLED)));
        let Observation::Act(mut act) = seen(Fate::Allowed) else {
            unreachable!("an act");
        };
        act.event = None;
        records[during] = evidence(KILLS, "during", Observation::Act(act));
    });
    let reasons: &[&str] = &[
        "during: expected killed by SIGKILL, saw allowed (the secret leaked)",
        "during: expected the agent's event `killed`, saw none",
    ];
    assert_judged(&judged, [PASSED, (Status::Failed, reasons), PASSED], &[]);
}

#[test]
fn a_control_arm_fails_its_proof_too() {
    for control in ["before", "after"] {
        let judged = with(|records| {
            let at = position(records, &evidence(KILLS, control, seen(Fate::Allowed)));
            records[at] = evidence(KILLS, control, seen(Fate::Denied { errno: 1 }));
        });
        assert_eq!(
            reasons(&judged, KILLS),
            [format!(
                "{control}: expected allowed, saw denied with EPERM"
            )]
        );
    }
}

#[test]
fn a_report_that_says_something_else_fails_its_proof_and_is_still_kept() {
    let document = json!({"runtime_state": "ENFORCE", "audit_only": false});
    let judged = with(|records| {
        let document = document.clone();
        records[2] = evidence(PROMOTES, "report", Observation::Document { document });
    });
    let reason = r#"report: /runtime_state: expected "ENFORCE_SIGNAL", saw "ENFORCE""#;
    assert_judged(&judged, [(Status::Failed, &[reason]), PASSED, PASSED], &[]);
    assert_eq!(
        judged.documents.into_values().collect::<Vec<_>>(),
        [document]
    );
}

#[test]
fn every_arm_reports_exactly_once_and_in_order() {
    let before = evidence(KILLS, "before", seen(Fate::Allowed));
    let during = evidence(KILLS, "during", seen(KILLED));
    let missing = with(|records| {
        let at = position(records, &during);
        records.remove(at);
    });
    let twice = with(|records| {
        let at = position(records, &during);
        records.insert(at, during.clone());
    });
    let unknown = with(|records| {
        let at = position(records, &during);
        records.insert(at, evidence(KILLS, "sideways", seen(KILLED)));
    });
    let swapped = with(|records| {
        let (a, b) = (position(records, &before), position(records, &during));
        records.swap(a, b);
    });
    let elsewhere = with(|records| {
        let at = position(records, &during);
        let moved = records.remove(at);
        records.insert(1, moved);
    });
    for (judged, expected) in [
        (missing, "during: no evidence came"),
        (twice, "during: evidence came 2 times"),
        (unknown, "sideways: evidence of an arm that isn't planned"),
        (
            swapped,
            "the arms came as during, before, after; planned was before, during, after",
        ),
        (elsewhere, "during: evidence came while it wasn't running"),
    ] {
        assert_eq!(judged.proofs[1].status, Status::Incomplete);
        assert_eq!(reasons(&judged, KILLS)[0], expected);
        assert!(judged.faults.is_empty(), "{:?}", judged.faults);
        assert_eq!(judged.proofs[2].status, Status::Passed);
    }
}

#[test]
fn a_good_evidence_does_not_cover_a_bad_one() {
    let judged = with(|records| {
        let at = position(records, &evidence(KILLS, "during", seen(KILLED)));
        records.insert(at, evidence(KILLS, "during", seen(Fate::Allowed)));
    });
    assert_eq!(judged.proofs[1].status, Status::Failed);
}

#[test]
fn a_document_that_came_twice_is_nobodys_to_compare() {
    let judged = with(|records| records.insert(2, records[2].clone()));
    assert!(judged.documents.is_empty());
}

#[test]
fn each_proof_starts_once_in_its_place_and_configuration() {
    let out_of_order = with(|records| records[1..].rotate_left(3));
    let twice = with(|records| records.insert(5, records[4].clone()));
    let other = with(|records| records[4] = started(KILLS, "closed"));
    let unfinished = with(|records| drop(records.remove(8)));
    let silent = with(|records| drop(records.drain(4..9)));
    for (judged, which, expected) in [
        (out_of_order, PROMOTES, "started out of the plan's order"),
        (twice, KILLS, "started twice"),
        (
            other,
            KILLS,
            "ran in configuration closed, planned was signal",
        ),
        (
            unfinished,
            KILLS,
            "fails-closed-without-opt-in started before this had finished",
        ),
        (silent, KILLS, "the guest sent no record of it"),
    ] {
        let proof = judged
            .proofs
            .iter()
            .find(|proof| proof.id == which)
            .unwrap();
        assert_eq!(proof.status, Status::Incomplete, "{proof:?}");
        assert_eq!(proof.reasons[0], expected);
        assert_eq!(
            statuses(&judged)
                .iter()
                .filter(|s| **s == Status::Passed)
                .count(),
            2
        );
    }
}

#[test]
fn a_proof_that_nobody_planned_is_a_fault() {
    let judged = with(|records| {
        records.insert(1, started("surprise", "signal"));
        records.insert(2, evidence("surprise", "during", seen(KILLED)));
        records.insert(3, finished("surprise", Outcome::Observed, None, 0));
    });
    assert_judged(
        &judged,
        [PASSED; 3],
        &[
            "the guest started surprise, which isn't planned",
            "evidence came for surprise (during), which isn't planned",
            "the guest finished surprise, which isn't planned",
        ],
    );
}

#[test]
fn a_plan_of_nothing_proves_nothing() {
    let mut plan = plan();
    plan.proofs.clear();
    let channel = channel(&ended(records()[..1].to_vec()));
    let judged = judge(&plan, NONCE, &[], &channel, &CLEAN_END, "");
    assert_eq!(judged.faults, ["no proof was planned"]);
}

#[test]
fn a_plan_that_repeats_or_says_nothing_is_never_green() {
    let channel = channel(&ended(records()));
    let mut twice = plan();
    twice.proofs.push(twice.proofs[0].clone());
    let judged = judge(&twice, NONCE, &[], &channel, &CLEAN_END, "");
    assert_eq!(
        judged.faults,
        ["plan error: promotes-to-enforce-signal is planned twice"]
    );
    let mut armless = plan();
    armless.proofs[1].arms.clear();
    let judged = judge(&armless, NONCE, &[], &channel, &CLEAN_END, "");
    assert_eq!(judged.proofs[1].status, Status::Incomplete);
    let mut same_arm = plan();
    same_arm.proofs[1].arms[0].arm = "after".into();
    let judged = judge(&same_arm, NONCE, &[], &channel, &CLEAN_END, "");
    assert_eq!(judged.proofs[1].status, Status::Incomplete);
}

/// The good guest's records, with the second proof skipped by the guest.
fn skipping(records: &mut Vec<Record>) {
    records.drain(5..8);
    records[5] = finished(KILLS, Outcome::Skipped, Some("cgroup2 can't be mounted"), 0);
}

#[test]
fn a_skip_counts_only_if_declared_and_confirmed() {
    let mut skipped = records();
    skipping(&mut skipped);
    let skipped = channel(&ended(skipped));
    let both = judged(&skipped, &[skip(KILLS)], &CLEAN_END, "");
    let reasons: &[&str] = &["no cgroup2", "the guest: cgroup2 can't be mounted"];
    assert_judged(&both, [PASSED, (Status::Skipped, reasons), PASSED], &[]);
    for declared in [vec![], vec![skip(REFUSES)]] {
        let undeclared = judged(&skipped, &declared, &CLEAN_END, "");
        assert_eq!(undeclared.proofs[1].status, Status::UndeclaredSkip);
        assert_eq!(
            undeclared.proofs[1].reasons,
            ["skipped, which nobody declared; the guest: cgroup2 can't be mounted"]
        );
    }
    let ran = judged(&channel(&ended(records())), &[skip(KILLS)], &CLEAN_END, "");
    let reason = "declared as skipped (no cgroup2), but it ran and passed: remove the declaration";
    assert_judged(&ran, [PASSED, (Status::Failed, &[reason]), PASSED], &[]);
}

#[test]
fn a_declared_skip_excuses_no_missing_record_and_no_failure() {
    let declared = [skip(KILLS)];
    let silent = {
        let mut records = records();
        records.drain(4..9);
        judged(&channel(&ended(records)), &declared, &CLEAN_END, "")
    };
    assert_eq!(silent.proofs[1].status, Status::Incomplete);
    let broken = {
        let mut records = records();
        records[6] = evidence(KILLS, "during", seen(Fate::Allowed));
        judged(&channel(&ended(records)), &declared, &CLEAN_END, "")
    };
    assert_eq!(broken.proofs[1].status, Status::Failed);
}

#[test]
fn what_the_agent_broke_failed_and_what_the_guest_could_not_is_incomplete() {
    for (outcome, status) in [
        (Outcome::Broken, Status::Failed),
        (Outcome::Error, Status::Incomplete),
    ] {
        let judged = with(|records| {
            records.drain(6..8);
            let why = Some("the agent ended before it was ready");
            records[6] = finished(KILLS, outcome, why, 0);
        });
        let reason = "could not be observed: the agent ended before it was ready";
        assert_judged(&judged, [PASSED, (status, &[reason]), PASSED], &[]);
    }
}

#[test]
fn a_kernel_warning_fails_the_proof_that_raised_it_and_no_other() {
    let warn = 1 << 9;
    let judged = with(|records| {
        records[8] = finished(KILLS, Outcome::Observed, None, warn);
        records[12] = finished(REFUSES, Outcome::Observed, None, warn);
    });
    let reason = "the kernel complained while it ran: taint flags W (kernel warning)";
    assert_judged(&judged, [PASSED, (Status::Failed, &[reason]), PASSED], &[]);
    let before = with(|records| {
        let mut hello = hello();
        hello.tainted = warn;
        records[0] = Record::Hello(hello);
        for (at, id) in [(3, PROMOTES), (8, KILLS), (12, REFUSES)] {
            records[at] = finished(id, Outcome::Observed, None, warn);
        }
    });
    assert_judged(&before, [PASSED; 3], &[]);
}

#[test]
fn a_kernel_warning_in_a_skipped_proof_is_no_skip() {
    let mut records = records();
    skipping(&mut records);
    records[5] = finished(KILLS, Outcome::Skipped, None, 1 << 7);
    let judged = judged(&channel(&ended(records)), &[skip(KILLS)], &CLEAN_END, "");
    assert_eq!(judged.proofs[1].status, Status::Failed);
}

#[test]
fn neither_the_console_nor_the_exit_code_passes_or_fails_a_whole_transcript() {
    let channel = channel(&ended(records()));
    for ending in [
        CLEAN_END,
        Ending::Exited { code: Some(255) },
        Ending::Exited { code: None },
        Ending::Hung { limit_s: 3 },
    ] {
        assert_judged(&judged(&channel, &[], &ending, PANIC), [PASSED; 3], &[]);
    }
}
