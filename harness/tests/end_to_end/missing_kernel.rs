//! A kernel that can't be had: an error in every report, and no other kernel hangs on it.

use std::fs;

use harness::outcome::{Ending, Status};

use crate::support::{Ran, Unbooted, guest_in_proof};

#[test]
fn the_others_run_and_it_is_told_as_infrastructure() {
    let unbooted = Unbooted::new(&["mine"], &guest_in_proof("exit 1"));
    let checkout = &unbooted.checkout;
    let manifest = checkout.path("kernels.toml");
    // Pinned by the lock, and not in the cache of this run, which may not fetch.
    let gone = "suites = [\"bookworm\", \"bookworm-security\"]\n\
                [[kernel]]\nname = \"6.1\"\ndebian = \"6.1\"\n";
    let mine = fs::read_to_string(&manifest).expect("it was written");
    fs::write(&manifest, format!("{gone}{mine}")).expect("a writable folder");
    // What an earlier run left is not this run's.
    let folder = checkout.path("out/6.1/bpf-lsm");
    fs::create_dir_all(&folder).expect("a writable folder");
    fs::write(folder.join("records.jsonl"), "{\"old\":1}\n").expect("a writable folder");

    let ran = Ran::of(&mut unbooted.matrix());
    let why = "the cache lacks 6.1, and --offline forbids fetching; run `cargo xtask kernels \
               fetch` once with a network";
    ran.expect(3, &["kernel 6.1 can't be booted: ", why]);
    let results = checkout.results();
    let [gone, mine] = &results[..] else {
        panic!("{results:#?}");
    };
    assert_eq!(gone.suite.to_string(), "6.1/bpf-lsm");
    let reason = why.to_owned();
    assert_eq!(gone.ending, Some(Ending::NotStarted { reason }));
    assert_eq!(gone.proofs[0].status, Status::Incomplete);
    assert_eq!(mine.ending, Some(Ending::Exited { code: 1 }));
    let junit = checkout.out("junit.xml");
    assert!(junit.contains(why), "{junit}");
    assert!(!checkout.out("records.jsonl").contains("old"));
}
