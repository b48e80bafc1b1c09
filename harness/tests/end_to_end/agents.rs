//! Agents that break their promises, each in another way: exit 1, and the reason in the proof
//! that is about that promise.

use harness::outcome::Status;

use crate::support::{Machine, artifacts, artifacts_with};

const PROOF: &str = "enforce-denies-open";

/// Boots with one proof, which must fail; gives its reasons.
#[track_caller]
fn reasons(machine: &Machine, proof: &str) -> Vec<String> {
    machine.boot(proof, &[]).expect(1, &[]);
    let boot = machine.checkout.boot();
    let result = machine.checkout.proof();
    assert_eq!(result.status, Status::Failed, "{boot:#?}");
    assert_eq!(result.id, proof);
    let junit = machine.checkout.out("junit.xml");
    assert!(junit.contains("<failure type=\"failed\""), "{junit}");
    result.reasons
}

#[track_caller]
fn assert_first(reasons: &[String], words: &[&str]) {
    for word in words {
        assert!(reasons[0].contains(word), "{word:?} isn't in {reasons:#?}");
    }
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_kernel_that_panics_in_a_proof_fails_it_and_is_quoted() {
    let machine = Machine::new().agent("PANICS");
    let reasons = reasons(&machine, PROOF);
    assert_first(
        &reasons,
        &[
            "the guest died or hung in this proof, the first of enforce, whose agent was starting; \
             kernel panic: `",
            "Kernel panic - not syncing: sysrq triggered crash",
        ],
    );
    machine.assert_ended_itself();
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn an_agent_that_crashes_is_named_with_its_signal_and_what_it_said() {
    let machine = Machine::new().agent("CRASHES");
    let reasons = reasons(&machine, PROOF);
    assert_first(
        &reasons,
        &[
            "before it was ready, it ended with signal: 6",
            "about to abort",
        ],
    );
    assert!(
        machine.checkout.boot().faults.is_empty(),
        "the boot itself was whole"
    );
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn an_agent_that_never_gets_ready_is_waited_for_only_so_long() {
    let machine = Machine::new().agent("NEVER_READY");
    let reasons = reasons(&machine, PROOF);
    assert_first(&reasons, &["the agent's readiness: nothing within 60 s"]);
    assert!(
        machine.checkout.boot().faults.is_empty(),
        "the guest went on to its end"
    );
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn an_agent_that_is_ready_without_a_report_is_not_believed() {
    let machine = Machine::new().agent("REPORTS_NOTHING");
    let reasons = reasons(&machine, PROOF);
    assert_first(&reasons, &["reading the report", "No such file"]);
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn an_agent_that_lies_is_caught_by_the_act_and_not_by_its_report() {
    let machine = Machine::new().agent("LIES");
    let reasons = reasons(&machine, PROOF);
    assert!(
        reasons.iter().all(|reason| reason.starts_with("during: ")),
        "{reasons:#?}"
    );
    assert_first(&reasons, &["allowed"]);
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_sabotage_that_does_not_bite_turns_its_proof_red() {
    // The agent as shipped, where the one that must refuse to start is expected.
    let honest = artifacts().join("aegisbpf");
    let machine = Machine::new();
    let folder = machine.checkout.path("prebuilt");
    let machine = machine.prebuilt(artifacts_with("aegisbpf-sabotaged", &honest, &folder));
    let reasons = reasons(&machine, "refuses-hook-that-returns-zero");
    assert_first(&reasons, &["it became ready, where it was to refuse"]);
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_proof_in_which_the_kernel_is_tainted_fails_though_all_its_arms_hold() {
    let machine = Machine::new().harmful_agent("TAINTS");
    let reasons = reasons(&machine, PROOF);
    let words = "the kernel complained while it ran: taint flags W (kernel warning)";
    assert_eq!(reasons, [words]);
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_kernel_that_complains_is_heard_by_either_launcher_though_all_proofs_pass() {
    for launcher in ["qemu", "virtme-ng"] {
        let machine = Machine::new().harmful_agent("COMPLAINS");
        let words = "the kernel complained: `WARNING: CPU: 0 PID: 7 at kernel/bpf/core.c:7 x";
        machine.boot_by(launcher, PROOF, &[]).expect(3, &[words]);
        let boot = machine.checkout.boot();
        assert_eq!(boot.launcher, launcher);
        assert_eq!(boot.faults.len(), 1, "{boot:#?}");
        assert_eq!(machine.checkout.proof().status, Status::Passed);
    }
}
