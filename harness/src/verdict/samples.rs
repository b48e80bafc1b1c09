//! A small plan and the records of a guest that keeps to it, for tests to damage.

use std::time::Duration;

use protocol::plan::{
    BootPlan, Clause, Doer, Expectation, ExpectedMachine, PlannedArm, PlannedProof,
};
use protocol::record::{Act, Fate, Hello, Observation, Outcome, Phase, Record, SeenEvent};
use serde_json::{Value, json};

use super::Identity;
use crate::vm::channel::Channel;

pub const NONCE: &str = "n-1";
pub const IDENTITY: Identity<'static> = Identity {
    nonce: NONCE,
    promises_sha256: proofs::SOURCE_SHA256,
};
pub const KILLED: Fate = Fate::Killed { signal: 9 };

/// How long each proof took by the guest's clock: less than from its first record to its last.
pub const TOOK_US: u64 = 1_500_000;

pub const PROMOTES: &str = "promotes-to-enforce-signal";
pub const KILLS: &str = "kills-denied-open";
pub const REFUSES: &str = "fails-closed-without-opt-in";

pub fn plan() -> BootPlan {
    let equals = |pointer: &str, value: Value| Clause::Equals {
        pointer: pointer.into(),
        value,
    };
    let report = vec![
        equals("/runtime_state", json!("ENFORCE_SIGNAL")),
        equals("/audit_only", json!(false)),
    ];
    BootPlan {
        boot: "no-bpf-lsm".into(),
        machine: ExpectedMachine {
            release: "6.1.0-9-cloud-amd64".into(),
            version_word: Some("6.1.192-2".into()),
            cmdline: vec![
                "lsm=lockdown,yama".into(),
                "aegisbpf.boot=no-bpf-lsm".into(),
            ],
            memory_mib: 256,
            processors: 1,
            bpf_in_lsm: false,
            locked_down: false,
        },
        proofs: vec![
            proof(
                PROMOTES,
                "signal",
                vec![arm(
                    "report",
                    Expectation::Document {
                        clauses: report,
                        limit: None,
                    },
                )],
            ),
            proof(
                KILLS,
                "signal",
                vec![
                    arm("before", act(Fate::Allowed, None)),
                    arm("during", act(KILLED, Some("killed"))),
                    arm("after", act(Fate::Allowed, None)),
                ],
            ),
            proof(
                REFUSES,
                "closed",
                vec![
                    arm("exit", Expectation::Exit { code: 3 }),
                    arm("left", Expectation::NoBpfLeft),
                ],
            ),
        ],
        bench: None,
    }
}

fn proof(id: &str, configuration: &str, arms: Vec<PlannedArm>) -> PlannedProof {
    PlannedProof {
        id: id.into(),
        configuration: configuration.into(),
        filesystem: None,
        arms,
    }
}

fn arm(arm: &str, expect: Expectation) -> PlannedArm {
    let arm = arm.into();
    PlannedArm { arm, expect }
}

fn act(fate: Fate, event: Option<&str>) -> Expectation {
    Expectation::Act {
        fate,
        leaks: fate == Fate::Allowed,
        effects: vec![],
        by: Doer::Itself,
        event: event.map(String::from),
        limit: None,
    }
}

pub fn hello() -> Hello {
    Hello {
        version: protocol::VERSION,
        promises_sha256: proofs::SOURCE_SHA256.to_owned(),
        nonce: NONCE.into(),
        boot: "no-bpf-lsm".into(),
        release: "6.1.0-9-cloud-amd64".into(),
        version_string: "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-01-01)".into(),
        cmdline: "lsm=lockdown,yama aegisbpf.boot=no-bpf-lsm".into(),
        memory_kib: 200_000,
        processors: 1,
        lsm: vec!["lockdown".into(), "yama".into()],
        lockdown: Some("none".into()),
        btf: true,
        tainted: 0,
        modules: vec![],
        mismatches: vec![],
    }
}

pub fn started(id: &str, configuration: &str) -> Record {
    Record::ProofStarted {
        id: id.into(),
        configuration: configuration.into(),
    }
}

/// What the guest is about: a configuration of the plan, or one proof of it.
pub fn about(configuration: &str, id: Option<&str>, phase: Phase) -> Record {
    Record::Phase {
        configuration: configuration.into(),
        id: id.map(String::from),
        phase,
    }
}

pub fn preliminary(id: &str, arm: &str, observation: Observation) -> Record {
    Record::Preliminary {
        id: id.into(),
        arm: arm.into(),
        observation,
    }
}

pub fn evidence(id: &str, arm: &str, observation: Observation) -> Record {
    Record::Evidence {
        id: id.into(),
        arm: arm.into(),
        observation,
    }
}

pub fn finished(id: &str, outcome: Outcome, reason: Option<&str>, tainted: u64) -> Record {
    Record::ProofFinished {
        id: id.into(),
        outcome,
        reason: reason.map(String::from),
        took_us: TOOK_US,
        tainted,
    }
}

pub fn seen(fate: Fate) -> Observation {
    let event = SeenEvent {
        hook: "kprobe/security_file_open".into(),
        pid: 42,
        thread: 42,
        target: Some("/secret".into()),
        path: None,
        outcome: "killed".into(),
        signal_result: Some(0),
    };
    Observation::Act(Act {
        pid: 42,
        target: "/secret".into(),
        passed: Some("/secret".into()),
        fate,
        leaked: fate == Fate::Allowed,
        effects: vec![],
        helper: None,
        events: (fate == KILLED).then_some(event).into_iter().collect(),
    })
}

/// The same before the agent's events are joined.
pub fn unjoined(observation: Observation) -> Observation {
    let Observation::Act(act) = observation else {
        return observation;
    };
    let events = Vec::new();
    Observation::Act(Act { events, ..act })
}

pub fn exit(code: i32) -> Observation {
    Observation::Exit {
        code: Some(code),
        signal: None,
        stderr: String::new(),
    }
}

pub fn report() -> Value {
    json!({"runtime_state": "ENFORCE_SIGNAL", "audit_only": false})
}

/// What a guest sends when everything is as planned, without `end`. The first two proofs share a
/// life of the agent.
pub fn records() -> Vec<Record> {
    let observed = |id| finished(id, Outcome::Observed, None, 0);
    let saw = |arm, fate| preliminary(KILLS, arm, unjoined(seen(fate)));
    let document = report();
    let objects = vec![];
    vec![
        Record::Hello(Box::new(hello())),
        about("signal", None, Phase::Preparing),
        started(PROMOTES, "signal"),
        started(KILLS, "signal"),
        saw("before", Fate::Allowed),
        about("signal", None, Phase::Starting),
        about("signal", Some(PROMOTES), Phase::During),
        evidence(PROMOTES, "report", Observation::Document { document }),
        about("signal", Some(KILLS), Phase::During),
        saw("during", KILLED),
        about("signal", None, Phase::Stopping),
        about("signal", Some(PROMOTES), Phase::After),
        observed(PROMOTES),
        about("signal", Some(KILLS), Phase::After),
        saw("after", Fate::Allowed),
        evidence(KILLS, "before", seen(Fate::Allowed)),
        evidence(KILLS, "during", seen(KILLED)),
        evidence(KILLS, "after", seen(Fate::Allowed)),
        observed(KILLS),
        about("closed", None, Phase::Preparing),
        started(REFUSES, "closed"),
        about("closed", None, Phase::Starting),
        about("closed", Some(REFUSES), Phase::During),
        evidence(REFUSES, "exit", exit(3)),
        about("closed", Some(REFUSES), Phase::After),
        about("closed", Some(REFUSES), Phase::LeftBehind),
        evidence(REFUSES, "left", Observation::BpfLeft { objects }),
        observed(REFUSES),
    ]
}

/// The place of a record among [`records`].
pub fn place(records: &[Record], wanted: &Record) -> usize {
    let found = records.iter().position(|record| record == wanted);
    found.expect("the record is there")
}

/// Adds the `end` that counts these records.
pub fn ended(mut records: Vec<Record>) -> Vec<Record> {
    let count = records.len() as u64;
    records.push(Record::End { count });
    records
}

pub fn bytes(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        serde_json::to_writer(&mut bytes, record).expect("records serialize");
        bytes.push(b'\n');
    }
    bytes
}

/// A channel on which record `n` arrived `n` seconds after launch.
pub fn channel(records: &[Record]) -> Channel {
    let mut channel = Channel::default();
    for (second, record) in (0..).zip(records) {
        channel.push(
            &bytes(std::slice::from_ref(record)),
            Duration::from_secs(second),
        );
    }
    channel.close();
    channel
}
