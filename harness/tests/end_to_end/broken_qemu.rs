//! A QEMU that comes to nothing, or never comes to run: a fault of that boot alone, and nothing
//! of it is left.

use std::fs;
use std::time::Duration;

use harness::outcome::{Ending, Status};

use crate::support::{Checkout, Ran, Unbooted, outliving};

/// The root and the run of a script in the place of QEMU.
fn matrix(names: &[&str], qemu: &str, more: &[&str]) -> (Checkout, Ran) {
    let unbooted = Unbooted::new(names, qemu);
    let ran = Ran::of(unbooted.matrix().args(more));
    (unbooted.checkout, ran)
}

#[test]
fn what_it_says_is_quoted() {
    let script = "echo 'no such machine: q35' >&2; exit 1";
    let (checkout, ran) = matrix(&["mine"], script, &[]);
    let words = [
        "never said hello; QEMU ended with exit code 1",
        "no such machine: q35",
    ];
    ran.expect(3, &words);
    let junit = checkout.out("junit.xml");
    assert!(junit.contains("no such machine: q35"), "{ran:#?}");
}

#[test]
fn nothing_that_it_started_outlives_it_whether_it_ends_or_hangs() {
    for (then, words) in [
        ("exit 1", "QEMU ended with exit code 1"),
        ("wait", "the guest hung: not done after 1 s"),
    ] {
        // It runs in the root, and names what lies in it.
        let script = format!("tail -f \"$PWD/kernels.toml\" & {then}");
        let (checkout, ran) = matrix(&["mine"], &script, &["--boot-limit", "1"]);
        ran.expect(3, &[words]);
        // They were sent the signal and are nobody's child here, so it may take a moment.
        let left = outliving(&checkout.path(""), Duration::from_secs(10));
        assert!(left.is_empty(), "{left:?} outlived {then:?}: {ran:#?}");
    }
}

/// Checks that both kernels are in both reports, and gives the fault of each.
#[track_caller]
fn faults(checkout: &Checkout, names: [&str; 2]) -> [String; 2] {
    let results = checkout.results();
    let suites: Vec<&str> = results
        .iter()
        .map(|boot| boot.suite.kernel.as_str())
        .collect();
    assert_eq!(suites, names);
    let junit = checkout.out("junit.xml");
    for name in names {
        let suite = format!(" name=\"{name}/bpf-lsm\" package=");
        assert!(junit.contains(&suite), "{junit}");
    }
    let proofs = results.iter().flat_map(|boot| &boot.proofs);
    let statuses: Vec<Status> = proofs.map(|proof| proof.status).collect();
    assert_eq!(statuses, [Status::Incomplete; 2]);
    [0, 1].map(|at| results[at].faults.join("\n"))
}

#[test]
fn the_first_failure_drops_no_other_kernel() {
    let names = ["one", "two"];
    // One after the other, so that one has failed before the other begins.
    let (checkout, ran) = matrix(&names, "exit 1", &["--jobs", "1"]);
    ran.expect(3, &[]);
    for fault in faults(&checkout, names) {
        assert!(fault.contains("QEMU ended with exit code 1"), "{fault}");
    }
}

#[test]
fn a_kernel_that_can_not_be_packed_drops_no_other_kernel() {
    let names = ["one", "two"];
    let unbooted = Unbooted::new(&names, "exit 1");
    let checkout = &unbooted.checkout;
    // A folder where its image is to be written.
    let image = checkout.path("out/one/initramfs.cpio");
    fs::create_dir_all(&image).expect("a writable folder");
    Ran::of(&mut unbooted.matrix()).expect(3, &[]);
    let [one, two] = faults(checkout, names);
    let why = "QEMU never ran: cannot write ";
    assert!(
        one.contains(why) && one.contains("one/initramfs.cpio"),
        "{one}"
    );
    assert!(two.contains("QEMU ended with exit code 1"), "{two}");
    let ending = &checkout.results()[0].ending;
    assert!(
        matches!(ending, Some(Ending::NotStarted { .. })),
        "{ending:?}"
    );
}
