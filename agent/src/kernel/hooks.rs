//! The table of hooks: what the agent can attach to, and how each is tried.
//!
//! In: nothing. Out: [`HOOKS`], one row a hook, in the order of reports. Everything else goes
//! by this table, so a new hook is a row here and a program in `bpf/`.

use crate::posture::{Class, Limit, Tier};

/// One hook with the one program of ours that attaches there.
#[derive(Debug, PartialEq, Eq)]
pub struct Hook {
    /// The hook's number in `bpf/abi.bpf.h`, which is its place in [`HOOKS`].
    pub number: u32,
    /// Its name in reports and events; copies of a program share it.
    pub name: &'static str,
    /// The program's name in the BPF object.
    pub program: &'static str,
    /// The tier that the program works for.
    pub tier: Tier,
    /// The class of acts that the hook sees.
    pub class: Class,
    /// What the tier's claim has to do with it.
    pub role: Role,
    /// How the program attaches.
    pub attach: Attach,
    /// The act that leads through the hook.
    pub act: Act,
}

/// What a tier's claim has to do with a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Without it the tier isn't claimed.
    Core,
    /// It closes a gap; without it the tier is claimed with this limit.
    Guard(Limit),
}

/// How a program attaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// To this LSM hook.
    Lsm(&'static str),
    /// To this function of the kernel, whose return value it replaces.
    ModifyReturn(&'static str),
    /// To the entry of this function of the kernel.
    Kprobe(&'static str),
    /// To this tracepoint of the category `syscalls`.
    SyscallTracepoint(&'static str),
}

/// Something that a process does to files, by exactly one system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// `openat(2)`
    Openat,
    /// `openat2(2)`
    Openat2,
    /// `open(2)`
    Open,
    /// `creat(2)`
    Creat,
    /// `mknod(2)` of a regular file, which creates a name without opening anything.
    Create,
    /// `mknod(2)` of a FIFO.
    Mknod,
    /// `symlink(2)`
    Symlink,
    /// `link(2)`
    Link,
    /// `rename(2)`
    Rename,
}

/// What an act is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A file that is there.
    File,
    /// A name that no file has yet.
    NewName,
}

impl Act {
    /// Every act.
    pub const ALL: [Self; 9] = [
        Self::Openat,
        Self::Openat2,
        Self::Open,
        Self::Creat,
        Self::Create,
        Self::Mknod,
        Self::Symlink,
        Self::Link,
        Self::Rename,
    ];

    /// The name by which the canary is told of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Openat => "openat",
            Self::Openat2 => "openat2",
            Self::Open => "open",
            Self::Creat => "creat",
            Self::Create => "create",
            Self::Mknod => "mknod",
            Self::Symlink => "symlink",
            Self::Link => "link",
            Self::Rename => "rename",
        }
    }

    /// What it is done to.
    pub fn target(self) -> Target {
        match self {
            Self::Openat | Self::Openat2 | Self::Open | Self::Creat | Self::Link => Target::File,
            Self::Create | Self::Mknod | Self::Symlink | Self::Rename => Target::NewName,
        }
    }
}

/// Every hook.
pub const HOOKS: [Hook; 19] = [
    lsm(0, "lsm/file_open", "lsm_file_open", Role::Core, Act::Openat),
    lsm(
        1,
        "lsm/inode_create",
        "lsm_inode_create",
        Role::Guard(Limit::CreatesDeniedName),
        Act::Create,
    ),
    lsm(
        2,
        "lsm/inode_mknod",
        "lsm_inode_mknod",
        Role::Guard(Limit::CreatesDeniedName),
        Act::Mknod,
    ),
    lsm(
        3,
        "lsm/inode_symlink",
        "lsm_inode_symlink",
        Role::Guard(Limit::CreatesDeniedName),
        Act::Symlink,
    ),
    lsm(
        4,
        "lsm/inode_link",
        "lsm_inode_link",
        Role::Guard(Limit::LinksDeniedFile),
        Act::Link,
    ),
    lsm(
        5,
        "lsm/inode_rename",
        "lsm_inode_rename",
        Role::Guard(Limit::ReplacesDeniedName),
        Act::Rename,
    ),
    modret(
        6,
        "fmod_ret/security_file_open",
        "modret_file_open",
        Role::Core,
        Act::Openat,
    ),
    modret(
        7,
        "fmod_ret/security_inode_create",
        "modret_inode_create",
        Role::Guard(Limit::CreatesDeniedName),
        Act::Create,
    ),
    modret(
        8,
        "fmod_ret/security_inode_mknod",
        "modret_inode_mknod",
        Role::Guard(Limit::CreatesDeniedName),
        Act::Mknod,
    ),
    modret(
        9,
        "fmod_ret/security_inode_symlink",
        "modret_inode_symlink",
        Role::Guard(Limit::CreatesDeniedName),
        Act::Symlink,
    ),
    modret(
        10,
        "fmod_ret/security_inode_link",
        "modret_inode_link",
        Role::Guard(Limit::LinksDeniedFile),
        Act::Link,
    ),
    modret(
        11,
        "fmod_ret/security_inode_rename",
        "modret_inode_rename",
        Role::Guard(Limit::ReplacesDeniedName),
        Act::Rename,
    ),
    Hook {
        number: 12,
        name: "kprobe/security_file_open",
        program: "sig_file_open",
        tier: Tier::Signal,
        class: Class::File,
        role: Role::Core,
        attach: Attach::Kprobe("security_file_open"),
        act: Act::Openat,
    },
    tracepoint(
        13,
        "tracepoint/syscalls/sys_enter_openat",
        "sig_openat",
        Act::Openat,
    ),
    tracepoint(
        14,
        "tracepoint/syscalls/sys_enter_openat2",
        "sig_openat2",
        Act::Openat2,
    ),
    tracepoint(
        15,
        "tracepoint/syscalls/sys_enter_open",
        "sig_open",
        Act::Open,
    ),
    tracepoint(
        16,
        "tracepoint/syscalls/sys_enter_creat",
        "sig_creat",
        Act::Creat,
    ),
    // Copies, as the kernel passes over a program that was preempted on the same processor.
    modret(
        17,
        "fmod_ret/security_file_open",
        "modret2_file_open",
        Role::Core,
        Act::Openat,
    ),
    modret(
        18,
        "fmod_ret/security_file_open",
        "modret3_file_open",
        Role::Core,
        Act::Openat,
    ),
];

const fn lsm(number: u32, name: &'static str, program: &'static str, role: Role, act: Act) -> Hook {
    let attach = Attach::Lsm(after_slash(name));
    Hook {
        number,
        name,
        program,
        tier: Tier::Lsm,
        class: Class::File,
        role,
        attach,
        act,
    }
}

const fn modret(
    number: u32,
    name: &'static str,
    program: &'static str,
    role: Role,
    act: Act,
) -> Hook {
    let attach = Attach::ModifyReturn(after_slash(name));
    Hook {
        number,
        name,
        program,
        tier: Tier::Modret,
        class: Class::File,
        role,
        attach,
        act,
    }
}

const fn tracepoint(number: u32, name: &'static str, program: &'static str, act: Act) -> Hook {
    let attach = Attach::SyscallTracepoint(after_slash(name));
    Hook {
        number,
        name,
        program,
        tier: Tier::Signal,
        class: Class::File,
        role: Role::Core,
        attach,
        act,
    }
}

/// What follows the last slash.
const fn after_slash(name: &'static str) -> &'static str {
    let bytes = name.as_bytes();
    let mut at = bytes.len();
    while at > 0 && bytes[at - 1] != b'/' {
        at -= 1;
    }
    match str::from_utf8(bytes.split_at(at).1) {
        Ok(rest) => rest,
        Err(_) => panic!("a hook's name isn't UTF-8"),
    }
}

impl Hook {
    /// Whether it sees only the path that a system call was passed, and no file.
    pub fn sees_path(&self) -> bool {
        matches!(self.attach, Attach::SyscallTracepoint(_))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_s_number_is_its_place_and_its_name_tells_where_it_attaches() {
        for (place, hook) in (0..).zip(&HOOKS) {
            assert_eq!(hook.number, place);
            let (Attach::Lsm(target)
            | Attach::ModifyReturn(target)
            | Attach::Kprobe(target)
            | Attach::SyscallTracepoint(target)) = hook.attach;
            assert!(hook.name.ends_with(&format!("/{target}")), "{}", hook.name);
        }
    }
}
