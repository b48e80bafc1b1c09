//! A user who opens a file as fast as he can, for as long as he is let.
//!
//! The guest re-executes itself (`/init flood …`). What came of it is told once nobody listens at the
//! other end of its standard input any more.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use serde::{Deserialize, Serialize};

use crate::acts::act::{self, NOT_TRIED};
use crate::acts::attempt;
use crate::acts::cgroup::{self, Place};
use crate::acts::wait;
use crate::acts::ways::raw;

/// How often he tries before he looks whether he is to stop.
const AT_ONCE: usize = 16;

/// What came of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Came {
    /// How often he tried.
    pub tries: u64,
    /// What became of him, each once.
    pub fates: BTreeSet<String>,
    /// Of the processes that tried.
    pub pids: BTreeSet<u32>,
}

/// How he tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tries {
    /// All by one process, which lives.
    Himself,
    /// Each by a child, which may be killed for it.
    ByChildren,
}

/// The process's side: `flood CGROUP_DIR PATH USER himself|children`. It says `begun` after the first
/// tries.
pub fn flood(arguments: &[String]) -> ExitCode {
    let [cgroup, path, user, tries] = arguments else {
        return ExitCode::from(NOT_TRIED);
    };
    let Ok(user) = user.parse() else {
        return ExitCode::from(NOT_TRIED);
    };
    if cgroup::join(Path::new(cgroup)).is_err() || raw::become_user(user).is_err() {
        return ExitCode::from(NOT_TRIED + 1);
    }
    let mut came = Came::default();
    let try_one = match tries.as_str() {
        "himself" => Came::open,
        _ => Came::open_in_child,
    };
    while came.tries == 0 || !is_over() {
        for _ in 0..AT_ONCE {
            if try_one(&mut came, Path::new(path)).is_err() {
                return ExitCode::from(NOT_TRIED + 2);
            }
        }
        if came.tries == AT_ONCE as u64 {
            println!("begun");
        }
    }
    match serde_json::to_string(&came) {
        Ok(came) => println!("{came}"),
        Err(_) => return ExitCode::from(NOT_TRIED + 3),
    }
    ExitCode::SUCCESS
}

/// Whether nobody listens any more.
fn is_over() -> bool {
    let stdin = io::stdin();
    let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::default())).map_or(true, |ready| ready > 0)
}

impl Came {
    fn open(&mut self, path: &Path) -> Result<()> {
        self.tries += 1;
        self.pids.insert(std::process::id());
        let code = code_of(File::open(path));
        self.fates.insert(word(ExitStatus::from_raw(code << 8)));
        Ok(())
    }

    fn open_in_child(&mut self, path: &Path) -> Result<()> {
        self.tries += 1;
        let pid = raw::fork(0, || code_of(File::open(path)))?;
        self.pids.insert(pid.as_raw_nonzero().get().cast_unsigned());
        let mut status = 0;
        // SAFETY: the status outlives the call.
        let waited = unsafe { libc::waitpid(pid.as_raw_nonzero().get(), &raw mut status, 0) };
        if waited < 0 {
            return Err(io::Error::last_os_error()).context("waiting for a child");
        }
        self.fates.insert(word(ExitStatus::from_raw(status)));
        Ok(())
    }
}

fn code_of(opened: io::Result<File>) -> i32 {
    let error = opened.err();
    error.map_or(0, |error| error.raw_os_error().unwrap_or(NOT_TRIED.into()))
}

fn word(status: ExitStatus) -> String {
    attempt::word(act::fate(status))
}

/// Such users, one for each processor, at it until this is ended or dropped.
pub struct Flood {
    users: Vec<(Child, ChildStdin, BufReader<ChildStdout>)>,
}

impl Flood {
    /// Starts as many, and waits until each has begun.
    ///
    /// # Errors
    /// One couldn't be started.
    pub fn start(count: usize, path: &Path, user: u32, tries: Tries) -> Result<Self> {
        Self::start_on(None, count, path, user, tries)
    }

    /// The same, all on one processor.
    ///
    /// # Errors
    /// As [`Flood::start`].
    pub fn start_on(
        processor: Option<&CpuSet>,
        count: usize,
        path: &Path,
        user: u32,
        tries: Tries,
    ) -> Result<Self> {
        let tries = match tries {
            Tries::Himself => "himself",
            Tries::ByChildren => "children",
        };
        let mut flood = Self { users: Vec::new() };
        for _ in 0..count {
            let mut child = Command::new("/proc/self/exe")
                .args(["flood".as_ref(), Place::Plain.dir().as_os_str()])
                .args([path.as_os_str(), user.to_string().as_ref(), tries.as_ref()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .context("starting somebody who opens a file all the time")?;
            if let Some(processor) = processor {
                keep_to(&child, processor)?;
            }
            let stdin = child.stdin.take().context("its stdin is piped")?;
            let stdout = child.stdout.take().context("its stdout is piped")?;
            flood.users.push((child, stdin, BufReader::new(stdout)));
        }
        for (_, _, said) in &mut flood.users {
            let mut line = String::new();
            said.read_line(&mut line).context("waiting for it")?;
            ensure!(
                line == "begun\n",
                "whoever opens a file all the time said {line:?}"
            );
        }
        Ok(flood)
    }

    /// Has them stop, and says what came of it all.
    ///
    /// # Errors
    /// One doesn't stop within the limit, or didn't do what he should.
    pub fn end(mut self, limit: Duration) -> Result<Came> {
        let mut all = Came::default();
        for (mut child, stdin, mut said) in self.users.drain(..) {
            drop(stdin);
            let mut text = String::new();
            said.read_to_string(&mut text).context("what came of it")?;
            let status = wait::ended(&mut child, limit, "whoever opens a file all the time")?;
            ensure!(
                status.success(),
                "whoever opens a file all the time ended with {status}"
            );
            let came: Came = serde_json::from_str(&text).context("what came of it")?;
            all.tries += came.tries;
            all.fates.extend(came.fates);
            all.pids.extend(came.pids);
        }
        Ok(all)
    }
}

fn keep_to(child: &Child, processor: &CpuSet) -> Result<()> {
    let kept = sched_setaffinity(Some(Pid::from_child(child)), processor);
    kept.context("keeping it to a processor")
}

impl Drop for Flood {
    fn drop(&mut self) {
        for (child, ..) in &mut self.users {
            // Nothing is done to one that has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
