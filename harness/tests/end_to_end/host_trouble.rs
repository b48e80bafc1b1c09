//! The host fails while a proof runs: nothing is known of that proof, and no promise broke.

use std::fs;
use std::process::Command;

use harness::outcome::{Ending, Status};

use crate::support::{Ran, Unbooted, guest_in_proof};

/// Checks that the run blames infrastructure, in these words, for the proof that was running.
#[track_caller]
fn expect_infrastructure(unbooted: &Unbooted, ran: &Ran, words: &str) -> Ending {
    ran.expect(3, &[words]);
    let checkout = &unbooted.checkout;
    let proof = checkout.proof();
    assert_eq!(proof.status, Status::Incomplete, "{proof:#?}");
    let reasons = proof.reasons.join("\n");
    let ran_then = "the machine was ended from outside while it ran; ";
    assert!(
        reasons.starts_with(ran_then) && reasons.contains(words),
        "{reasons}"
    );
    let junit = checkout.out("junit.xml");
    assert!(junit.contains("<error type=\"infrastructure\""), "{junit}");
    assert!(!junit.contains("failures=\"1\""), "{junit}");
    checkout.boot().ending.expect("it was a boot")
}

#[test]
fn a_qemu_that_the_host_ends_breaks_no_promise() {
    let asked = "echo 'qemu-system-x86_64: terminating on signal 15 from pid 77 (sh)' >&2; exit 0";
    for (then, words) in [
        ("kill -KILL $$", "QEMU was killed by SIGKILL"),
        ("kill -ABRT $$", "QEMU itself crashed (SIGABRT)"),
        (asked, "QEMU was asked to end by SIGTERM from pid 77 (sh)"),
        ("exit 1", "QEMU ended with exit code 1"),
    ] {
        let unbooted = Unbooted::new(&["mine"], &guest_in_proof(then));
        let ran = Ran::of(&mut unbooted.matrix());
        expect_infrastructure(&unbooted, &ran, words);
    }
}

#[test]
fn a_guest_that_ends_its_machine_by_itself_is_blamed_on_the_proof() {
    let unbooted = Unbooted::new(&["mine"], &guest_in_proof("exit 0"));
    Ran::of(&mut unbooted.matrix()).expect(1, &["the guest died or hung in this proof"]);
}

#[test]
#[ignore = "mounts a small file system; `cargo xtask test` runs it"]
fn a_disk_that_is_full_breaks_no_promise() {
    // As QEMU does, it goes on without a word where a write fails.
    let fill = "cat /dev/zero >\"$records.more\" 2>/dev/null; exit 0";
    let unbooted = Unbooted::new(&["mine"], &guest_in_proof(fill));
    let out = unbooted.checkout.path("out");
    fs::create_dir(&out).expect("a writable folder");
    let mut run = in_own_mounts("mount -t tmpfs -o size=2m none out && exec \"$@\"");
    let matrix = unbooted.matrix();
    run.arg(matrix.get_program()).args(matrix.get_args());
    run.current_dir(unbooted.checkout.path(""));
    for (name, value) in matrix.get_envs() {
        run.env(name, value.expect("nothing is taken away"));
    }
    let ran = Ran::of(&mut run);
    ran.expect(3, &["the host lost what the guest told: writing to "]);
    ran.expect(3, &["No space left on device", "/out/mine/bpf-lsm"]);
    assert!(!ran.stderr.contains("QEMU never ran"), "{ran:#?}");
    assert!(!ran.stderr.contains("died or hung"), "{ran:#?}");
    // Its reports have no room either, and that is told by their name.
    ran.expect(3, &["error: failed to write", "junit.xml"]);
}

/// A shell in which mounts are nobody else's; further arguments are `$@`.
fn in_own_mounts(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
    command.arg("sh");
    command
}
