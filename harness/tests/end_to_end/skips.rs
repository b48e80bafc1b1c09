//! A skip counts only if people declared it and the guest confirms it.

use harness::outcome::Status;

use crate::support::Machine;

const PROOF: &str = "enforce-denies-open";
const DECLARED: &str = "[[kernel.skip]]\nproof = \"enforce-denies-open\"\nboot = \"bpf-lsm\"\n\
                        reason = \"there is no bpf(2) in this test\"\n";

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_skip_that_nobody_declared_fails_the_run() {
    let machine = Machine::declaring("").agent("MEASURES_NOTHING");
    machine
        .boot(PROOF, &[])
        .expect(1, &["skipped, which nobody declared"]);
    let proof = machine.checkout.proof();
    assert_eq!(proof.status, Status::UndeclaredSkip);
    assert!(
        proof.reasons[0].contains("bpf(2) is refused here"),
        "{proof:?}"
    );
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_declared_skip_that_the_guest_confirms_keeps_its_reason_and_alone_proves_nothing() {
    let machine = Machine::declaring(DECLARED).agent("MEASURES_NOTHING");
    let ran = machine.boot(PROOF, &[]);
    ran.expect(3, &["error: nothing was proven: every proof was skipped"]);
    assert!(ran.stdout.contains("1 skipped"), "{ran:#?}");
    let proof = machine.checkout.proof();
    assert_eq!(proof.status, Status::Skipped);
    assert_eq!(proof.reasons[0], "there is no bpf(2) in this test");
    assert!(machine.checkout.out("junit.xml").contains("<skipped"));
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_declared_skip_that_runs_after_all_fails_the_run() {
    let machine = Machine::declaring(DECLARED);
    machine
        .boot(PROOF, &[])
        .expect(1, &["it ran and passed: remove the declaration"]);
    assert_eq!(machine.checkout.proof().status, Status::Failed);
}

const ON_XFS: &str = "enforce-holds-on-xfs";
const NO_MODULES: &str = "[[kernel.skip]]\nproof = \"*-holds-on-{xfs,btrfs}\"\n\
                          reason = \"there are no modules in this test\"\n";

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_file_system_that_the_kernel_lacks_is_no_pass_and_the_guest_says_what_is_missing() {
    let machine = Machine::declaring("");
    let words = "kernel mine has no module loop, xfs, which images/ asks for";
    let ran = machine.boot(ON_XFS, &[]);
    ran.expect(1, &[words, "skipped, which nobody declared"]);
    let proof = machine.checkout.proof();
    assert_eq!(proof.status, Status::UndeclaredSkip);
    let why = "the kernel has no xfs, neither built in, nor as a module in the image";
    assert!(proof.reasons[0].contains(why), "{proof:?}");
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn one_declaration_may_stand_for_several_proofs() {
    let machine = Machine::declaring(NO_MODULES);
    // Beside one that passes: a run of skips alone proves nothing.
    machine.boot(ON_XFS, &["--proof", PROOF]).expect(0, &[]);
    let proofs = machine.checkout.boot().proofs;
    let skipped = proofs.iter().find(|proof| proof.id == ON_XFS);
    assert_eq!(skipped.expect("planned").status, Status::Skipped);
    assert_eq!(proofs.len(), 2);
}
