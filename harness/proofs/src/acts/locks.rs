//! A user who holds a lock on everything that he can open.
//!
//! The guest re-executes itself (`/init lock FOLDER…`). That process becomes a user without
//! privileges, opens what is in the folders in every way that it may, locks it, prints what it has,
//! and keeps it until it is killed.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

use crate::acts::act::NOT_TRIED;
use crate::acts::wait;
use crate::acts::ways::raw;

/// A user with no privileges.
pub const USER: u32 = 65_534;

/// What ends the list of what is locked.
const THAT_IS_ALL: &str = "";

/// The user's process, which is killed when this is dropped, and what it holds.
#[derive(Debug)]
pub struct Locks {
    child: Child,
    /// The paths that it locked.
    pub held: Vec<PathBuf>,
}

impl Locks {
    /// Has the user lock all that he can open of these folders and what is in them.
    ///
    /// # Errors
    /// His process can't be started, or doesn't get done within the limit.
    pub fn take(folders: &[&Path], limit: Duration) -> Result<Self> {
        let child = Command::new("/proc/self/exe")
            .arg("lock")
            .args(folders)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the user who locks files")?;
        let held = Vec::new();
        // Whatever goes wrong from here on, it is killed.
        let mut locks = Self { child, held };
        let output = locks.child.stdout.take().context("its stdout is piped")?;
        let mut output = BufReader::new(output);
        loop {
            if output.buffer().is_empty() {
                wait::readable(output.get_ref(), limit, "what the user locked")?;
            }
            let mut line = String::new();
            output
                .read_line(&mut line)
                .context("reading what he locked")?;
            match line.strip_suffix('\n') {
                Some(THAT_IS_ALL) => return Ok(locks),
                Some(path) => locks.held.push(path.into()),
                None => bail!("the user who locks files ended: {line:?}"),
            }
        }
    }

    /// Whether he holds them still.
    ///
    /// # Errors
    /// The kernel doesn't tell.
    pub fn are_held(&mut self) -> Result<bool> {
        let ended = self.child.try_wait().context("looking at the user")?;
        Ok(ended.is_none())
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        // If it is gone already, that is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process's side: `FOLDER…`. It only comes back if that failed.
pub fn hold(folders: &[String]) -> ExitCode {
    let Err(error) = lock_all(folders);
    eprintln!("lock: {error:#}");
    ExitCode::from(NOT_TRIED)
}

fn lock_all(folders: &[String]) -> Result<std::convert::Infallible> {
    raw::become_user(USER).context("becoming a user")?;
    let mut locked = Vec::new();
    for folder in folders {
        lock_in(Path::new(folder), &mut locked);
    }
    let mut out = std::io::stdout();
    for (path, _) in &locked {
        writeln!(out, "{}", path.display()).context("telling what is locked")?;
    }
    writeln!(out, "{THAT_IS_ALL}").context("telling that it is all")?;
    out.flush().context("telling")?;
    loop {
        std::thread::park();
    }
}

/// Locks a path and what is in it, as far as it can.
fn lock_in(path: &Path, locked: &mut Vec<(PathBuf, File)>) {
    let ways = [(true, false), (false, true)];
    for (read, write) in ways {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let mut options = OpenOptions::new();
        let opened = options
            .read(read)
            .write(write)
            .custom_flags(flags)
            .open(path);
        if let Ok(file) = opened
            && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            locked.push((path.to_owned(), file));
        }
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        lock_in(&entry.path(), locked);
    }
}
