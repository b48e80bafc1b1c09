//! Whose trouble an error in a proof's phase is.
//!
//! In: the phase, the error. Out: the [`Outcome`] of the proof. While no agent is there, whatever
//! fails is the guest's own trouble; from its start on it is a broken promise, unless what ran out
//! is the machine's. What the kernel can't have is neither. Pure.

use std::error::Error as StdError;
use std::fmt::{Display, Formatter};
use std::io;

use anyhow::Error;
use protocol::record::{Outcome, Phase};
use rustix::io::Errno;

/// This kernel can't have what a proof is about, for this reason. As the cause of an arm's
/// failure it makes the proof a skip, which counts only where it is declared.
#[derive(Debug)]
pub struct NotHere(pub String);

impl Display for NotHere {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for NotHere {}

/// Errors of a machine that ran out or failed, not of a denial.
const EXHAUSTED: [Errno; 6] = [
    Errno::NOMEM,
    Errno::NOSPC,
    Errno::MFILE,
    Errno::NFILE,
    Errno::DQUOT,
    Errno::IO,
];

/// Whose trouble it is.
pub fn of(phase: Phase, error: &Error) -> Outcome {
    if error.is::<NotHere>() {
        return Outcome::Skipped;
    }
    match phase {
        Phase::Preparing | Phase::Before => Outcome::Error,
        _ if errnos(error).any(|errno| EXHAUSTED.contains(&errno)) => Outcome::Error,
        Phase::Starting | Phase::During | Phase::Stopping | Phase::After | Phase::LeftBehind => {
            Outcome::Broken
        }
    }
}

/// The error number at the bottom of an error, if there is one.
pub fn errno(error: &Error) -> Option<Errno> {
    errnos(error).last()
}

fn errnos(error: &Error) -> impl Iterator<Item = Errno> {
    error.chain().filter_map(|cause| {
        let errno = cause.downcast_ref::<Errno>().copied();
        let of_io = || Errno::from_io_error(cause.downcast_ref::<io::Error>()?);
        let relayed = || cause.downcast_ref::<Relayed>()?.errno;
        errno.or_else(of_io).or_else(relayed)
    })
}

/// The error as one that says what the kernel was built without, if the call isn't there at all.
pub fn not_here_without(option: &str, what: &str, error: Error) -> Error {
    match errno(&error) {
        Some(Errno::NOSYS) => NotHere(format!("the kernel has no {what} ({option})")).into(),
        _ => error,
    }
}

/// An error that another process told of.
#[derive(Debug)]
pub struct Relayed {
    /// In its words.
    pub why: String,
    /// The error number at its bottom.
    pub errno: Option<Errno>,
}

impl Display for Relayed {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}

impl StdError for Relayed {}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    const ABSENT: [Phase; 2] = [Phase::Preparing, Phase::Before];

    #[test]
    fn an_error_is_the_guest_s_before_the_agent_and_the_agent_s_from_then_on() {
        let errors: [fn() -> Error; 4] = [
            || anyhow!("nothing within 10 s"),
            || Error::new(Errno::PERM).context("opening it"),
            || io::Error::from_raw_os_error(libc::EACCES).into(),
            || {
                let (why, errno) = ("never tried".to_owned(), Some(Errno::CHILD));
                Error::new(Relayed { why, errno })
            },
        ];
        for error in errors {
            for phase in Phase::ALL {
                let expected = match ABSENT.contains(&phase) {
                    true => Outcome::Error,
                    false => Outcome::Broken,
                };
                assert_eq!(of(phase, &error()), expected, "{phase:?}: {:#}", error());
            }
        }
    }

    #[test]
    fn what_ran_out_is_the_guest_s_however_deep_it_lies() {
        for errno in EXHAUSTED {
            let io = || io::Error::from_raw_os_error(errno.raw_os_error());
            let relayed = Relayed {
                why: "never tried".to_owned(),
                errno: Some(errno),
            };
            for error in [
                Error::new(errno).context("forking").context("during"),
                Error::new(io()),
                Error::new(io()).context("starting it").context("during"),
                Error::new(relayed).context("io-uring in /srv/denied"),
            ] {
                for phase in Phase::ALL {
                    assert_eq!(of(phase, &error), Outcome::Error, "{phase:?}: {error:#}");
                }
            }
        }
    }

    #[test]
    fn what_the_kernel_lacks_is_a_skip_in_every_phase() {
        let lacks = || Error::new(Errno::NOSYS).context("setting the ring up");
        let error = not_here_without("CONFIG_IO_URING", "io_uring", lacks()).context("during");
        assert!(format!("{error:#}").ends_with("the kernel has no io_uring (CONFIG_IO_URING)"));
        for phase in Phase::ALL {
            assert_eq!(of(phase, &error), Outcome::Skipped, "{phase:?}");
        }
        let refused = Error::new(Errno::PERM);
        let refused = not_here_without("CONFIG_IO_URING", "io_uring", refused);
        assert_eq!(of(Phase::During, &refused), Outcome::Broken);
    }
}
