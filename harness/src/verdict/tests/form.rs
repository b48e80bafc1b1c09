//! The form of the records: what comes, how often, and in which order.

use super::*;

#[test]
fn logs_judge_nothing_but_count() {
    let log = Record::Log {
        level: Level::Error,
        message: "a failure, so it says".into(),
    };
    let judged = with(|records| {
        for at in (1..=records.len()).rev() {
            records.insert(at, log.clone());
        }
    });
    assert_judged(&judged, [PASSED; 3], &[]);
}

/// Whether a record tells only what the guest is about, or has observed so far: that explains a
/// death, and judges nothing in a boot that came to its end.
fn explains_only(record: &Record) -> bool {
    match record {
        Record::Phase { id, phase, .. } => id.is_none() || *phase == Phase::LeftBehind,
        Record::Preliminary { .. } => true,
        _ => false,
    }
}

fn is_green(judged: &Judged) -> bool {
    judged.faults.is_empty() && statuses(judged) == [Status::Passed; 3]
}

#[test]
fn dropping_any_one_record_is_never_green() {
    for dropped in 0..=records().len() {
        let mut records = ended(records());
        let lost = records.remove(dropped);
        assert!(!is_green(&of(&records)), "{dropped}");
        let is_end = matches!(lost, Record::End { .. });
        if let Some(Record::End { count }) = records.last_mut() {
            *count -= 1;
        }
        let honest_count = of(&records);
        assert!(
            is_end || explains_only(&lost) || statuses(&honest_count) != [Status::Passed; 3],
            "{dropped}"
        );
    }
}

#[test]
fn doubling_any_one_record_is_never_green() {
    for doubled in 0..records().len() {
        let twice = |records: &mut Vec<Record>| records.insert(doubled, records[doubled].clone());
        let explains_only = matches!(records()[doubled], Record::Phase { id: None, .. });
        assert!(explains_only || !is_green(&with(twice)), "{doubled}");
    }
}

#[test]
fn swapping_any_two_records_is_never_green() {
    let all = records();
    for first in 0..all.len() {
        for second in first + 1..all.len() {
            let judged = with(|records| records.swap(first, second));
            if !is_green(&judged) {
                continue;
            }
            // What judges must have come in the same order as before: each proof's records, and
            // each proof's phases. That a phase was told of somewhat earlier judges nothing.
            let mut swapped = all.clone();
            swapped.swap(first, second);
            for id in [PROMOTES, KILLS, REFUSES] {
                let phases = |records: &[Record]| judging(records, id, true);
                let others = |records: &[Record]| judging(records, id, false);
                assert_eq!(phases(&all), phases(&swapped), "{first} {second}");
                assert_eq!(others(&all), others(&swapped), "{first} {second}");
            }
        }
    }
}

/// What judges of a proof's records: its phases, or all others.
fn judging(records: &[Record], id: &str, phases: bool) -> Vec<Record> {
    let of = records.iter().filter(|record| {
        let is_phase = matches!(record, Record::Phase { .. });
        is_of(record, id) && !explains_only(record) && is_phase == phases
    });
    of.cloned().collect()
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
        unobserve(records, KILLS, &["before"]);
        let at = position(records, &during) + 1;
        records.insert(at, before);
    });
    let joined_swapped = with(|records| {
        let arms = ["before", "during"].map(|arm| match arm {
            "before" => evidence(KILLS, arm, seen(Fate::Allowed)),
            _ => evidence(KILLS, arm, seen(KILLED)),
        });
        let [a, b] = arms.map(|arm| position(records, &arm));
        records.swap(a, b);
    });
    let elsewhere = with(|records| {
        let at = position(records, &during);
        let moved = records.remove(at);
        records.insert(1, moved);
    });
    let saw = preliminary(KILLS, "during", unjoined(seen(KILLED)));
    let again = with(|records| {
        let at = position(records, &during) + 1;
        records.insert(at, saw.clone());
    });
    let exchanged = with(|records| {
        let Observation::Act(mut act) = unjoined(seen(KILLED)) else {
            unreachable!("an act");
        };
        act.pid += 1;
        let other = preliminary(KILLS, "during", Observation::Act(act));
        replace(records, &saw, other);
    });
    for (judged, expected) in [
        (missing, "during: no evidence came"),
        (twice, "during: evidence came 2 times"),
        (unknown, "sideways: evidence of an arm that isn't planned"),
        (
            swapped,
            "the arms came as during, after, before; planned was before, during, after",
        ),
        (
            joined_swapped,
            "the arms came as during, before, after; planned was before, during, after",
        ),
        (elsewhere, "during: evidence came while it wasn't running"),
        (
            again,
            "during: it was observed once more after it had been told of",
        ),
        (exchanged, "during: the evidence isn't of what was observed"),
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
    let as_planned = Observation::Document { document: report() };
    let told = evidence(PROMOTES, "report", as_planned);
    let at = position(&records(), &told);
    let twice = with(|records| records.insert(at, told.clone()));
    assert!(twice.documents.is_empty());
    let misplaced = with(|records| records.swap(at - 1, at));
    assert!(misplaced.documents.is_empty());
}

#[test]
fn each_proof_starts_once_in_its_place_and_configuration() {
    let start = started(KILLS, "signal");
    let finish = finished(KILLS, Outcome::Observed, None, 0);
    let during = about("signal", Some(KILLS), Phase::During);
    let out_of_order = with(|records| {
        let (first, second) = (started(PROMOTES, "signal"), start.clone());
        let (a, b) = (position(records, &first), position(records, &second));
        records.swap(a, b);
    });
    let twice = with(|records| {
        let at = position(records, &start);
        records.insert(at, start.clone());
    });
    let other = with(|records| replace(records, &start, started(KILLS, "closed")));
    let unfinished = with(|records| drop(records.remove(position(records, &finish))));
    let silent = with(|records| records.retain(|record| !is_of(record, KILLS)));
    let finished_twice = with(|records| {
        let at = position(records, &finish);
        records.insert(at, finish.clone());
    });
    let without_phase = with(|records| drop(records.remove(position(records, &during))));
    let phase_twice = with(|records| {
        let at = position(records, &during);
        records.insert(at, during.clone());
    });
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
        (
            without_phase,
            KILLS,
            "its phases came as before, after; they are before, during, after",
        ),
        (phase_twice, KILLS, "its phase during came after during"),
    ] {
        let proof = judged
            .proofs
            .iter()
            .find(|proof| proof.id == which)
            .unwrap();
        assert_eq!(proof.status, Status::Incomplete, "{proof:?}");
        assert!(
            proof.reasons.iter().any(|reason| reason == expected),
            "{proof:?}"
        );
    }
}

#[test]
fn a_proof_that_nobody_planned_is_a_fault() {
    let judged = with(|records| {
        records.insert(1, started("surprise", "signal"));
        records.insert(2, about("signal", Some("surprise"), Phase::During));
        records.insert(3, evidence("surprise", "during", seen(KILLED)));
        records.insert(4, finished("surprise", Outcome::Observed, None, 0));
    });
    assert_judged(
        &judged,
        [PASSED; 3],
        &[
            "the guest started surprise, which isn't planned",
            "the guest was in surprise, during, which isn't planned",
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
        IDENTITY,
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
        IDENTITY,
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
    unobserve(&mut without_evidence, KILLS, &["before", "during", "after"]);
    let silent = super::super::samples::channel(&ended(without_evidence));
    let judged = judge(
        &armless,
        IDENTITY,
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
        IDENTITY,
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
