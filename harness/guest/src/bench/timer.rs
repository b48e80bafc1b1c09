//! The process that times operations, and how it is asked to.
//!
//! The guest re-executes itself (`/init time …`) once for each place, and that process lives as
//! long as the boot measures: before, during and after a life it is the same one, at the same
//! addresses. It does nothing but wait on its standard input, and between a request's first
//! operation and its last it makes no other system call than those it times.

use std::ffi::CString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use protocol::bench::{Case, EnforcingTier};

use crate::act::NOT_TRIED;
use crate::cgroup::{self, Place};
use crate::wait;

/// What is done again and again, and must come out the same each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Opens a file for reading and closes it.
    Open,
    /// Opens a file, which fails with `EPERM`.
    OpenDenied,
    /// `getpid(2)`.
    Getpid,
}

const OPERATIONS: [(Operation, &str); 3] = [
    (Operation::Open, "open"),
    (Operation::OpenDenied, "open-denied"),
    (Operation::Getpid, "getpid"),
];

impl Operation {
    /// What a case comes to without an agent.
    pub fn without_agent(case: Case) -> Self {
        match case {
            Case::Miss | Case::MissDeep | Case::MissOtherFs | Case::Hit => Self::Open,
            Case::Unrelated => Self::Getpid,
        }
    }

    /// What it comes to while an agent runs.
    pub fn during(case: Case, tier: EnforcingTier) -> Self {
        match (case, tier) {
            // Done in an exempt cgroup.
            (Case::Hit, EnforcingTier::Signal) => Self::Open,
            (Case::Hit, EnforcingTier::Lsm | EnforcingTier::Modret) => Self::OpenDenied,
            _ => Self::without_agent(case),
        }
    }

    fn name(self) -> &'static str {
        let known = OPERATIONS.iter().find(|(operation, _)| *operation == self);
        known.map_or("", |(_, name)| name)
    }

    fn from_name(name: &str) -> Option<Self> {
        let known = OPERATIONS.iter().find(|(_, known)| *known == name);
        known.map(|(operation, _)| *operation)
    }
}

/// Such a process, from outside.
pub struct Timer {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    limit: Duration,
}

impl Timer {
    /// Starts it in a place.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(place: Place, limit: Duration) -> Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .arg("time")
            .arg(place.dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the process that times")?;
        let answers = child.stdout.take().context("its stdout is piped")?;
        Ok(Self {
            requests: child.stdin.take(),
            answers: BufReader::new(answers),
            child,
            limit,
        })
    }

    /// Takes samples of so many operations each, after one that is thrown away: it is the first
    /// to run whatever is new in the kernel. Nanoseconds a sample.
    ///
    /// # Errors
    /// An operation came out otherwise than it must, or all took longer than the limit.
    pub fn take(
        &mut self,
        operation: Operation,
        path: &Path,
        ops: u32,
        samples: usize,
    ) -> Result<Vec<u64>> {
        let path = path.to_str().context("a path that isn't text")?;
        let request = format!("{} {ops} {samples} {path}\n", operation.name());
        let requests = self.requests.as_mut().context("its stdin is piped")?;
        requests
            .write_all(request.as_bytes())
            .context("asking the process that times")?;
        // Each answer is one line, and is asked for before the next.
        wait::readable(self.answers.get_ref(), self.limit, "samples")?;
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .context("reading samples")?;
        parse(&answer, samples).with_context(|| format!("{} {path}", operation.name()))
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // It ends when nobody can ask it any more.
        self.requests = None;
        // The machine ends next, whatever becomes of it.
        let _ = wait::ended(&mut self.child, self.limit, "the process that times");
    }
}

fn parse(answer: &str, samples: usize) -> Result<Vec<u64>> {
    let taken: Option<Vec<u64>> = answer
        .split_whitespace()
        .map(|word| word.parse().ok())
        .collect();
    match taken {
        Some(taken) if taken.len() == samples => Ok(taken),
        _ => bail!("instead of {samples} samples: {:?}", answer.trim_end()),
    }
}

/// The process's side: `time CGROUP_DIR` joins the cgroup and answers requests,
/// `OPERATION OPS SAMPLES PATH`, with the nanoseconds of each sample, or with what went wrong.
pub fn serve(arguments: &[String]) -> ExitCode {
    let [cgroup] = arguments else {
        return ExitCode::from(NOT_TRIED);
    };
    if let Err(error) = cgroup::join(Path::new(cgroup)) {
        eprintln!("guest: {error:#}");
        return ExitCode::from(NOT_TRIED + 1);
    }
    let mut stdout = io::stdout();
    for request in io::stdin().lock().lines() {
        let Ok(request) = request else {
            return ExitCode::from(NOT_TRIED + 2);
        };
        let answer = match answer(&request) {
            Ok(samples) => {
                let words: Vec<String> = samples.iter().map(u64::to_string).collect();
                words.join(" ")
            }
            Err(error) => format!("error: {error:#}"),
        };
        if writeln!(stdout, "{answer}").is_err() {
            return ExitCode::from(NOT_TRIED + 3);
        }
    }
    ExitCode::SUCCESS
}

fn answer(request: &str) -> Result<Vec<u64>> {
    let words: Vec<&str> = request.splitn(4, ' ').collect();
    let [operation, ops, samples, path] = words[..] else {
        bail!("no request: {request:?}");
    };
    let operation = Operation::from_name(operation).context("no such operation")?;
    let (ops, samples): (u32, usize) = (ops.parse()?, samples.parse()?);
    let path = CString::new(Path::new(path).as_os_str().as_bytes())?;
    let mut taken = Vec::with_capacity(samples + 1);
    for _ in 0..=samples {
        let start = Instant::now();
        repeat(operation, &path, ops)?;
        taken.push(start.elapsed());
    }
    let nanoseconds = taken.into_iter().skip(1).map(|took| took.as_nanos());
    Ok(nanoseconds.map(u64::try_from).collect::<Result<_, _>>()?)
}

fn repeat(operation: Operation, path: &CString, ops: u32) -> Result<()> {
    for _ in 0..ops {
        match operation {
            Operation::Getpid => {
                // SAFETY: it takes nothing and can't fail.
                unsafe { libc::getpid() };
            }
            Operation::Open | Operation::OpenDenied => open(operation, path)?,
        }
    }
    Ok(())
}

/// One open, and the close where it succeeds, with nothing of a library around them.
fn open(operation: Operation, path: &CString) -> Result<()> {
    // SAFETY: the path ends with its zero and outlives the call.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if fd >= 0 {
        // SAFETY: the descriptor was just made, and nobody else knows it.
        unsafe { libc::close(fd) };
        if operation == Operation::OpenDenied {
            bail!("opened, where the agent is to deny it");
        }
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if operation == Operation::OpenDenied && error.raw_os_error() == Some(libc::EPERM) {
        return Ok(());
    }
    Err(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_answered_with_as_many_samples_as_it_asks_for() {
        let path = std::env::current_exe().expect("this test");
        let samples = answer(&format!("open 3 5 {}", path.display())).expect("it can be opened");
        assert_eq!(samples.len(), 5);
        assert!(samples.iter().all(|&ns| ns > 0), "{samples:?}");
        assert_eq!(answer("getpid 3 2 /").expect("it can't fail").len(), 2);
    }

    #[test]
    fn an_operation_that_comes_out_otherwise_is_an_error_and_no_sample() {
        let path = std::env::current_exe().expect("this test");
        let denied = answer(&format!("open-denied 3 5 {}", path.display()));
        assert!(format!("{denied:?}").contains("opened"), "{denied:?}");
        assert!(answer("open 1 1 /nonexistent").is_err());
        assert!(answer("open-denied 1 1 /nonexistent").is_err());
        for request in ["", "open", "open 1 1", "open x 1 /", "close 1 1 /"] {
            assert!(answer(request).is_err(), "{request:?}");
        }
    }

    #[test]
    fn an_answer_that_lacks_a_sample_or_has_words_is_none() {
        assert_eq!(parse("1 2 3\n", 3).expect("whole"), [1, 2, 3]);
        for answer in ["1 2\n", "1 2 3 4\n", "", "error: 1 2 3\n", "1 -2 3\n"] {
            assert!(parse(answer, 3).is_err(), "{answer:?}");
        }
    }
}
