//! A QEMU that comes to nothing, or never comes to run: a fault of that boot alone, and nothing
//! of it is left.

use std::fs;
use std::time::Duration;

use harness::outcome::{Ending, Status};

use crate::support::{Checkout, Ran, Tools, kernel_s_head, outliving, pretend_artifacts};

/// A root with kernels of these names, none of which is ever booted.
fn with_kernels(names: &[&str]) -> Checkout {
    let kernels = names
        .iter()
        .map(|name| format!("[[kernel]]\nname = \"{name}\"\npath = \"vmlinuz\"\n"));
    let checkout = Checkout::with_manifest(&kernels.collect::<String>());
    fs::write(checkout.path("vmlinuz"), kernel_s_head()).expect("a writable folder");
    checkout
}

/// A run with one proof of a boot, with a script in the place of QEMU.
fn matrix(checkout: &Checkout, qemu: &str, more: &[&str]) -> Ran {
    let tools = Tools::all();
    tools.put("qemu-system-x86_64", qemu);
    let prebuilt = checkout.path("prebuilt");
    pretend_artifacts(&prebuilt);
    let mut matrix = checkout.matrix();
    matrix.env("PATH", tools.first());
    matrix.env("XDG_CACHE_HOME", checkout.path("cache"));
    matrix.arg("--prebuilt").arg(prebuilt);
    matrix.args(["--boot", "bpf-lsm", "--proof", "enforce-denies-open"]);
    Ran::of(matrix.args(more))
}

#[test]
fn what_it_says_is_quoted() {
    let checkout = with_kernels(&["mine"]);
    let ran = matrix(&checkout, "echo 'no such machine: q35' >&2; exit 1", &[]);
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
        let checkout = with_kernels(&["mine"]);
        let child = format!("tail -f {}", checkout.path("kernels.toml").display());
        let ran = matrix(
            &checkout,
            &format!("{child} & {then}"),
            &["--boot-limit", "1"],
        );
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
    let checkout = with_kernels(&names);
    // One after the other, so that one has failed before the other begins.
    matrix(&checkout, "exit 1", &["--jobs", "1"]).expect(3, &[]);
    for fault in faults(&checkout, names) {
        assert!(fault.contains("QEMU ended with exit code 1"), "{fault}");
    }
}

#[test]
fn a_kernel_that_can_not_be_packed_drops_no_other_kernel() {
    let names = ["one", "two"];
    let checkout = with_kernels(&names);
    // A folder where its image is to be written.
    let image = checkout.path("out/one/initramfs.cpio");
    fs::create_dir_all(&image).expect("a writable folder");
    matrix(&checkout, "exit 1", &[]).expect(3, &[]);
    let [one, two] = faults(&checkout, names);
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
