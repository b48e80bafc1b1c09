//! What an agent does about its evidence while it runs: it is renewed, its loss is noticed and
//! told, and ends the agent if that was asked for. Each in every tier.

use protocol::plan::{ATTEMPTS, Clause, Doer, Expectation, PlannedProof};
use protocol::record::Fate;
use serde_json::{Value, json};

use super::identity::account;
use super::{
    EPERM, SIGKILL, act, arm, contains, differs, document, equals, lacks, proof, protected,
    steadiness, tracepoints,
};

/// A tier as these proofs see it.
struct Tier {
    /// As ids of proofs and names of configurations begin.
    name: &'static str,
    state: &'static str,
    /// The hook that sees every open.
    hook: &'static str,
    /// What whoever opens meets, and what the agent tells of it.
    fate: Fate,
    outcome: &'static str,
    /// What comes of asking the kernel to detach the hook's program.
    asked_to_detach: Value,
    /// What becomes of protected executables, in the same life of the agent.
    protected: fn() -> PlannedProof,
}

/// A link that can't be detached.
const EOPNOTSUPP: i32 = 95;

/// Under the BPF LSM.
pub(super) fn enforce() -> Vec<PlannedProof> {
    of_tier(&Tier {
        protected: protected::enforce,
        name: "enforce",
        state: "ENFORCE",
        hook: "lsm/file_open",
        fate: EPERM,
        outcome: "denied",
        asked_to_detach: json!(EOPNOTSUPP),
    })
}

/// By modified return values.
pub(super) fn modret() -> Vec<PlannedProof> {
    of_tier(&Tier {
        protected: protected::modret,
        name: "modret",
        state: "ENFORCE_MODRET",
        hook: "fmod_ret/security_file_open",
        fate: EPERM,
        outcome: "denied",
        asked_to_detach: json!(EOPNOTSUPP),
    })
}

/// By a signal.
pub(super) fn signal() -> Vec<PlannedProof> {
    let mut proofs = of_tier(&Tier {
        protected: protected::signal,
        name: "signal",
        state: "ENFORCE_SIGNAL",
        hook: "kprobe/security_file_open",
        fate: SIGKILL,
        outcome: "killed",
        // A perf event, and so no link that anybody could ask for.
        asked_to_detach: Value::Null,
    });
    // Beside the others of its configuration.
    proofs.insert(1, admits_passed_over());
    proofs.push(attaches_what_is_needed());
    proofs
}

/// The tracepoints of system calls: not attached, attached once a rule needs them, and kept.
fn attaches_what_is_needed() -> PlannedProof {
    let one = json!(["sig_file_open"]);
    let all = json!([
        "sig_creat",
        "sig_file_open",
        "sig_open",
        "sig_openat",
        "sig_openat2"
    ]);
    let programs =
        |arm: &str, programs: &Value| document(arm, &[equals("/programs", programs.clone())]);
    let allowed = |arm: &str| document(arm, &[equals("/fate", "allowed")]);
    let claims = equals("/runtime_state", "ENFORCE_SIGNAL");
    let report = |arm: &str, attached: bool| {
        let mut clauses = vec![claims.clone()];
        clauses.extend(tracepoints(attached));
        document(arm, &clauses)
    };
    let event = json!({"rule": "wandering", "hook": "tracepoint/syscalls/sys_enter_openat",
                       "outcome": "killed", "matched": "path", "access": "read"});
    let arms = vec![
        allowed("before"),
        programs("at-start", &one),
        report("report-at-start", false),
        programs("once-needed", &all),
        report("report-once-needed", true),
        account("by-path", "SIGKILL", false, json!([event]), &[]),
        programs("kept", &all),
        allowed("after"),
    ];
    proof("signal-attaches-what-is-needed", "signal-needs", arms)
}

/// A program that the kernel passes over, which no other tier's can be made to show.
fn admits_passed_over() -> PlannedProof {
    let limit = "passed_over_when_preempted";
    let leak = Expectation::Act {
        fate: Fate::Allowed,
        leaks: true,
        effects: vec![],
        by: Doer::Itself,
        event: None,
        limit: Some(limit.to_owned()),
    };
    let race = Expectation::Race {
        attempts: ATTEMPTS,
        each: Box::new(leak),
    };
    let claimed = [equals("/runtime_state", "ENFORCE_SIGNAL")];
    let declared = [&claimed[..], &[contains("/classes/file/limits", limit)]].concat();
    let lost = [
        equals("/runtime_state", "DEGRADED"),
        equals("/rules/enforced", 0),
    ];
    let told = [
        equals("/event", "state"),
        equals("/from", "ENFORCE_SIGNAL"),
        equals("/to", "DEGRADED"),
        equals("/names_cause", true),
    ];
    proof(
        "signal-admits-passed-over",
        "signal-verifying",
        vec![
            act("before", Fate::Allowed, None),
            document("report", &declared),
            arm("race", race),
            document("report-of-loss", &lost),
            document("told-of-loss", &told),
            document("evidence-back", &claimed),
            act("again", SIGKILL, Some("killed")),
        ],
    )
}

fn of_tier(tier: &Tier) -> Vec<PlannedProof> {
    let (name, fate, outcome) = (tier.name, tier.fate, tier.outcome);
    vec![
        renews(tier),
        notices(tier),
        steadiness::stays_up(name),
        steadiness::leaves_nothing_behind(name, fate, outcome),
        (tier.protected)(),
        exits(tier),
    ]
}

fn renews(tier: &Tier) -> PlannedProof {
    let met = match tier.fate {
        Fate::Killed { .. } => "SIGKILL",
        _ => "EPERM",
    };
    let renewed = [
        equals("/valid_until/later", true),
        // Every hook that fired is listed.
        contains("/hooks", json!({"hook": tier.hook, "later": true})),
        lacks("/hooks", json!({"later": false})),
        // Each verification sends a canary of its own.
        lacks("/hooks", json!({"same_canary": true})),
        // The shortest validity, as the interval is shorter than half of it.
        equals("/valid_for_ms", 10_000),
        equals("/state", tier.state),
    ];
    proof(
        &format!("{}-renews-evidence", tier.name),
        &format!("{}-verifying", tier.name),
        vec![
            document("meanwhile", &[equals("/fates", json!([met]))]),
            document("renewed", &renewed),
        ],
    )
}

fn notices(tier: &Tier) -> PlannedProof {
    let claim = claim(tier);
    let lost = [
        equals("/runtime_state", "DEGRADED"),
        equals("/audit_only", false),
        equals("/rules/enforced", 0),
        contains("/hooks", json!({"hook": tier.hook, "fired": false})),
        lacks(
            "/hooks",
            json!({"hook": tier.hook, "fired": false, "reason": null}),
        ),
    ];
    let returned = [
        equals("/event", "state"),
        equals("/from", "DEGRADED"),
        equals("/to", tier.state),
    ];
    let (fate, event) = (tier.fate, Some(tier.outcome));
    proof(
        &format!("{}-notices-lost-program", tier.name),
        &format!("{}-verifying", tier.name),
        vec![
            act("before", Fate::Allowed, None),
            document("report", &claim),
            act("during", fate, event),
            document(
                "asked-to-detach",
                &[equals("/errno", tier.asked_to_detach.clone())],
            ),
            document("told-of-loss", &told_of_loss(tier)),
            document("report-of-loss", &lost),
            document("told-of-return", &returned),
            document("report-of-return", &claim),
            act("again", fate, event),
            act("benign", Fate::Allowed, None),
            act("exempt", Fate::Allowed, None),
            act("after", Fate::Allowed, None),
        ],
    )
}

fn exits(tier: &Tier) -> PlannedProof {
    proof(
        &format!("{}-exits-when-degraded", tier.name),
        &format!("{}-exiting", tier.name),
        vec![
            act("during", tier.fate, Some(tier.outcome)),
            document("told-of-loss", &told_of_loss(tier)),
            arm("exit", Expectation::Exit { code: 1 }),
            document("report", &[equals("/there", false)]),
            act("after", Fate::Allowed, None),
            arm("left-behind", Expectation::NoBpfLeft),
        ],
    )
}

/// A signal that the kernel refuses, which only a sabotaged build makes it do.
pub(super) fn admits_refused_signal() -> PlannedProof {
    let claim = [
        equals("/runtime_state", "ENFORCE_SIGNAL"),
        equals("/rules/enforced", 1),
    ];
    let told = [
        equals("/event", "state"),
        equals("/from", "ENFORCE_SIGNAL"),
        equals("/to", "DEGRADED"),
        equals("/names_process", true),
        equals("/names_result", true),
    ];
    let lost = [
        equals("/runtime_state", "DEGRADED"),
        equals("/audit_only", false),
        equals("/enforce_capable", false),
        equals("/rules/enforced", 0),
        differs("/rules/unenforced", json!([])),
    ];
    proof(
        "signal-admits-refused-signal",
        "signal-refused",
        vec![
            document("report", &claim),
            act("during", Fate::Allowed, Some("observed")),
            document("told-of-loss", &told),
            document("report-of-loss", &lost),
        ],
    )
}

/// The same, while nobody reads what the agent tells.
pub(super) fn admits_unread_refusal() -> PlannedProof {
    let state = |state| [equals("/runtime_state", state)];
    proof(
        "signal-admits-unread-refusal",
        "signal-refused-unread",
        vec![
            document("evidence-back", &state("ENFORCE_SIGNAL")),
            document("unread-loss", &state("DEGRADED")),
            document("evidence-back-again", &state("ENFORCE_SIGNAL")),
            document("read-at-last", &state("ENFORCE_SIGNAL")),
            act("during", Fate::Allowed, Some("observed")),
        ],
    )
}

fn claim(tier: &Tier) -> Vec<Clause> {
    vec![
        equals("/runtime_state", tier.state),
        equals("/rules/unenforced", json!([])),
        contains(
            "/hooks",
            json!({"hook": tier.hook, "fired": true, "reason": null}),
        ),
    ]
}

/// The reason is the agent's own, and names hook, what was expected and what was seen.
fn told_of_loss(tier: &Tier) -> Vec<Clause> {
    vec![
        equals("/event", "state"),
        equals("/from", tier.state),
        equals("/to", "DEGRADED"),
        differs("/reason", ""),
        differs("/reason", Value::Null),
    ]
}
