//! What the kernel says of this process in `/proc/self/status`.
//!
//! In: that file. Out: a [`Status`].

use std::fs;

use anyhow::{Context as _, Result};

const PATH: &str = "/proc/self/status";

/// Of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Its effective capabilities, a bit each.
    pub capabilities: u64,
    /// The signals that it ignores: bit 0 is signal 1.
    ignored_signals: u64,
    /// Whether a seccomp filter sees its system calls.
    pub seccomp_filter: bool,
}

impl Status {
    /// Reads it.
    ///
    /// # Errors
    /// The file can't be read, or lacks a line.
    pub fn read() -> Result<Self> {
        let text = fs::read_to_string(PATH).with_context(|| format!("failed to read {PATH}"))?;
        Self::parse(&text).with_context(|| format!("{PATH} isn't as it should be"))
    }

    /// Whether the process ignores this signal.
    pub fn ignores(&self, signal: i32) -> bool {
        let bit = u32::try_from(signal - 1).ok();
        bit.and_then(|bit| self.ignored_signals.checked_shr(bit))
            .is_some_and(|signals| signals & 1 == 1)
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let values = text.lines().filter_map(|line| line.strip_prefix(name));
            values
                .filter_map(|value| value.strip_prefix(':'))
                .map(str::trim)
                .next()
        };
        let bits = |name: &str| u64::from_str_radix(field(name)?, 16).ok();
        // SECCOMP_MODE_FILTER; a kernel without seccomp has no such line.
        let seccomp_filter = field("Seccomp") == Some("2");
        Some(Self {
            capabilities: bits("CapEff")?,
            ignored_signals: bits("SigIgn")?,
            seccomp_filter,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Name:\tSigIgn:\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n\
                        CapPrm:\t0000000000000001\nCapEff:\t000000c000200000\nNoNewPrivs:\t1\n\
                        Seccomp:\t2\nSeccomp_filters:\t1\n";

    #[test]
    fn capabilities_signals_and_seccomp_are_read() {
        let status = Status::parse(TEXT).unwrap();
        assert_eq!(status.capabilities, 1 << 39 | 1 << 38 | 1 << 21);
        assert!(status.seccomp_filter);
        assert!(status.ignores(libc::SIGHUP) && status.ignores(libc::SIGPIPE));
        assert!(!status.ignores(libc::SIGINT) && !status.ignores(0) && !status.ignores(65));
    }

    #[test]
    fn no_filter_is_no_filter_and_a_missing_line_is_an_error() {
        let without = Status::parse(&TEXT.replace("Seccomp:\t2", "Seccomp:\t0")).unwrap();
        assert!(!without.seccomp_filter);
        assert_eq!(Status::parse(&TEXT.replace("CapEff", "CapOff")), None);
    }

    #[test]
    fn this_process_has_one() {
        assert!(!Status::read().unwrap().ignores(libc::SIGKILL));
    }
}
