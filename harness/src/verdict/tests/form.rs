//! The form of the records: what comes, how often, and in which order.

use super::*;

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
        let is_end = dropped == records.len();
        if let Some(Record::End { count }) = records.last_mut() {
            *count -= 1;
        }
        let honest_count = of(&records);
        assert!(
            is_end || statuses(&honest_count) != [Status::Passed; 3],
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
fn a_document_that_came_twice_or_out_of_place_is_nobodys_to_compare() {
    let twice = with(|records| records.insert(2, records[2].clone()));
    assert!(twice.documents.is_empty());
    let misplaced = with(|records| records.swap(1, 2));
    assert!(misplaced.documents.is_empty());
}

#[test]
fn each_proof_starts_once_in_its_place_and_configuration() {
    let out_of_order = with(|records| records[1..].rotate_left(3));
    let twice = with(|records| records.insert(5, records[4].clone()));
    let other = with(|records| records[4] = started(KILLS, "closed"));
    let unfinished = with(|records| drop(records.remove(8)));
    let silent = with(|records| drop(records.drain(4..9)));
    let finished_twice = with(|records| records.insert(8, records[8].clone()));
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
        (finished_twice, KILLS, "finished twice"),
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
    let judged = judge(
        &plan,
        NONCE,
        &[],
        &channel,
        &CLEAN_END,
        &whole_console(NONCE),
    );
    assert_eq!(judged.faults, ["no proof was planned"]);
}

#[test]
fn a_plan_that_repeats_or_says_nothing_is_never_green() {
    let channel = channel(&ended(records()));
    let mut twice = plan();
    twice.proofs.push(twice.proofs[0].clone());
    let judged = judge(
        &twice,
        NONCE,
        &[],
        &channel,
        &CLEAN_END,
        &whole_console(NONCE),
    );
    assert_eq!(
        judged.faults,
        ["plan error: promotes-to-enforce-signal is planned twice"]
    );
    let mut armless = plan();
    armless.proofs[1].arms.clear();
    let mut without_evidence = records();
    without_evidence.drain(5..8);
    let silent = super::super::samples::channel(&ended(without_evidence));
    let judged = judge(
        &armless,
        NONCE,
        &[],
        &silent,
        &CLEAN_END,
        &whole_console(NONCE),
    );
    assert_eq!(judged.proofs[1].status, Status::Incomplete);
    assert_eq!(
        reasons(&judged, KILLS),
        ["plan error: it has no arms, so it proves nothing"]
    );
    let mut same_arm = plan();
    same_arm.proofs[1].arms[0].arm = "after".into();
    let judged = judge(
        &same_arm,
        NONCE,
        &[],
        &channel,
        &CLEAN_END,
        &whole_console(NONCE),
    );
    assert_eq!(
        reasons(&judged, KILLS),
        ["plan error: an arm twice in after, during, after"]
    );
}
