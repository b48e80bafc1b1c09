//! What the records say: arms, reports, skips and kernel warnings.

use super::*;

#[test]
fn a_guest_that_keeps_to_the_plan_passes() {
    let judged = of(&ended(records()));
    assert_judged(&judged, [PASSED; 3], &[]);
    assert_eq!(judged.release.as_deref(), Some("6.1.0-9-cloud-amd64"));
    let took = Duration::from_micros(TOOK_US);
    assert!(judged.proofs.iter().all(|proof| proof.duration == took));
    let key = (PROMOTES.to_string(), "report".to_string());
    assert_eq!(judged.documents, Documents::from([(key, report())]));
}

#[test]
fn an_arm_that_shows_something_else_fails_its_proof_alone() {
    let judged = with(|records| {
        let during = position(records, &evidence(KILLS, "during", seen(KILLED)));
        let Observation::Act(mut act) = seen(Fate::Allowed) else {
            unreachable!("an act");
        };
        act.events.clear();
        let saw = preliminary(KILLS, "during", unjoined(seen(KILLED)));
        let allowed = Observation::Act(act);
        records[during] = evidence(KILLS, "during", allowed.clone());
        replace(records, &saw, preliminary(KILLS, "during", allowed));
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
            let denied = seen(Fate::Denied { errno: 1 });
            let was = evidence(KILLS, control, seen(Fate::Allowed));
            replace(records, &was, evidence(KILLS, control, denied.clone()));
            let was = preliminary(KILLS, control, seen(Fate::Allowed));
            replace(records, &was, preliminary(KILLS, control, denied));
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
        let as_planned = Observation::Document { document: report() };
        let at = position(records, &evidence(PROMOTES, "report", as_planned));
        records[at] = evidence(PROMOTES, "report", Observation::Document { document });
    });
    let reason = r#"report: /runtime_state: expected "ENFORCE_SIGNAL", saw "ENFORCE""#;
    assert_judged(&judged, [(Status::Failed, &[reason]), PASSED, PASSED], &[]);
    assert_eq!(
        judged.documents.into_values().collect::<Vec<_>>(),
        [document]
    );
}

/// The good guest's records, with the second proof skipped by the guest.
fn skipping(records: &mut Vec<Record>) {
    unobserve(records, KILLS, &["before", "during", "after"]);
    let why = Some("cgroup2 can't be mounted");
    refinish(records, KILLS, finished(KILLS, Outcome::Skipped, why, 0));
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
        records.retain(|record| !is_of(record, KILLS));
        judged(&channel(&ended(records)), &declared, &CLEAN_END, "")
    };
    assert_eq!(silent.proofs[1].status, Status::Incomplete);
    let broken = {
        let mut records = records();
        let during = evidence(KILLS, "during", seen(KILLED));
        replace(
            &mut records,
            &during,
            evidence(KILLS, "during", seen(Fate::Allowed)),
        );
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
            unobserve(records, KILLS, &["during", "after"]);
            let why = Some("the agent ended before it was ready");
            refinish(records, KILLS, finished(KILLS, outcome, why, 0));
        });
        let reason = "could not be observed: the agent ended before it was ready";
        assert_judged(&judged, [PASSED, (status, &[reason]), PASSED], &[]);
    }
}

#[test]
fn a_kernel_warning_fails_the_proof_that_raised_it_and_no_other() {
    let warn = 1 << 9;
    let judged = with(|records| {
        for id in [KILLS, REFUSES] {
            refinish(records, id, finished(id, Outcome::Observed, None, warn));
        }
    });
    let reason = "the kernel complained while it ran: taint flags W (kernel warning)";
    assert_judged(&judged, [PASSED, (Status::Failed, &[reason]), PASSED], &[]);
    let unsigned_module = 1 << 13;
    let before = with(|records| {
        let mut hello = hello();
        hello.tainted = unsigned_module;
        records[0] = Record::Hello(Box::new(hello));
        for id in [PROMOTES, KILLS, REFUSES] {
            let finish = finished(id, Outcome::Observed, None, unsigned_module);
            refinish(records, id, finish);
        }
    });
    assert_judged(&before, [PASSED; 3], &[]);
}

#[test]
fn a_kernel_warning_in_a_skipped_proof_is_no_skip() {
    let mut records = records();
    skipping(&mut records);
    let why = Some("cgroup2 can't be mounted");
    let skipped = finished(KILLS, Outcome::Skipped, why, 0);
    let tainted = finished(KILLS, Outcome::Skipped, None, 1 << 7);
    replace(&mut records, &skipped, tainted);
    let judged = judged(&channel(&ended(records)), &[skip(KILLS)], &CLEAN_END, "");
    assert_eq!(judged.proofs[1].status, Status::Failed);
}

/// The good guest's plan with the second proof's act declared to leak, and its records with
/// another observation of it.
fn declared_to_leak(observation: Observation, change: impl FnOnce(&mut Vec<Record>)) -> Judged {
    let mut plan = plan();
    let Expectation::Act {
        fate,
        leaks,
        event,
        limit,
        ..
    } = &mut plan.proofs[1].arms[1].expect
    else {
        unreachable!("an act");
    };
    (*fate, *leaks, *event) = (Fate::Allowed, true, None);
    *limit = Some("already_open_files".into());
    let mut records = records();
    let saw = preliminary(KILLS, "during", unjoined(seen(KILLED)));
    let unjoined = preliminary(KILLS, "during", unjoined(observation.clone()));
    replace(&mut records, &saw, unjoined);
    let during = evidence(KILLS, "during", seen(KILLED));
    replace(
        &mut records,
        &during,
        evidence(KILLS, "during", observation),
    );
    change(&mut records);
    let channel = channel(&ended(records));
    judge(
        &plan,
        IDENTITY,
        &[],
        &channel,
        &CLEAN_END,
        &whole_console(NONCE),
    )
}

#[test]
fn a_declared_leak_that_is_stopped_is_red_and_no_ordinary_failure() {
    let leaks = declared_to_leak(seen(Fate::Allowed), |_| {});
    assert_judged(&leaks, [PASSED; 3], &[]);
    let stopped = declared_to_leak(seen(KILLED), |_| {});
    let reasons: &[&str] = &[
        "during: unexpected pass: `already_open_files` is declared, and nothing got past the \
         agent: correct the declaration",
        "during: expected allowed, saw killed by SIGKILL",
        "during: expected no event, saw `killed` for pid 42 on /secret",
    ];
    let unexpected = (Status::UnexpectedPass, reasons);
    assert_judged(&stopped, [PASSED, unexpected, PASSED], &[]);
}

#[test]
fn an_unexpected_pass_hides_no_failure_of_the_same_proof() {
    let broken_control = declared_to_leak(seen(KILLED), |records| {
        let after = evidence(KILLS, "after", seen(Fate::Allowed));
        let denied = seen(Fate::Denied { errno: 1 });
        replace(records, &after, evidence(KILLS, "after", denied));
    });
    assert_eq!(broken_control.proofs[1].status, Status::Failed);
    let warned = declared_to_leak(seen(KILLED), |records| {
        refinish(
            records,
            KILLS,
            finished(KILLS, Outcome::Observed, None, 1 << 9),
        );
    });
    assert_eq!(warned.proofs[1].status, Status::Failed);
    let missing = declared_to_leak(seen(KILLED), |records| {
        unobserve(records, KILLS, &["after"]);
    });
    assert_eq!(missing.proofs[1].status, Status::Failed);
}
