//! Sabotage: the promises that an agent built for it breaks, for the proofs to catch.
//!
//! In: the variable `AEGIS_SABOTAGE`, which names one mutant. Out: an agent that is broken so. A
//! mutant of the kernel side is a file in `bpf/mutants/`, and its object is loaded in the place of
//! the real one. A mutant of user space shadows functions or types of the modules that a file of
//! this folder wraps: whoever names them by their path from the crate's root gets the shadow.
//! `lib.rs` takes the wrappers in the place of the modules, with the feature `sabotage` alone.

use std::env;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::exit::Exit;
use crate::output::log;

/// The variable that names the mutant.
const VARIABLE: &str = "AEGIS_SABOTAGE";

/// The objects of the kernel side's mutants, by name.
static OBJECTS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/mutants.rs"));

macro_rules! mutants {
    ($($(#[$doc:meta])* $mutant:ident = $name:literal,)*) => {
        /// The mutants that user space has a part in.
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub enum Mutant {
            $($(#[$doc])* $mutant,)*
        }

        const NAMES: &[(Mutant, &str)] = &[$((Mutant::$mutant, $name),)*];
    };
}

mutants! {
    /// The report has `enforce_capable: true` whatever was measured.
    AlwaysEnforceCapable = "always-enforce-capable",
    /// The report doesn't have `BPF_LSM_DISABLED`.
    HidesBlocker = "hides-blocker",
    /// The report doesn't have the seam.
    HidesSeam = "hides-seam",
    /// The report counts every rule as enforced.
    HidesUnenforced = "hides-unenforced",
    /// The report has no limits.
    HidesLimits = "hides-limits",
    /// The report has no lost events.
    HidesLostEvents = "hides-lost-events",
    /// The report names another kernel.
    NamesOtherKernel = "names-other-kernel",
    /// The report may be believed for a year.
    ReportsForAYear = "reports-for-a-year",
    /// The report is valid from when it was written, however old its evidence is.
    DatesByWriting = "dates-by-writing",
    /// How long the report is valid goes by the time of day.
    DatesByTimeOfDay = "dates-by-time-of-day",
    /// The report goes into any folder, whoever may write to it.
    TrustsAnyFolder = "trusts-any-folder",
    /// The lock of the report is a file that everybody may open.
    LocksInTheOpen = "locks-in-the-open",
    /// Names that others chose are told as they are.
    TellsNamesRaw = "tells-names-raw",
    /// The log has names as they are, with their line ends.
    LogsNamesRaw = "logs-names-raw",
    /// The report is written once.
    ReportsOnce = "reports-once",
    /// The report outlives the agent.
    LeavesReportOnStop = "leaves-report-on-stop",
    /// The seam's list counts in place of the kernel's.
    LetsSeamRaise = "lets-seam-raise",
    /// A name in the seam's list that has another in it stands for that one.
    MatchesSubstring = "matches-substring",
    /// Where it was asked to watch, it enforces.
    EnforcesWhenAuditing = "enforces-when-auditing",
    /// The gate never refuses.
    NeverRefuses = "never-refuses",
    /// A hook that attached counts as verified.
    TrustsAttach = "trusts-attach",
    /// No canary meets the decoy, and its fate is made up.
    SendsNoCanary = "sends-no-canary",
    /// A verification renews what is claimed by the canary of the first one.
    RenewsWithoutCanary = "renews-without-canary",
    /// How often the kernel skipped a program is looked at by nobody.
    OverlooksPassedOver = "overlooks-passed-over",
    /// What somebody altered in the maps of rules is seen by nobody.
    OverlooksAlteredRules = "overlooks-altered-rules",
    /// An exemption that somebody added is seen by nobody.
    OverlooksAddedExemptions = "overlooks-added-exemptions",
    /// Hooks are attached that no rule needs.
    AttachesNeedlessly = "attaches-needlessly",
    /// A rule that is known by its path alone gets no hook that sees paths.
    ForgetsPathRules = "forgets-path-rules",
    /// A rule goes by its path's spelling alone.
    ComparesPathsOnly = "compares-paths-only",
    /// What is mounted beneath a folder is held by no other mount than that.
    HoldsNothingMounted = "holds-nothing-mounted",
    /// Whoever owns a folder is taken for root.
    TrustsEveryFolder = "trusts-every-folder",
    /// Of what a rule's path led to before, only one file is remembered.
    RemembersOneFormer = "remembers-one-former",
    /// Readiness is told, and the rules wait for the next verification.
    ReadyBeforeRules = "ready-before-rules",
    /// While the agent verifies, no rule is in force.
    RestsWhileVerifying = "rests-while-verifying",
    /// The rules are gone from the first verification on.
    ForgetsRules = "forgets-rules",
    /// The agent ends as soon as it is ready.
    DiesAfterReady = "dies-after-ready",
    /// A limit on the size of files ends the agent.
    EndsAtFileLimit = "ends-at-file-limit",
    /// The kernel may kill the agent when memory runs out, and nothing says so.
    EndsWhenOutOfMemory = "ends-when-out-of-memory",
    /// The agent dies, and its programs go on with their rules.
    LeavesProgramsOnDeath = "leaves-programs-on-death",
    /// The agent stops, and its programs go on with their rules.
    LeavesProgramsOnStop = "leaves-programs-on-stop",
    /// The agent stops, and its programs go on without rules.
    LeavesIdleProgramsOnStop = "leaves-idle-programs-on-stop",
    /// The gate refuses, since the LSM programs return 0, and the agent leaves them behind.
    LeavesLinkAfterRefusing = "leaves-link-after-refusing",
    /// Its kernel side needs to know more of the kernel's types than the real one.
    IgnoresExemptDescendants = "ignores-exempt-descendants",
}

/// The name of the mutant that was chosen; `None` where nothing is to be broken.
///
/// Ends the process where there is no such mutant: it would show nothing, and look like one that
/// was caught by nobody.
fn chosen() -> Option<&'static str> {
    static CHOSEN: OnceLock<Option<&str>> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let wanted = env::var_os(VARIABLE)?;
        let names = NAMES.iter().map(|(_, name)| *name);
        let mut names = names.chain(OBJECTS.iter().map(|(name, _)| *name));
        let Some(name) = names.find(|name| wanted == *name) else {
            log::error(format_args!("{VARIABLE}: there is no mutant {wanted:?}"));
            process::exit(Exit::Usage as i32);
        };
        log::warn(format_args!("sabotaged: {name}"));
        Some(name)
    })
}

/// Makes the choice, with its end where it can't be made.
pub fn choose() {
    let _ = chosen();
}

/// Whether this is to be broken.
pub fn is(mutant: Mutant) -> bool {
    NAMES.contains(&(mutant, chosen().unwrap_or_default()))
}

/// Whether this is asked for, where the choice can't be made: telling it needs what is to be broken.
pub fn is_wanted(mutant: Mutant) -> bool {
    let wanted = env::var_os(VARIABLE);
    let mut names = NAMES.iter().filter(|(known, _)| *known == mutant);
    wanted.is_some_and(|wanted| names.any(|(_, name)| wanted == *name))
}

/// The chosen mutant's object, if the kernel side has a part in it.
pub fn object() -> Option<&'static [u8]> {
    let name = chosen()?;
    let (_, object) = OBJECTS.iter().find(|(known, _)| *known == name)?;
    Some(object)
}

/// Whether the maps are to hold no rules of the policy, whoever fills them.
static RESTING: AtomicBool = AtomicBool::new(false);

/// Keeps the rules of the policy out of the maps from their next filling on, or lets them in.
pub fn rest(resting: bool) {
    RESTING.store(resting, Ordering::Relaxed);
}

/// Whether they are kept out.
pub fn is_resting() -> bool {
    RESTING.load(Ordering::Relaxed)
}

/// Leaves a process behind that holds every descriptor of this one but the pipes, which somebody
/// reads to their end.
pub fn leave_holder() {
    // SAFETY: this process has one thread, so the child may do anything that it could.
    if unsafe { libc::fork() } != 0 {
        return;
    }
    for fd in 0..1024 {
        // SAFETY: all zeros is a valid stat, which the call fills; the child closes only its own
        // descriptors, and uses none of them.
        unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            if libc::fstat(fd, &raw mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFIFO {
                libc::close(fd);
            }
        }
    }
    loop {
        // SAFETY: it only waits.
        unsafe { libc::pause() };
    }
}
