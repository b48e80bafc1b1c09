//! The table of hooks: what the agent can attach to, and how each is tried.
//!
//! In: nothing. Out: [`HOOKS`], one row a hook, in the order of reports. Everything else goes
//! by this table, so a new hook is a row here and a program in `bpf/`.

use crate::posture::{Class, Tier};

/// One hook with the one program of ours that attaches there.
#[derive(Debug, PartialEq, Eq)]
pub struct Hook {
    /// The hook's number in `bpf/abi.bpf.h`.
    pub number: u32,
    /// Its name in reports and events.
    pub name: &'static str,
    /// The program's name in the BPF object.
    pub program: &'static str,
    /// The tier that the program works for.
    pub tier: Tier,
    /// The class of acts that the hook sees.
    pub class: Class,
    /// How the program attaches.
    pub attach: Attach,
    /// The system call that leads through the hook.
    pub syscall: Syscall,
}

/// How a program attaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// To this LSM hook.
    Lsm(&'static str),
    /// To this tracepoint of the category `syscalls`.
    SyscallTracepoint(&'static str),
}

/// A system call that opens a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Syscall {
    /// `openat(2)`
    Openat,
    /// `openat2(2)`
    Openat2,
    /// `open(2)`
    Open,
    /// `creat(2)`
    Creat,
}

impl Syscall {
    /// The name by which the canary is told which one to use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Openat => "openat",
            Self::Openat2 => "openat2",
            Self::Open => "open",
            Self::Creat => "creat",
        }
    }
}

/// Every hook.
pub const HOOKS: [Hook; 5] = [
    Hook {
        number: 0,
        name: "lsm/file_open",
        program: "lsm_file_open",
        tier: Tier::Lsm,
        class: Class::File,
        attach: Attach::Lsm("file_open"),
        syscall: Syscall::Openat,
    },
    signal_hook(
        1,
        "tracepoint/syscalls/sys_enter_openat",
        "sig_openat",
        "sys_enter_openat",
        Syscall::Openat,
    ),
    signal_hook(
        2,
        "tracepoint/syscalls/sys_enter_openat2",
        "sig_openat2",
        "sys_enter_openat2",
        Syscall::Openat2,
    ),
    signal_hook(
        3,
        "tracepoint/syscalls/sys_enter_open",
        "sig_open",
        "sys_enter_open",
        Syscall::Open,
    ),
    signal_hook(
        4,
        "tracepoint/syscalls/sys_enter_creat",
        "sig_creat",
        "sys_enter_creat",
        Syscall::Creat,
    ),
];

const fn signal_hook(
    number: u32,
    name: &'static str,
    program: &'static str,
    tracepoint: &'static str,
    syscall: Syscall,
) -> Hook {
    Hook {
        number,
        name,
        program,
        tier: Tier::Signal,
        class: Class::File,
        attach: Attach::SyscallTracepoint(tracepoint),
        syscall,
    }
}

/// The hook with this number.
pub fn by_number(number: u32) -> Option<&'static Hook> {
    HOOKS.iter().find(|hook| hook.number == number)
}

/// The hooks of one tier.
pub fn of_tier(tier: Tier) -> impl Iterator<Item = &'static Hook> {
    HOOKS.iter().filter(move |hook| hook.tier == tier)
}
