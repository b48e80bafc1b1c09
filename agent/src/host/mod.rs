//! Facts about this machine and this process that the report and the edges need.
//!
//! In: `/proc` and `uname`. Out: plain data.

pub mod cgroups;
pub mod facts;
pub mod filesystems;
pub mod folder;
pub mod lsm;
pub mod machine;
pub mod moment;
pub mod shown;
pub mod status;
pub mod tree;
pub mod way;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// The inode of the initial pid namespace, fixed by the kernel's ABI.
const INITIAL_PID_NS: &str = "pid:[4026531836]";

/// One line of the mount table.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Mount {
    /// Its id, as in `/proc/self/fdinfo`.
    pub id: u64,
    /// The device number of the filesystem itself, which `stat` doesn't always tell.
    pub device: (u32, u32),
    /// Which folder of the filesystem is mounted.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// The filesystem's type.
    pub fs_type: String,
    /// The user whose process answers for it, where one does.
    pub user: Option<u32>,
}

/// The mount table of this process.
pub fn mounts() -> Result<Vec<Mount>> {
    let table = fs::read("/proc/self/mountinfo").context("failed to read /proc/self/mountinfo")?;
    Ok(table
        .split(|byte| *byte == b'\n')
        .filter_map(parse_mount)
        .collect())
}

/// One line of mountinfo; `None` if it isn't one.
fn parse_mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = text(fields.next()?)?.parse().ok()?;
    let (major, minor) = text(fields.nth(1)?)?.split_once(':')?;
    let device = (major.parse().ok()?, minor.parse().ok()?);
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    // Optional fields end with a lone dash; the type follows.
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let fs_type = text(fields.next()?)?.to_owned();
    let options = fields.nth(1).unwrap_or_default();
    let mut options = options.split(|byte| *byte == b',');
    let user = options.find_map(|option| text(option.strip_prefix(b"user_id=")?)?.parse().ok());
    Some(Mount {
        id,
        device,
        root,
        point,
        fs_type,
        user,
    })
}

fn text(field: &[u8]) -> Option<&str> {
    str::from_utf8(field).ok()
}

/// Undoes the table's octal escapes of blank, tab, line end and backslash.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(text);
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) if byte == b'\\' => {
                bytes.push(escaped);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}

/// Identifies this boot of the machine.
pub fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let id = fs::read_to_string(path).with_context(|| format!("failed to read {path}"))?;
    Ok(id.trim().to_owned())
}

/// The kernel's release, `uname -r`.
pub fn kernel_version() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

/// When this process started, in clock ticks after boot: with the pid, it names the process
/// even after the pid has been given to another.
pub fn start_time() -> Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat").context("failed to read /proc/self/stat")?;
    // The name in parentheses may hold blanks; what follows it starts with field 3.
    let (_, fields) = stat
        .rsplit_once(')')
        .context("no name in /proc/self/stat")?;
    let ticks = fields
        .split_whitespace()
        .nth(22 - 3)
        .context("no start time in /proc/self/stat")?;
    ticks.parse().context("bad start time in /proc/self/stat")
}

/// How long ago this process started, to the kernel's clock tick of 10 ms.
pub fn since_start() -> Result<Duration> {
    // Of the ABI, whatever the kernel's own tick is.
    const TICKS_PER_SECOND: u64 = 100;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = Duration::new(u64::try_from(now.tv_sec)?, u32::try_from(now.tv_nsec)?);
    let started = Duration::from_millis(start_time()? * 1000 / TICKS_PER_SECOND);
    Ok(now.saturating_sub(started))
}

/// Names in `folder` that are `prefix` and the pid of a process that is no more: what an
/// agent leaves that was killed before it could clean up.
pub fn leftovers(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let dead = |name: &str| {
        let pid = name.strip_prefix(prefix)?.parse::<u32>().ok()?;
        (pid == process::id() || !Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().and_then(dead).is_some())
        .map(|entry| entry.path())
        .collect()
}

/// Whether pids here are those that the kernel side sees.
pub fn in_initial_pid_namespace() -> Result<bool> {
    let path = "/proc/self/ns/pid";
    let link = fs::read_link(path).with_context(|| format!("failed to read {path}"))?;
    Ok(link == Path::new(INITIAL_PID_NS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_line_is_read_whole() {
        let line =
            b"36 35 98:0 /a\\040b /mnt\\134x rw,noatime shared:1 master:2 - ext3 /dev/root rw";
        let mount = parse_mount(line).unwrap();
        let expected = Mount {
            id: 36,
            device: (98, 0),
            root: PathBuf::from("/a b"),
            point: PathBuf::from("/mnt\\x"),
            fs_type: "ext3".to_owned(),
            user: None,
        };
        assert_eq!(mount, expected);
        let line = b"40 35 0:50 / /home/u/m rw - fuse.sshfs u@h: rw,user_id=1000,group_id=1000";
        let mount = parse_mount(line).unwrap();
        assert_eq!(
            (mount.fs_type.as_str(), mount.user),
            ("fuse.sshfs", Some(1000))
        );
    }

    #[test]
    fn leftovers_are_of_the_dead_and_of_our_own_pid() {
        let folder = tempfile::tempdir().unwrap();
        // Above the highest pid that the kernel gives.
        let (dead, own) = (format!("x-{}", 1 << 30), format!("x-{}", process::id()));
        for name in [&dead, &own, "x-1", "x-", "x-a", "y-1073741824"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let mut found = leftovers(folder.path(), "x-");
        found.sort();
        let mut expected = [dead, own].map(|name| folder.path().join(name));
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_line_that_is_no_mount_is_skipped() {
        for line in [
            &b""[..],
            b"36 35",
            b"a b 1:2 / / rw - ext4",
            b"36 35 98:0 / / rw",
        ] {
            assert_eq!(parse_mount(line), None);
        }
    }
}
