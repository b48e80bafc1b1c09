//! The table of hooks: what the agent can attach to, for which class, and how each is tried.
//!
//! In: nothing. Out: [`HOOKS`], one row a program, in the order of reports. Everything else goes
//! by this table, so a new hook is a row here and a program in `bpf/`.

use super::Act;
use super::file::Act as FileAct;
use super::need::Need;
use crate::kernel::loader::Attach;
use crate::posture::{Class, Limit, Tier};

/// One hook with the one program of ours that attaches there.
#[derive(Debug, PartialEq, Eq)]
pub struct Hook {
    /// The hook's number in `bpf/abi.h`, which is its place in [`HOOKS`].
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
    /// Which rules need it.
    pub need: Need,
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
    /// The same, but a kernel that doesn't have the hook sends its acts through another guard.
    GuardWhereThere(Limit),
}

/// Every hook.
pub const HOOKS: [Hook; 35] = [
    lsm(
        0,
        "lsm/file_open",
        "lsm_file_open",
        Role::Core,
        FileAct::Openat,
    ),
    lsm(
        1,
        "lsm/inode_create",
        "lsm_inode_create",
        Role::Guard(Limit::CreatesDeniedName),
        FileAct::Create,
    ),
    lsm(
        2,
        "lsm/inode_mknod",
        "lsm_inode_mknod",
        Role::Guard(Limit::CreatesDeniedName),
        FileAct::Mknod,
    ),
    lsm(
        3,
        "lsm/inode_symlink",
        "lsm_inode_symlink",
        Role::Guard(Limit::CreatesDeniedName),
        FileAct::Symlink,
    ),
    lsm(
        4,
        "lsm/inode_link",
        "lsm_inode_link",
        Role::Guard(Limit::LinksDeniedFile),
        FileAct::Link,
    ),
    lsm(
        5,
        "lsm/inode_rename",
        "lsm_inode_rename",
        Role::Guard(Limit::ReplacesDeniedName),
        FileAct::Rename,
    ),
    modret(
        6,
        "fmod_ret/security_file_open",
        "modret_file_open",
        Role::Core,
        FileAct::Openat,
    ),
    modret(
        7,
        "fmod_ret/security_inode_create",
        "modret_inode_create",
        Role::Guard(Limit::CreatesDeniedName),
        FileAct::Create,
    ),
    modret(
        8,
        "fmod_ret/security_inode_mknod",
        "modret_inode_mknod",
        Role::Guard(Limit::CreatesDeniedName),
        FileAct::Mknod,
    ),
    modret(
        9,
        "fmod_ret/security_inode_symlink",
        "modret_inode_symlink",
        Role::Guard(Limit::CreatesDeniedName),
        FileAct::Symlink,
    ),
    modret(
        10,
        "fmod_ret/security_inode_link",
        "modret_inode_link",
        Role::Guard(Limit::LinksDeniedFile),
        FileAct::Link,
    ),
    modret(
        11,
        "fmod_ret/security_inode_rename",
        "modret_inode_rename",
        Role::Guard(Limit::ReplacesDeniedName),
        FileAct::Rename,
    ),
    Hook {
        number: 12,
        name: "kprobe/security_file_open",
        program: "sig_file_open",
        tier: Tier::Signal,
        class: Class::File,
        role: Role::Core,
        need: Need::Always,
        attach: Attach::Kprobe("security_file_open"),
        act: Act::File(FileAct::Openat),
    },
    tracepoint(
        13,
        "tracepoint/syscalls/sys_enter_openat",
        "sig_openat",
        FileAct::Openat,
    ),
    tracepoint(
        14,
        "tracepoint/syscalls/sys_enter_openat2",
        "sig_openat2",
        FileAct::Openat2,
    ),
    tracepoint(
        15,
        "tracepoint/syscalls/sys_enter_open",
        "sig_open",
        FileAct::Open,
    ),
    tracepoint(
        16,
        "tracepoint/syscalls/sys_enter_creat",
        "sig_creat",
        FileAct::Creat,
    ),
    // Copies, as the kernel passes over a program that was preempted on the same processor.
    modret(
        17,
        "fmod_ret/security_file_open",
        "modret2_file_open",
        Role::Core,
        FileAct::Openat,
    ),
    modret(
        18,
        "fmod_ret/security_file_open",
        "modret3_file_open",
        Role::Core,
        FileAct::Openat,
    ),
    lsm(
        19,
        "lsm/inode_mkdir",
        "lsm_inode_mkdir",
        Role::Guard(Limit::CreatesDeniedName),
        FileAct::Mkdir,
    ),
    lsm(
        20,
        "lsm/inode_unlink",
        "lsm_inode_unlink",
        Role::Guard(Limit::RemovesDeniedFile),
        FileAct::Unlink,
    ),
    lsm(
        21,
        "lsm/inode_rmdir",
        "lsm_inode_rmdir",
        Role::Guard(Limit::RemovesDeniedFile),
        FileAct::Rmdir,
    ),
    lsm(
        22,
        "lsm/inode_setattr",
        "lsm_inode_setattr",
        Role::Guard(Limit::ChangesDeniedFile),
        FileAct::Chmod,
    ),
    lsm(
        23,
        "lsm/inode_setxattr",
        "lsm_inode_setxattr",
        Role::Guard(Limit::ChangesDeniedFile),
        FileAct::Setxattr,
    ),
    lsm(
        24,
        "lsm/inode_removexattr",
        "lsm_inode_removexattr",
        Role::Guard(Limit::ChangesDeniedFile),
        FileAct::Removexattr,
    ),
    lsm(
        25,
        "lsm/inode_set_acl",
        "lsm_inode_set_acl",
        Role::GuardWhereThere(Limit::ChangesDeniedFile),
        FileAct::SetAcl,
    ),
    lsm(
        26,
        "lsm/inode_remove_acl",
        "lsm_inode_remove_acl",
        Role::GuardWhereThere(Limit::ChangesDeniedFile),
        FileAct::RemoveAcl,
    ),
    modret(
        27,
        "fmod_ret/security_inode_mkdir",
        "modret_inode_mkdir",
        Role::Guard(Limit::CreatesDeniedName),
        FileAct::Mkdir,
    ),
    modret(
        28,
        "fmod_ret/security_inode_unlink",
        "modret_inode_unlink",
        Role::Guard(Limit::RemovesDeniedFile),
        FileAct::Unlink,
    ),
    modret(
        29,
        "fmod_ret/security_inode_rmdir",
        "modret_inode_rmdir",
        Role::Guard(Limit::RemovesDeniedFile),
        FileAct::Rmdir,
    ),
    modret(
        30,
        "fmod_ret/security_inode_setattr",
        "modret_inode_setattr",
        Role::Guard(Limit::ChangesDeniedFile),
        FileAct::Chmod,
    ),
    modret(
        31,
        "fmod_ret/security_inode_setxattr",
        "modret_inode_setxattr",
        Role::Guard(Limit::ChangesDeniedFile),
        FileAct::Setxattr,
    ),
    modret(
        32,
        "fmod_ret/security_inode_removexattr",
        "modret_inode_removexattr",
        Role::Guard(Limit::ChangesDeniedFile),
        FileAct::Removexattr,
    ),
    modret(
        33,
        "fmod_ret/security_inode_set_acl",
        "modret_inode_set_acl",
        Role::GuardWhereThere(Limit::ChangesDeniedFile),
        FileAct::SetAcl,
    ),
    modret(
        34,
        "fmod_ret/security_inode_remove_acl",
        "modret_inode_remove_acl",
        Role::GuardWhereThere(Limit::ChangesDeniedFile),
        FileAct::RemoveAcl,
    ),
];

const fn lsm(
    number: u32,
    name: &'static str,
    program: &'static str,
    role: Role,
    act: FileAct,
) -> Hook {
    Hook {
        number,
        name,
        program,
        tier: Tier::Lsm,
        class: Class::File,
        role,
        need: need(role),
        attach: Attach::Lsm(after_slash(name)),
        act: Act::File(act),
    }
}

const fn modret(
    number: u32,
    name: &'static str,
    program: &'static str,
    role: Role,
    act: FileAct,
) -> Hook {
    Hook {
        tier: Tier::Modret,
        attach: Attach::ModifyReturn(after_slash(name)),
        ..lsm(number, name, program, role, act)
    }
}

const fn tracepoint(number: u32, name: &'static str, program: &'static str, act: FileAct) -> Hook {
    Hook {
        tier: Tier::Signal,
        need: Need::PathOnly,
        attach: Attach::SyscallTracepoint(after_slash(name)),
        ..lsm(number, name, program, Role::Core, act)
    }
}

/// To make a name, to remove a file and to change it is to write; to move a file is denied whatever a
/// rule denies.
const fn need(role: Role) -> Need {
    match role {
        Role::Core | Role::Guard(Limit::LinksDeniedFile | Limit::ReplacesDeniedName) => {
            Need::Always
        }
        Role::Guard(_) | Role::GuardWhereThere(_) => Need::Writing,
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

    /// Whether it is among the hooks of a tier for a class.
    pub fn is_of(&self, tier: Tier, class: Class) -> bool {
        self.tier == tier && self.class == class
    }
}

/// The hook with this number.
pub fn by_number(number: u32) -> Option<&'static Hook> {
    HOOKS.iter().find(|hook| hook.number == number)
}

/// The functions of the kernel that programs attach to by their number in its BTF.
pub fn functions() -> Vec<String> {
    let functions = HOOKS.iter().filter_map(|hook| hook.attach.function());
    let mut functions: Vec<String> = functions.collect();
    functions.sort_unstable();
    functions.dedup();
    functions
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
