//! Deaths, hangs and cuts: one proof is named, with its phase, and what came before stays.

use super::*;

const SAID: &str = "kernel panic: `Kernel panic - not syncing: Attempted to kill init!`; QEMU \
                    ended with exit code 0";

/// Judges the good guest's records up to this one, after which the machine died.
fn died_after(last: &Record) -> Judged {
    let records = records();
    let upto = position(&records, last);
    judged(&channel(&records[..=upto]), &[], &CLEAN_END, PANIC)
}

/// The reasons of a proof that was blamed.
fn blamed(judged: &Judged, id: &str) -> Vec<String> {
    let proof = judged.proofs.iter().find(|proof| proof.id == id);
    let proof = proof.expect("planned");
    assert_eq!(proof.status, Status::Failed, "{proof:?}");
    proof.reasons.clone()
}

fn not_reached(judged: &Judged, ids: &[&str], running: &str, phase: &str) {
    for id in ids {
        let proof = judged.proofs.iter().find(|proof| proof.id == *id);
        let proof = proof.expect("planned");
        assert_eq!(proof.status, Status::Incomplete, "{proof:?}");
        let reason = format!("not reached: the machine died while {running} was running, {phase}");
        assert_eq!(proof.reasons, [reason]);
    }
}

#[test]
fn a_death_is_put_down_to_the_one_proof_that_ran_and_its_phase() {
    for (id, phase, name, others) in [
        (PROMOTES, Phase::During, "during", &[KILLS, REFUSES][..]),
        (KILLS, Phase::During, "during", &[PROMOTES, REFUSES]),
        (PROMOTES, Phase::After, "after", &[KILLS, REFUSES]),
    ] {
        let judged = died_after(&about("signal", Some(id), phase));
        let phase = format!("in its phase {name}");
        let died = format!("the guest died or hung in this proof, {phase}; {SAID}");
        assert_eq!(blamed(&judged, id)[0], died);
        not_reached(&judged, others, id, &phase);
        assert_eq!(
            judged.faults,
            [format!("incomplete: no `end` record; {SAID}")]
        );
    }
    let judged = died_after(&started(KILLS, "signal"));
    let died = "the guest died or hung in this proof, in its phase before";
    assert!(blamed(&judged, KILLS)[0].starts_with(died));
}

#[test]
fn what_was_observed_before_a_death_is_told() {
    let judged = died_after(&preliminary(KILLS, "during", unjoined(seen(KILLED))));
    assert_eq!(
        blamed(&judged, KILLS)[1..],
        [
            "observed before that: before: an act that was allowed; during: an act that was killed \
          by SIGKILL"
        ]
    );
}

#[test]
fn a_break_that_was_observed_before_a_death_outranks_it_in_every_proof() {
    let mut records = records();
    let at = position(
        &records,
        &preliminary(KILLS, "during", unjoined(seen(KILLED))),
    );
    records[at] = preliminary(KILLS, "during", unjoined(seen(Fate::Allowed)));
    let upto = position(&records, &about("signal", Some(PROMOTES), Phase::After));
    let judged = judged(&channel(&records[..=upto]), &[], &CLEAN_END, PANIC);
    assert_eq!(
        blamed(&judged, KILLS),
        [
            "during: expected killed by SIGKILL, saw allowed (the secret leaked)".to_owned(),
            format!(
                "not reached: the machine died while {PROMOTES} was running, in its phase after"
            )
        ]
    );
}

#[test]
fn a_death_in_what_proofs_share_is_put_down_to_the_first_that_had_not_finished() {
    for (phase, name) in [(Phase::Starting, "starting"), (Phase::Stopping, "stopping")] {
        let judged = died_after(&about("signal", None, phase));
        let going_on = format!("the first of signal, whose agent was {name}");
        let died = format!("the guest died or hung in this proof, {going_on}; {SAID}");
        assert_eq!(blamed(&judged, PROMOTES)[0], died);
        not_reached(&judged, &[KILLS, REFUSES], PROMOTES, &going_on);
    }
}

#[test]
fn a_death_while_no_agent_is_there_and_no_proof_runs_is_infrastructure() {
    for configuration in ["signal", "closed"] {
        let judged = died_after(&about(configuration, None, Phase::Preparing));
        assert_eq!(judged.proofs[2].status, Status::Incomplete);
        assert_eq!(
            judged.proofs[2].reasons,
            [format!("it never started; {SAID}")]
        );
        assert!(
            judged
                .proofs
                .iter()
                .all(|proof| proof.status != Status::Failed)
        );
    }
}

#[test]
fn a_proof_that_had_finished_keeps_its_verdict() {
    let finish = finished(PROMOTES, Outcome::Observed, None, 0);
    let judged = died_after(&finish);
    assert_eq!(
        statuses(&judged),
        [Status::Passed, Status::Incomplete, Status::Incomplete]
    );
    let judged = died_after(&about("signal", Some(KILLS), Phase::After));
    assert_eq!(
        statuses(&judged),
        [Status::Passed, Status::Failed, Status::Incomplete]
    );
}

#[test]
fn a_hang_fails_the_proof_that_ran() {
    let hung = Ending::Hung { limit_s: 90 };
    let records = records();
    let upto = position(&records, &about("signal", Some(KILLS), Phase::During));
    let judged = judged(&channel(&records[..=upto]), &[], &hung, "");
    assert_eq!(
        reasons(&judged, KILLS)[0],
        "the guest died or hung in this proof, in its phase during; the guest hung: not done \
         after 90 s, the whole boot's limit"
    );
    assert_eq!(judged.proofs[1].status, Status::Failed);
}

#[test]
fn records_cut_half_way_are_incomplete_unless_the_guest_is_known_to_have_died() {
    let records = records();
    let upto = position(&records, &evidence(KILLS, "before", seen(Fate::Allowed)));
    let whole = bytes(&records[..=upto]);
    let mut cut = Channel::default();
    cut.push(&whole[..whole.len() - 20], Duration::ZERO);
    cut.close();
    let quiet = judged(&cut, &[], &CLEAN_END, "reboot: Power down\n");
    assert_eq!(
        statuses(&quiet),
        [Status::Passed, Status::Incomplete, Status::Incomplete]
    );
    assert!(reasons(&quiet, KILLS)[1].starts_with("its records are cut off half-way"));
    let reached = "not reached: the records are cut off while kills-denied-open was running";
    assert!(reasons(&quiet, REFUSES)[0].starts_with(reached));
    let died = judged(&cut, &[], &CLEAN_END, PANIC);
    assert_eq!(
        statuses(&died),
        [Status::Passed, Status::Failed, Status::Incomplete]
    );
}
