//! The folder that one run writes to, held for as long as the run lasts.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use rustix::fs::{FlockOperation, flock};

use crate::exit::{Failure, Result};

/// The file that is locked.
const LOCK: &str = ".lock";

/// A claimed folder; the claim ends with the value, or with the process.
#[derive(Debug)]
pub struct OutDir {
    path: PathBuf,
    _claim: File,
}

impl OutDir {
    /// Makes the folder and claims it.
    ///
    /// # Errors
    /// Another run has it, whose pid is then named, or it can't be written.
    pub fn claim(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
        let path = path
            .canonicalize()
            .with_context(|| format!("finding {}", path.display()))?;
        let lock = path.join(LOCK);
        let mut claim = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&lock)
            .with_context(|| format!("opening {}", lock.display()))?;
        hold(
            &mut claim,
            FlockOperation::NonBlockingLockExclusive,
            &path,
            "wait for it, or give this run another folder with --out",
        )?;
        claim
            .set_len(0)
            .and_then(|()| claim.rewind())
            .and_then(|()| writeln!(claim, "{}", std::process::id()))
            .with_context(|| format!("writing {}", lock.display()))?;
        Ok(Self {
            path,
            _claim: claim,
        })
    }

    /// The folder, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A folder that no run writes to as long as this value lives.
#[derive(Debug)]
pub struct Reading {
    _claim: File,
}

impl Reading {
    /// Keeps runs from a folder; none if there never was one in it. The folder may be one that
    /// nothing can be written to.
    ///
    /// # Errors
    /// A run has it, whose pid is then named, or that can't be found out.
    pub fn claim(path: &Path) -> Result<Option<Self>> {
        let lock = path.join(LOCK);
        let mut claim = match File::open(&lock) {
            Ok(claim) => claim,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let error = anyhow!(error).context(format!("opening {}", lock.display()));
                return Err(Failure::infrastructure(error));
            }
        };
        let shared = FlockOperation::NonBlockingLockShared;
        hold(&mut claim, shared, path, "wait for it")?;
        Ok(Some(Self { _claim: claim }))
    }
}

/// Locks the file in a folder, or says whose it is.
fn hold(claim: &mut File, lock: FlockOperation, path: &Path, way_out: &str) -> Result<()> {
    match flock(&*claim, lock) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            claim
                .read_to_string(&mut holder)
                .with_context(|| format!("reading {}/{LOCK}", path.display()))?;
            Err(Failure::infrastructure(anyhow!(
                "{} is being written by another run, pid {}; {way_out}",
                path.display(),
                holder.trim()
            )))
        }
        Err(error) => {
            let error = anyhow!(error).context(format!("locking {}/{LOCK}", path.display()));
            Err(Failure::infrastructure(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::ExitCode;

    #[test]
    fn a_second_run_is_told_the_pid_of_the_first() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let first = OutDir::claim(dir.path()).expect("nobody has it");
        let second = OutDir::claim(dir.path()).expect_err("the first has it");
        assert_eq!(second.code, ExitCode::Infrastructure);
        let pid = format!("pid {}", std::process::id());
        assert!(second.to_string().contains(&pid), "{second}");
        drop(first);
        OutDir::claim(dir.path()).expect("the first is gone");
    }

    #[test]
    fn a_folder_is_read_by_several_while_no_run_has_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let none = Reading::claim(dir.path()).expect("nobody has it");
        assert!(none.is_none(), "and no file is made in it");
        let run = OutDir::claim(dir.path()).expect("nobody has it");
        let refused = Reading::claim(dir.path()).expect_err("the run has it");
        assert_eq!(refused.code, ExitCode::Infrastructure);
        let pid = format!("pid {}", std::process::id());
        assert!(refused.to_string().contains(&pid), "{refused}");
        drop(run);
        let first = Reading::claim(dir.path()).expect("no run has it");
        let second = Reading::claim(dir.path()).expect("no run has it");
        assert!(first.is_some() && second.is_some());
        OutDir::claim(dir.path()).expect_err("it is being read");
    }
}
