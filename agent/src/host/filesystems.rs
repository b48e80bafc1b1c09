//! Which of the kernel's own file systems are mounted where they are looked for, and the command
//! that mounts one.
//!
//! In: `/proc/filesystems` and the mount table. Out: a [`Presence`].

use std::fs;
use std::path::Path;

use crate::host::{self, Mount};

/// What there is of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is mounted in one of the places.
    Mounted,
    /// The kernel knows it, and it isn't mounted there.
    Unmounted,
    /// The kernel was built without it.
    Unknown,
}

/// Looks for a file system in any of these places. What can't be read counts as mounted: then the
/// error that led here is all that is known.
pub fn presence(kind: &str, places: &[&str]) -> Presence {
    let known = fs::read_to_string("/proc/filesystems");
    match (known, host::mounts()) {
        (Ok(known), Ok(mounts)) => presence_in(kind, places, &known, &mounts),
        _ => Presence::Mounted,
    }
}

fn presence_in(kind: &str, places: &[&str], known: &str, mounts: &[Mount]) -> Presence {
    let is_there = |mount: &Mount| {
        let is_place = |place: &&str| mount.point == Path::new(place);
        mount.fs_type == kind && places.iter().any(is_place)
    };
    if mounts.iter().any(is_there) {
        return Presence::Mounted;
    }
    // `nodev`, a tab and the name.
    let mut names = known
        .lines()
        .filter_map(|line| line.split('\t').next_back());
    match names.any(|name| name == kind) {
        true => Presence::Unmounted,
        false => Presence::Unknown,
    }
}

/// What to do about the kernel's list of LSMs, if it is missing as securityfs is; else `None`.
pub fn mend_securityfs() -> Option<&'static str> {
    match presence("securityfs", &["/sys/kernel/security"]) {
        Presence::Mounted => None,
        Presence::Unmounted => Some(
            "securityfs isn't mounted: mount it with mount -t securityfs securityfs \
             /sys/kernel/security, and start the agent again",
        ),
        Presence::Unknown => Some(
            "this kernel has no securityfs: use one built with CONFIG_SECURITYFS and \
             CONFIG_BPF_LSM",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_mounted_there_or_not_or_unknown() {
        let mount = |fs_type: &str, point: &str| Mount {
            id: 1,
            device: (0, 7),
            root: "/".into(),
            point: point.into(),
            fs_type: fs_type.to_owned(),
            user: None,
        };
        let known = "nodev\tsysfs\nnodev\ttracefs\n\text4\n";
        let places = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
        for (mounts, known, expected) in [
            (vec![mount("tracefs", places[0])], known, Presence::Mounted),
            (vec![mount("tracefs", places[1])], known, Presence::Mounted),
            (vec![mount("tracefs", "/mnt")], known, Presence::Unmounted),
            (vec![mount("tmpfs", places[0])], known, Presence::Unmounted),
            (vec![], known, Presence::Unmounted),
            (vec![], "nodev\tsysfs\nnodev\ttracefs2\n", Presence::Unknown),
        ] {
            let found = presence_in("tracefs", &places, known, &mounts);
            assert_eq!(found, expected, "{mounts:?}");
        }
    }
}
