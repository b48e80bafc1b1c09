//! Both launchers boot the same machine, so that every verdict is the same.

use harness::outcome::Status;

use crate::support::{Machine, Ran};

/// All proofs of the boot that has both a tier of the kernel's and one through the seam.
fn verdicts(launcher: &str) -> Vec<(String, Status)> {
    let machine = Machine::new();
    let mut matrix = machine.matrix_by(launcher);
    Ran::of(matrix.args(["--boot", "bpf-lsm"])).expect(0, &[]);
    let boot = machine.checkout.boot();
    assert_eq!(boot.launcher, launcher);
    // The line that composed QEMU's command, there only where virtme-ng did.
    let command = machine.checkout.out("6.1/bpf-lsm/command.txt");
    let by_virtme_ng = command.contains("/vng --dry-run");
    assert_eq!(by_virtme_ng, launcher == "virtme-ng", "{command}");
    let proofs = boot.proofs.into_iter();
    proofs.map(|proof| (proof.id, proof.status)).collect()
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn both_launchers_come_to_the_same_verdicts() {
    let direct = verdicts("qemu");
    assert!(direct.len() > 1, "{direct:#?}");
    assert_eq!(direct, verdicts("virtme-ng"));
}
