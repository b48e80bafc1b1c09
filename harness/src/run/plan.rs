//! From kernels to planned boots: which proofs run where, and what they must show.
//!
//! In: the kernels that are ready, the boots and proofs asked for, the pace. Out: for
//! each kernel the [`GuestPlan`] that goes into its image, and for each boot what the
//! launcher and the verdict need. Pure.

use std::collections::BTreeSet;

use globset::GlobSet;
use protocol::plan::{BootPlan, ExpectedMachine, Filesystem, GuestPlan, PlannedProof};

use proofs::{Boot, REAL_PROMOTION, SEAM_IS_FAITHFUL, SEAM_PROMOTION};

use crate::kernels::ReadyKernel;
use crate::outcome::SuiteId;
use crate::vm::Pace;

/// What the user asked for.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The boots.
    pub boots: &'a [Boot],
    /// Which proofs; empty means all.
    pub proofs: Option<&'a GlobSet>,
    /// Whether there is a sabotaged build to put to the proofs too.
    pub sabotaged_agent: bool,
}

/// One boot to launch and to judge.
#[derive(Debug, Clone)]
pub struct PlannedBoot {
    /// Which.
    pub suite: SuiteId,
    /// What the guest is asked, and what the verdict expects.
    pub plan: BootPlan,
    /// On the command line of this boot only, and in its hello.
    pub nonce: String,
    /// The whole of our part of the kernel's command line.
    pub cmdline: String,
}

/// Every proof of a boot, those of one configuration together. With `sabotaged_agent`, those that
/// need the sabotaged build too.
#[must_use]
pub fn catalogue(boot: Boot, sabotaged_agent: bool) -> Vec<PlannedProof> {
    let all = proofs::of_boot(boot, sabotaged_agent);
    let planned: Vec<PlannedProof> = all.iter().map(proofs::Proof::planned).collect();
    let mut configurations: Vec<&str> = Vec::new();
    for proof in &planned {
        if !configurations.contains(&proof.configuration.as_str()) {
            configurations.push(&proof.configuration);
        }
    }
    let of = |name: &str| -> Vec<PlannedProof> {
        let proofs = planned.iter();
        let of = proofs.filter(|proof| proof.configuration == name);
        of.cloned().collect()
    };
    configurations.into_iter().flat_map(of).collect()
}

/// The proofs asked for, of one boot, in the order of the catalogue.
#[must_use]
pub fn proofs(boot: Boot, wanted: &Wanted) -> Vec<PlannedProof> {
    catalogue(boot, wanted.sabotaged_agent)
        .into_iter()
        .filter(|proof| {
            let needed =
                [REAL_PROMOTION, SEAM_PROMOTION].contains(&proof.id.as_str()) && cross_boot(wanted);
            needed || is_wanted(wanted, &proof.id)
        })
        .collect()
}

/// The file systems that the proofs asked for take place on.
#[must_use]
pub fn filesystems(wanted: &Wanted) -> BTreeSet<Filesystem> {
    let proofs = wanted.boots.iter().flat_map(|&boot| proofs(boot, wanted));
    proofs.filter_map(|proof| proof.filesystem).collect()
}

/// Whether the comparison of two boots is planned: it needs both, and the user's wish.
#[must_use]
pub fn cross_boot(wanted: &Wanted) -> bool {
    let mut compared = Boot::COMPARED.iter();
    compared.all(|boot| wanted.boots.contains(boot)) && is_wanted(wanted, SEAM_IS_FAITHFUL)
}

/// The suite of a kernel's boot.
#[must_use]
pub fn suite(kernel: &str, boot: Boot) -> SuiteId {
    SuiteId {
        kernel: kernel.to_owned(),
        boot: boot.name().to_owned(),
    }
}

/// Whether nothing at all was asked for.
#[must_use]
pub fn is_empty(wanted: &Wanted) -> bool {
    !cross_boot(wanted)
        && wanted
            .boots
            .iter()
            .all(|&boot| proofs(boot, wanted).is_empty())
}

fn is_wanted(wanted: &Wanted, id: &str) -> bool {
    wanted.proofs.is_none_or(|globs| globs.is_match(id))
}

/// Plans one kernel: its boots with at least one proof, and the plan for its guest.
///
/// `nonce` is called once for each boot.
pub fn kernel(
    kernel: &ReadyKernel,
    wanted: &Wanted,
    pace: Pace,
    mut nonce: impl FnMut() -> String,
) -> (GuestPlan, Vec<PlannedBoot>) {
    let mut boots = Vec::new();
    for &boot in wanted.boots {
        let proofs = proofs(boot, wanted);
        if proofs.is_empty() {
            continue;
        }
        boots.push(self::boot(kernel, boot, boot.name(), proofs, nonce()));
    }
    (guest(kernel, pace, &boots), boots)
}

/// Plans one boot, under a name of its own.
#[must_use]
pub fn boot(
    kernel: &ReadyKernel,
    boot: Boot,
    name: &str,
    proofs: Vec<PlannedProof>,
    nonce: String,
) -> PlannedBoot {
    let (kind, ours) = (boot.kind(), arguments(boot, name));
    let cmdline = format!("{} {}{nonce}", ours.join(" "), protocol::NONCE_ARG);
    PlannedBoot {
        suite: SuiteId {
            kernel: kernel.name.clone(),
            boot: name.to_owned(),
        },
        plan: BootPlan {
            boot: name.to_owned(),
            machine: ExpectedMachine {
                release: kernel.release.clone(),
                version_word: kernel.version_word.clone(),
                cmdline: ours,
                memory_mib: kernel.memory_mib,
                processors: kind.processors,
                bpf_in_lsm: kind.bpf_in_lsm,
                locked_down: kind.locked_down,
            },
            proofs,
            bench: None,
        },
        nonce,
        cmdline,
    }
}

/// The same plan for a machine that wakes up in the other boot, which must be noticed.
#[must_use]
pub fn in_other_boot(planned: PlannedBoot, boot: Boot) -> PlannedBoot {
    let others = other(boot).kind().arguments.join(" ");
    let ours = boot.kind().arguments.join(" ");
    let cmdline = planned.cmdline.replace(&ours, &others);
    PlannedBoot { cmdline, ..planned }
}

/// The boot that a machine wakes up in if one argument of this one is wrong.
fn other(boot: Boot) -> Boot {
    match boot {
        Boot::BpfLsm | Boot::Smp => Boot::NoBpfLsm,
        Boot::NoBpfLsm | Boot::Lockdown => Boot::BpfLsm,
    }
}

/// The plan for a kernel's guest, which the command line picks one boot of.
#[must_use]
pub fn guest(kernel: &ReadyKernel, pace: Pace, boots: &[PlannedBoot]) -> GuestPlan {
    GuestPlan {
        version: protocol::VERSION,
        kernel: kernel.name.clone(),
        wait_ms: u64::try_from(pace.event_limit().as_millis()).unwrap_or(u64::MAX),
        boots: boots.iter().map(|boot| boot.plan.clone()).collect(),
    }
}

/// Our part of the command line, without the nonce.
fn arguments(boot: Boot, name: &str) -> Vec<String> {
    [
        "console=ttyS0",
        // With QEMU's -no-reboot: a panic ends the machine at once instead of hanging it.
        "panic=-1",
        // Under TCG the timer check sometimes fails on a loaded host, and panics.
        "no_timer_check",
        // A tenth of a boot under TCG is spent waiting for grace periods, at every move into
        // a cgroup and every detached tracepoint.
        "rcupdate.rcu_expedited=1",
        // TCG keeps its translations by virtual address: a program that is always loaded at the
        // same one is translated once a boot instead of at each start, which halves a start.
        "norandmaps",
        // A periodic tick. Otherwise the timer is set anew at each tick and each time that the
        // processor is idle, and each time TCG leaves the guest for QEMU's own loop: a seventh of
        // a boot's processor time.
        "nohz=off",
        "highres=off",
        "rdinit=/init",
    ]
    .iter()
    .chain(boot.kind().arguments)
    .map(|argument| (*argument).to_owned())
    .chain([format!("{}{name}", protocol::BOOT_ARG)])
    .collect()
}

#[cfg(test)]
mod tests {
    use globset::{Glob, GlobSetBuilder};
    use protocol::plan::Expectation;

    use super::*;
    use crate::kernels::manifest::Source;
    use crate::vm::Accelerator;

    fn pace() -> Pace {
        Pace::new(Accelerator::Tcg, 1, 1)
    }

    fn ready() -> ReadyKernel {
        ReadyKernel {
            name: "6.1".to_owned(),
            source: Source::Debian {
                series: "6.1".to_owned(),
                flavour: "cloud-amd64".to_owned(),
            },
            release: "6.1.0-56-cloud-amd64".to_owned(),
            version_word: Some("6.1.192-2".to_owned()),
            vmlinuz: "vmlinuz".into(),
            modules: None,
            package_version: Some("6.1.192-2".to_owned()),
            replaced: None,
            memory_mib: 256,
            skips: Vec::new(),
            allows: Vec::new(),
        }
    }

    fn wanted<'a>(boots: &'a [Boot], proofs: Option<&'a GlobSet>) -> Wanted<'a> {
        Wanted {
            boots,
            proofs,
            sabotaged_agent: true,
        }
    }

    fn globs(pattern: &str) -> GlobSet {
        let glob = Glob::new(pattern).expect("a glob");
        GlobSetBuilder::new().add(glob).build().expect("a glob set")
    }

    #[test]
    fn all_boots_are_planned_and_differ_in_bpf_lockdown_processors_and_nonce() {
        let mut next = 0;
        let nonce = || {
            next += 1;
            format!("nonce-{next}")
        };
        let (guest, boots) = kernel(&ready(), &wanted(&Boot::ALL, None), pace(), nonce);
        let plans: Vec<BootPlan> = boots.iter().map(|boot| boot.plan.clone()).collect();
        assert_eq!(guest.boots, plans);
        let has_bpf = |boot: &PlannedBoot| {
            boot.cmdline
                .split(' ')
                .any(|word| word.starts_with("lsm=") && word.ends_with(",bpf"))
        };
        let is_locked_down = |boot: &PlannedBoot| {
            let mut words = boot.cmdline.split(' ');
            words.any(|word| word == "lockdown=confidentiality")
        };
        let expected = [
            (true, false, 1),
            (false, false, 1),
            (true, false, 2),
            (true, true, 1),
        ];
        assert_eq!(boots.len(), expected.len());
        for (boot, (bpf, locked_down, processors)) in boots.iter().zip(expected) {
            let machine = &boot.plan.machine;
            assert_eq!((has_bpf(boot), is_locked_down(boot)), (bpf, locked_down));
            assert_eq!(
                (machine.bpf_in_lsm, machine.locked_down),
                (bpf, locked_down)
            );
            assert_eq!(machine.processors, processors);
        }
        for (number, boot) in (1..).zip(&boots) {
            let nonce = format!("nonce-{number}");
            assert!(boot.cmdline.ends_with(&format!("aegisbpf.nonce={nonce}")));
            for ours in &boot.plan.machine.cmdline {
                assert_eq!(
                    boot.cmdline.split(' ').filter(|word| word == ours).count(),
                    1
                );
            }
        }
    }

    #[test]
    fn a_machine_in_another_boot_differs_from_the_planned_one_in_its_arguments_alone() {
        for one in Boot::ALL {
            let name = one.name();
            let planned = boot(&ready(), one, name, Vec::new(), "n".to_owned());
            let woken = in_other_boot(planned.clone(), one);
            let mut words: Vec<&str> = planned.cmdline.split(' ').collect();
            let at = words.iter().position(|word| word.starts_with("lsm="));
            let at = at.expect("every boot has a list of LSMs");
            words.splice(
                at..at + one.kind().arguments.len(),
                other(one).kind().arguments.iter().copied(),
            );
            assert_eq!(woken.cmdline.split(' ').collect::<Vec<_>>(), words);
            assert_ne!(woken.cmdline, planned.cmdline, "{name}");
            assert_eq!(woken.plan, planned.plan);
        }
    }

    #[test]
    fn a_comparison_of_boots_needs_both_and_brings_the_reports_it_compares() {
        let only = globs(SEAM_IS_FAITHFUL);
        let both = wanted(&Boot::COMPARED, Some(&only));
        assert!(cross_boot(&both) && cross_boot(&wanted(&Boot::ALL, Some(&only))));
        let ids = |boot| -> Vec<String> {
            proofs(boot, &both)
                .into_iter()
                .map(|proof| proof.id)
                .collect()
        };
        assert_eq!(ids(Boot::NoBpfLsm), [REAL_PROMOTION]);
        assert_eq!(ids(Boot::BpfLsm), [SEAM_PROMOTION]);
        for fewer in [&[Boot::BpfLsm][..], &[Boot::NoBpfLsm, Boot::Lockdown]] {
            assert!(!cross_boot(&wanted(fewer, None)));
        }
    }

    #[test]
    fn a_boot_without_a_wanted_proof_is_not_planned() {
        let only = globs("kills-*");
        let (_, boots) = kernel(
            &ready(),
            &wanted(&Boot::ALL, Some(&only)),
            pace(),
            String::new,
        );
        assert_eq!(boots.len(), 1);
        assert_eq!(boots[0].suite.to_string(), "6.1/no-bpf-lsm");
    }

    #[test]
    fn every_planned_proof_is_one_that_can_fail() {
        for boot in Boot::ALL {
            let proofs = catalogue(boot, true);
            let ids: BTreeSet<&str> = proofs.iter().map(|proof| proof.id.as_str()).collect();
            assert_eq!(ids.len(), proofs.len(), "an id twice in {}", boot.name());
            for proof in &proofs {
                let arms: BTreeSet<&str> = proof.arms.iter().map(|arm| arm.arm.as_str()).collect();
                assert_eq!(arms.len(), proof.arms.len(), "an arm twice in {}", proof.id);
                assert!(!arms.is_empty(), "{} has no arms", proof.id);
                for arm in &proof.arms {
                    if let Expectation::Document { clauses, .. } = &arm.expect {
                        assert!(!clauses.is_empty(), "{}, {}", proof.id, arm.arm);
                    }
                }
            }
        }
    }

    #[test]
    fn proofs_of_one_configuration_stand_together() {
        for boot in Boot::ALL {
            let proofs = catalogue(boot, true);
            let mut seen: Vec<&str> = Vec::new();
            for proof in &proofs {
                if seen.last() != Some(&proof.configuration.as_str()) {
                    assert!(
                        !seen.contains(&proof.configuration.as_str()),
                        "{} comes back to {}",
                        proof.id,
                        proof.configuration
                    );
                    seen.push(&proof.configuration);
                }
            }
        }
    }
}
