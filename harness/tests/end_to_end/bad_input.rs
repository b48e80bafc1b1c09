//! A wrong command line or a wrong file of the user's: exit 2 before anything is fetched,
//! built or booted, with the place and the way out.

use std::fs;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::support::{Checkout, Ran, Tools, kernel_s_head};

const SUITES: &str = "suites = [\"bookworm\"]\n";

/// A run in a root with this manifest, on a machine that pretends to have everything.
fn matrix_of(manifest: &str, arguments: &[&str]) -> Ran {
    let checkout = Checkout::with_manifest(manifest);
    let ran = Ran::of(matrix(&checkout, &Tools::all()).args(arguments));
    assert!(!checkout.path("out/junit.xml").exists(), "{ran:#?}");
    ran
}

fn matrix(checkout: &Checkout, tools: &Tools) -> std::process::Command {
    let mut matrix = checkout.matrix();
    matrix.env("PATH", tools.first());
    matrix.env("XDG_CACHE_HOME", checkout.path("cache"));
    matrix
}

/// A root with a file in the place of its only kernel.
fn with_vmlinuz(content: &[u8]) -> Checkout {
    let checkout = Checkout::with_kernel(Path::new("vmlinuz"), "");
    fs::write(checkout.path("vmlinuz"), content).expect("a writable folder");
    checkout
}

#[test]
fn an_unknown_field_in_the_manifest_is_named_with_its_line_and_the_known_ones() {
    let manifest = format!("{SUITES}[[kernel]]\nname = \"6.1\"\nflavor = \"amd64\"\n");
    matrix_of(&manifest, &[]).expect(
        2,
        &["error: kernels.toml:4:1: unknown field `flavor`, expected one of `name`, `debian`"],
    );
}

#[test]
fn a_kernel_named_twice_is_refused_with_its_line() {
    let one = "[[kernel]]\nname = \"6.1\"\ndebian = \"6.1\"\n";
    matrix_of(&format!("{SUITES}{one}{one}"), &[]).expect(
        2,
        &["error: kernels.toml:6:8: kernel \"6.1\" is there twice; rename or remove one"],
    );
}

#[test]
fn an_unknown_kernel_is_refused_with_the_names_on_offer() {
    let checkout = Checkout::new();
    let ran = Ran::of(
        checkout
            .matrix()
            .args(["--kernel", "6.1", "--kernel", "6.9"]),
    );
    ran.expect(
        2,
        &["error: no kernel is called \"6.9\"; kernels.toml has 5.10, 6.1, 6.12, "],
    );
}

#[test]
fn an_unknown_proof_is_refused_even_beside_a_known_one() {
    let checkout = Checkout::new();
    for known in [&[][..], &["--proof", "no-pretend"]] {
        let ran = Ran::of(checkout.matrix().args(known).args(["--proof", "no-such"]));
        ran.expect(
            2,
            &["error: no proof of bpf-lsm or no-bpf-lsm or smp or lockdown is named no-such; see them with --list"],
        );
    }
}

#[test]
fn a_proof_of_the_other_boot_only_is_refused_and_not_left_out() {
    let checkout = Checkout::new();
    let mut matrix = checkout.matrix();
    matrix.args(["--boot", "bpf-lsm", "--proof", "kills-denied-open"]);
    Ran::of(&mut matrix).expect(2, &["no proof of bpf-lsm is named kills-denied-open"]);
}

#[test]
fn a_missing_agent_is_named() {
    let checkout = Checkout::new();
    let ran = Ran::of(checkout.matrix().args(["--agent", "/nonexistent/agent"]));
    ran.expect(2, &["error: --agent", "/nonexistent/agent: No such file"]);
}

#[test]
fn an_agent_that_the_guest_can_not_run_is_refused_before_anything_is_fetched() {
    let checkout = Checkout::new();
    let mut matrix = matrix(&checkout, &Tools::all());
    Ran::of(matrix.args(["--agent", "/bin/true"])).expect(
        2,
        &[
            "/bin/true: dynamically linked (build it with -C target-feature=+crt-static); \
           the guest can't run it",
        ],
    );
    assert!(!checkout.path("cache").exists());
}

#[test]
fn a_folder_without_the_binaries_is_refused() {
    let checkout = with_vmlinuz(&kernel_s_head());
    let mut matrix = matrix(&checkout, &Tools::all());
    matrix.arg("--prebuilt").arg(checkout.path("nowhere"));
    Ran::of(&mut matrix).expect(
        2,
        &[
            "nowhere/origin.json, which `cargo xtask build` writes",
            "No such file",
        ],
    );
}

#[test]
fn a_path_to_something_else_than_a_kernel_says_what_is_there() {
    for (content, why) in [
        (
            &b"a text\n"[..],
            "vmlinuz is not a bzImage (no boot header)",
        ),
        (&kernel_s_head()[..0x208], "truncated in its boot header"),
    ] {
        let checkout = with_vmlinuz(content);
        let ran = Ran::of(&mut matrix(&checkout, &Tools::all()));
        ran.expect(2, &["error: kernels.toml:2: kernel \"mine\": ", why]);
    }
    let gone = Checkout::with_kernel(Path::new("vmlinuz"), "");
    Ran::of(&mut matrix(&gone, &Tools::all())).expect(
        2,
        &["kernel \"mine\": cannot read", "vmlinuz: No such file"],
    );
}

#[test]
fn a_folder_outside_any_checkout_is_told_so() {
    let checkout = Checkout::new();
    fs::remove_file(checkout.path("kernels.toml")).expect("it was copied there");
    Ran::of(&mut checkout.matrix()).expect(2, &["has a kernels.toml; call this inside"]);
}

#[test]
fn an_empty_cache_without_a_network_names_the_kernels_that_it_lacks() {
    let checkout = Checkout::new();
    let mut matrix = matrix(&checkout, &Tools::all());
    Ran::of(matrix.args(["--kernel", "6.1", "--kernel", "7.3"])).expect(
        3,
        &[
            "error: the cache lacks 6.1, 7.3, and --offline forbids fetching; run \
             `cargo xtask kernels fetch` once with a network",
        ],
    );
}

#[test]
fn a_second_run_into_the_same_folder_is_told_the_first_one_s_pid() {
    let checkout = with_vmlinuz(&kernel_s_head());
    let lock = checkout.path("out/.lock");
    fs::create_dir(checkout.path("out")).expect("a writable folder");
    fs::write(&lock, "4711\n").expect("a writable folder");
    let held = fs::File::open(&lock).expect("just written");
    flock(&held, FlockOperation::LockExclusive).expect("nobody else has it");
    let mut matrix = matrix(&checkout, &Tools::all());
    Ran::of(&mut matrix).expect(3, &["out is being written by another run, pid 4711; wait"]);
    assert_eq!(fs::read_to_string(&lock).expect("still there"), "4711\n");
}
