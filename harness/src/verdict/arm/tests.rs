//! What an arm may show, and every other thing that it may not.

use protocol::plan::Doer;
use protocol::record::{Act, Effect, Fate, Helper, SeenEvent};
use serde_json::{Value, json};

use super::*;
use crate::verdict::act::UNEXPECTED_PASS;

const KILLED: Fate = Fate::Killed { signal: 9 };
const EPERM: Fate = Fate::Denied { errno: 1 };

fn event(outcome: &str) -> SeenEvent {
    SeenEvent {
        hook: "kprobe/security_file_open".into(),
        pid: 42,
        thread: 42,
        target: Some("/secret".into()),
        path: None,
        outcome: outcome.into(),
        signal_result: (outcome == "killed").then_some(0),
    }
}

fn act(fate: Fate, event: Option<SeenEvent>) -> Act {
    Act {
        pid: 42,
        target: "/secret".into(),
        passed: Some("secret".into()),
        fate,
        leaked: fate == Fate::Allowed,
        effects: vec![],
        helper: None,
        events: event.into_iter().collect(),
    }
}

fn expect(fate: Fate, event: Option<&str>) -> Expectation {
    Expectation::Act {
        fate,
        leaks: fate == Fate::Allowed,
        effects: vec![],
        by: Doer::Itself,
        event: event.map(String::from),
        limit: None,
    }
}

fn exit(code: Option<i32>, signal: Option<i32>, stderr: &str) -> Observation {
    Observation::Exit {
        code,
        signal,
        stderr: stderr.into(),
    }
}

fn changed(change: impl FnOnce(&mut Act)) -> Observation {
    let mut act = act(KILLED, Some(event("killed")));
    change(&mut act);
    Observation::Act(act)
}

#[test]
fn what_is_expected_is_no_reason() {
    let document = json!({"a": 1});
    let clauses = vec![Clause::Equals {
        pointer: "/a".into(),
        value: json!(1),
    }];
    for (expect, seen) in [
        (
            expect(Fate::Allowed, None),
            Observation::Act(act(Fate::Allowed, None)),
        ),
        (
            expect(Fate::Allowed, Some("observed")),
            Observation::Act(act(Fate::Allowed, Some(event("observed")))),
        ),
        (
            expect(EPERM, Some("denied")),
            Observation::Act(act(EPERM, Some(event("denied")))),
        ),
        (expect(KILLED, Some("killed")), changed(|_| {})),
        (
            Expectation::Exit { code: 3 },
            exit(Some(3), None, "refused"),
        ),
        (
            Expectation::Document {
                clauses,
                limit: None,
            },
            Observation::Document { document },
        ),
        (
            Expectation::NoBpfLeft,
            Observation::BpfLeft { objects: vec![] },
        ),
    ] {
        assert_eq!(broken(&expect, &seen), Vec::<String>::new(), "{expect:?}");
    }
}

#[test]
fn any_other_fate_is_a_reason() {
    let fates = [
        Fate::Allowed,
        EPERM,
        Fate::Denied { errno: 13 },
        KILLED,
        Fate::Killed { signal: 15 },
        Fate::Broken { code: 127 },
    ];
    for expected in fates {
        for seen in fates {
            let reasons = broken(&expect(expected, None), &Observation::Act(act(seen, None)));
            let fine = expected == seen && !matches!(expected, Fate::Broken { .. });
            assert_eq!(
                reasons.is_empty(),
                fine,
                "{expected:?} {seen:?} {reasons:?}"
            );
        }
    }
}

#[test]
fn reasons_read_well() {
    let killed = || expect(KILLED, Some("killed"));
    let leaky = |fate, leaked| {
        let mut act = act(fate, None);
        act.leaked = leaked;
        Observation::Act(act)
    };
    for (expect, seen, reason) in [
        (
            expect(KILLED, None),
            leaky(Fate::Allowed, true),
            "expected killed by SIGKILL, saw allowed (the secret leaked)",
        ),
        (
            expect(KILLED, None),
            leaky(KILLED, true),
            "expected killed by SIGKILL, saw killed by SIGKILL, but the secret leaked",
        ),
        (
            expect(EPERM, None),
            leaky(EPERM, true),
            "expected denied with EPERM, saw denied with EPERM, but the secret leaked",
        ),
        (
            expect(Fate::Allowed, None),
            leaky(Fate::Allowed, false),
            "expected allowed, saw allowed, but none of the secret came out",
        ),
        (
            expect(EPERM, None),
            leaky(Fate::Broken { code: 127 }, false),
            "expected denied with EPERM, saw broken (exit code 127, which says nothing)",
        ),
        (
            killed(),
            changed(|act| act.events.clear()),
            "expected the agent's event `killed`, saw none",
        ),
        (
            killed(),
            changed(|act| act.events[0].outcome = "denied".into()),
            "event: expected outcome `killed`, saw `denied`",
        ),
        (
            killed(),
            changed(|act| act.events[0].pid = 43),
            "event: expected pid 42, saw 43",
        ),
        (
            killed(),
            changed(|act| act.events[0].target = Some("/secrets".into())),
            "event: expected target /secret, saw /secrets",
        ),
        (
            killed(),
            changed(|act| act.events[0].target = None),
            "event: expected target /secret, saw no rule's path",
        ),
        (
            killed(),
            changed(|act| act.events[0].signal_result = Some(-16)),
            "event: expected signal result 0, saw -16",
        ),
        (
            killed(),
            changed(|act| act.events[0].signal_result = None),
            "event: expected signal result 0, saw none",
        ),
        (
            expect(KILLED, None),
            changed(|_| {}),
            "expected no event, saw `killed` for pid 42 on /secret",
        ),
        (
            Expectation::Exit { code: 3 },
            exit(Some(0), None, "a\nlast words\n\n"),
            "expected exit code 3, saw exit code 0; stderr: `last words`",
        ),
        (
            Expectation::Exit { code: 0 },
            exit(None, Some(11), ""),
            "expected exit code 0, saw a death by SIGSEGV",
        ),
        (
            Expectation::Exit { code: 0 },
            exit(None, None, ""),
            "expected exit code 0, saw no end",
        ),
        (
            Expectation::Exit { code: 0 },
            exit(Some(0), Some(9), ""),
            "expected exit code 0, saw both exit code 0 and SIGKILL",
        ),
        (
            Expectation::NoBpfLeft,
            Observation::BpfLeft {
                objects: vec!["prog x (id 3)".into(), "link 4".into()],
            },
            "expected no BPF program or link to be left, saw prog x (id 3), link 4",
        ),
    ] {
        assert_eq!(broken(&expect, &seen), [reason]);
    }
}

/// What a signal does to a helper: whoever waits for it reads on.
fn reads_on(change: impl FnOnce(&mut Act)) -> Observation {
    let mut event = event("killed");
    (event.pid, event.thread) = (43, 43);
    let mut act = act(Fate::Allowed, Some(event));
    act.helper = Some(Helper {
        pid: 43,
        fate: KILLED,
    });
    change(&mut act);
    Observation::Act(act)
}

#[test]
fn a_leak_is_a_promise_of_its_own() {
    let with = |fate, leaks| Expectation::Act {
        fate,
        leaks,
        effects: vec![],
        by: Doer::Itself,
        event: None,
        limit: None,
    };
    let saw = |fate, leaked| {
        let mut act = act(fate, None);
        act.leaked = leaked;
        Observation::Act(act)
    };
    for fate in [Fate::Allowed, EPERM, KILLED] {
        for leaks in [true, false] {
            assert_eq!(
                broken(&with(fate, leaks), &saw(fate, leaks)),
                Vec::<String>::new()
            );
            assert_eq!(broken(&with(fate, leaks), &saw(fate, !leaks)).len(), 1);
        }
    }
    for (expect, seen, reason) in [
        (
            with(Fate::Allowed, false),
            saw(Fate::Allowed, true),
            "expected allowed without a leak, saw allowed (the secret leaked)",
        ),
        (
            with(KILLED, true),
            saw(KILLED, false),
            "expected killed by SIGKILL with a leak, saw killed by SIGKILL",
        ),
        (
            with(Fate::Allowed, true),
            saw(EPERM, false),
            "expected allowed, saw denied with EPERM",
        ),
    ] {
        assert_eq!(broken(&expect, &seen), [reason]);
    }
}

#[test]
fn what_is_left_behind_is_exact() {
    let leaving = |effects: &[Effect]| Expectation::Act {
        fate: KILLED,
        leaks: false,
        effects: effects.to_vec(),
        by: Doer::Itself,
        event: Some("killed".into()),
        limit: None,
    };
    let left = |effects: &[Effect]| changed(|act| act.effects = effects.to_vec());
    let sets: [&[Effect]; 3] = [&[], &[Effect::Truncated], &[Effect::Created]];
    for expected in sets {
        for seen in sets {
            let reasons = broken(&leaving(expected), &left(seen));
            assert_eq!(reasons.is_empty(), expected == seen, "{reasons:?}");
        }
    }
    assert_eq!(
        broken(&leaving(&[]), &left(&[Effect::Truncated])),
        ["expected nothing to be left behind, saw a truncated file"]
    );
    assert_eq!(
        broken(&leaving(&[Effect::Created]), &left(&[])),
        ["expected a created file to be left behind, saw nothing"]
    );
}

#[test]
fn an_event_must_name_whoever_carried_the_act_out() {
    let by = |by| Expectation::Act {
        fate: Fate::Allowed,
        leaks: true,
        effects: vec![],
        by,
        event: Some("killed".into()),
        limit: None,
    };
    let helper = || by(Doer::Helper { fate: KILLED });
    assert_eq!(broken(&helper(), &reads_on(|_| {})), Vec::<String>::new());
    let worker = reads_on(|act| {
        act.helper = None;
        (act.events[0].pid, act.events[0].thread) = (42, 44);
    });
    assert_eq!(broken(&by(Doer::Worker), &worker), Vec::<String>::new());
    for (expect, seen, reason) in [
        (
            helper(),
            reads_on(|act| act.events[0].pid = 42),
            "event: expected pid 43, saw 42",
        ),
        (
            helper(),
            reads_on(|act| act.events[0].thread = 42),
            "event: expected thread 43, saw 42",
        ),
        (
            by(Doer::Itself),
            worker,
            "event: expected thread 42, saw 44",
        ),
        (
            by(Doer::Worker),
            reads_on(|act| {
                act.helper = None;
                (act.events[0].pid, act.events[0].thread) = (42, 42);
            }),
            "event: expected a thread other than 42, saw that one",
        ),
        (
            helper(),
            reads_on(|act| {
                act.helper = Some(Helper {
                    pid: 43,
                    fate: EPERM,
                })
            }),
            "helper: expected killed by SIGKILL, saw denied with EPERM",
        ),
    ] {
        assert_eq!(broken(&expect, &seen), [reason]);
    }
    let alone = reads_on(|act| act.helper = None);
    assert_eq!(broken(&helper(), &alone)[0], "expected a helper, saw none");
    let helped = broken(&by(Doer::Itself), &reads_on(|_| {}));
    assert_eq!(helped[0], "expected no helper, saw process 43 act for it");
}

#[test]
fn each_hook_may_tell_once_and_every_event_must_be_right() {
    let tracepoint = |change: fn(&mut SeenEvent)| {
        let mut second = event("killed");
        second.hook = "tracepoint/syscalls/sys_enter_openat".into();
        second.path = Some("secret".into());
        change(&mut second);
        changed(|act| act.events.push(second))
    };
    let killed = expect(KILLED, Some("killed"));
    assert_eq!(broken(&killed, &tracepoint(|_| {})), Vec::<String>::new());
    for (seen, reason) in [
        (
            tracepoint(|second| second.outcome = "observed".into()),
            "event: expected outcome `killed`, saw `observed`",
        ),
        (
            tracepoint(|second| second.hook = "kprobe/security_file_open".into()),
            "event: kprobe/security_file_open told of it twice",
        ),
        (
            tracepoint(|second| second.path = Some("/secret".into())),
            "event: expected path secret, saw /secret",
        ),
    ] {
        assert_eq!(broken(&killed, &seen), [reason]);
    }
}

#[test]
fn an_observation_of_another_kind_is_a_reason() {
    let expectations = [
        expect(KILLED, Some("killed")),
        Expectation::Exit { code: 3 },
        Expectation::Document {
            clauses: vec![],
            limit: None,
        },
        Expectation::NoBpfLeft,
    ];
    let observations = [
        changed(|_| {}),
        exit(Some(3), None, ""),
        Observation::Document {
            document: json!({}),
        },
        Observation::BpfLeft { objects: vec![] },
    ];
    for (i, expect) in expectations.iter().enumerate() {
        for (j, seen) in observations.iter().enumerate() {
            if i != j {
                assert_eq!(broken(expect, seen).len(), 1, "{expect:?} {seen:?}");
            }
        }
    }
    assert_eq!(
        broken(&expectations[0], &exit(Some(1), None, "no ring buffer")),
        ["expected an act that is killed by SIGKILL, saw exit code 1; stderr: `no ring buffer`"]
    );
    assert_eq!(
        broken(&expectations[2], &observations[2]),
        ["plan error: no clause says what the document must show"],
    );
}

/// An act that a limit declares, with what is to come of it.
fn declared(fate: Fate, leaks: bool, effects: &[Effect]) -> Expectation {
    Expectation::Act {
        fate,
        leaks,
        effects: effects.to_vec(),
        by: Doer::Itself,
        event: None,
        limit: Some("already_open_files".into()),
    }
}

fn came_of(fate: Fate, leaked: bool, effects: &[Effect]) -> Observation {
    let mut act = act(fate, None);
    act.leaked = leaked;
    act.effects = effects.to_vec();
    Observation::Act(act)
}

#[test]
fn what_is_declared_to_get_by_and_is_stopped_is_an_unexpected_pass() {
    let truncates = [Effect::Truncated];
    for (expect, seen) in [
        (
            declared(Fate::Allowed, true, &[]),
            came_of(EPERM, false, &[]),
        ),
        (
            declared(Fate::Allowed, true, &[]),
            came_of(KILLED, false, &[]),
        ),
        (
            declared(Fate::Allowed, true, &[]),
            came_of(Fate::Allowed, false, &[]),
        ),
        (
            declared(Fate::Allowed, false, &truncates),
            came_of(EPERM, false, &[]),
        ),
        (
            declared(KILLED, false, &truncates),
            came_of(KILLED, false, &[]),
        ),
        (
            declared(KILLED, false, &truncates),
            came_of(EPERM, false, &[]),
        ),
    ] {
        assert!(is_unexpected_pass(&expect, &seen), "{seen:?}");
        let reasons = broken(&expect, &seen);
        assert_eq!(
            reasons[0],
            "unexpected pass: `already_open_files` is declared, and nothing got past the agent: \
             correct the declaration"
        );
        assert!(reasons.len() > 1, "{reasons:?}");
    }
}

#[test]
fn what_broke_in_any_other_way_is_no_unexpected_pass() {
    let leaks = || declared(Fate::Allowed, true, &[]);
    let truncates = || declared(KILLED, false, &[Effect::Truncated]);
    for (expect, seen) in [
        // As declared.
        (leaks(), came_of(Fate::Allowed, true, &[])),
        // The surroundings failed, or the process died of something else.
        (leaks(), came_of(Fate::Denied { errno: 2 }, false, &[])),
        (leaks(), came_of(Fate::Killed { signal: 11 }, false, &[])),
        (leaks(), came_of(Fate::Broken { code: 200 }, false, &[])),
        // More got past it than is declared.
        (leaks(), came_of(EPERM, false, &[Effect::Truncated])),
        (truncates(), came_of(KILLED, true, &[])),
        (truncates(), came_of(Fate::Allowed, false, &[])),
        // Nothing is declared.
        (expect(Fate::Allowed, None), came_of(EPERM, false, &[])),
    ] {
        assert!(!is_unexpected_pass(&expect, &seen), "{seen:?}");
        let reasons = broken(&expect, &seen);
        let says_so = |reason: &String| reason.starts_with(UNEXPECTED_PASS);
        assert!(!reasons.iter().any(says_so), "{reasons:?}");
    }
}

#[test]
fn an_account_of_what_is_declared_to_get_by_and_is_stopped_is_an_unexpected_pass() {
    let equals = |pointer: &str, value: Value| Clause::Equals {
        pointer: pointer.to_owned(),
        value,
    };
    let account = |fate: &str, limit: Option<&str>| Expectation::Document {
        clauses: vec![equals("/fate", json!(fate)), equals("/leaked", json!(true))],
        limit: limit.map(str::to_owned),
    };
    let seen = |fate: &str, leaked: bool| Observation::Document {
        document: json!({"fate": fate, "leaked": leaked}),
    };
    let declared = account("allowed", Some("a_limit"));
    for fate in ["EPERM", "SIGKILL"] {
        assert!(is_unexpected_pass(&declared, &seen(fate, false)), "{fate}");
        let reasons = broken(&declared, &seen(fate, false));
        assert!(reasons[0].starts_with("unexpected pass: `a_limit` is declared"));
        assert!(reasons.len() > 1);
    }
    for (expect, seen) in [
        (&declared, seen("allowed", true)),
        (&declared, seen("EPERM", true)),
        (&declared, seen("errno 2", false)),
        (&declared, seen("SIGTERM", false)),
        (&account("allowed", None), seen("EPERM", false)),
        (&account("SIGTERM", Some("a_limit")), seen("EPERM", false)),
    ] {
        assert!(!is_unexpected_pass(expect, &seen), "{seen:?}");
    }
}
