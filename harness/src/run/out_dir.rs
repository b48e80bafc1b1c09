//! The folder that one run writes to, held for as long as the run lasts.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use rustix::fs::{FlockOperation, flock};

use crate::exit::{Failure, Result};

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
        let lock = path.join(".lock");
        let mut claim = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&lock)
            .with_context(|| format!("opening {}", lock.display()))?;
        match flock(&claim, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                claim
                    .read_to_string(&mut holder)
                    .with_context(|| format!("reading {}", lock.display()))?;
                return Err(Failure::infrastructure(anyhow!(
                    "{} is being written by another run, pid {}; wait for it, or give this \
                     run another folder with --out",
                    path.display(),
                    holder.trim()
                )));
            }
            Err(error) => {
                let error = anyhow!(error).context(format!("locking {}", lock.display()));
                return Err(Failure::infrastructure(error));
            }
        }
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
}
