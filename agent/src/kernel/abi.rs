//! What kernel side and user space exchange: the mirror of `bpf/abi.h`.
//!
//! In and out: plain structs with the same layout as in C, which maps carry as bytes. The
//! constants here are the C side's, under the same names.

use std::mem::size_of;
use std::sync::atomic::AtomicU64;

/// Bytes of a path in a key, with the NUL.
pub const PATH_KEY_LEN: usize = 256;

/// A file as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct InodeKey {
    /// `i_ino`
    pub ino: u64,
    /// Where the inode is in the kernel's memory, on filesystems where the number alone
    /// doesn't name a file; else 0.
    pub address: u64,
    /// `s_dev`: the major number from bit 20 up, the minor below.
    pub dev: u32,
    /// Padding, compared with the rest of the key.
    pub zero: u32,
}

impl InodeKey {
    /// The key of an inode on the filesystem with this device number.
    pub fn new(major: u32, minor: u32, ino: u64) -> Self {
        Self {
            ino,
            address: 0,
            dev: major << 20 | minor,
            zero: 0,
        }
    }
}

/// `MAJOR:MINOR` of a kernel device number.
pub fn device_name(dev: u32) -> String {
    format!("{}:{}", dev >> 20, dev & 0xf_ffff)
}

/// Bytes of a name in a key: `NAME_MAX` and the NUL.
pub const NAME_KEY_LEN: usize = 256;

/// A name in a folder, padded with NULs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct NameKey {
    /// The folder.
    pub folder: InodeKey,
    /// The name.
    pub name: [u8; NAME_KEY_LEN],
}

impl NameKey {
    /// The key of a name in a folder; `None` if no file can have such a name.
    pub fn new(folder: InodeKey, name: &[u8]) -> Option<Self> {
        let name = padded(name)?;
        Some(Self { folder, name })
    }
}

/// The bytes with NULs to the end; `None` where not even one is left room for.
fn padded<const LEN: usize>(bytes: &[u8]) -> Option<[u8; LEN]> {
    let mut padded = [0; LEN];
    if bytes.len() >= LEN {
        return None;
    }
    padded[..bytes.len()].copy_from_slice(bytes);
    Some(padded)
}

/// A path, padded with NULs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct PathKey(pub [u8; PATH_KEY_LEN]);

impl PathKey {
    /// The key for a path; `None` if it is too long for one.
    pub fn new(path: &[u8]) -> Option<Self> {
        Some(Self(padded(path)?))
    }
}

/// The value of a rule. All zeros is no rule.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Rule {
    /// Its number, which events carry.
    pub id: u32,
    /// An [`Action`](crate::posture::Action).
    pub action: u16,
    /// What it denies: [`ACCESS_READ`], [`ACCESS_WRITE`] or both.
    pub access: u16,
}

/// Bit of reading, in rules and events.
pub const ACCESS_READ: u16 = 1;
/// Bit of writing.
pub const ACCESS_WRITE: u16 = 2;

/// What is known of one inode.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct InodeRules {
    /// On the file itself.
    pub exact: Rule,
    /// On all that is beneath this folder.
    pub beneath: Rule,
    /// Where the inode is in the kernel's memory; 0 if the agent doesn't keep it there.
    pub address: u64,
    /// `i_generation`
    pub generation: u32,
    /// 1 if a name in this folder has a rule.
    pub has_names: u32,
}

/// What doesn't belong to a single rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// The [`Action`](crate::posture::Action) on a file whose folders can't be told, while there are folder rules.
    pub unplaced_action: u32,
}

/// The filter's space of superblocks, by their addresses, that have a folder with a rule on all
/// beneath it. Beside this space and the next, each is a device number, and its numbers are inodes.
pub const FILTER_SUPERBLOCK: u32 = u32::MAX;
/// The filter's space of what is beneath folders, by the addresses of their inodes.
pub const FILTER_BENEATH: u32 = u32::MAX - 1;

/// The number that stands in a call where the loader puts the kernel's own number of the function
/// `bpf_rdonly_cast()`.
pub const PLACE_OF_RDONLY_CAST: i32 = 0x7fff_0001;
/// The same of structs, where they are that function's argument.
pub const PLACES_OF_STRUCTS: [(i32, &str); 4] = [
    (0x7fff_0002, "file"),
    (0x7fff_0003, "mount"),
    (0x7fff_0004, "dentry"),
    (0x7fff_0005, "super_block"),
];

/// Every kernel stores a name of fewer bytes, with its NUL in so many, inside the dentry; a longer
/// one may be stored elsewhere
/// (`DNAME_INLINE_LEN` of include/linux/dcache.h: 32, from 6.14 on 40).
pub const NAME_INLINE_LEN: usize = 32;

/// The rule number in events on a file whose folders can't be found
/// ([`Settings::unplaced_action`]).
pub const UNPLACED_RULE: u32 = u32::MAX;

/// One of the agent's descriptors, and the file behind it as the hooks see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Descriptor {
    /// Device and inode, always with the address.
    pub inode: InodeKey,
    /// Where its superblock is in the kernel's memory.
    pub superblock: u64,
    /// `i_generation`
    pub generation: u32,
    /// The descriptor.
    pub fd: u32,
}

/// An index of the exempt cgroups that holds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct RawExempted {
    /// The cgroup's id; 0 where programs may not read the kernel's memory.
    pub cgroup: u64,
    /// The index.
    pub index: u32,
    zero: u32,
}

/// What user space sees change without asking the kernel. Each number is read and written as one.
#[derive(Debug)]
#[repr(C)]
pub struct Tally {
    /// The canary that is out, as [`canary`] says; 0 where there is none.
    pub canary: AtomicU64,
    /// How often the program of the canary's hook reached a verdict on it.
    pub canary_hits: AtomicU64,
    /// Events that found the ring full.
    pub events_lost: AtomicU64,
    /// Acts that weren't told of, being like too many before.
    pub events_repeated: AtomicU64,
    /// Signals that the kernel refused to send to whoever broke a rule.
    pub signals_refused: AtomicU64,
}

/// A canary, by its thread group id, and the number of the hook that it is meant for: the kernel
/// side's two fields in the order in which they lie in memory.
pub fn canary(hook: u32, tgid: u32) -> u64 {
    let (hook, tgid) = (hook.to_ne_bytes(), tgid.to_ne_bytes());
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&hook);
    bytes[4..].copy_from_slice(&tgid);
    u64::from_ne_bytes(bytes)
}

/// What a program tells of a verdict.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct RawEvent {
    /// Nanoseconds on the boot clock.
    pub boot_ns: u64,
    /// Cgroup id.
    pub cgroup: u64,
    /// Inode, or 0 where the hook sees none.
    pub ino: u64,
    /// What the signal helper returned, where a signal was sent.
    pub signal_result: i64,
    /// How many like it weren't told of, as far as the kernel side remembers.
    pub repeats: u64,
    /// Device number, beside `ino`.
    pub dev: u32,
    /// The rule's number.
    pub rule: u32,
    /// Thread id.
    pub pid: u32,
    /// Thread group id.
    pub tgid: u32,
    /// The hook's number.
    pub hook: u8,
    /// 0 observed, 1 denied, 2 killed.
    pub outcome: u8,
    /// 0 no, 1 protected executable, 2 pid 1, 3 agent.
    pub spared: u8,
    /// Whether it was this hook's canary.
    pub canary: u8,
    /// The signal that was sent, or 0.
    pub signal: u8,
    /// By what the rule matched: 0 path, 1 inode, 2 name, 3 folder. 4 and 5: no rule matched, but the
    /// file is deeper than the kernel side looks, or in no folder, so a folder rule may cover it.
    pub matched: u8,
    /// [`ACCESS_READ`], [`ACCESS_WRITE`] or both.
    pub access: u8,
    /// Padding.
    pub zero: u8,
    /// The thread's name.
    pub comm: [u8; 16],
    /// The path as passed by user space, or empty where the hook sees none.
    pub path: [u8; PATH_KEY_LEN],
}

impl RawEvent {
    /// The event in a record of the ring buffer; `None` if its size isn't an event's.
    pub fn read(record: &[u8]) -> Option<Self> {
        if record.len() != size_of::<Self>() {
            return None;
        }
        // SAFETY: the size was checked, every bit pattern is a valid RawEvent since all its
        // fields are integers, and an unaligned read asks nothing of the record's address.
        Some(unsafe { record.as_ptr().cast::<Self>().read_unaligned() })
    }
}

impl RawExempted {
    /// Reads one as the iterator wrote it.
    ///
    /// # Panics
    /// The bytes have another size.
    pub fn read(bytes: &[u8]) -> Self {
        assert_eq!(bytes.len(), size_of::<Self>());
        // SAFETY: the size was checked, and its fields are integers.
        unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() }
    }
}

impl Descriptor {
    /// Reads what the iterator wrote.
    ///
    /// # Panics
    /// The record isn't of this size.
    pub fn read(record: &[u8]) -> Self {
        assert_eq!(record.len(), size_of::<Self>());
        // SAFETY: the size was checked, and its fields are integers.
        unsafe { record.as_ptr().cast::<Self>().read_unaligned() }
    }
}

/// What is before the first NUL.
pub fn before_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}

// SAFETY: integers only, no padding that isn't a named field.
unsafe impl aya::Pod for InodeKey {}
// SAFETY: a key without padding and bytes.
unsafe impl aya::Pod for NameKey {}
// SAFETY: integers only, no padding.
unsafe impl aya::Pod for InodeRules {}
// SAFETY: integers only, no padding.
unsafe impl aya::Pod for Settings {}
// SAFETY: bytes only.
unsafe impl aya::Pod for PathKey {}
// SAFETY: integers only, no padding.
unsafe impl aya::Pod for Rule {}

#[cfg(test)]
mod tests {
    use super::super::btf::layout;
    use super::*;
    use crate::classes::hooks::HOOKS;
    use crate::posture::Action;

    /// Holds a struct of this side against the one of that name in the object: the size, and where
    /// each of the fields is. A field of padding must be in both.
    macro_rules! same {
        ($btf:expr, $ours:ty, $theirs:literal, {$($field:ident: $member:literal),* $(,)?}) => {
            let (size, members) = layout::of_struct($btf, $theirs);
            assert_eq!(size_of::<$ours>(), size, $theirs);
            let ours = std::collections::BTreeMap::from([
                $(($member.to_owned(), std::mem::offset_of!($ours, $field))),*
            ]);
            assert_eq!(ours, members, $theirs);
        };
    }

    #[test]
    fn layouts_are_those_of_the_object() {
        let object = aya_obj::Object::parse(crate::kernel::loader::OBJECT).unwrap();
        let btf = object.btf.unwrap().to_bytes();
        same!(&btf, InodeKey, "inode_key", {
            ino: "ino", address: "address", dev: "dev", zero: "zero",
        });
        same!(&btf, NameKey, "name_key", { folder: "folder", name: "name" });
        same!(&btf, Rule, "rule", { id: "id", action: "action", access: "access" });
        same!(&btf, InodeRules, "inode_rules", {
            exact: "exact", beneath: "beneath", address: "address", generation: "generation",
            has_names: "has_names",
        });
        same!(&btf, Settings, "settings", { unplaced_action: "unplaced_action" });
        same!(&btf, Descriptor, "identity", {
            inode: "inode", superblock: "superblock", generation: "generation", fd: "fd",
        });
        same!(&btf, RawExempted, "exempted", {
            cgroup: "cgroup", index: "index", zero: "zero",
        });
        same!(&btf, Tally, "tally", {
            canary: "canary", canary_hits: "canary_hits", events_lost: "events_lost",
            events_repeated: "events_repeated", signals_refused: "signals_refused",
        });
        same!(&btf, RawEvent, "event", {
            boot_ns: "boot_ns", cgroup: "cgroup", ino: "ino", signal_result: "signal_result",
            repeats: "repeats", dev: "dev", rule: "rule", pid: "pid", tgid: "tgid", hook: "hook", outcome: "outcome",
            spared: "spared", canary: "canary", signal: "signal", matched: "match",
            access: "access", zero: "zero", comm: "comm", path: "path",
        });
        let (size, members) = layout::of_struct(&btf, "canary");
        assert_eq!((size, members["hook"], members["tgid"]), (8, 0, 4));
        let (size, _) = layout::of_struct(&btf, "path_key");
        assert_eq!(size_of::<PathKey>(), size);
    }

    #[test]
    fn numbers_are_those_of_the_object() {
        let object = aya_obj::Object::parse(crate::kernel::loader::OBJECT).unwrap();
        let btf = object.btf.unwrap().to_bytes();
        let actions = layout::of_enum(&btf, "action");
        assert_eq!(actions["ACTION_OBSERVE"], Action::Observe as u32);
        assert_eq!(actions["ACTION_DENY"], Action::Deny as u32);
        let hooks = layout::of_enum(&btf, "hook");
        assert_eq!(hooks.len(), HOOKS.len());
        for (name, number) in hooks {
            let hook = HOOKS[number as usize].name;
            let name = name.trim_start_matches("HOOK_").to_lowercase();
            let name = name.trim_end_matches(|end: char| end == '_' || end.is_ascii_digit());
            let end = name.split_once('_').map_or(name, |(_, end)| end);
            assert!(
                hook.contains(end) || hook.ends_with(&name[..4]),
                "{name}: {hook}"
            );
        }
        let spared = layout::of_enum(&btf, "spared");
        assert_eq!(spared["SPARED_AGENT"], 3);
        let outcomes = layout::of_enum(&btf, "outcome");
        let expected = [
            ("OUTCOME_OBSERVED", 0),
            ("OUTCOME_DENIED", 1),
            ("OUTCOME_KILLED", 2),
        ];
        for (name, number) in expected {
            assert_eq!(outcomes[name], number);
        }
    }

    #[test]
    fn lengths_are_those_of_the_kernel_side() {
        let headers = [
            include_str!("../../../bpf/abi.h"),
            include_str!("../../../bpf/core/exempt.h"),
        ]
        .concat();
        for (name, value) in [
            ("PATH_KEY_LEN", PATH_KEY_LEN),
            ("NAME_KEY_LEN", NAME_KEY_LEN),
            ("NAME_INLINE_LEN", NAME_INLINE_LEN),
            ("EXEMPT_MAX", crate::policy::MAX_EXEMPT_CGROUPS),
        ] {
            assert!(
                headers.contains(&format!("#define {name} {value}\n")),
                "{name}"
            );
        }
    }

    #[test]
    fn a_path_fits_a_key_with_its_nul_or_not_at_all() {
        let path = format!("/{}", "x".repeat(254));
        let key = PathKey::new(path.as_bytes()).unwrap();
        assert_eq!(key.0[254], b'x');
        assert_eq!(key.0[255], 0);
        assert_eq!(PathKey::new(format!("{path}x").as_bytes()), None);
    }

    #[test]
    fn a_record_of_another_size_is_no_event() {
        assert!(RawEvent::read(&[0; 335]).is_none());
        assert!(RawEvent::read(&[0; 336]).is_some());
    }

    #[test]
    fn device_numbers_are_the_kernel_s_own() {
        let key = InodeKey::new(259, 3, 7);
        assert_eq!(key.dev, 259 << 20 | 3);
        assert_eq!(device_name(key.dev), "259:3");
    }
}
