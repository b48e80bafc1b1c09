//! What kernel side and user space exchange: the mirror of `bpf/abi.bpf.h`.
//!
//! In and out: plain structs with the same layout as in C, which maps carry as bytes. The
//! constants here are the C side's, under the same names.

use std::ffi::OsStr;
use std::mem::size_of;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
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
    pub fn new(folder: InodeKey, name: &OsStr) -> Option<Self> {
        let name = padded(name.as_bytes())?;
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
    pub fn new(path: &Path) -> Option<Self> {
        Some(Self(padded(path.as_os_str().as_bytes())?))
    }
}

/// What a rule does to whoever meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// Only an event.
    Observe = 0,
    /// Denial by the tier's means.
    Deny = 1,
}

/// The value of a rule. All zeros is no rule.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Rule {
    /// Its number, which events carry.
    pub id: u32,
    /// An [`Action`].
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
    /// `i_generation`
    pub generation: u32,
    /// 1 if a name in this folder has a rule.
    pub has_names: u32,
}

/// A rule on a folder and everything beneath it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct FolderRule {
    /// The rule.
    pub rule: Rule,
    /// `i_ino`
    pub ino: u64,
    /// `s_dev`
    pub dev: u32,
    /// `i_generation`
    pub generation: u32,
}

/// What doesn't belong to a single rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// The [`Action`] on a file whose folders can't be told, while there are folder rules.
    pub unplaced_action: u32,
    /// 1 if keys on some devices have an address. Such a device has an entry among the rules
    /// by inode, with the inode number 0.
    pub has_addressed_devices: u32,
}

/// The rule number in events of such a file.
pub const UNPLACED_RULE: u32 = u32::MAX;

/// One of the agent's descriptors, and the file behind it as the hooks see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Descriptor {
    /// Device and inode, always with the address.
    pub inode: InodeKey,
    /// `i_generation`
    pub generation: u32,
    /// The descriptor.
    pub fd: u32,
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
    /// By what the rule matched: 0 path, 1 inode, 2 name, 3 folder, 4 none, since it is
    /// deeper than the kernel side looks, 5 none, since it is in no folder.
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

// SAFETY: integers only, no padding that isn't a named field.
unsafe impl aya::Pod for InodeKey {}
// SAFETY: a key without padding and bytes.
unsafe impl aya::Pod for NameKey {}
// SAFETY: integers only, no padding.
unsafe impl aya::Pod for InodeRules {}
// SAFETY: integers only, no padding.
unsafe impl aya::Pod for FolderRule {}
// SAFETY: integers only, no padding.
unsafe impl aya::Pod for Settings {}
// SAFETY: bytes only.
unsafe impl aya::Pod for PathKey {}
// SAFETY: integers only, no padding.
unsafe impl aya::Pod for Rule {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_the_kernel_side() {
        assert_eq!(size_of::<InodeKey>(), 24);
        assert_eq!(size_of::<PathKey>(), 256);
        assert_eq!(size_of::<NameKey>(), 280);
        assert_eq!(size_of::<Rule>(), 8);
        assert_eq!(size_of::<InodeRules>(), 16);
        assert_eq!(size_of::<FolderRule>(), 24);
        assert_eq!(size_of::<Settings>(), 8);
        assert_eq!(size_of::<Descriptor>(), 32);
        assert_eq!(size_of::<Tally>(), 32);
        assert_eq!(std::mem::offset_of!(Tally, canary_hits), 8);
        assert_eq!(std::mem::offset_of!(Tally, events_lost), 16);
        assert_eq!(std::mem::offset_of!(Tally, signals_refused), 24);
        assert_eq!(size_of::<RawEvent>(), 328);
        assert_eq!(std::mem::offset_of!(RawEvent, hook), 48);
        assert_eq!(std::mem::offset_of!(RawEvent, comm), 56);
        assert_eq!(std::mem::offset_of!(RawEvent, path), 72);
    }

    #[test]
    fn a_path_fits_a_key_with_its_nul_or_not_at_all() {
        let path = format!("/{}", "x".repeat(254));
        let key = PathKey::new(Path::new(&path)).unwrap();
        assert_eq!(key.0[254], b'x');
        assert_eq!(key.0[255], 0);
        assert_eq!(PathKey::new(Path::new(&format!("{path}x"))), None);
    }

    #[test]
    fn a_record_of_another_size_is_no_event() {
        assert!(RawEvent::read(&[0; 327]).is_none());
        assert!(RawEvent::read(&[0; 328]).is_some());
    }

    #[test]
    fn device_numbers_are_the_kernel_s_own() {
        let key = InodeKey::new(259, 3, 7);
        assert_eq!(key.dev, 259 << 20 | 3);
        assert_eq!(device_name(key.dev), "259:3");
    }
}
