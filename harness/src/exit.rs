//! How every command of the harness ends: the exit codes, and the error that carries one.
//!
//! In: whatever went wrong, as an [`anyhow::Error`]. Out: a [`Failure`], which `main` prints
//! and turns into the process's exit code. This is the one place that documents the codes.

use std::{fmt, process};

/// The exit codes of `cargo xtask`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything came out as declared.
    AsDeclared = 0,
    /// A proof failed, or was skipped without having been declared so; a mutant survived.
    Failed = 1,
    /// The command line or a file written by people (`kernels.toml`, `images/`) is wrong.
    Usage = 2,
    /// Nothing but infrastructure went wrong: no verdict on the agent could be reached.
    Infrastructure = 3,
    /// Something this machine must have is missing and couldn't be installed: a package, or
    /// a Debian mirror in its apt configuration. `EX_UNAVAILABLE` in sysexits.
    Prerequisite = 69,
    /// SIGHUP ended the run before it was done; what was found until then is in the reports, and
    /// is no verdict on the rest. 128 and the signal's number, as shells have it.
    HungUp = 129,
    /// SIGINT (Ctrl-C) did.
    Interrupted = 130,
    /// SIGTERM did.
    Terminated = 143,
}

impl ExitCode {
    /// The code of a run that this signal ended.
    #[must_use]
    pub fn of_signal(signal: i32) -> Self {
        match signal {
            libc::SIGHUP => Self::HungUp,
            libc::SIGTERM => Self::Terminated,
            _ => Self::Interrupted,
        }
    }
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command ended early, and the exit code that says so to a caller.
#[derive(Debug)]
pub struct Failure {
    /// The code to exit with.
    pub code: ExitCode,
    /// What went wrong, where, and the way out.
    pub error: anyhow::Error,
}

/// What a command returns.
pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A wrong command line or a wrong file of the user's.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::new(ExitCode::Usage, error)
    }

    /// Something around the proofs that didn't work.
    pub fn infrastructure(error: impl Into<anyhow::Error>) -> Self {
        Self::new(ExitCode::Infrastructure, error)
    }

    /// Something that this machine lacks.
    pub fn prerequisite(error: impl Into<anyhow::Error>) -> Self {
        Self::new(ExitCode::Prerequisite, error)
    }

    /// An error with the code that it means.
    pub fn new(code: ExitCode, error: impl Into<anyhow::Error>) -> Self {
        Self {
            code,
            error: error.into(),
        }
    }

    /// The same failure, told with what was being done.
    pub fn context(self, doing: impl fmt::Display + Send + Sync + 'static) -> Self {
        Self {
            code: self.code,
            error: self.error.context(doing),
        }
    }
}

/// The whole chain of causes on one line.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

/// An error that nobody gave a code came from the world around the proofs, so `?` may be
/// used freely at the edges. A wrong file of the user's must say [`Failure::usage`].
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::infrastructure(error)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn codes_are_the_documented_numbers() {
        let codes = [
            (ExitCode::AsDeclared, 0),
            (ExitCode::Failed, 1),
            (ExitCode::Usage, 2),
            (ExitCode::Infrastructure, 3),
            (ExitCode::Prerequisite, 69),
            (ExitCode::HungUp, 129),
            (ExitCode::Interrupted, 130),
            (ExitCode::Terminated, 143),
        ];
        for (code, number) in codes {
            assert_eq!(code as u8, number);
        }
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
            assert_eq!(i32::from(ExitCode::of_signal(signal) as u8), 128 + signal);
        }
    }

    #[test]
    fn a_failure_reads_as_one_line_with_its_causes() {
        let failure = Failure::usage(anyhow!("no such file")).context("kernels.toml");
        assert_eq!(failure.to_string(), "kernels.toml: no such file");
        assert_eq!(failure.code, ExitCode::Usage);
    }

    #[test]
    fn an_error_without_a_code_is_infrastructure() {
        let failure: Failure = anyhow!("broken pipe").into();
        assert_eq!(failure.code, ExitCode::Infrastructure);
    }
}
