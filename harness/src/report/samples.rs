//! Results of a small run with one of everything, for the reports' tests.

use std::path::Path;
use std::time::Duration;

use crate::outcome::{BootResult, Ending, ProofResult, Provenance, Status, SuiteId};

pub fn suite(kernel: &str, boot: &str) -> SuiteId {
    SuiteId {
        kernel: kernel.into(),
        boot: boot.into(),
    }
}

pub fn proof(id: &str, status: Status, reasons: &[&str]) -> ProofResult {
    ProofResult {
        id: id.into(),
        status,
        reasons: reasons.iter().map(ToString::to_string).collect(),
        duration: Duration::from_millis(250),
        race: None,
    }
}

pub fn provenance() -> Provenance {
    Provenance {
        agent_sha256: "a".repeat(64),
        guest_sha256: "b".repeat(64),
        commit: Some("c".repeat(40)),
        began_at: "2026-01-02T03:04:05Z".parse().unwrap(),
    }
}

pub fn boot(kernel: &str, boot: &str, proofs: Vec<ProofResult>) -> BootResult {
    BootResult {
        suite: suite(kernel, boot),
        launcher: "virtme-ng".into(),
        accelerator: "tcg".into(),
        release: Some(format!("{kernel}.0-9-cloud-amd64")),
        package_version: Some(format!("{kernel}.192-2")),
        replaced_version: None,
        provenance: provenance(),
        proofs,
        faults: vec![],
        ending: Some(Ending::Exited { code: 0 }),
        duration: Duration::from_millis(4200),
        again: format!("cargo xtask matrix --kernel {kernel} --boot {boot} --accel tcg"),
        dir: Path::new("target/matrix").join(kernel).join(boot),
        console_tail: None,
    }
}

pub fn passed(ids: &[&str]) -> Vec<ProofResult> {
    ids.iter()
        .map(|id| proof(id, Status::Passed, &[]))
        .collect()
}

/// Two kernels, in the order in which their boots might end.
pub fn results() -> Vec<BootResult> {
    let mut leaky = boot(
        "6.12",
        "no-bpf-lsm",
        vec![
            proof("promotes-to-enforce-signal", Status::Passed, &[]),
            proof(
                "kills-denied-open",
                Status::Failed,
                &[
                    "during: expected killed by SIGKILL, saw allowed (the secret leaked)",
                    "during: expected the agent's event `killed`, saw none",
                ],
            ),
            proof(
                "fails-closed-without-opt-in",
                Status::UndeclaredSkip,
                &["skipped, which nobody declared; the guest: no tracefs"],
            ),
        ],
    );
    leaky.console_tail = Some("[    3.0] one\n[    3.1] two".into());
    let never = "it never started; kernel panic: `Kernel panic - not syncing: x`; \
                 QEMU ended with exit code 0";
    let mut panicked = boot(
        "5.10",
        "bpf-lsm",
        vec![
            proof("enforce-denies-open", Status::Incomplete, &[never]),
            proof("seam-kills-denied-open", Status::Incomplete, &[never]),
        ],
    );
    panicked.release = None;
    panicked.replaced_version = Some("5.10.261-1".into());
    panicked.faults = vec!["incomplete: no `end` record; kernel panic".into()];
    panicked.console_tail = Some("[    2.0] Kernel panic - not syncing: x".into());
    let mut cross = boot("6.12", "cross-boot", passed(&["seam-is-faithful"]));
    cross.again = "cargo xtask matrix --kernel 6.12 --accel tcg".into();
    cross.ending = None;
    cross.duration = Duration::ZERO;
    vec![
        leaky,
        panicked,
        boot(
            "6.12",
            "bpf-lsm",
            passed(&["enforce-denies-open", "seam-kills-denied-open"]),
        ),
        boot(
            "5.10",
            "no-bpf-lsm",
            vec![
                proof("promotes-to-enforce-signal", Status::Passed, &[]),
                proof(
                    "kills-denied-open",
                    Status::Skipped,
                    &["no cgroup2", "the guest: cgroup2 can't be mounted"],
                ),
                proof("fails-closed-without-opt-in", Status::Passed, &[]),
            ],
        ),
        cross,
    ]
}
