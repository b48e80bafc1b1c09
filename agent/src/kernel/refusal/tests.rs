//! What is said of a refusal on hosts that lack one thing or another.

use super::needs::{CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN};
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
