//! Why the kernel refused a map, a program or a link, what the call requires, and which of these the
//! host has.
//!
//! In: the call that failed with its error, and [`HostFacts`]. Out: a sentence with the way out.
//! Pure; the facts are looked up by [`crate::host::facts`].

use std::error::Error;
use std::fmt::{Display, Formatter};
use std::io;

use crate::kernel::bpf_call::{Target, Unlinked};
use crate::kernel::occupants::Occupants;

/// How many lines of the verifier's log go into a reason: its verdict stands at the end.
const LOG_TAIL: usize = 3;

/// Numbers of capabilities, from linux/capability.h.
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// The highest value of kernel.perf_event_paranoid that the kernel itself knows. Debian and Ubuntu
/// ask for CAP_SYS_ADMIN above it.
const PARANOID_MAX: i32 = 2;

/// What didn't come about, and why.
#[derive(Debug)]
pub enum Refusal {
    /// Our object or the kernel doesn't have what is needed; the whole sentence.
    Absent(String),
    /// A program wasn't loaded.
    Load {
        /// The kernel's.
        error: io::Error,
        /// The verifier's.
        log: String,
    },
    /// A program wasn't linked.
    Link(io::Error),
    /// The program's function takes no more of them.
    Full(io::Error, Occupants),
    /// A perf event wasn't opened, or doesn't run the program.
    PerfEvent(io::Error, Event),
    /// sysfs has no kind of perf event for kprobes.
    NoKprobes(io::Error),
    /// tracefs doesn't have the tracepoint.
    NoTracepoint(io::Error),
}

/// Which perf event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Of a function's entry.
    Kprobe,
    /// Of a tracepoint.
    Tracepoint,
}

/// What there is on this host of what the kernel asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// This process's effective capabilities, a bit each.
    pub capabilities: u64,
    /// Whether it holds them in the initial user namespace, the only one where they count for BPF.
    pub in_initial_user_namespace: bool,
    /// Whether a seccomp filter sees its system calls.
    pub seccomp_filter: bool,
    /// What the kernel is locked down to.
    pub lockdown: Lockdown,
    /// kernel.unprivileged_bpf_disabled; `None` if it can't be read.
    pub unprivileged_bpf_disabled: Option<i32>,
    /// kernel.perf_event_paranoid; `None` if it can't be read.
    pub perf_event_paranoid: Option<i32>,
    /// RLIMIT_MEMLOCK in bytes; `None` if it is unlimited.
    pub memlock: Option<u64>,
    /// Whether the kernel charges the memory of BPF to that limit, as those before 5.11 do.
    pub charges_memlock: bool,
    /// The active LSMs; `None` if the list can't be read.
    pub lsms: Option<Vec<String>>,
    /// Whether sysfs is there.
    pub sysfs: bool,
    /// What there is of tracefs.
    pub tracefs: Tracefs,
}

/// What the kernel is locked down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lockdown {
    /// Nothing.
    None,
    /// Nobody changes the running kernel.
    Integrity,
    /// Nor does anybody read its memory, by kprobes and tracepoints among others.
    Confidentiality,
    /// It can't be read: securityfs isn't mounted.
    Unknown,
}

/// What there is of tracefs, where tracepoints have their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracefs {
    /// The kernel doesn't know this file system.
    Unknown,
    /// It isn't mounted where it is looked for.
    Unmounted,
    /// It is mounted, and has no tracepoints of system calls.
    WithoutSyscalls,
    /// It is mounted, with tracepoints of system calls.
    Whole,
}

impl Refusal {
    /// Why a program isn't linked to its target. `occupants` gets the function's number and lists the
    /// programs on it; it is called only if the function takes no more.
    pub fn unlinked(
        unlinked: Unlinked,
        target: Target,
        occupants: impl FnOnce(u32) -> Occupants,
    ) -> Self {
        match (unlinked, target) {
            (Unlinked::Link(error), Target::Lsm(function) | Target::ModifyReturn(function))
                if error.raw_os_error() == Some(libc::E2BIG) =>
            {
                Self::Full(error, occupants(function))
            }
            (Unlinked::Link(error), _) => Self::Link(error),
            (Unlinked::KprobeKind(error), _) => Self::NoKprobes(error),
            (Unlinked::TracepointNumber(error), _) => Self::NoTracepoint(error),
            (Unlinked::PerfEvent(error), Target::Kprobe(_)) => {
                Self::PerfEvent(error, Event::Kprobe)
            }
            (Unlinked::PerfEvent(error), _) => Self::PerfEvent(error, Event::Tracepoint),
        }
    }

    /// What happened, and the way out as far as the facts show one.
    pub fn explain(&self, facts: &HostFacts) -> String {
        match self.advice(facts) {
            Some(advice) => format!("{self}; {advice}"),
            None => self.to_string(),
        }
    }

    fn advice(&self, facts: &HostFacts) -> Option<String> {
        match self {
            Self::Load { error, log } if is_refusal(error) && tail(log).is_empty() => {
                Some(needs(&load(facts), facts))
            }
            Self::Link(error) if is_refusal(error) => Some(needs(&load(facts), facts)),
            Self::PerfEvent(error, event) if is_refusal(error) => {
                Some(needs(&perf_event(*event, facts), facts))
            }
            Self::NoKprobes(error) if is_missing(error) => Some(no_kprobes(facts)),
            Self::NoTracepoint(error) if is_missing(error) => no_tracepoint(facts),
            _ => None,
        }
    }
}

/// Adds what a program asks for to the error that one was refused. Any other error is left as it is,
/// and the facts aren't looked up.
pub fn explain_program(error: anyhow::Error, facts: impl FnOnce() -> HostFacts) -> anyhow::Error {
    let advice = error.downcast_ref::<Refusal>();
    match advice.and_then(|refusal| refusal.advice(&facts())) {
        Some(advice) => anyhow::anyhow!("{error:#}; {advice}"),
        None => error,
    }
}

/// Adds what maps ask for to the error of a call about one, if that was refused. Any other error is
/// left as it is, and the facts aren't looked up.
pub fn explain_map(error: anyhow::Error, facts: impl FnOnce() -> HostFacts) -> anyhow::Error {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref());
    if !causes.any(is_refusal) {
        return error;
    }
    let facts = facts();
    let advice = needs(&bpf(&facts), &facts);
    anyhow::anyhow!("{error:#}; {advice}")
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let not_attached = "the kernel didn't attach the program";
        match self {
            Self::Absent(sentence) => f.write_str(sentence),
            Self::Load { error, log } => {
                write!(f, "the kernel rejected the program: {error}")?;
                match tail(log) {
                    tail if tail.is_empty() => f.write_str(", and its verifier says nothing"),
                    tail => write!(f, ": {tail}"),
                }
            }
            Self::Full(error, occupants) => write!(
                f,
                "{not_attached}: {error}: its function is full, as the kernel has room for only \
                 so many (BPF_MAX_TRAMP_LINKS, which is 38 in most): {occupants}"
            ),
            Self::Link(error)
            | Self::PerfEvent(error, _)
            | Self::NoKprobes(error)
            | Self::NoTracepoint(error) => write!(f, "{not_attached}: {error}"),
        }
    }
}

impl Error for Refusal {}

/// Whether the kernel, or a policy above it, forbade it.
fn is_refusal(error: &io::Error) -> bool {
    // The kernel's capability checks give either; SELinux gives the latter.
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES))
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// One thing that a call asks for.
struct Need {
    what: String,
    found: Found,
}

/// What was found of it.
enum Found {
    /// It is there; in a word.
    Yes(&'static str),
    /// It isn't there, as said, and this is the way out.
    No(String, &'static str),
    /// It may be what refuses, as said, and this is the way out.
    Perhaps(String, &'static str),
}

/// What a map or a BTF asks for.
fn bpf(facts: &HostFacts) -> Vec<Need> {
    let mut needs = vec![
        capability("CAP_BPF", CAP_BPF, facts),
        seccomp("bpf(2)", facts),
    ];
    if facts.charges_memlock {
        needs.push(memlock(facts));
    }
    needs
}

/// What a program of ours asks for.
fn load(facts: &HostFacts) -> Vec<Need> {
    let mut needs = bpf(facts);
    needs.insert(1, capability("CAP_PERFMON", CAP_PERFMON, facts));
    // The kernel itself says so in the verifier's log; a vendor's may not.
    let lockdown = lockdown(facts, |way_out| Found::Perhaps("it is".to_owned(), way_out));
    needs.push(lockdown);
    needs
}

/// What a perf event that runs a program asks for.
fn perf_event(event: Event, facts: &HostFacts) -> Vec<Need> {
    let mut needs = vec![
        capability("CAP_PERFMON", CAP_PERFMON, facts),
        seccomp("perf_event_open(2)", facts),
        paranoid(facts),
    ];
    if event == Event::Kprobe {
        let found = |way_out| Found::No("it is".to_owned(), way_out);
        needs.push(lockdown(facts, found));
    }
    needs
}

/// A capability, for which CAP_SYS_ADMIN does too.
fn capability(name: &str, number: u32, facts: &HostFacts) -> Need {
    let held = |number: u32| facts.capabilities >> number & 1 == 1;
    let found = match (held(number) || held(CAP_SYS_ADMIN), number) {
        (true, _) if facts.in_initial_user_namespace => Found::Yes("here"),
        (true, _) => Found::No(
            "only in another user namespace than the initial one, where it doesn't count".into(),
            "start the agent in the initial user namespace: rootless containers and PrivateUsers= \
             have one of their own",
        ),
        (false, CAP_BPF) => {
            let said = match facts.unprivileged_bpf_disabled {
                None | Some(0) => "missing".to_owned(),
                Some(value) => format!(
                    "missing, and kernel.unprivileged_bpf_disabled={value} leaves nothing without \
                     it"
                ),
            };
            Found::No(said, "give the agent CAP_BPF and CAP_PERFMON")
        }
        (false, _) => Found::No(
            "missing".to_owned(),
            "give the agent CAP_BPF and CAP_PERFMON",
        ),
    };
    let what = format!("{name} or CAP_SYS_ADMIN");
    Need { what, found }
}

fn seccomp(call: &str, facts: &HostFacts) -> Need {
    let what = format!("no seccomp filter against {call}");
    let way_out = "let the agent's seccomp filter pass bpf(2) and perf_event_open(2) \
                   (SystemCallFilter= of its unit, seccomp profile of its container)";
    let found = match facts.seccomp_filter {
        false => Found::Yes("none"),
        true => Found::Perhaps("there is one".to_owned(), way_out),
    };
    Need { what, found }
}

fn memlock(facts: &HostFacts) -> Need {
    let what = "an unlimited RLIMIT_MEMLOCK, to which kernels before 5.11 charge BPF".to_owned();
    let found = match facts.memlock {
        None => Found::Yes("here"),
        // The agent has raised it as far as it may.
        Some(bytes) => Found::No(
            format!("{bytes} bytes, which only CAP_SYS_RESOURCE may raise"),
            "give the agent CAP_SYS_RESOURCE, or start it with the limit raised \
             (LimitMEMLOCK=infinity of its unit, --ulimit memlock=-1 of its container)",
        ),
    };
    Need { what, found }
}

fn paranoid(facts: &HostFacts) -> Need {
    let what = format!("kernel.perf_event_paranoid up to {PARANOID_MAX}, or CAP_SYS_ADMIN");
    let found = match facts.perf_event_paranoid {
        _ if facts.capabilities >> CAP_SYS_ADMIN & 1 == 1 => Found::Yes("here"),
        Some(value) if value > PARANOID_MAX => Found::No(
            format!("it is {value}"),
            "set it with sysctl kernel.perf_event_paranoid=2, or give the agent CAP_SYS_ADMIN",
        ),
        Some(_) => Found::Yes("here"),
        None => Found::Perhaps(
            "it can't be read".to_owned(),
            "look at it with sysctl kernel.perf_event_paranoid",
        ),
    };
    Need { what, found }
}

/// That the kernel isn't locked down to confidentiality, and what it means if it is.
fn lockdown(facts: &HostFacts, if_it_is: impl FnOnce(&'static str) -> Found) -> Need {
    let found = match facts.lockdown {
        Lockdown::None => Found::Yes("it isn't"),
        Lockdown::Integrity => Found::Yes("only to integrity"),
        Lockdown::Confidentiality => if_it_is("boot without lockdown=confidentiality"),
        Lockdown::Unknown => Found::Perhaps(
            "securityfs, which would tell, isn't mounted".to_owned(),
            "look at /sys/kernel/security/lockdown after mount -t securityfs securityfs \
             /sys/kernel/security",
        ),
    };
    let what = "a kernel that isn't locked down to confidentiality".to_owned();
    Need { what, found }
}

/// All that a call asks for with what was found of it, and the way out.
fn needs(needs: &[Need], facts: &HostFacts) -> String {
    let told = |need: &Need| {
        let found = match &need.found {
            Found::Yes(found) => found,
            Found::No(found, _) | Found::Perhaps(found, _) => found.as_str(),
        };
        format!("{} ({found})", need.what)
    };
    let asked: Vec<String> = needs.iter().map(told).collect();
    let mut ways_out: Vec<&str> = Vec::new();
    let mut add = |way_out| {
        if !ways_out.contains(&way_out) {
            ways_out.push(way_out);
        }
    };
    let missing = needs.iter().any(|need| matches!(need.found, Found::No(..)));
    for need in needs {
        match need.found {
            Found::No(_, way_out) => add(way_out),
            // With something missing for certain, what may be in the way as well comes later.
            Found::Perhaps(_, way_out) if !missing => add(way_out),
            Found::Perhaps(..) | Found::Yes(_) => {}
        }
    }
    let asked = asked.join(", ");
    match (missing, ways_out.is_empty()) {
        (true, _) => format!("it takes {asked}; {}", ways_out.join("; ")),
        (false, false) => format!(
            "it takes {asked}; {}; or else a policy above the kernel's own refuses it",
            ways_out.join("; ")
        ),
        (false, true) => format!(
            "it takes {asked}; all of that is here, so {}",
            policy_above(facts)
        ),
    }
}

/// What may refuse a process that has all that the kernel asks for.
fn policy_above(facts: &HostFacts) -> String {
    let lsms = match &facts.lsms {
        Some(names) => format!("one of its LSMs ({})", names.join(",")),
        None => "one of its LSMs".to_owned(),
    };
    format!(
        "a policy above the kernel's own refuses it: {lsms}, a BPF program on the LSM hook bpf, or \
         what this machine runs in; whoever set that up must allow it to the agent"
    )
}

fn no_kprobes(facts: &HostFacts) -> String {
    match facts.sysfs {
        false => "sysfs isn't mounted: mount -t sysfs sysfs /sys",
        true => {
            "this kernel has no kprobes for perf events: use one built with CONFIG_KPROBES and \
             CONFIG_KPROBE_EVENTS"
        }
    }
    .to_owned()
}

/// `None` if tracefs has tracepoints of system calls, and only this one is missing.
fn no_tracepoint(facts: &HostFacts) -> Option<String> {
    let advice = match (facts.tracefs, facts.lockdown) {
        (Tracefs::Unmounted, _) => {
            "tracefs isn't mounted: mount -t tracefs tracefs /sys/kernel/tracing"
        }
        (Tracefs::WithoutSyscalls, Lockdown::Confidentiality) => {
            "the kernel is locked down to confidentiality, and leaves tracefs empty: boot without \
             lockdown=confidentiality"
        }
        (Tracefs::Unknown | Tracefs::WithoutSyscalls, _) => {
            "this kernel has no tracepoints of system calls: use one built with \
             CONFIG_FTRACE_SYSCALLS"
        }
        (Tracefs::Whole, _) => return None,
    };
    Some(advice.to_owned())
}

/// The end of the verifier's log, on one line.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !is_statistic(line)).collect();
    lines[lines.len().saturating_sub(LOG_TAIL)..].join(" | ")
}

/// Lines after the verifier's verdict that only count; one of them is a time, which would
/// make two reports of the same cause differ.
fn is_statistic(line: &str) -> bool {
    let counts = [
        "verification time",
        "stack depth",
        "processed",
        "insns processed",
    ];
    line.is_empty() || counts.iter().any(|count| line.starts_with(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root with all capabilities on a kernel that refuses nothing.
    fn whole() -> HostFacts {
        HostFacts {
            capabilities: u64::MAX,
            in_initial_user_namespace: true,
            seccomp_filter: false,
            lockdown: Lockdown::None,
            unprivileged_bpf_disabled: Some(2),
            perf_event_paranoid: Some(3),
            memlock: None,
            charges_memlock: false,
            lsms: Some(vec!["yama".to_owned(), "bpf".to_owned()]),
            sysfs: true,
            tracefs: Tracefs::Whole,
        }
    }

    fn eperm() -> io::Error {
        io::Error::from_raw_os_error(libc::EPERM)
    }

    fn load() -> Refusal {
        let (error, log) = (eperm(), String::new());
        Refusal::Load { error, log }
    }

    fn missing() -> io::Error {
        io::Error::new(io::ErrorKind::NotFound, "/sys/x: no such file")
    }

    type Change = fn(&mut HostFacts);

    /// Each text has every one of these parts, in this order.
    #[track_caller]
    fn explains(cases: &[(Refusal, Change, &[&str])]) {
        for (refusal, change, parts) in cases {
            let mut facts = whole();
            change(&mut facts);
            let text = refusal.explain(&facts);
            let mut rest = text.as_str();
            for part in *parts {
                match rest.split_once(part) {
                    Some((_, after)) => rest = after,
                    None => panic!("no {part:?} where it should be in: {text}"),
                }
            }
            // The way out, and nothing after it but what the case says.
            assert!(rest.is_empty(), "{rest:?} is too much in: {text}");
        }
    }

    #[test]
    fn a_program_refused_in_spite_of_all_that_is_asked_for_is_a_policy_s() {
        assert_eq!(
            load().explain(&whole()),
            "the kernel rejected the program: Operation not permitted (os error 1), and its \
             verifier says nothing; it takes CAP_BPF or CAP_SYS_ADMIN (here), CAP_PERFMON or \
             CAP_SYS_ADMIN (here), no seccomp filter against bpf(2) (none), a kernel that isn't \
             locked down to confidentiality (it isn't); all of that is here, so a policy above \
             the kernel's own refuses it: one of its LSMs (yama,bpf), a BPF program on the LSM \
             hook bpf, or what this machine runs in; whoever set that up must allow it to the agent"
        );
    }

    #[test]
    fn a_refused_program_is_explained_by_what_is_missing() {
        const TAKES: &str = "; it takes CAP_BPF or CAP_SYS_ADMIN (";
        const PERFMON: &str = "), CAP_PERFMON or CAP_SYS_ADMIN (";
        const SECCOMP: &str = "), no seccomp filter against bpf(2) (";
        const MEMLOCK: &str =
            "), an unlimited RLIMIT_MEMLOCK, to which kernels before 5.11 charge BPF (";
        const LOCKDOWN: &str = "), a kernel that isn't locked down to confidentiality (";
        const GIVE: &str = "); give the agent CAP_BPF and CAP_PERFMON";
        let cases: [(Refusal, Change, &[&str]); 8] = [
            (
                load(),
                |facts| facts.capabilities = 1 << CAP_BPF,
                &[
                    TAKES, "here", PERFMON, "missing", SECCOMP, "none", LOCKDOWN, "it isn't", GIVE,
                ],
            ),
            (
                load(),
                |facts| facts.capabilities = 1 << CAP_PERFMON,
                &[
                    TAKES,
                    "missing, and kernel.unprivileged_bpf_disabled=2 leaves nothing without it",
                    PERFMON,
                    "here",
                    SECCOMP,
                    "none",
                    LOCKDOWN,
                    "it isn't",
                    GIVE,
                ],
            ),
            (
                // Nothing is missing: CAP_SYS_ADMIN is as good.
                load(),
                |facts| {
                    facts.capabilities = 1 << CAP_SYS_ADMIN;
                    facts.seccomp_filter = true;
                },
                &[
                    TAKES,
                    "here",
                    PERFMON,
                    "here",
                    SECCOMP,
                    "there is one",
                    LOCKDOWN,
                    "it isn't",
                    "); let the agent's seccomp filter pass bpf(2) and perf_event_open(2) \
                     (SystemCallFilter= of its unit, seccomp profile of its container)",
                    "; or else a policy above the kernel's own refuses it",
                ],
            ),
            (
                load(),
                |facts| facts.in_initial_user_namespace = false,
                &[
                    TAKES,
                    "only in another user namespace than the initial one, where it doesn't count",
                    PERFMON,
                    "only in another user namespace",
                    SECCOMP,
                    "none",
                    LOCKDOWN,
                    "it isn't",
                    "); start the agent in the initial user namespace: rootless containers and \
                     PrivateUsers= have one of their own",
                ],
            ),
            (
                // What may be in the way isn't gone into while something surely is.
                load(),
                |facts| {
                    facts.capabilities = 0;
                    facts.unprivileged_bpf_disabled = Some(0);
                    facts.seccomp_filter = true;
                },
                &[
                    TAKES,
                    "missing",
                    PERFMON,
                    "missing",
                    SECCOMP,
                    "there is one",
                    LOCKDOWN,
                    "it isn't",
                    GIVE,
                ],
            ),
            (
                load(),
                |facts| {
                    facts.charges_memlock = true;
                    facts.memlock = Some(65_536);
                },
                &[
                    TAKES,
                    "here",
                    PERFMON,
                    "here",
                    SECCOMP,
                    "none",
                    MEMLOCK,
                    "65536 bytes, which only CAP_SYS_RESOURCE may raise",
                    LOCKDOWN,
                    "it isn't",
                    "); give the agent CAP_SYS_RESOURCE, or start it with the limit raised \
                     (LimitMEMLOCK=infinity of its unit, --ulimit memlock=-1 of its container)",
                ],
            ),
            (
                // Later kernels don't look at the limit.
                load(),
                |facts| {
                    facts.memlock = Some(65_536);
                    facts.capabilities = 1 << CAP_BPF;
                },
                &[
                    TAKES, "here", PERFMON, "missing", SECCOMP, "none", LOCKDOWN, "it isn't", GIVE,
                ],
            ),
            (
                load(),
                |facts| facts.lockdown = Lockdown::Confidentiality,
                &[
                    TAKES,
                    "here",
                    PERFMON,
                    "here",
                    SECCOMP,
                    "none",
                    LOCKDOWN,
                    "it is",
                    "); boot without lockdown=confidentiality; or else a policy above the \
                     kernel's own refuses it",
                ],
            ),
        ];
        explains(&cases);
    }

    #[test]
    fn a_refused_perf_event_is_explained_by_what_is_missing() {
        const TAKES: &str = "the kernel didn't attach the program: Operation not permitted (os \
                             error 1); it takes CAP_PERFMON or CAP_SYS_ADMIN (";
        const SECCOMP: &str = "), no seccomp filter against perf_event_open(2) (";
        const PARANOID: &str = "), kernel.perf_event_paranoid up to 2, or CAP_SYS_ADMIN (";
        const LOCKDOWN: &str = "), a kernel that isn't locked down to confidentiality (";
        let tracepoint = || Refusal::PerfEvent(eperm(), Event::Tracepoint);
        let kprobe = || Refusal::PerfEvent(eperm(), Event::Kprobe);
        let cases: [(Refusal, Change, &[&str]); 5] = [
            (
                tracepoint(),
                |facts| facts.seccomp_filter = true,
                &[
                    TAKES,
                    "here",
                    SECCOMP,
                    "there is one",
                    PARANOID,
                    "here",
                    "); let the agent's seccomp filter pass bpf(2) and perf_event_open(2) \
                     (SystemCallFilter= of its unit, seccomp profile of its container)",
                    "; or else a policy above the kernel's own refuses it",
                ],
            ),
            (
                tracepoint(),
                |facts| facts.capabilities = 1 << CAP_PERFMON,
                &[
                    TAKES,
                    "here",
                    SECCOMP,
                    "none",
                    PARANOID,
                    "it is 3",
                    "); set it with sysctl kernel.perf_event_paranoid=2, or give the agent \
                     CAP_SYS_ADMIN",
                ],
            ),
            (
                kprobe(),
                |facts| {
                    facts.capabilities = 0;
                    facts.perf_event_paranoid = Some(2);
                },
                &[
                    TAKES,
                    "missing",
                    SECCOMP,
                    "none",
                    PARANOID,
                    "here",
                    LOCKDOWN,
                    "it isn't",
                    "); give the agent CAP_BPF and CAP_PERFMON",
                ],
            ),
            (
                kprobe(),
                |facts| facts.lockdown = Lockdown::Confidentiality,
                &[
                    TAKES,
                    "here",
                    SECCOMP,
                    "none",
                    PARANOID,
                    "here",
                    LOCKDOWN,
                    "it is",
                    "); boot without lockdown=confidentiality",
                ],
            ),
            (
                kprobe(),
                |facts| facts.lockdown = Lockdown::Unknown,
                &[
                    TAKES,
                    "here",
                    SECCOMP,
                    "none",
                    PARANOID,
                    "here",
                    LOCKDOWN,
                    "securityfs, which would tell, isn't mounted",
                    "); look at /sys/kernel/security/lockdown after mount -t securityfs \
                     securityfs /sys/kernel/security; or else a policy above the kernel's own \
                     refuses it",
                ],
            ),
        ];
        explains(&cases);
    }

    #[test]
    fn what_a_program_of_the_signal_tier_attaches_to_is_missing_for_one_reason() {
        const WHAT: &str = "the kernel didn't attach the program: /sys/x: no such file";
        const SYSCALLS: &str = "; this kernel has no tracepoints of system calls: use one built \
                                with CONFIG_FTRACE_SYSCALLS";
        let tracepoint = || Refusal::NoTracepoint(missing());
        let kprobe = || Refusal::NoKprobes(missing());
        let cases: [(Refusal, Change, &[&str]); 7] = [
            (
                tracepoint(),
                |facts| facts.tracefs = Tracefs::Unmounted,
                &[
                    WHAT,
                    "; tracefs isn't mounted: mount -t tracefs tracefs /sys/kernel/tracing",
                ],
            ),
            (
                tracepoint(),
                |facts| facts.tracefs = Tracefs::Unknown,
                &[WHAT, SYSCALLS],
            ),
            (
                tracepoint(),
                |facts| facts.tracefs = Tracefs::WithoutSyscalls,
                &[WHAT, SYSCALLS],
            ),
            (
                tracepoint(),
                |facts| {
                    facts.tracefs = Tracefs::WithoutSyscalls;
                    facts.lockdown = Lockdown::Confidentiality;
                },
                &[
                    WHAT,
                    "; the kernel is locked down to confidentiality, and leaves tracefs empty: \
                     boot without lockdown=confidentiality",
                ],
            ),
            // Then it is this one system call that the kernel doesn't have.
            (tracepoint(), |_| {}, &[WHAT]),
            (
                kprobe(),
                |_| {},
                &[
                    WHAT,
                    "; this kernel has no kprobes for perf events: use one built with \
                     CONFIG_KPROBES and CONFIG_KPROBE_EVENTS",
                ],
            ),
            (
                kprobe(),
                |facts| facts.sysfs = false,
                &[WHAT, "; sysfs isn't mounted: mount -t sysfs sysfs /sys"],
            ),
        ];
        explains(&cases);
    }

    #[test]
    fn what_the_verifier_says_and_other_errors_are_told_as_they_are() {
        let log = "0: (95) exit\nR0 !read_ok\nverification time 9 usec\nprocessed 1 insns\n";
        let einval = || io::Error::from_raw_os_error(libc::EINVAL);
        let nobody = |bits: &mut HostFacts| bits.capabilities = 0;
        let cases: [(Refusal, Change, &[&str]); 4] = [
            (
                Refusal::Load {
                    error: eperm(),
                    log: log.to_owned(),
                },
                nobody,
                &[
                    "the kernel rejected the program: Operation not permitted (os error 1): 0: \
                     (95) exit | R0 !read_ok",
                ],
            ),
            (
                Refusal::Link(einval()),
                nobody,
                &["the kernel didn't attach the program: Invalid argument (os error 22)"],
            ),
            (
                Refusal::NoTracepoint(eperm()),
                nobody,
                &["the kernel didn't attach the program: Operation not permitted (os error 1)"],
            ),
            (
                Refusal::Full(io::Error::from_raw_os_error(libc::E2BIG), Occupants::Untold),
                nobody,
                &[
                    "the kernel didn't attach the program: Argument list too long (os error 7): \
                     its function is full, ",
                    ": kernels before 5.13 don't tell which programs are on a function; bpftool \
                     prog lists all that are loaded",
                ],
            ),
        ];
        explains(&cases);
    }

    #[test]
    fn only_a_refusal_is_added_to() {
        let facts = || HostFacts {
            capabilities: 0,
            ..whole()
        };
        let map = anyhow::Error::new(eperm()).context("failed to create map `x`");
        assert_eq!(
            explain_map(map, facts).to_string(),
            "failed to create map `x`: Operation not permitted (os error 1); it takes CAP_BPF or \
             CAP_SYS_ADMIN (missing, and kernel.unprivileged_bpf_disabled=2 leaves nothing \
             without it), no seccomp filter against bpf(2) (none); give the agent CAP_BPF and \
             CAP_PERFMON"
        );
        let program = anyhow::Error::new(load()).context("no iterator");
        let program = explain_program(program, facts).to_string();
        assert!(
            program.starts_with("no iterator: the kernel rejected"),
            "{program}"
        );
        assert!(
            program.ends_with("give the agent CAP_BPF and CAP_PERFMON"),
            "{program}"
        );
        let unasked = || -> HostFacts { panic!("nobody needs them") };
        let full = || anyhow::Error::new(io::Error::from_raw_os_error(libc::ENOMEM)).context("x");
        for left in [
            explain_map(full(), unasked),
            explain_program(full(), unasked),
        ] {
            assert_eq!(format!("{left:#}"), format!("{:#}", full()));
        }
    }
}
