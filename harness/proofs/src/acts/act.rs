//! Forbidden acts, and whether they came off.
//!
//! The guest re-executes itself to commit one, since the act may cost the process its life.
//! The child says nothing but the bytes it read, so whatever reaches the pipe has leaked.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use protocol::record::{Act, Fate};

use crate::acts::cgroup::{self, Place};
use crate::acts::wait;

/// Exit codes from here on say that the act was never tried; below they are errno values,
/// the largest of which is 133.
pub const NOT_TRIED: u8 = 200;

/// The child's side: `act CGROUP_DIR PATH` joins the cgroup, opens and copies to stdout.
///
/// Ends with 0 if the open succeeded, with its errno if not, with [`NOT_TRIED`] if it never
/// came to that.
pub fn commit(arguments: &[String]) -> ExitCode {
    let [cgroup, path] = arguments else {
        return ExitCode::from(NOT_TRIED);
    };
    if cgroup::join(Path::new(cgroup)).is_err() {
        return ExitCode::from(NOT_TRIED + 1);
    }
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) => {
            let errno = error
                .raw_os_error()
                .and_then(|errno| u8::try_from(errno).ok());
            return ExitCode::from(errno.unwrap_or(NOT_TRIED + 2));
        }
    };
    let mut bytes = Vec::new();
    let copied = file
        .read_to_end(&mut bytes)
        .and_then(|_| std::io::stdout().write_all(&bytes));
    match copied {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(NOT_TRIED + 3),
    }
}

/// Opens a file in a process of its own, in the given place, and tells what came of it.
///
/// # Errors
/// The process couldn't be started, or didn't end within the limit.
pub fn open(place: Place, path: &Path, limit: Duration) -> Result<Act> {
    let mut child = Command::new("/proc/self/exe")
        .arg("act")
        .arg(place.dir())
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the process that opens the file")?;
    let pid = child.id();
    let mut output = child.stdout.take().context("its stdout is piped")?;
    // Safe to read after its end: the secret is far smaller than a pipe's buffer.
    let status = wait::ended(&mut child, limit, "the process that opens the file")?;
    let mut bytes = Vec::new();
    output
        .read_to_end(&mut bytes)
        .context("reading its output")?;
    Ok(Act {
        pid,
        target: path.display().to_string(),
        passed: Some(path.display().to_string()),
        fate: fate(status),
        leaked: !bytes.is_empty(),
        effects: Vec::new(),
        helper: None,
        events: Vec::new(),
    })
}

/// What a process's end says of its act.
pub fn fate(status: ExitStatus) -> Fate {
    match (status.code(), status.signal()) {
        (Some(0), _) => Fate::Allowed,
        (Some(errno), _) if errno < i32::from(NOT_TRIED) => Fate::Denied { errno },
        (Some(code), _) => Fate::Broken { code },
        (None, Some(signal)) => Fate::Killed { signal },
        (None, None) => Fate::Broken { code: -1 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A status as `waitpid(2)` gives it.
    fn status(raw: i32) -> ExitStatus {
        ExitStatus::from_raw(raw)
    }

    #[test]
    fn a_fate_is_exact_and_an_act_never_tried_is_no_denial() {
        let exited = |code: i32| fate(status(code << 8));
        assert_eq!(exited(0), Fate::Allowed);
        assert_eq!(exited(libc::EPERM), Fate::Denied { errno: 1 });
        assert_eq!(exited(libc::EACCES), Fate::Denied { errno: 13 });
        for never_tried in 0..4 {
            let code = i32::from(NOT_TRIED) + never_tried;
            assert_eq!(exited(code), Fate::Broken { code });
        }
        assert_eq!(fate(status(libc::SIGKILL)), Fate::Killed { signal: 9 });
        assert_eq!(fate(status(libc::SIGTERM)), Fate::Killed { signal: 15 });
    }
}
