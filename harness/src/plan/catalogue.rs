//! What each proof must show, as data: the promises of `GUARANTEES.md` in terms of arms.

use protocol::plan::{Clause, Doer, Expectation, PlannedArm, PlannedProof};
use protocol::record::Fate;
use serde_json::{Value, json};

use self::bypass::Tier;
use super::Boot;

pub mod bypass;
mod copied_up;
mod evidence;
mod filesystems;
mod hosts;
mod identity;
mod lockdown;
mod many_rules;
mod protected;
mod steadiness;

const EPERM: Fate = Fate::Denied { errno: 1 };
const SIGKILL: Fate = Fate::Killed { signal: 9 };

/// The hook of the BPF LSM tier for files, as the agent's report names it.
const LSM_HOOK: &str = "lsm/file_open";

/// The proofs of a boot, grouped by configuration. With `sabotaged_agent`, those that need
/// the sabotaged build too.
#[must_use]
pub fn proofs(boot: Boot, sabotaged_agent: bool) -> Vec<PlannedProof> {
    match boot {
        Boot::BpfLsm => bpf_lsm(sabotaged_agent),
        Boot::NoBpfLsm => no_bpf_lsm(sabotaged_agent),
        Boot::Lockdown => lockdown::proofs(),
    }
}

/// The state that the agent is in, in a configuration of the guest, as long as nothing happens
/// to it.
///
/// # Panics
/// No configuration of the catalogue has that name.
#[must_use]
pub fn state(configuration: &str) -> &'static str {
    let tier = configuration
        .strip_prefix("lockdown-")
        .unwrap_or(configuration);
    let tier = tier.split_once('-').map_or(tier, |(tier, _)| tier);
    match (configuration, tier) {
        ("fail-closed" | "lsm-returns-zero" | "lockdown-signal" | "lockdown-fail-closed", _)
        | (_, "unmounted" | "refused") => "REFUSED",
        ("audit-fallback" | "seam-audit-fallback", _) => "AUDIT_FALLBACK",
        ("seam-signal" | "rejects-lsm", _) | (_, "signal") => "ENFORCE_SIGNAL",
        (_, "modret") => "ENFORCE_MODRET",
        ("rejects-guard", _) | (_, "enforce") => "ENFORCE",
        _ => unreachable!("the catalogue has no configuration {configuration}"),
    }
}

fn bpf_lsm(sabotaged_agent: bool) -> Vec<PlannedProof> {
    let enforces = [&claims_enforce()[..], &[leaves_no_rule_out()]].concat();
    let mut proofs = vec![
        proof(
            "enforce-denies-open",
            "enforce",
            denied_open(&enforces, EPERM, "denied"),
        ),
        steadiness::holds_out("enforce", EPERM),
        tells_of_this_machine("enforce"),
        attach_is_not_enforcement("enforce", true, equals("/runtime_state", "ENFORCE")),
    ];
    proofs.extend(bypass::proofs(Tier::Lsm));
    proofs.extend([
        proof(
            "seam-promotes-to-enforce-signal",
            "seam-signal",
            vec![document(
                "report",
                &[
                    &promoted_to_signal()[..],
                    &[differs("/test_seams", json!([]))],
                ]
                .concat(),
            )],
        ),
        proof(
            "seam-kills-denied-open",
            "seam-signal",
            denied_open(&promoted_to_signal(), SIGKILL, "killed"),
        ),
        no_pretend("no-pretend", "seam-signal", "ENFORCE_SIGNAL"),
        seam_only_lowers("seam-takes-whole-names"),
    ]);
    proofs.extend(filesystems::enforce(&enforces));
    proofs.extend(identity::enforce());
    proofs.extend(evidence::enforce());
    proofs.extend(many_rules::enforce());
    proofs.extend(hosts::enforce());
    if sabotaged_agent {
        proofs.extend([
            proof(
                "enforce-outlives-rejected-guard",
                "rejects-guard",
                denied_open(&without_guard(), EPERM, "denied"),
            ),
            proof(
                "falls-back-from-rejected-lsm",
                "rejects-lsm",
                denied_open(&without_lsm(), SIGKILL, "killed"),
            ),
            proof(
                "refuses-hook-that-returns-zero",
                "lsm-returns-zero",
                refused(&blocked_by("LSM_CANARY_FAILED")),
            ),
        ]);
    }
    proofs
}

/// The clauses of a report by an agent of which the kernel rejected the program that guards
/// renames: it enforces all the same, and says what it doesn't stop.
fn without_guard() -> [Clause; 6] {
    let rejected = json!({"hook": "lsm/inode_rename", "attached": false, "fired": false});
    [
        equals("/runtime_state", "ENFORCE"),
        equals("/enforce_capable", true),
        equals("/enforce_blockers", json!([])),
        equals("/rules/unenforced", json!([])),
        contains("/classes/file/limits", "replaces_denied_name"),
        contains("/hooks", rejected),
    ]
}

/// The clauses of a report by an agent of which the kernel rejected every program of the BPF
/// LSM's, though it runs the BPF LSM.
fn without_lsm() -> [Clause; 7] {
    [
        equals("/runtime_state", "ENFORCE_SIGNAL"),
        equals("/audit_only", false),
        equals("/enforce_capable", false),
        equals("/enforce_blockers", json!(["LSM_PROGRAM_REJECTED"])),
        equals("/rules/unenforced", json!([])),
        lacks("/hooks", json!({"tier": "lsm", "attached": true})),
        lacks(
            "/hooks",
            json!({"tier": "signal", "attached": true, "fired": false}),
        ),
    ]
}

fn no_bpf_lsm(sabotaged_agent: bool) -> Vec<PlannedProof> {
    let mut proofs = vec![
        proof(
            "promotes-to-enforce-modret",
            "modret",
            vec![document("report", &promoted_to_modret())],
        ),
        proof(
            "modret-denies-open",
            "modret",
            denied_open(&promoted_to_modret(), EPERM, "denied"),
        ),
        steadiness::holds_out("modret", EPERM),
        tells_of_this_machine("modret"),
        no_pretend("modret-no-pretend", "modret", "ENFORCE_MODRET"),
        hosts::shows_copies(),
    ];
    proofs.extend(bypass::proofs(Tier::Modret));
    proofs.extend([
        proof(
            "promotes-to-enforce-signal",
            "signal",
            vec![document(
                "report",
                &[
                    &promoted_to_signal()[..],
                    &[equals("/test_seams", json!([]))],
                ]
                .concat(),
            )],
        ),
        proof(
            "kills-denied-open",
            "signal",
            denied_open(&promoted_to_signal(), SIGKILL, "killed"),
        ),
        steadiness::holds_out("signal", SIGKILL),
        tells_of_this_machine("signal"),
        no_pretend("no-pretend", "signal", "ENFORCE_SIGNAL"),
        attach_is_not_enforcement("signal", false, differs("/runtime_state", "ENFORCE")),
    ]);
    proofs.extend(bypass::proofs(Tier::Signal));
    proofs.extend([
        proof(
            "fails-closed-without-opt-in",
            "fail-closed",
            refused(&blocked_by("BPF_LSM_DISABLED")),
        ),
        audit_fallback_when_asked(),
        seam_only_lowers("seam-never-raises"),
    ]);
    proofs.extend(filesystems::modret());
    proofs.extend(filesystems::signal());
    proofs.extend(identity::modret());
    proofs.extend(identity::signal());
    proofs.extend(evidence::modret());
    proofs.extend(evidence::signal());
    proofs.extend(many_rules::modret());
    proofs.extend(many_rules::signal());
    proofs.extend(hosts::signal());
    if sabotaged_agent {
        proofs.push(evidence::admits_refused_signal());
        proofs.push(evidence::admits_unread_refusal());
    }
    proofs
}

/// The clauses of a report that claims the BPF LSM.
fn claims_enforce() -> [Clause; 4] {
    [
        equals("/runtime_state", "ENFORCE"),
        equals("/audit_only", false),
        equals("/enforce_capable", true),
        equals("/enforce_blockers", json!([])),
    ]
}

/// The clause of a report by which every rule is enforced.
fn leaves_no_rule_out() -> Clause {
    equals("/rules/unenforced", json!([]))
}

/// The clauses of a report that honestly claims the tier of modified returns, and every rule.
fn promoted_to_modret() -> Vec<Clause> {
    let mut clauses = claims_modret();
    clauses.push(leaves_no_rule_out());
    clauses
}

/// The clauses of a report that honestly claims the tier of modified returns.
fn claims_modret() -> Vec<Clause> {
    let mut clauses = promoted("modret", "ENFORCE_MODRET");
    for function in [
        "file_open",
        "inode_create",
        "inode_mknod",
        "inode_symlink",
        "inode_link",
        "inode_rename",
    ] {
        let hook = format!("fmod_ret/security_{function}");
        clauses.push(contains(
            "/hooks",
            json!({"hook": hook, "tier": "modret", "attached": true, "fired": true}),
        ));
    }
    clauses
}

/// The clauses of a report that honestly claims the signal tier, and every rule, where none is
/// known by its path alone.
fn promoted_to_signal() -> Vec<Clause> {
    let mut clauses = promoted("signal", "ENFORCE_SIGNAL");
    clauses.push(leaves_no_rule_out());
    let hook = "kprobe/security_file_open";
    clauses.push(contains(
        "/hooks",
        json!({"hook": hook, "tier": "signal", "attached": true, "fired": true}),
    ));
    clauses.extend(tracepoints(false));
    clauses
}

/// Whether the tracepoints of system calls are attached, and so have fired.
fn tracepoints(attached: bool) -> impl Iterator<Item = Clause> {
    let calls = ["openat", "openat2", "open", "creat"];
    calls.into_iter().map(move |call| {
        let hook = format!("tracepoint/syscalls/sys_enter_{call}");
        let row = json!({"hook": hook, "attached": attached, "fired": attached});
        contains("/hooks", row)
    })
}

/// The clauses of a report that honestly claims a tier other than the BPF LSM.
fn promoted(tier: &str, state: &str) -> Vec<Clause> {
    vec![
        equals("/runtime_state", state),
        equals("/audit_only", false),
        equals("/enforce_capable", false),
        contains("/enforce_blockers", "BPF_LSM_DISABLED"),
        lacks("/hooks", json!({"tier": "lsm", "attached": true})),
        lacks(
            "/hooks",
            json!({"tier": tier, "attached": true, "fired": false}),
        ),
    ]
}

fn no_pretend(id: &str, configuration: &str, state: &str) -> PlannedProof {
    let clauses = [
        equals("/runtime_state", state),
        equals("/enforce_capable", false),
        contains("/enforce_blockers", "BPF_LSM_DISABLED"),
    ];
    proof(id, configuration, vec![document("report", &clauses)])
}

/// What the report says of the machine, held against the machine by the guest.
fn tells_of_this_machine(configuration: &str) -> PlannedProof {
    let same = [
        equals("/kernel_version/same", true),
        equals("/lsm_enabled/same", true),
        equals("/kernel_memory_readable/same", true),
        equals("/generated_at/same", true),
    ];
    let id = format!("{configuration}-tells-of-this-machine");
    proof(&id, configuration, vec![document("report", &same)])
}

fn attach_is_not_enforcement(configuration: &str, fires: bool, claim: Clause) -> PlannedProof {
    let capabilities = [contains(
        "/hooks",
        json!({"hook": LSM_HOOK, "tier": "lsm", "attached": true, "fired": fires}),
    )];
    proof(
        "attach-is-not-enforcement",
        configuration,
        vec![
            document("capabilities", &capabilities),
            document("report", &[claim]),
        ],
    )
}

fn audit_fallback_when_asked() -> PlannedProof {
    let report = [
        equals("/runtime_state", "AUDIT_FALLBACK"),
        equals("/audit_only", true),
        equals("/enforce_capable", false),
        contains("/enforce_blockers", "BPF_LSM_DISABLED"),
        equals("/rules/enforced", 0),
        differs("/rules/unenforced", json!([])),
    ];
    proof(
        "audit-fallback-when-asked",
        "audit-fallback",
        vec![
            document("report", &report),
            act("during", Fate::Allowed, Some("observed")),
            act("benign", Fate::Allowed, None),
            act("exempt", Fate::Allowed, None),
        ],
    )
}

/// Through a seam that lists what must not be taken for the kernel's `bpf`.
fn seam_only_lowers(id: &str) -> PlannedProof {
    let report = [
        equals("/runtime_state", "AUDIT_FALLBACK"),
        equals("/enforce_capable", false),
        equals("/enforce_blockers", json!(["BPF_LSM_DISABLED"])),
        lacks("/lsm_enabled", "bpf"),
        lacks("/lsm_enabled", "notbpf"),
    ];
    proof(
        id,
        "seam-audit-fallback",
        vec![
            document("report", &report),
            act("during", Fate::Allowed, Some("observed")),
        ],
    )
}

/// The five arms of a file's enforcement, and the claim that they are held against.
fn denied_open(claim: &[Clause], fate: Fate, outcome: &str) -> Vec<PlannedArm> {
    vec![
        act("before", Fate::Allowed, None),
        document("report", claim),
        act("during", fate, Some(outcome)),
        act("benign", Fate::Allowed, None),
        act("exempt", Fate::Allowed, None),
        act("exempt-child", Fate::Allowed, None),
        act("after", Fate::Allowed, None),
    ]
}

/// The clauses of a report by which this blocker keeps the BPF LSM from being claimed.
fn blocked_by(blocker: &str) -> [Clause; 2] {
    [
        equals("/enforce_capable", false),
        contains("/enforce_blockers", blocker),
    ]
}

/// The arms of a refusal: the gate's exit code, a report that claims nothing and says why, no
/// BPF object left, and an open that nobody stops.
fn refused(because: &[Clause]) -> Vec<PlannedArm> {
    let nothing = [
        equals("/runtime_state", "REFUSED"),
        equals("/rules/enforced", 0),
    ];
    vec![
        arm("exit", Expectation::Exit { code: 3 }),
        document("report", &[because, &nothing].concat()),
        act("after", Fate::Allowed, None),
        arm("left-behind", Expectation::NoBpfLeft),
    ]
}

fn proof(id: &str, configuration: &str, arms: Vec<PlannedArm>) -> PlannedProof {
    PlannedProof {
        id: id.to_owned(),
        configuration: configuration.to_owned(),
        bypass: None,
        filesystem: None,
        arms,
    }
}

fn arm(name: &str, expect: Expectation) -> PlannedArm {
    PlannedArm {
        arm: name.to_owned(),
        expect,
    }
}

fn act(name: &str, fate: Fate, event: Option<&str>) -> PlannedArm {
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

/// The account of an attempt that gets past the agent, as this limit declares.
fn limited(limit: &str, mut arm: PlannedArm) -> PlannedArm {
    if let Expectation::Document { limit: by, .. } = &mut arm.expect {
        *by = Some(limit.to_owned());
    }
    arm
}

fn document(name: &str, clauses: &[Clause]) -> PlannedArm {
    let clauses = clauses.to_vec();
    let limit = None;
    arm(name, Expectation::Document { clauses, limit })
}

fn equals(pointer: &str, value: impl Into<Value>) -> Clause {
    Clause::Equals {
        pointer: pointer.to_owned(),
        value: value.into(),
    }
}

fn differs(pointer: &str, value: impl Into<Value>) -> Clause {
    Clause::Differs {
        pointer: pointer.to_owned(),
        value: value.into(),
    }
}

fn contains(pointer: &str, value: impl Into<Value>) -> Clause {
    Clause::Contains {
        pointer: pointer.to_owned(),
        value: value.into(),
    }
}

fn lacks(pointer: &str, value: impl Into<Value>) -> Clause {
    Clause::Lacks {
        pointer: pointer.to_owned(),
        value: value.into(),
    }
}

/// Each element there that has these members, and there is one, gives a reason with this word.
fn reasons(pointer: &str, value: impl Into<Value>, word: &str) -> Clause {
    Clause::Reasons {
        pointer: pointer.to_owned(),
        value: value.into(),
        word: word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The states that the report of a proof must show while nothing has happened to the agent.
    fn reported(proof: &PlannedProof) -> Vec<&Value> {
        let mut reports = proof.arms.iter().filter(|arm| arm.arm == "report");
        let Some(Expectation::Document { clauses, .. }) = reports.next().map(|arm| &arm.expect)
        else {
            return Vec::new();
        };
        let states = clauses.iter().filter_map(|clause| match clause {
            Clause::Equals { pointer, value } if pointer == "/runtime_state" => Some(value),
            _ => None,
        });
        states.collect()
    }

    #[test]
    fn a_report_must_show_the_state_that_the_configuration_stands_for() {
        let proofs = Boot::ALL.into_iter().flat_map(|boot| proofs(boot, true));
        let mut held = BTreeSet::new();
        for proof in proofs {
            let state = state(&proof.configuration);
            for reported in reported(&proof) {
                assert_eq!(reported, state, "{} in {}", proof.id, proof.configuration);
                held.insert(state);
            }
        }
        // Or the proofs have no such clause any more, and this shows nothing.
        let states = [
            "AUDIT_FALLBACK",
            "ENFORCE",
            "ENFORCE_MODRET",
            "ENFORCE_SIGNAL",
            "REFUSED",
        ];
        assert_eq!(held.into_iter().collect::<Vec<_>>(), states);
    }
}
