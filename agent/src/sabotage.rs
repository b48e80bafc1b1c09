//! Sabotage: the promises that an agent built for it breaks, for the proofs to catch.
//!
//! In: the variable `AEGIS_SABOTAGE`. Out: for each place where a promise is kept, whether it
//! is to be broken instead. Only a build with the feature `sabotage` can be told so. In every
//! other one [`is`] is never true, so that the compiler removes what hangs on it, and neither
//! the variable's name nor a mutant's is in the binary.

/// What can be broken; one at a time. The numbers are those of `bpf/sabotage.bpf.h`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Mutant {
    /// The LSM program counts, tells, and returns 0.
    LsmReturnsZero = 1,
    /// The signal tier sends no signal, and says that it did.
    NeverSignals = 2,
    /// The same, but for the canary.
    SignalsOnlyCanaries = 3,
    /// A file beside a denied one is denied too.
    DeniesNeighbours = 4,
    /// Nobody is exempt.
    IgnoresExemptions = 5,
    /// An exempt cgroup's children aren't exempt.
    IgnoresExemptDescendants = 6,
    /// Every file that is opened to be read is denied.
    DeniesEverything = 7,
    /// Only the canary is denied.
    DeniesOnlyCanaries = 8,
    /// After 100 decisions nothing is denied any more, only told so.
    TiresAfter100 = 9,
    /// The signal helper fails, and a kill is told all the same.
    IgnoresHelperResult = 10,
    /// Threads other than a process's first aren't denied.
    SparesThreads = 11,
    /// The signal tier sends SIGTERM.
    SignalsSigterm = 12,
    /// The report has `enforce_capable: true` whatever was measured.
    AlwaysEnforceCapable = 13,
    /// The report doesn't have `BPF_LSM_DISABLED`.
    HidesBlocker = 14,
    /// The report doesn't have the seam.
    HidesSeam = 15,
    /// The seam's list counts in place of the kernel's.
    LetsSeamRaise = 16,
    /// The report is written once.
    ReportsOnce = 17,
    /// A kill is told as a denial.
    TellsKillAsDenial = 18,
    /// Every second event is told to nobody.
    DropsEverySecondEvent = 19,
    /// Events name another process.
    NamesWrongPid = 20,
    /// A name in the seam's list that has another in it stands for that one.
    MatchesSubstring = 21,
    /// A hook that attached counts as verified.
    TrustsAttach = 22,
    /// The gate never refuses.
    NeverRefuses = 23,
    /// The LSM program returns 0, and the refusing agent leaves it behind.
    LeavesLinkAfterRefusing = 24,
    /// Readiness is told, and the rules wait for the next verification.
    ReadyBeforeRules = 25,
    /// The agent ends as soon as it is ready.
    DiesAfterReady = 26,
    /// A rule goes by its path's spelling alone.
    ComparesPathsOnly = 27,
    /// The agent stops, and its programs go on with their rules.
    LeavesProgramsOnStop = 28,
    /// The agent stops, and its programs go on without rules.
    LeavesIdleProgramsOnStop = 29,
    /// The canary stays where it is, and its fate is made up.
    SendsNoCanary = 30,
    /// A verification renews what is claimed without sending the canary again.
    RenewsWithoutCanary = 31,
    /// The rules are gone from the first verification on.
    ForgetsRules = 32,
    /// The report may be believed for a year.
    ReportsForAYear = 33,
    /// A process's second try is let by.
    SparesSecondTry = 34,
    /// What is denied fails with another error than the canary met.
    DeniesWithEacces = 35,
    /// The report counts every rule as enforced.
    HidesUnenforced = 36,
    /// The report has no limits.
    HidesLimits = 37,
    /// Where it was asked to watch, it enforces.
    EnforcesWhenAuditing = 38,
    /// The report outlives the agent.
    LeavesReportOnStop = 39,
    /// Protected executables are signalled too.
    KillsProtected = 40,
    /// The agent is signalled too, the second time that it opens what is denied.
    KillsAgent = 41,
    /// The agent dies, and its programs go on with their rules.
    LeavesProgramsOnDeath = 42,
    /// The report has no lost events.
    HidesLostEvents = 43,
    /// The signal helper fails for all but the canary.
    SignalRefused = 44,
    /// The kernel is given no valid program for the hook that guards renames.
    RejectsGuard = 45,
    /// The kernel is given no valid program of the BPF LSM's.
    RejectsLsm = 46,
    /// Whatever has more than one name is denied, which is more than is promised.
    DeniesOtherNames = 47,
    /// Whoever isn't root isn't denied.
    SparesUsers = 48,
    /// While the agent verifies, no rule is in force.
    RestsWhileVerifying = 49,
    /// The report names another kernel.
    NamesOtherKernel = 50,
    /// How often the kernel passed over a program is looked at by nobody.
    OverlooksPassedOver = 51,
}

#[cfg(not(any(test, feature = "sabotage")))]
mod choice {
    use super::Mutant;

    /// Whether this is to be broken: never.
    #[inline(always)]
    pub const fn is(_: Mutant) -> bool {
        false
    }

    /// There is nothing to choose.
    #[inline(always)]
    pub const fn choose() -> Result<(), String> {
        Ok(())
    }

    /// Nobody is left behind.
    #[inline(always)]
    pub const fn leave_holder() {}

    /// Nothing is counted.
    #[inline(always)]
    pub const fn is_second() -> bool {
        false
    }
}

// In this crate's own tests too, which ship nothing: they hold the table against the header.
#[cfg(any(test, feature = "sabotage"))]
mod choice {
    use std::env;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Mutant;
    use crate::output::log;

    /// The variable that names the mutant.
    const VARIABLE: &str = "AEGIS_SABOTAGE";

    /// Every mutant with its name.
    pub(super) const NAMES: [(Mutant, &str); 51] = [
        (Mutant::LsmReturnsZero, "lsm-returns-zero"),
        (Mutant::NeverSignals, "never-signals"),
        (Mutant::SignalsOnlyCanaries, "signals-only-canaries"),
        (Mutant::DeniesNeighbours, "denies-neighbours"),
        (Mutant::IgnoresExemptions, "ignores-exemptions"),
        (
            Mutant::IgnoresExemptDescendants,
            "ignores-exempt-descendants",
        ),
        (Mutant::DeniesEverything, "denies-everything"),
        (Mutant::DeniesOnlyCanaries, "denies-only-canaries"),
        (Mutant::TiresAfter100, "tires-after-100"),
        (Mutant::IgnoresHelperResult, "ignores-helper-result"),
        (Mutant::SparesThreads, "spares-threads"),
        (Mutant::SignalsSigterm, "signals-sigterm"),
        (Mutant::AlwaysEnforceCapable, "always-enforce-capable"),
        (Mutant::HidesBlocker, "hides-blocker"),
        (Mutant::HidesSeam, "hides-seam"),
        (Mutant::LetsSeamRaise, "lets-seam-raise"),
        (Mutant::ReportsOnce, "reports-once"),
        (Mutant::TellsKillAsDenial, "tells-kill-as-denial"),
        (Mutant::DropsEverySecondEvent, "drops-every-second-event"),
        (Mutant::NamesWrongPid, "names-wrong-pid"),
        (Mutant::MatchesSubstring, "matches-substring"),
        (Mutant::TrustsAttach, "trusts-attach"),
        (Mutant::NeverRefuses, "never-refuses"),
        (
            Mutant::LeavesLinkAfterRefusing,
            "leaves-link-after-refusing",
        ),
        (Mutant::ReadyBeforeRules, "ready-before-rules"),
        (Mutant::DiesAfterReady, "dies-after-ready"),
        (Mutant::ComparesPathsOnly, "compares-paths-only"),
        (Mutant::LeavesProgramsOnStop, "leaves-programs-on-stop"),
        (
            Mutant::LeavesIdleProgramsOnStop,
            "leaves-idle-programs-on-stop",
        ),
        (Mutant::SendsNoCanary, "sends-no-canary"),
        (Mutant::RenewsWithoutCanary, "renews-without-canary"),
        (Mutant::ForgetsRules, "forgets-rules"),
        (Mutant::ReportsForAYear, "reports-for-a-year"),
        (Mutant::SparesSecondTry, "spares-second-try"),
        (Mutant::DeniesWithEacces, "denies-with-eacces"),
        (Mutant::HidesUnenforced, "hides-unenforced"),
        (Mutant::HidesLimits, "hides-limits"),
        (Mutant::EnforcesWhenAuditing, "enforces-when-auditing"),
        (Mutant::LeavesReportOnStop, "leaves-report-on-stop"),
        (Mutant::KillsProtected, "kills-protected"),
        (Mutant::KillsAgent, "kills-agent"),
        (Mutant::LeavesProgramsOnDeath, "leaves-programs-on-death"),
        (Mutant::HidesLostEvents, "hides-lost-events"),
        (Mutant::SignalRefused, "signal-refused"),
        (Mutant::RejectsGuard, "rejects-guard"),
        (Mutant::RejectsLsm, "rejects-lsm"),
        (Mutant::DeniesOtherNames, "denies-other-names"),
        (Mutant::SparesUsers, "spares-users"),
        (Mutant::RestsWhileVerifying, "rests-while-verifying"),
        (Mutant::NamesOtherKernel, "names-other-kernel"),
        (Mutant::OverlooksPassedOver, "overlooks-passed-over"),
    ];

    static CHOSEN: OnceLock<Mutant> = OnceLock::new();

    /// Takes the choice out of the environment; without one, nothing is broken.
    ///
    /// # Errors
    /// There is no such mutant: it would show nothing, and look like one that was caught by
    /// nobody.
    pub fn choose() -> Result<(), String> {
        let Some(name) = env::var_os(VARIABLE) else {
            return Ok(());
        };
        let mut names = NAMES.iter();
        let Some((mutant, name)) = names.find(|(_, known)| name == *known) else {
            return Err(format!("{VARIABLE}: there is no mutant {name:?}"));
        };
        log::warn(format_args!("sabotaged: {name}"));
        CHOSEN.get_or_init(|| *mutant);
        Ok(())
    }

    /// Whether this is to be broken.
    pub fn is(mutant: Mutant) -> bool {
        CHOSEN.get() == Some(&mutant)
    }

    /// The chosen mutant's number for the programs; 0 stands for none.
    pub fn number() -> u32 {
        CHOSEN.get().map_or(0, |mutant| *mutant as u32)
    }

    /// Whether this is the second of two calls.
    pub fn is_second() -> bool {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        CALLS.fetch_add(1, Ordering::Relaxed) % 2 == 1
    }

    /// Leaves a process behind that holds every descriptor of this one but the pipes, which
    /// somebody reads to their end.
    pub fn leave_holder() {
        // SAFETY: this process has one thread, so the child may do anything that it could.
        if unsafe { libc::fork() } != 0 {
            return;
        }
        for fd in 0..1024 {
            // SAFETY: all zeros is a valid stat, which the call fills; the child closes only
            // its own descriptors, and uses none of them.
            unsafe {
                let mut stat: libc::stat = std::mem::zeroed();
                if libc::fstat(fd, &raw mut stat) == 0
                    && stat.st_mode & libc::S_IFMT == libc::S_IFIFO
                {
                    libc::close(fd);
                }
            }
        }
        loop {
            // SAFETY: it only waits.
            unsafe { libc::pause() };
        }
    }
}

#[cfg(any(test, feature = "sabotage"))]
pub use choice::number;
pub use choice::{choose, is, is_second, leave_holder};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_mutant_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = choice::NAMES.iter().map(|(_, name)| *name).collect();
        let numbers: BTreeSet<u32> = choice::NAMES.iter().map(|(m, _)| *m as u32).collect();
        assert_eq!(names.len(), choice::NAMES.len());
        assert_eq!(numbers, (1..=choice::NAMES.len() as u32).collect());
    }

    #[test]
    fn the_kernel_side_has_the_same_numbers() {
        let header = include_str!("../../bpf/sabotage.bpf.h");
        let numbers = header.lines().filter_map(|line| {
            let (name, number) = line.trim().strip_prefix("MUTANT_")?.split_once(" = ")?;
            Some((
                name.to_owned(),
                number.trim_end_matches(',').parse().unwrap(),
            ))
        });
        let numbers: Vec<(String, u32)> = numbers.collect();
        assert!(!numbers.is_empty());
        for (name, number) in numbers {
            let known = choice::NAMES
                .iter()
                .find(|(m, _)| *m as u32 == number)
                .unwrap()
                .1;
            assert_eq!(name, known.replace('-', "_").to_uppercase());
        }
    }
}
