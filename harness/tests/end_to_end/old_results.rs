//! The results of an earlier run: gone as soon as another begins, and left alone where none does.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use crate::support::{Checkout, Ran, Tools, pretend_artifacts};

const OLD: [&str; 5] = [
    "junit.xml",
    "results.json",
    "records.jsonl",
    "sabotage.json",
    "plan.json",
];

/// A root with the results of an earlier run.
fn with_old_results() -> Checkout {
    let checkout = Checkout::new();
    fs::create_dir(checkout.path("out")).expect("a writable folder");
    for name in OLD {
        fs::write(checkout.path("out").join(name), "all passed").expect("a writable folder");
    }
    checkout
}

/// Those of the results that are still there.
fn left(checkout: &Checkout) -> Vec<&'static str> {
    let is_there = |name: &&str| checkout.path("out").join(name).exists();
    OLD.into_iter().filter(is_there).collect()
}

/// A run on a machine with nothing at all, which ends where set-up looks for its tools.
fn without_tools(checkout: &Checkout, subcommand: &str, prebuilt: &Path) -> Command {
    let mut command = checkout.booting(subcommand, "qemu");
    command.env("PATH", Tools::none().only());
    command.env("XDG_CACHE_HOME", checkout.path("cache"));
    command.arg("--prebuilt").arg(prebuilt);
    command
}

#[test]
fn they_do_not_outlive_a_run_that_breaks_off_however_early() {
    for subcommand in ["matrix", "sabotage"] {
        let checkout = with_old_results();
        let prebuilt = checkout.path("prebuilt");
        pretend_artifacts(&prebuilt);
        let ran = Ran::of(&mut without_tools(&checkout, subcommand, &prebuilt));
        ran.expect(69, &["missing, and --no-setup forbids installing"]);
        assert_eq!(left(&checkout), [""; 0], "{ran:#?}");
    }
}

#[test]
fn a_wrong_word_or_a_list_begins_no_run_and_removes_none() {
    for subcommand in ["matrix", "sabotage"] {
        let checkout = with_old_results();
        let nowhere = checkout.path("nowhere");
        for (more, code) in [
            (&["--kernel", "no-such"][..], 2),
            (&["--no-such-word"], 2),
            // No folder with binaries.
            (&[], 2),
            (&["--list"], 0),
        ] {
            let mut command = without_tools(&checkout, subcommand, &nowhere);
            Ran::of(command.args(more)).expect(code, &[]);
            assert_eq!(left(&checkout), OLD, "{subcommand} {more:?}");
        }
    }
}

#[test]
fn they_belong_to_the_run_that_has_the_folder() {
    let checkout = with_old_results();
    let prebuilt = checkout.path("prebuilt");
    pretend_artifacts(&prebuilt);
    let lock = fs::File::create(checkout.path("out/.lock")).expect("a writable folder");
    flock(&lock, FlockOperation::LockExclusive).expect("nobody else has it");
    for subcommand in ["matrix", "sabotage"] {
        let ran = Ran::of(&mut without_tools(&checkout, subcommand, &prebuilt));
        ran.expect(3, &["is being written by another run"]);
        assert_eq!(left(&checkout), OLD, "{ran:#?}");
    }
}
