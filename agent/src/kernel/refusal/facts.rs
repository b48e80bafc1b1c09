//! What a host has of what the kernel asks for. Plain data.

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
