//! Why the kernel refused a map, a program or a link, what the call requires, and which of these the
//! host has.
//!
//! In: the call that failed with its error, and [`HostFacts`]. Out: a sentence with the way out.
//! Pure; the facts are looked up by [`crate::host::facts`].

mod facts;
mod needs;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt::{Display, Formatter};
use std::io;

use crate::kernel::bpf_call::{Target, Unlinked};
use crate::kernel::occupants::Occupants;
pub use facts::{HostFacts, Lockdown, Tracefs};
pub use needs::Event;

/// How many lines of the verifier's log go into a reason: its verdict stands at the end.
const LOG_TAIL: usize = 3;

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
                Some(needs::told(&needs::load(facts), facts))
            }
            Self::Link(error) if is_refusal(error) => Some(needs::told(&needs::load(facts), facts)),
            Self::PerfEvent(error, event) if is_refusal(error) => {
                Some(needs::told(&needs::perf_event(*event, facts), facts))
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
    let advice = needs::told(&needs::bpf(&facts), &facts);
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
