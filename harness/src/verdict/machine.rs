//! The machine that a guest woke up in, against the plan.
//!
//! In: the boot's plan, its identity and the guest's hello. Out: one line for each difference.
//! The guest compares too, before it runs anything; the host does it again from the facts
//! alone, so that a guest that doesn't look can't pass.

use protocol::plan::BootPlan;
use protocol::record::Hello;

use super::{Identity, taint};

/// What differs; empty if this is the planned machine.
pub fn differences(plan: &BootPlan, identity: Identity<'_>, hello: &Hello) -> Vec<String> {
    let mut found = Vec::new();
    let mut same = |what: &str, expected: &str, seen: &str| {
        if expected != seen {
            found.push(format!("{what}: expected `{expected}`, saw `{seen}`"));
        }
    };
    let (host, guest) = (protocol::VERSION.to_string(), hello.version.to_string());
    same("protocol version", &host, &guest);
    same(
        "sources of the promises",
        identity.promises_sha256,
        &hello.promises_sha256,
    );
    let nonce = identity.nonce;
    same("nonce", nonce, &hello.nonce);
    same("boot", &plan.boot, &hello.boot);
    same("kernel release", &plan.machine.release, &hello.release);
    // Without a nonce, the records of any other boot without one would do.
    if nonce.is_empty() {
        found.push("plan error: the boot has no nonce".to_string());
    }
    let words = |text: &str, word: &str| text.split_whitespace().filter(|w| *w == word).count();
    if let Some(word) = &plan.machine.version_word
        && words(&hello.version_string, word) == 0
    {
        let seen = &hello.version_string;
        found.push(format!(
            "kernel version: expected the word `{word}` in `{seen}`"
        ));
    }
    for argument in &plan.machine.cmdline {
        match words(&hello.cmdline, argument) {
            1 => {}
            0 => found.push(format!(
                "command line: `{argument}` is missing in `{}`",
                hello.cmdline
            )),
            n => found.push(format!("command line: `{argument}` is there {n} times")),
        }
    }
    found.extend(
        plan.machine
            .hardware_differences(hello.memory_kib, hello.processors),
    );
    let bpf = hello.lsm.iter().any(|name| name == "bpf");
    if bpf != plan.machine.bpf_in_lsm {
        let expected = if bpf { "no `bpf`" } else { "`bpf`" };
        let list = hello.lsm.join(",");
        found.push(format!("LSM list: expected {expected} in `{list}`"));
    }
    found.extend(lockdown(
        plan.machine.locked_down,
        hello.lockdown.as_deref(),
    ));
    // A warning that is on already would hide the next one, which is a proof's.
    if hello.tainted & taint::TROUBLE != 0 {
        found.push(format!(
            "taint: the kernel complained before any proof: {}",
            taint::raised(0, hello.tainted).join(", ")
        ));
    }
    if !hello.btf {
        found.push("BTF: /sys/kernel/btf/vmlinux can't be read".to_string());
    }
    found.extend(
        hello
            .mismatches
            .iter()
            .map(|mismatch| format!("the guest found: {mismatch}")),
    );
    found
}

/// What is wrong with the level that the kernel is locked down to, if anything.
fn lockdown(locked_down: bool, level: Option<&str>) -> Option<String> {
    let expected = match locked_down {
        true => protocol::CONFIDENTIALITY,
        false => "none",
    };
    match level {
        Some(level) if level == expected => None,
        Some(level) => Some(format!("lockdown: expected `{expected}`, saw `{level}`")),
        None if !locked_down => None,
        None => Some(format!(
            "lockdown: expected `{expected}`, but there is no /sys/kernel/security/lockdown: build \
             the kernel with CONFIG_SECURITY_LOCKDOWN_LSM, or leave this boot out"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::samples;

    fn differ(change: impl FnOnce(&mut Hello)) -> Vec<String> {
        let mut hello = samples::hello();
        change(&mut hello);
        differences(&samples::plan(), samples::IDENTITY, &hello)
    }

    #[test]
    fn the_planned_machine_has_no_differences() {
        assert_eq!(differ(|_| {}), Vec::<String>::new());
        assert_eq!(
            differ(|hello| hello.cmdline.push_str(" panic=-1 launcher.extra=1")),
            Vec::<String>::new(),
            "a launcher may add its own"
        );
    }

    #[test]
    fn each_difference_is_found_and_named() {
        type Change = fn(&mut Hello);
        let cases: [(Change, &str); 19] = [
            (
                |h| h.promises_sha256 = "0".repeat(64),
                &format!(
                    "sources of the promises: expected `{}`, saw `{}`",
                    proofs::SOURCE_SHA256,
                    "0".repeat(64)
                ),
            ),
            (
                |h| h.version += 1,
                "protocol version: expected `5`, saw `6`",
            ),
            (
                |h| h.memory_kib = 1 << 20,
                "memory: the kernel has 1048576 KiB, planned were 262144",
            ),
            (|h| h.processors = 2, "processors: 2, planned were 1"),
            (
                |h| h.nonce = "n-2".into(),
                "nonce: expected `n-1`, saw `n-2`",
            ),
            (|h| h.nonce.clear(), "nonce: expected `n-1`, saw ``"),
            (
                |h| h.boot = "bpf-lsm".into(),
                "boot: expected `no-bpf-lsm`, saw `bpf-lsm`",
            ),
            (
                |h| h.release = "6.12.117-cloud-amd64".into(),
                "kernel release: expected `6.1.0-9-cloud-amd64`, saw `6.12.117-cloud-amd64`",
            ),
            (
                |h| h.release = "6.1.0-9-cloud-amd64 ".into(),
                "kernel release: expected `6.1.0-9-cloud-amd64`, saw `6.1.0-9-cloud-amd64 `",
            ),
            (
                |h| h.version_string = "#1 SMP Debian 6.1.192-20 (2026-01-01)".into(),
                "kernel version: expected the word `6.1.192-2` in `#1 SMP Debian 6.1.192-20 (2026-01-01)`",
            ),
            (
                |h| h.cmdline = "lsm=lockdown,yama panic=-1".into(),
                "command line: `aegisbpf.boot=no-bpf-lsm` is missing in `lsm=lockdown,yama panic=-1`",
            ),
            (
                |h| h.cmdline.push_str(" lsm=lockdown,yama"),
                "command line: `lsm=lockdown,yama` is there 2 times",
            ),
            (
                |h| {
                    h.cmdline = h
                        .cmdline
                        .replace("lsm=lockdown,yama", "lsm=lockdown,yama,bpf")
                },
                "command line: `lsm=lockdown,yama` is missing in `lsm=lockdown,yama,bpf aegisbpf.boot=no-bpf-lsm`",
            ),
            (
                |h| h.lsm.push("bpf".into()),
                "LSM list: expected no `bpf` in `lockdown,yama,bpf`",
            ),
            (
                |h| h.lockdown = Some("integrity".into()),
                "lockdown: expected `none`, saw `integrity`",
            ),
            (
                |h| h.lockdown = Some("confidentiality".into()),
                "lockdown: expected `none`, saw `confidentiality`",
            ),
            (
                |h| h.btf = false,
                "BTF: /sys/kernel/btf/vmlinux can't be read",
            ),
            (
                |h| h.mismatches.push("two plans".into()),
                "the guest found: two plans",
            ),
            (
                |h| h.lsm = vec!["bpf".into()],
                "LSM list: expected no `bpf` in `bpf`",
            ),
        ];
        for (change, expected) in cases {
            assert_eq!(differ(change), [expected]);
        }
    }

    #[test]
    fn bpf_must_be_a_whole_name_in_the_list() {
        let mut plan = samples::plan();
        plan.machine.bpf_in_lsm = true;
        let mut hello = samples::hello();
        hello.lsm = vec!["lockdown".into(), "notbpf".into(), "bpf2".into()];
        assert_eq!(
            differences(&plan, samples::IDENTITY, &hello),
            ["LSM list: expected `bpf` in `lockdown,notbpf,bpf2`"]
        );
        hello.lsm.push("bpf".into());
        assert!(differences(&plan, samples::IDENTITY, &hello).is_empty());
    }

    #[test]
    fn a_boot_that_is_to_be_locked_down_must_be_so_to_the_last_level() {
        let mut plan = samples::plan();
        plan.machine.locked_down = true;
        let differ = |level: Option<&str>| {
            let lockdown = level.map(str::to_string);
            let hello = Hello {
                lockdown,
                ..samples::hello()
            };
            differences(&plan, samples::IDENTITY, &hello)
        };
        assert_eq!(differ(Some("confidentiality")), [""; 0]);
        for level in ["none", "integrity", "confidential", ""] {
            let expected = format!("lockdown: expected `confidentiality`, saw `{level}`");
            assert_eq!(differ(Some(level)), [expected]);
        }
        let found = differ(None);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("CONFIG_SECURITY_LOCKDOWN_LSM"),
            "{found:?}"
        );
    }

    #[test]
    fn a_kernel_without_the_lockdown_lsm_is_one_that_is_not_locked_down() {
        assert_eq!(differ(|hello| hello.lockdown = None), [""; 0]);
    }

    #[test]
    fn a_guest_is_of_the_promises_that_its_plan_was_made_of_and_not_of_this_build_s() {
        let promises_sha256 = "1".repeat(64);
        let identity = Identity {
            promises_sha256: &promises_sha256,
            ..samples::IDENTITY
        };
        let mut hello = samples::hello();
        assert_eq!(differences(&samples::plan(), identity, &hello).len(), 1);
        hello.promises_sha256.clone_from(&promises_sha256);
        assert_eq!(differences(&samples::plan(), identity, &hello), [""; 0]);
    }

    #[test]
    fn an_empty_nonce_is_never_a_match() {
        let mut hello = samples::hello();
        hello.nonce.clear();
        assert_eq!(
            differences(
                &samples::plan(),
                Identity {
                    nonce: "",
                    ..samples::IDENTITY
                },
                &hello
            ),
            ["plan error: the boot has no nonce"]
        );
    }
}
