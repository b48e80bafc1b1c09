//! What a call to BPF asks for, one need after the other, and what of it the host has.
//!
//! In: the call, [`HostFacts`]. Out: all that it takes, and the way out of what is missing. Pure.

use super::facts::{HostFacts, Lockdown};

/// Numbers of capabilities, from linux/capability.h.
pub(super) const CAP_SYS_ADMIN: u32 = 21;
pub(super) const CAP_PERFMON: u32 = 38;
pub(super) const CAP_BPF: u32 = 39;

/// The highest value of kernel.perf_event_paranoid that the kernel itself knows. Debian and Ubuntu
/// ask for CAP_SYS_ADMIN above it.
const PARANOID_MAX: i32 = 2;

/// Which perf event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Of a function's entry.
    Kprobe,
    /// Of a tracepoint.
    Tracepoint,
}

/// One thing that a call asks for.
pub(super) struct Need {
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
pub(super) fn bpf(facts: &HostFacts) -> Vec<Need> {
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
pub(super) fn load(facts: &HostFacts) -> Vec<Need> {
    let mut needs = bpf(facts);
    needs.insert(1, capability("CAP_PERFMON", CAP_PERFMON, facts));
    // The kernel itself says so in the verifier's log; a vendor's may not.
    let lockdown = lockdown(facts, |way_out| Found::Perhaps("it is".to_owned(), way_out));
    needs.push(lockdown);
    needs
}

/// What a perf event that runs a program asks for.
pub(super) fn perf_event(event: Event, facts: &HostFacts) -> Vec<Need> {
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
pub(super) fn told(needs: &[Need], facts: &HostFacts) -> String {
    let in_words = |need: &Need| {
        let found = match &need.found {
            Found::Yes(found) => found,
            Found::No(found, _) | Found::Perhaps(found, _) => found.as_str(),
        };
        format!("{} ({found})", need.what)
    };
    let asked: Vec<String> = needs.iter().map(in_words).collect();
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
