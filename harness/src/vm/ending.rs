//! How a QEMU that has ended came to its end.
//!
//! In: its exit status, what it said, and whether the host ran out of memory meanwhile. Out: an
//! [`Ending`]. A guest that dies or is done restarts its machine, on which QEMU exits with 0; so
//! whatever else ended QEMU came from outside of the guest, and says nothing about a proof.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;

use anyhow::{Context as _, Result};

use crate::outcome::Ending;

/// As much as is written to see whether a folder still takes anything: more than what a file
/// system may keep free in a block that is begun.
const PROBE: usize = 64 << 10;

/// The ending that this status is of.
#[must_use]
pub fn of(status: ExitStatus, log: &str, out_of_memory: bool) -> Ending {
    if let Some(signal) = status.signal() {
        return Ending::Killed {
            signal,
            sender: None,
            out_of_memory,
        };
    }
    // QEMU catches the signals that ask to end, and exits with 0 on them too.
    if let Some((signal, sender)) = log.lines().find_map(asked_to_end) {
        return Ending::Killed {
            signal,
            sender: Some(sender.to_owned()),
            out_of_memory,
        };
    }
    Ending::Exited {
        // A status without a signal has a code.
        code: status.code().unwrap_or_default(),
    }
}

/// The signal and its sender, in a line of QEMU's such as
/// `qemu-system-x86_64: terminating on signal 15 from pid 77 (sh)`.
fn asked_to_end(line: &str) -> Option<(i32, &str)> {
    let (program, rest) = line.split_once(": terminating on signal ")?;
    let (signal, sender) = rest.split_once(" from ").unwrap_or((rest, "nobody known"));
    let is_qemu = program.contains("qemu") && !program.contains(' ');
    is_qemu.then_some((signal.trim().parse().ok()?, sender.trim()))
}

/// How many processes the host has ended since it was booted, as it had no more memory. A host
/// that doesn't tell has ended none that could be blamed.
#[must_use]
pub fn out_of_memory_kills() -> u64 {
    let vmstat = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let mut lines = vmstat.lines();
    let count = lines.find_map(|line| line.strip_prefix("oom_kill "));
    count
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or_default()
}

/// Checks that a boot's folder still takes what is written to it. QEMU drops without a word what
/// it can't write.
///
/// # Errors
/// It doesn't, e.g. as the disk is full.
pub fn check_writable(dir: &Path) -> Result<()> {
    let path = dir.join(".writable");
    let written = fs::write(&path, vec![0; PROBE]);
    // It may never have been made.
    let _ = fs::remove_file(&path);
    written.with_context(|| format!("writing to {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_qemu_is_told_from_what_ended_the_guest() {
        let exited = |code: i32| ExitStatus::from_raw(code << 8);
        let killed = |signal, sender: Option<&str>| Ending::Killed {
            signal,
            sender: sender.map(str::to_owned),
            out_of_memory: false,
        };
        let asked = "qemu-system-x86_64: terminating on signal 15 from pid 77 (sh)\n";
        let guest = "[    1.0] x: terminating on signal 15 from pid 77 (sh)\n";
        for (status, log, ending) in [
            (exited(0), "", Ending::Exited { code: 0 }),
            (exited(0), guest, Ending::Exited { code: 0 }),
            (exited(1), "no such machine", Ending::Exited { code: 1 }),
            (ExitStatus::from_raw(9), "", killed(9, None)),
            (exited(0), asked, killed(15, Some("pid 77 (sh)"))),
            (
                exited(0),
                "qemu-system-x86_64: terminating on signal 2\n",
                killed(2, Some("nobody known")),
            ),
        ] {
            assert_eq!(of(status, log, false), ending, "{log:?}");
        }
    }

    #[test]
    fn a_folder_that_takes_nothing_is_told_by_its_name() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        check_writable(dir.path()).expect("it is writable");
        let left = fs::read_dir(dir.path()).expect("it is there").count();
        assert_eq!(left, 0);
        let error = check_writable(Path::new("/proc/self")).expect_err("nothing is made there");
        assert!(error.to_string().contains("/proc/self"), "{error}");
    }
}
