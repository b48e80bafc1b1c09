//! What a file system's type says of its files' identities. Pure.
//!
//! In: the number by which `statfs(2)` tells the type. Out: whether the hooks can tell its files
//! from others for good, and what it takes.

/// From linux/magic.h, or the file system's own source. Every subvolume of a btrfs numbers its inodes
/// anew, and all have the same device number.
pub const BTRFS: u64 = 0x9123_683e;
const EXT: u64 = 0xef53;
const REISERFS: u64 = 0x5265_4973;
const OVERLAYFS: u64 = 0x794c_7630;
const FAT: u64 = 0x4d44;
const EXFAT: u64 = 0x2011_bab0;
const NTFS3: u64 = 0x7366_746e;
const CIFS: u64 = 0xff53_4d42;
const SMB2: u64 = 0xfe53_4d42;
const BCACHEFS: u64 = 0xca45_1a4e;
const ZFS: u64 = 0x2fc1_2fc1;

/// Those whose files whoever mounts them anew, in namespaces of his own, has again as others.
const MOUNTED_ANEW: [(u64, &str); 5] = [
    (0x9fa0, "procfs"),
    (0x6265_6572, "sysfs"),
    (0x1cd1, "devpts"),
    (0x27_e0eb, "cgroup"),
    (0x6367_7270, "cgroup2"),
];

/// Those that a server answers for, be it another machine or a process. It gives its files what
/// numbers it likes, and may give one several.
const SERVED: [(u64, &str); 12] = [
    (0x6969, "NFS"),
    (CIFS, "CIFS"),
    (SMB2, "SMB"),
    (0x517b, "SMB"),
    (0x00c3_6400, "Ceph"),
    (0x0102_1997, "9p"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x6573_5546, "FUSE"),
    (0x0bd0_0bd0, "Lustre"),
    (0x2003_0528, "OrangeFS"),
];

/// Why a rule on a file there isn't claimed: somebody may have the same thing as another file.
#[must_use]
pub fn several_identities(of: u64) -> Option<String> {
    let named = |known: &[(u64, &'static str)]| {
        let found = known.iter().find(|(magic, _)| *magic == of);
        found.map(|(_, name)| *name)
    };
    if let Some(name) = named(&MOUNTED_ANEW) {
        return Some(format!(
            "{name}: whoever mounts it anew, in namespaces of his own, has the same thing as another \
             file; the rule meets it only where the path leads"
        ));
    }
    let name = named(&SERVED)?;
    Some(format!(
        "{name}: its server decides which file is which, and may show the same one as another; the rule \
         meets it only as far as it is known"
    ))
}

/// Why a rule on a name there isn't claimed.
#[must_use]
pub fn several_spellings(of: u64) -> Option<&'static str> {
    [FAT, EXFAT, NTFS3, CIFS, SMB2].contains(&of).then_some(
        "its file system takes names in capitals and in small letters for the same; the rule meets the \
         name only in its own spelling",
    )
}

/// Whether a file's number or generation may change while it is there: on some its owner sets the
/// generation, on others both are made up whenever the inode is read. One that is kept in memory stays
/// the same inode.
#[must_use]
pub fn changes_identity(of: u64) -> bool {
    [EXT, REISERFS, FAT, EXFAT].contains(&of)
}

/// Whether an address goes into the hooks' key of a file there.
#[must_use]
pub fn is_addressed(of: u64) -> bool {
    of == BTRFS
}

/// Whether its users may make snapshots, which show a file as another one.
#[must_use]
pub fn has_snapshots(of: u64) -> bool {
    [BTRFS, BCACHEFS, ZFS].contains(&of)
}

/// Whether nothing hangs on it that an inode there is kept in memory, but that the file is known to be
/// gone. On an overlay that would keep the kernel from looking anew at what was copied up.
#[must_use]
pub fn may_be_kept(of: u64) -> bool {
    of != OVERLAYFS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_anew_or_served_says_so_by_its_name_and_nothing_else_does() {
        for (of, name) in MOUNTED_ANEW.into_iter().chain(SERVED) {
            let reason = several_identities(of).expect(name);
            assert!(reason.starts_with(&format!("{name}: ")), "{reason}");
        }
        // tmpfs, xfs and ramfs beside those above.
        for of in [EXT, BTRFS, OVERLAYFS, 0x0102_1994, 0x5846_5342, 0x8584_58f6] {
            assert_eq!(several_identities(of), None, "{of:#x}");
            assert_eq!(several_spellings(of), None, "{of:#x}");
        }
    }

    #[test]
    fn each_type_is_listed_once() {
        let all = MOUNTED_ANEW.into_iter().chain(SERVED);
        let mut numbers: Vec<u64> = all.map(|(magic, _)| magic).collect();
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
    }

    #[test]
    fn the_numbers_are_the_kernel_s() {
        let of = |path: &str| {
            let found = rustix::fs::statfs(path).expect(path).f_type;
            found.cast_unsigned()
        };
        assert!(several_identities(of("/proc")).is_some_and(|why| why.starts_with("procfs")));
        assert!(several_identities(of("/sys")).is_some_and(|why| why.starts_with("sysfs")));
    }
}
