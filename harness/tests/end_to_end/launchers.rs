//! Both launchers boot the same machine, so that every verdict is the same.

use std::fs;

use harness::kernels::cache::Cache;
use harness::outcome::Status;

use crate::support::{Checkout, Machine, Ran, artifacts, kernel};

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

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn no_name_of_a_path_and_no_setting_of_the_user_s_reaches_a_shell_or_the_machine() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let odd = folder
        .path()
        .join("it's odd, $(touch ran-by-a-shell) `touch ran-too`");
    fs::create_dir(&odd).expect("a writable folder");
    let vmlinuz = odd.join("vmlinuz");
    fs::copy(kernel("6.1"), &vmlinuz).expect("a kernel of the cache");
    let home = folder.path().join("home");
    let settings = home.join(".config/virtme-ng");
    fs::create_dir_all(&settings).expect("a writable folder");
    let theirs = r#"{"default_opts": {"memory": "1G", "cpus": "2", "append": ["panic=7"]}}"#;
    fs::write(settings.join("virtme-ng.conf"), theirs).expect("a writable folder");
    let cache = Cache::of_user().expect("a folder for the cache");
    let checkout = Checkout::with_kernel(&vmlinuz, "");
    let mut matrix = checkout.harness("matrix");
    matrix
        .args([
            "--launcher=virtme-ng",
            "--accel=tcg",
            "--offline",
            "--no-setup",
        ])
        .args(["--boot=bpf-lsm", "--proof=enforce-denies-open"])
        .arg("--prebuilt")
        .arg(artifacts())
        .arg("--out")
        .arg(odd.join("out"))
        .env("TERM", "of-the-user")
        .env("HOME", &home)
        .env(
            "XDG_CACHE_HOME",
            cache.root().parent().expect("it stands in a folder"),
        );
    Ran::of(&mut matrix).expect(0, &["1 passed"]);
    let records = fs::read_to_string(odd.join("out/records.jsonl")).expect("it was written");
    assert!(
        !records.contains("of-the-user") && !records.contains("panic=7"),
        "{records}"
    );
    for entry in walkdir::WalkDir::new(folder.path()) {
        let path = entry.expect("readable").into_path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        assert!(!name.starts_with("ran-"), "a shell has run {name}");
    }
}
