//! Results that nobody listens to, or that can't be written: the exit code is the verdict's.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use crate::support::{Checkout, Machine, Ran, Tools, kernel_s_head, pretend_artifacts};

/// A root with a kernel that is never booted, for a script in the place of QEMU.
fn unbootable(tools: &Tools, qemu: &str) -> (Checkout, std::process::Command) {
    let checkout = Checkout::with_kernel(std::path::Path::new("vmlinuz"), "");
    fs::write(checkout.path("vmlinuz"), kernel_s_head()).expect("a writable folder");
    tools.put("qemu-system-x86_64", qemu);
    pretend_artifacts(&checkout.path("prebuilt"));
    let mut matrix = checkout.harness("matrix");
    matrix
        .args(["--launcher=qemu", "--accel=tcg", "--offline", "--no-setup"])
        .args(["--boot=bpf-lsm", "--proof=enforce-denies-open"])
        .arg("--prebuilt")
        .arg(checkout.path("prebuilt"))
        .env("PATH", tools.first())
        .env("XDG_CACHE_HOME", checkout.path("cache"));
    (checkout, matrix)
}

#[test]
fn a_reader_that_goes_away_changes_no_exit_code() {
    let closed = || io::pipe().expect("a pipe").1;
    let checkout = Checkout::new();
    let mut list = checkout.matrix();
    let status = list.arg("--list").stdout(closed()).status();
    assert_eq!(status.expect("it was built").code(), Some(0));
    let mut wrong = checkout.matrix();
    let status = wrong
        .arg("--kernel=no-such-kernel")
        .stderr(closed())
        .status();
    assert_eq!(status.expect("it was built").code(), Some(2));
}

#[test]
fn results_that_can_not_be_told_are_no_success() {
    let full = OpenOptions::new().write(true).open("/dev/full");
    let checkout = Checkout::new();
    let mut list = checkout.matrix();
    let output = list
        .arg("--list")
        .stdout(full.expect("it is there"))
        .output();
    let ran = Ran::from(output.expect("it was built"));
    ran.expect(
        3,
        &["error: failed to write to standard output: No space left"],
    );
}

#[test]
fn a_report_that_can_not_be_written_does_not_keep_the_results_back() {
    let tools = Tools::all();
    let (checkout, mut matrix) = unbootable(&tools, "mkdir -p out/junit.xml/full; exit 1");
    let ran = Ran::of(matrix.arg("--out").arg(checkout.path("out")));
    ran.expect(3, &["error: failed to write", "junit.xml"]);
    assert!(ran.stdout.contains("enforce-denies-open"), "{ran:#?}");
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_report_that_can_not_be_written_hides_no_broken_promise() {
    let machine = Machine::new().agent("CRASHES");
    let tools = Tools::none();
    let script = "mkdir -p out/junit.xml/full; exec /usr/bin/qemu-system-x86_64 \"$@\"";
    tools.put("qemu-system-x86_64", script);
    let mut matrix = machine.matrix_by("qemu");
    matrix.args(["--boot=bpf-lsm", "--proof=enforce-denies-open"]);
    let ran = Ran::of(matrix.env("PATH", tools.first()));
    ran.expect(1, &["error: failed to write", "junit.xml"]);
    assert!(ran.stdout.contains("about to abort"), "{ran:#?}");
}

#[test]
fn a_folder_whose_name_is_no_text_gets_its_results() {
    let tools = Tools::all();
    let (checkout, mut matrix) = unbootable(&tools, "exit 1");
    let out = checkout.path("").join(OsStr::from_bytes(b"o\xffut"));
    Ran::of(matrix.arg("--out").arg(&out)).expect(3, &["never said hello"]);
    let results = fs::read_to_string(out.join("results.json")).expect("it was written");
    assert!(results.contains("never said hello"), "{results}");
}
