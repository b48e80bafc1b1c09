//! The mutants, as data: what each breaks, and the proof that must find it out.

use crate::outcome::Status;
use crate::plan::Boot;
use crate::verdict::UNDECLARED_SKIP;

/// Something that is broken on purpose.
#[derive(Debug, Clone, Copy)]
pub struct Mutant {
    /// Its name, as the agent or the guest knows it.
    pub name: &'static str,
    /// What it breaks, in words.
    pub breaks: &'static str,
    /// Where it is tried.
    pub boot: Boot,
    /// The proof of the broken promise.
    pub proof: &'static str,
    /// The arm of that proof in which it must show.
    pub arm: &'static str,
    /// What the reason must say, so that it is about this promise and no other.
    pub says: &'static str,
    /// How it must show: only what is broken around the agent may leave a proof incomplete.
    pub shows_as: Status,
    /// How it is tried.
    pub way: Way,
    /// Whether what it breaks ends the agent, or keeps it up, where a proof counts on the other:
    /// then the rest can't be observed. With any other mutant that shows a crash, and no more.
    pub breaks_off: bool,
}

/// How a mutant is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In one boot with others.
    Shared,
    /// In a boot of its own, which it spoils for others.
    Alone,
    /// With nothing broken but the boot: it is the other one.
    WrongBoot,
    /// In no boot: of the control's records, this arm's is lost before they are judged.
    LostRecord,
}

/// Shared by all that shows in the act of a signal proof.
const KILLS: &str = "kills-denied-open";
const DENIES: &str = "enforce-denies-open";

/// Every mutant, in the order in which they are reported.
#[must_use]
pub fn all() -> Vec<Mutant> {
    let mut all = signal();
    all.extend(modret());
    all.extend(no_bpf_lsm());
    all.extend(bpf_lsm());
    all.extend(alone());
    all.extend(world());
    all
}

fn mutant(
    boot: Boot,
    name: &'static str,
    breaks: &'static str,
    [proof, arm, says]: [&'static str; 3],
) -> Mutant {
    Mutant {
        name,
        breaks,
        boot,
        proof,
        arm,
        says,
        shows_as: Status::Failed,
        way: Way::Shared,
        breaks_off: false,
    }
}

/// The same mutant, where what it breaks is that the agent ends or doesn't end.
fn breaking_off(mutant: Mutant) -> Mutant {
    Mutant {
        breaks_off: true,
        ..mutant
    }
}

/// Of the signal tier.
fn signal() -> Vec<Mutant> {
    let signal = |name, breaks, caught_by| mutant(Boot::NoBpfLsm, name, breaks, caught_by);
    vec![
        signal(
            "never-signals",
            "no signal is sent, and a kill is told",
            [KILLS, "during", "expected killed by SIGKILL, saw allowed"],
        ),
        signal(
            "signals-only-canaries",
            "only the agent's own canary is signalled",
            [KILLS, "during", "expected killed by SIGKILL, saw allowed"],
        ),
        signal(
            "signals-sigterm",
            "SIGTERM is sent, which a process may ignore",
            [KILLS, "during", "saw killed by SIGTERM"],
        ),
        signal(
            "denies-neighbours",
            "whoever opens a file beside a denied one is killed",
            [KILLS, "benign", "expected allowed, saw killed by SIGKILL"],
        ),
        signal(
            "ignores-exemptions",
            "whoever is exempt is killed",
            [KILLS, "exempt", "expected allowed, saw killed by SIGKILL"],
        ),
        signal(
            "ignores-exempt-descendants",
            "a child cgroup of an exempt one isn't exempt",
            [
                KILLS,
                "exempt-child",
                "expected allowed, saw killed by SIGKILL",
            ],
        ),
        signal(
            "tells-kill-as-denial",
            "a kill after the fact is told as a denial",
            [KILLS, "during", "expected outcome `killed`, saw `denied`"],
        ),
        signal(
            "names-wrong-pid",
            "events name another process",
            [
                KILLS,
                "during",
                "expected the agent's event `killed`, saw none",
            ],
        ),
        signal(
            "ignores-helper-result",
            "the signal helper refuses, and a kill is told",
            [KILLS, "during", "expected signal result 0"],
        ),
        signal(
            "drops-every-second-event",
            "every second event is told to nobody",
            ["signal-holds-out", "during", "/untold: expected 0"],
        ),
        signal(
            "kills-protected",
            "protected executables are signalled too",
            [
                "signal-spares-protected",
                "protected",
                "/fate: expected \"allowed\", saw \"SIGKILL\"",
            ],
        ),
        breaking_off(signal(
            "kills-agent",
            "the agent is signalled too",
            ["signal-spares-protected", "agent", "/up: expected true"],
        )),
        signal(
            "overlooks-passed-over",
            "nobody looks at how often the kernel skipped a program",
            [
                "signal-admits-passed-over",
                "report-of-loss",
                r#"/runtime_state: expected "DEGRADED", saw "ENFORCE_SIGNAL""#,
            ],
        ),
        signal(
            "attaches-needlessly",
            "tracepoints are attached that no rule needs",
            [
                "signal-attaches-what-is-needed",
                "at-start",
                r#"/programs: expected ["sig_file_open"], saw ["sig_creat""#,
            ],
        ),
        signal(
            "forgets-path-rules",
            "no tracepoint is attached for a rule that is known by its path alone",
            [
                "signal-attaches-what-is-needed",
                "by-path",
                r#"/fate: expected "SIGKILL", saw "allowed""#,
            ],
        ),
        signal(
            "compares-paths-only",
            "a rule goes by its path's spelling",
            ["signal-kills-relative-path", "during", "saw allowed"],
        ),
    ]
}

/// Of the tier that modifies return values: what could be broken there alone.
fn modret() -> Vec<Mutant> {
    let modret = |name, breaks, caught_by| mutant(Boot::NoBpfLsm, name, breaks, caught_by);
    let denied = "expected denied with EPERM, saw allowed";
    vec![
        modret(
            "denies-only-canaries",
            "nothing but the agent's own canary is denied, and the state is ENFORCE_MODRET",
            ["modret-denies-open", "during", denied],
        ),
        modret(
            "tires-after-100",
            "nothing is denied any more after 100 decisions",
            [
                "modret-holds-out",
                "during",
                r#"/fates: expected {"EPERM":128}, saw {"EPERM":"#,
            ],
        ),
        modret(
            "spares-threads",
            "only a process's first thread is denied",
            ["modret-stops-io-uring-worker", "during", "saw allowed"],
        ),
    ]
}

/// Of what is claimed without the BPF LSM.
fn no_bpf_lsm() -> Vec<Mutant> {
    let mutant = |name, breaks, caught_by| mutant(Boot::NoBpfLsm, name, breaks, caught_by);
    vec![
        mutant(
            "always-enforce-capable",
            "enforce_capable is true whatever was measured",
            ["no-pretend", "report", "/enforce_capable: expected false"],
        ),
        mutant(
            "hides-blocker",
            "BPF_LSM_DISABLED isn't among the blockers",
            [
                "no-pretend",
                "report",
                r#"/enforce_blockers: expected an element "BPF_LSM_DISABLED", saw an empty list"#,
            ],
        ),
        mutant(
            "sends-no-canary",
            "the canary's fate is made up",
            [
                "promotes-to-enforce-signal",
                "report",
                r#"/runtime_state: expected "ENFORCE_SIGNAL", saw "AUDIT_FALLBACK""#,
            ],
        ),
        mutant(
            "trusts-attach",
            "a hook that attached counts as verified",
            [
                "attach-is-not-enforcement",
                "capabilities",
                // What it saw: fired, with nothing to show for it.
                r#""evidence":null,"fired":true,"hook":"lsm/file_open""#,
            ],
        ),
        mutant(
            "hides-unenforced",
            "every rule counts as enforced",
            [
                "audit-fallback-when-asked",
                "report",
                "/rules/enforced: expected 0, saw 1",
            ],
        ),
        mutant(
            "enforces-when-auditing",
            "where it was asked to watch, the agent kills",
            [
                "audit-fallback-when-asked",
                "during",
                "expected allowed, saw killed",
            ],
        ),
        mutant(
            "hides-limits",
            "the report tells of nothing that the tier doesn't stop",
            [
                "signal-term-can-be-ignored",
                "report",
                r#"/classes/file/limits: expected an element "catchable_signal", saw an empty list"#,
            ],
        ),
        breaking_off(mutant(
            "never-refuses",
            "the gate lets the agent run where it must refuse",
            [
                "fails-closed-without-opt-in",
                "exit",
                "expected exit code 3",
            ],
        )),
        mutant(
            "lets-seam-raise",
            "the seam's list counts in place of the kernel's",
            [
                "seam-never-raises",
                "report",
                r#"/enforce_blockers: expected ["BPF_LSM_DISABLED"], saw ["LSM_"#,
            ],
        ),
    ]
}

/// Of the BPF LSM's tier.
fn bpf_lsm() -> Vec<Mutant> {
    let mutant = |name, breaks, caught_by| mutant(Boot::BpfLsm, name, breaks, caught_by);
    vec![
        mutant(
            "denies-everything",
            "every file that is opened is denied",
            [DENIES, "benign", "expected allowed, saw denied with EPERM"],
        ),
        Mutant {
            shows_as: Status::UnexpectedPass,
            ..mutant(
                "denies-other-names",
                "a leak that is declared, a hard link out of a denied folder, doesn't leak",
                [
                    "enforce-leaks-hardlink-out-of-folder",
                    "during",
                    "unexpected pass: `hardlink_out_of_folder` is declared",
                ],
            )
        },
        mutant(
            "denies-only-canaries",
            "nothing but the agent's own canary is denied, and the state is ENFORCE",
            [DENIES, "during", "expected denied with EPERM, saw allowed"],
        ),
        mutant(
            "ready-before-rules",
            "the agent is ready before its rules are in force",
            [DENIES, "during", "expected denied with EPERM, saw allowed"],
        ),
        mutant(
            "tires-after-100",
            "nothing is denied any more after 100 decisions",
            [
                "enforce-holds-out",
                "during",
                r#"/fates: expected {"EPERM":128}, saw {"EPERM":"#,
            ],
        ),
        mutant(
            "spares-threads",
            "only a process's first thread is denied",
            ["enforce-stops-io-uring-worker", "during", "saw allowed"],
        ),
        mutant(
            "stays-below-mounts",
            "a folder with a rule doesn't cover what is mounted in it",
            [
                "enforce-holds-folder",
                "in-a-mount",
                r#"/fate: expected "EPERM", saw "allowed""#,
            ],
        ),
        mutant(
            "spares-users",
            "whoever isn't root is let by",
            ["enforce-stops-other-user", "during", "saw allowed"],
        ),
        mutant(
            "rests-while-verifying",
            "no rule is in force while the agent verifies",
            [
                "enforce-renews-evidence",
                "meanwhile",
                r#"/fates: expected ["EPERM"], saw ["EPERM","allowed"]"#,
            ],
        ),
        mutant(
            "spares-second-try",
            "a process that tries again is let by",
            [
                "enforce-holds-out",
                "during",
                r#"/fates: expected {"EPERM":128}, saw {"allowed":128}"#,
            ],
        ),
        mutant(
            "denies-with-eacces",
            "another error than the canary's",
            [
                DENIES,
                "during",
                "expected denied with EPERM, saw denied with EACCES",
            ],
        ),
        mutant(
            "leaves-report-on-stop",
            "the report outlives the agent",
            [
                "enforce-leaves-nothing-behind",
                "report",
                "/there: expected false",
            ],
        ),
        mutant(
            "hides-lost-events",
            "the report counts no event that was lost",
            [
                "enforce-accounts-for-lost-events",
                "during",
                "/accounted: expected 832",
            ],
        ),
        breaking_off(mutant(
            "dies-after-ready",
            "the agent ends as soon as it is ready",
            ["enforce-stays-up", "verified-again", "/up: expected true"],
        )),
        mutant(
            "reports-once",
            "the report is written once and never again",
            [
                "enforce-notices-lost-program",
                "report-of-loss",
                "/runtime_state: expected \"DEGRADED\"",
            ],
        ),
        mutant(
            "forgets-rules",
            "the rules are gone from the first verification on",
            [
                "enforce-notices-lost-program",
                "again",
                "expected denied with EPERM, saw allowed",
            ],
        ),
        mutant(
            "renews-without-canary",
            "a claim is renewed without another canary",
            ["enforce-renews-evidence", "renewed", "\"same_canary\":true"],
        ),
        mutant(
            "reports-for-a-year",
            "the report may be believed for a year",
            [
                "enforce-renews-evidence",
                "renewed",
                "/valid_for_ms: expected",
            ],
        ),
        mutant(
            "names-other-kernel",
            "the report is of another kernel than the agent's",
            [
                "enforce-tells-of-this-machine",
                "report",
                "/kernel_version/same: expected true",
            ],
        ),
        mutant(
            "hides-seam",
            "the report doesn't tell of the seam",
            [
                "seam-promotes-to-enforce-signal",
                "report",
                "/test_seams: must not be []",
            ],
        ),
        mutant(
            "matches-substring",
            "notbpf in the seam's list is taken for bpf",
            [
                "seam-takes-whole-names",
                "report",
                "/runtime_state: expected \"AUDIT_FALLBACK\"",
            ],
        ),
    ]
}

/// What spoils the machine for others.
fn alone() -> Vec<Mutant> {
    let leaves = |name, breaks, caught_by| Mutant {
        way: Way::Alone,
        ..mutant(Boot::BpfLsm, name, breaks, caught_by)
    };
    let nothing_behind = "enforce-leaves-nothing-behind";
    let left = "expected no BPF program or link to be left";
    vec![
        leaves(
            "leaves-programs-on-stop",
            "the agent stops, and its programs go on denying",
            [
                nothing_behind,
                "after",
                "expected allowed, saw denied with EPERM",
            ],
        ),
        leaves(
            "leaves-idle-programs-on-stop",
            "the agent stops, and its programs stay, without rules",
            [nothing_behind, "left-behind", left],
        ),
        leaves(
            "leaves-programs-on-death",
            "the agent is killed, and its programs go on denying",
            [
                "enforce-ends-with-its-agent",
                "after",
                "expected allowed, saw denied with EPERM",
            ],
        ),
        leaves(
            "leaves-link-after-refusing",
            "the agent refuses, and its programs stay",
            ["refuses-hook-that-returns-zero", "left-behind", left],
        ),
    ]
}

/// What is broken around the agent.
fn world() -> Vec<Mutant> {
    let incomplete = |name, breaks, caught_by, way| Mutant {
        shows_as: Status::Incomplete,
        way,
        ..mutant(Boot::BpfLsm, name, breaks, caught_by)
    };
    vec![
        mutant(
            Boot::BpfLsm,
            "secret-missing",
            "the file that is to be denied isn't there",
            [DENIES, "before", "expected allowed, saw denied with ENOENT"],
        ),
        incomplete(
            "arm-skipped",
            "the last act of a proof is told to nobody",
            [DENIES, "after", "no evidence came"],
            Way::Shared,
        ),
        incomplete(
            "record-lost",
            "a record is lost on its way to the host",
            [DENIES, "benign", "no evidence came"],
            Way::LostRecord,
        ),
        incomplete(
            "wrong-boot",
            "the guest woke up in the other boot",
            [DENIES, "not judged", "LSM list: expected `bpf`"],
            Way::WrongBoot,
        ),
        lacking(
            "no-io-uring",
            "the kernel has no io_uring",
            "enforce-stops-io-uring",
            "the kernel has no io_uring (CONFIG_IO_URING)",
        ),
        lacking(
            "no-userfaultfd",
            "the kernel has no userfaultfd",
            "enforce-stops-late-path",
            "the kernel has no userfaultfd (CONFIG_USERFAULTFD)",
        ),
        lacking(
            "no-fanotify",
            "the kernel has no fanotify",
            "enforce-stops-fanotify",
            "the kernel has no fanotify (CONFIG_FANOTIFY)",
        ),
        lacking(
            "no-ia32-emulation",
            "the kernel takes no 32-bit system calls",
            "enforce-stops-compat",
            "the kernel takes no 32-bit system calls (CONFIG_IA32_EMULATION)",
        ),
        lacking(
            "no-user-namespaces",
            "the kernel allows no user namespaces",
            "enforce-stops-user-namespace",
            "the kernel's user namespaces (CONFIG_USER_NS) are switched off",
        ),
    ]
}

/// A kernel that lacks what a proof needs, which mustn't be taken for a denial or a broken promise.
fn lacking(
    name: &'static str,
    breaks: &'static str,
    proof: &'static str,
    says: &'static str,
) -> Mutant {
    Mutant {
        shows_as: Status::UndeclaredSkip,
        ..mutant(Boot::BpfLsm, name, breaks, [proof, UNDECLARED_SKIP, says])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use protocol::sabotage::World;

    use super::*;
    use crate::plan::catalogue;

    #[test]
    fn a_mutant_is_tried_once_in_a_boot_and_says_what_it_breaks() {
        let all = all();
        let names: BTreeSet<(&str, &str)> = all
            .iter()
            .map(|mutant| (mutant.boot.name(), mutant.name))
            .collect();
        assert_eq!(names.len(), all.len());
        assert!(
            all.iter()
                .all(|mutant| !mutant.breaks.is_empty() && !mutant.says.is_empty())
        );
    }

    #[test]
    fn every_mutant_is_caught_by_an_arm_that_is_planned_where_it_is_tried() {
        for mutant in all() {
            let proofs = catalogue::proofs(mutant.boot, true);
            let proof = proofs.iter().find(|proof| proof.id == mutant.proof);
            let proof = proof.unwrap_or_else(|| panic!("{}: {}", mutant.name, mutant.proof));
            let there = proof.arms.iter().any(|arm| arm.arm == mutant.arm);
            let of_none = mutant.way == Way::WrongBoot || mutant.arm == UNDECLARED_SKIP;
            assert!(there || of_none, "{}", mutant.name);
        }
    }

    #[test]
    fn a_broken_agent_must_fail_its_proof() {
        let of_world = ["arm-skipped", "record-lost", "wrong-boot"];
        for mutant in all() {
            let may_be_incomplete = of_world.contains(&mutant.name);
            assert_eq!(mutant.shows_as == Status::Incomplete, may_be_incomplete);
            let is_skip = mutant.shows_as == Status::UndeclaredSkip;
            assert!(!is_skip || World::from_name(mutant.name).is_some());
        }
    }
}
