//! Arms and clauses in few words, and the arms that several promises share.

use protocol::plan::{Clause, Doer, Expectation, PlannedArm};
use protocol::record::Fate;
use serde_json::{Map, Value, json};

use crate::tier::Tier;

pub(crate) fn arm(name: &str, expect: Expectation) -> PlannedArm {
    PlannedArm {
        arm: name.to_owned(),
        expect,
    }
}

/// An act by the process itself, with the outcome that the agent's event must have.
pub(crate) fn act(name: &str, fate: Fate, event: Option<&str>) -> PlannedArm {
    let expect = Expectation::Act {
        fate,
        leaks: fate == Fate::Allowed,
        effects: Vec::new(),
        by: Doer::Itself,
        event: event.map(str::to_owned),
        limit: None,
    };
    arm(name, expect)
}

/// An act that nobody stops or tells of.
pub(crate) fn allowed(name: &str) -> PlannedArm {
    act(name, Fate::Allowed, None)
}

/// An act that meets the tier's fate, which the agent tells of.
pub(crate) fn stopped(name: &str, tier: Tier) -> PlannedArm {
    act(name, tier.fate(), Some(tier.outcome()))
}

/// The account of an attempt that gets past the agent, as this limit declares.
pub(crate) fn limited(limit: &str, mut arm: PlannedArm) -> PlannedArm {
    if let Expectation::Document { limit: by, .. } = &mut arm.expect {
        *by = Some(limit.to_owned());
    }
    arm
}

pub(crate) fn document(name: &str, clauses: &[Clause]) -> PlannedArm {
    let clauses = clauses.to_vec();
    let limit = None;
    arm(name, Expectation::Document { clauses, limit })
}

pub(crate) fn equals(pointer: &str, value: impl Into<Value>) -> Clause {
    Clause::Equals {
        pointer: pointer.to_owned(),
        value: value.into(),
    }
}

pub(crate) fn differs(pointer: &str, value: impl Into<Value>) -> Clause {
    Clause::Differs {
        pointer: pointer.to_owned(),
        value: value.into(),
    }
}

pub(crate) fn contains(pointer: &str, value: impl Into<Value>) -> Clause {
    Clause::Contains {
        pointer: pointer.to_owned(),
        value: value.into(),
    }
}

pub(crate) fn lacks(pointer: &str, value: impl Into<Value>) -> Clause {
    Clause::Lacks {
        pointer: pointer.to_owned(),
        value: value.into(),
    }
}

/// Each element there that has these members, and there is one, gives a reason with this word.
pub(crate) fn reasons(pointer: &str, value: impl Into<Value>, word: &str) -> Clause {
    Clause::Reasons {
        pointer: pointer.to_owned(),
        value: value.into(),
        word: word.to_owned(),
    }
}

/// The arms of a file's enforcement, with what the report must claim meanwhile.
pub(crate) fn denied_open(claim: &[Clause], tier: Tier) -> Vec<PlannedArm> {
    vec![
        allowed("before"),
        document("report", claim),
        stopped("during", tier),
        allowed("benign"),
        allowed("exempt"),
        allowed("exempt-child"),
        allowed("after"),
    ]
}

/// The arms of a refusal: the gate's exit code, a report that claims nothing and says why, an
/// open that nobody stops, and no BPF program or link left.
pub(crate) fn refused(because: &[Clause]) -> Vec<PlannedArm> {
    let nothing = [
        equals("/runtime_state", "REFUSED"),
        equals("/rules/enforced", 0),
    ];
    vec![
        arm("exit", Expectation::Exit { code: 3 }),
        document("report", &[because, &nothing].concat()),
        allowed("after"),
        arm("left-behind", Expectation::NoBpfLeft),
    ]
}

/// An attempt's account: what came of it, whether it gave anything out, exactly these events,
/// and whatever else the proof looks at.
pub(crate) fn account(
    arm: &str,
    fate: &str,
    leaked: bool,
    events: Value,
    also: &[Clause],
) -> PlannedArm {
    let mut clauses = vec![
        equals("/fate", fate),
        equals("/leaked", leaked),
        equals("/events", events),
    ];
    clauses.extend_from_slice(also);
    document(arm, &clauses)
}

/// A read that gives the file out, and that nobody tells of.
pub(crate) fn read(arm: &str) -> PlannedArm {
    account(arm, "allowed", true, json!([]), &[])
}

/// Another act that succeeds without a word.
pub(crate) fn done(arm: &str, also: &[Clause]) -> PlannedArm {
    account(arm, "allowed", false, json!([]), also)
}

/// All of these succeed with no agent about.
pub(crate) fn all_allowed(arm: &str, acts: &[&str]) -> PlannedArm {
    let fates: Map<String, Value> = acts
        .iter()
        .map(|act| ((*act).to_owned(), "allowed".into()))
        .collect();
    document(arm, &[equals("", fates)])
}

impl Tier {
    /// The event on an open that a rule denies.
    pub(crate) fn event(self, rule: &str, matched: &str, access: &str) -> Value {
        self.event_of(self.open_hook(), rule, matched, access)
    }

    pub(crate) fn event_of(self, hook: &str, rule: &str, matched: &str, access: &str) -> Value {
        json!({"rule": rule, "hook": hook, "outcome": self.outcome(), "matched": matched,
               "access": access})
    }

    /// An open for reading meets its fate, and none of the file comes out.
    pub(crate) fn unread(self, arm: &str, rule: &str, matched: &str) -> PlannedArm {
        let event = self.event(rule, matched, "read");
        account(arm, self.fate_word(), false, json!([event]), &[])
    }

    /// An act on names is denied; `hook` is the end of its hook's name.
    pub(crate) fn unnamed(self, arm: &str, hook: &str, rule: &str, matched: &str) -> PlannedArm {
        let hook = format!("{}{hook}", self.name_hooks().unwrap_or_default());
        let event = self.event_of(&hook, rule, matched, "write");
        account(arm, self.fate_word(), false, json!([event]), &[])
    }

    /// What the report says of the tier and its limits for files.
    pub(crate) fn report(self, limits: &[&str], no_limits: &[&str]) -> PlannedArm {
        let mut clauses = vec![equals("/runtime_state", self.state())];
        let file = "/classes/file/limits";
        clauses.extend(limits.iter().map(|limit| contains(file, *limit)));
        clauses.extend(no_limits.iter().map(|limit| lacks(file, *limit)));
        document("report", &clauses)
    }
}
