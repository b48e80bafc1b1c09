//! Boots that come to nothing: the kernel, the guest or its records fail. No verdict on the
//! agent is ever read out of one, and none is green.

use std::fs;

use harness::outcome::Status;

use crate::support::{Checkout, Machine, Ran, kernel};

const PROOF: &str = "enforce-denies-open";

/// Checks that the run blames infrastructure, in these words, on screen and in the JUnit file.
#[track_caller]
fn expect_infrastructure(machine: &Machine, ran: &Ran, words: &[&str]) {
    ran.expect(3, words);
    let boot = machine.checkout.boot();
    let faults = boot.faults.join("\n");
    for word in words {
        assert!(faults.contains(word), "{word:?} isn't in {faults}");
    }
    assert_eq!(machine.checkout.proof().status, Status::Incomplete);
    let junit = machine.checkout.out("junit.xml");
    assert!(junit.contains("<error type=\"infrastructure\""), "{junit}");
    assert!(!junit.contains("failures=\"1\""), "{junit}");
}

/// A kernel whose payload was overwritten, so that its own decompressor gives up on it.
fn spoiled_kernel() -> Vec<u8> {
    let mut image = fs::read(kernel("6.1")).expect("it is in the cache");
    let number = |offset: usize| {
        let bytes = image[offset..offset + 4].try_into().expect("four bytes");
        u32::from_le_bytes(bytes) as usize
    };
    // The x86 boot protocol: sectors of the setup code, then, counted from its end, where
    // the compressed kernel stands and how long it is.
    let setup = (usize::from(image[0x1f1]) + 1) * 512;
    let (offset, length) = (number(0x248), number(0x24c));
    image[setup + offset..][..length].fill(0xa5);
    image
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_kernel_that_does_not_boot_never_says_hello() {
    let checkout = Checkout::with_kernel("vmlinuz".as_ref(), "");
    fs::write(checkout.path("vmlinuz"), spoiled_kernel()).expect("a writable folder");
    let machine = Machine::of(checkout);
    let ran = machine.boot(PROOF, &["--boot-limit", "5"]);
    let words = "incomplete: the guest never said hello; the guest hung: not done after 5 s, \
                 the whole boot's limit";
    expect_infrastructure(&machine, &ran, &[words]);
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_kernel_that_panics_before_hello_is_quoted() {
    let machine = Machine::new().guest("ENDS");
    let ran = machine.boot(PROOF, &[]);
    let words = "incomplete: the guest never said hello; kernel panic: `Kernel panic - not \
                 syncing: Attempted to kill init! exitcode=0x00000300`";
    expect_infrastructure(&machine, &ran, &[words]);
    let tail = machine.checkout.boot().console_tail;
    assert!(tail.is_some_and(|tail| tail.contains("Run /init as init process")));
    machine.assert_ended_itself();
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_machine_with_too_little_memory_is_told_so() {
    // The one dies before a word on the console, the other while it unpacks the initramfs.
    for mib in [64, 96] {
        let machine = Machine::declaring(&format!("memory_mib = {mib}\n"));
        let ran = machine.boot(PROOF, &[]);
        let words = format!("too little memory? It has {mib} MiB (memory_mib in kernels.toml)");
        expect_infrastructure(&machine, &ran, &["the guest never said hello", &words]);
    }
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_guest_that_hangs_is_ended_after_the_limit_and_leaves_no_qemu() {
    let machine = Machine::new().guest("HANGS");
    let ran = machine.boot(PROOF, &["--boot-limit", "6"]);
    let words = "the guest never said hello; the guest hung: not done after 6 s";
    expect_infrastructure(&machine, &ran, &[words]);
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_guest_that_hangs_in_a_proof_fails_that_proof() {
    let machine = Machine::new().guest("HANGS_IN_PROOF");
    let ran = machine.boot(PROOF, &["--boot-limit", "30"]);
    let words = "the guest died or hung in this proof, in its phase before; the guest hung: not done \
                 after 30 s";
    ran.expect(1, &[]);
    let proof = machine.checkout.proof();
    assert_eq!(proof.status, Status::Failed);
    assert!(proof.reasons[0].starts_with(words), "{proof:#?}");
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_kernel_that_dies_fails_the_one_proof_that_ran_with_what_it_had_seen() {
    const OTHER: &str = "enforce-holds-out";
    let machine = Machine::new().guest("DIES_IN_PROOF");
    let ran = machine.boot(PROOF, &["--proof", OTHER]);
    ran.expect(1, &[]);
    let proofs = machine.checkout.boot().proofs;
    let of = |id: &str| proofs.iter().find(|proof| proof.id == id).expect("planned");
    let died = of(PROOF);
    assert_eq!(died.status, Status::Failed);
    let words = "the guest died or hung in this proof, in its phase during; kernel panic: ";
    assert!(died.reasons[0].starts_with(words), "{died:#?}");
    let seen = "observed before that: during: an act that was denied with EPERM";
    assert_eq!(died.reasons[1], seen);
    let other = of(OTHER);
    assert_eq!(other.status, Status::Incomplete);
    let words = "not reached: the machine died while enforce-denies-open was running, in its \
                 phase during";
    assert_eq!(other.reasons, [words]);
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_hello_cut_half_way_is_incomplete() {
    let machine = Machine::new().guest("CUTS_HELLO");
    let ran = machine.boot(PROOF, &[]);
    let words = "incomplete: the first line isn't the guest's hello (cut off before its line \
                 end)";
    expect_infrastructure(&machine, &ran, &[words]);
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn an_evidence_cut_half_way_is_incomplete() {
    let machine = Machine::new().guest("CUTS_EVIDENCE");
    let ran = machine.boot(PROOF, &[]);
    let words = [
        "incomplete: no `end` record",
        "line 3 of the result channel is no record (cut off before its line end)",
    ];
    expect_infrastructure(&machine, &ran, &words);
    let reasons = machine.checkout.proof().reasons.join("\n");
    assert!(
        reasons.contains("its records are cut off half-way"),
        "{reasons}"
    );
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn the_records_of_another_boot_are_not_judged() {
    let machine = Machine::new().guest("IS_ANOTHER_BOOT");
    let ran = machine.boot(PROOF, &[]);
    expect_infrastructure(&machine, &ran, &["nonce: expected `"]);
    let reasons = machine.checkout.proof().reasons.join("\n");
    assert!(
        reasons.contains("not judged: nonce: expected `"),
        "{reasons}"
    );
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_whole_proof_without_an_end_is_no_clean_run() {
    let skip = format!("[[kernel.skip]]\nproof = \"{PROOF}\"\nreason = \"declared\"\n");
    let machine = Machine::declaring(&skip).guest("SKIPS_END");
    let ran = machine.boot(PROOF, &[]);
    ran.expect(
        3,
        &["incomplete: no `end` record; QEMU ended with exit code 0"],
    );
    // The proof by itself came out as declared.
    assert_eq!(machine.checkout.proof().status, Status::Skipped);
}
