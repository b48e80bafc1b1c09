//! The process that times operations, and how it is asked to.
//!
//! The guest re-executes itself (`/init time …`) once for each place, and that process lives as
//! long as the boot measures: before, during and after a life it is the same one, at the same
//! addresses. It does nothing but wait on its standard input, and between a request's first
//! operation and its last it makes no other system call than those it times.
//!
//! What else the host does shows in the guest as a slower processor: on a core whose other thread
//! is busy, everything takes twice as long for as long as that lasts. So each sample stands between
//! two stretches of work of the processor alone, the same each time. As long as these take longer
//! than at the best of times, a sample is waited with, up to a limit; what they took is told with
//! it. A choice by this work favours neither short samples nor long ones.

use std::ffi::CString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use protocol::bench::{Case, EnforcingTier, Samples};

use proofs::acts::act::NOT_TRIED;
use proofs::acts::cgroup::{self, Place};
use proofs::acts::wait;

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

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// As many samples as were asked for.
    pub samples: Samples,
    /// How many samples' worth of operations were done for them.
    pub repeats: u64,
    /// How long the machine was waited for.
    pub waited: Duration,
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
    /// to run whatever is new in the kernel.
    ///
    /// # Errors
    /// An operation came out otherwise than it must, or all took longer than the limit.
    pub fn take(
        &mut self,
        operation: Operation,
        path: &Path,
        ops: u32,
        samples: usize,
        patience: Duration,
    ) -> Result<Answer> {
        let path = path.to_str().context("a path that isn't text")?;
        let name = operation.name();
        let request = format!("{name} {ops} {samples} {} {path}\n", patience.as_millis());
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
        parse(&answer, samples).with_context(|| format!("{name} {path}"))
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

/// `REPEATS WAITED_NS`, then for each sample `SAMPLE_NS REFERENCE_NS`.
fn parse(answer: &str, samples: usize) -> Result<Answer> {
    let numbers: Option<Vec<u64>> = answer
        .split_whitespace()
        .map(|word| word.parse().ok())
        .collect();
    match numbers.as_deref() {
        Some([repeats, waited, taken @ ..]) if taken.len() == 2 * samples => Ok(Answer {
            samples: Samples {
                ns: taken.iter().step_by(2).copied().collect(),
                reference_ns: taken.iter().skip(1).step_by(2).copied().collect(),
            },
            repeats: *repeats,
            waited: Duration::from_nanos(*waited),
        }),
        _ => bail!("instead of {samples} samples: {:?}", answer.trim_end()),
    }
}

/// The process's side: `time CGROUP_DIR` joins the cgroup and answers requests,
/// `OPERATION OPS SAMPLES PATIENCE_MS PATH`, as [`parse`] has it or with what went wrong.
pub fn serve(arguments: &[String]) -> ExitCode {
    let [cgroup] = arguments else {
        return ExitCode::from(NOT_TRIED);
    };
    if let Err(error) = cgroup::join(Path::new(cgroup)) {
        eprintln!("guest: {error:#}");
        return ExitCode::from(NOT_TRIED + 1);
    }
    let mut stdout = io::stdout();
    let mut best = Duration::MAX;
    for request in io::stdin().lock().lines() {
        let Ok(request) = request else {
            return ExitCode::from(NOT_TRIED + 2);
        };
        let answer =
            answer(&request, &mut best).unwrap_or_else(|error| format!("error: {error:#}"));
        if writeln!(stdout, "{answer}").is_err() {
            return ExitCode::from(NOT_TRIED + 3);
        }
    }
    ExitCode::SUCCESS
}

fn answer(request: &str, best: &mut Duration) -> Result<String> {
    let words: Vec<&str> = request.splitn(5, ' ').collect();
    let [operation, ops, samples, patience, path] = words[..] else {
        bail!("no request: {request:?}");
    };
    let operation = Operation::from_name(operation).context("no such operation")?;
    let (ops, samples): (u32, usize) = (ops.parse()?, samples.parse()?);
    let mut patience = Duration::from_millis(patience.parse()?);
    let path = CString::new(Path::new(path).as_os_str().as_bytes())?;
    let (mut repeats, mut waited) = (1, Duration::ZERO);
    let mut taken = Vec::with_capacity(2 * samples);
    repeat(operation, &path, ops)?;
    while taken.len() < 2 * samples {
        let starting = Instant::now();
        let mut before = reference_work();
        while !is_quiet(before, *best) && starting.elapsed() < patience {
            before = reference_work();
        }
        let start = Instant::now();
        repeat(operation, &path, ops)?;
        let took = start.elapsed();
        let after = reference_work();
        repeats += 1;
        *best = (*best).min(before).min(after);
        let reference = before.max(after);
        let all = starting.elapsed();
        let keeps = is_quiet(reference, *best) || all >= patience;
        let lost = match keeps {
            true => all.saturating_sub(took + before + after),
            false => all,
        };
        waited += lost;
        patience = patience.saturating_sub(lost);
        if keeps {
            taken.extend([took, reference].map(|took| took.as_nanos()));
        }
    }
    let head = [repeats, waited.as_nanos()];
    let words = head.iter().chain(&taken).map(u128::to_string);
    Ok(words.collect::<Vec<_>>().join(" "))
}

/// Whether the machine was about as quick as at its best.
fn is_quiet(reference: Duration, best: Duration) -> bool {
    reference * 100 <= best.saturating_mul(115)
}

/// Work of the processor alone, some 0.3 ms under TCG: a generator of random numbers.
fn reference_work() -> Duration {
    let start = Instant::now();
    let mut number: u64 = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..60_000 {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        std::hint::black_box(&mut number);
    }
    start.elapsed()
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

    fn ask(request: &str, samples: usize) -> Result<Answer> {
        parse(&answer(request, &mut Duration::MAX.clone())?, samples)
    }

    #[test]
    fn a_request_is_answered_with_as_many_samples_as_it_asks_for() {
        let path = std::env::current_exe().expect("this test");
        let taken = ask(&format!("open 3 5 20 {}", path.display()), 5).expect("it can be opened");
        let Samples { ns, reference_ns } = &taken.samples;
        assert_eq!((ns.len(), reference_ns.len()), (5, 5));
        assert!(ns.iter().chain(reference_ns).all(|&ns| ns > 0), "{taken:?}");
        assert!(taken.repeats > 5, "{taken:?}");
        assert!(ask("getpid 3 5 0 /", 5).is_ok());
    }

    #[test]
    fn a_machine_that_never_gets_quiet_is_waited_for_only_so_long() {
        // As if it had been a thousand times as quick.
        let mut best = reference_work() / 1000;
        let taken = answer("getpid 1 5 30 /", &mut best).expect("it can't fail");
        let taken = parse(&taken, 5).expect("as many samples");
        let waited = taken.waited.as_millis();
        assert!((20..1000).contains(&waited), "{taken:?}");
        let taken = answer("getpid 1 5 0 /", &mut best).expect("it can't fail");
        let taken = parse(&taken, 5).expect("as many samples");
        assert_eq!(
            taken.repeats, 6,
            "none is thrown away but the first: {taken:?}"
        );
    }

    #[test]
    fn an_operation_that_comes_out_otherwise_is_an_error_and_no_sample() {
        let path = std::env::current_exe().expect("this test");
        let denied = ask(&format!("open-denied 3 5 0 {}", path.display()), 5);
        assert!(format!("{denied:?}").contains("opened"), "{denied:?}");
        for request in ["open 1 5 0 /nonexistent", "open-denied 1 5 0 /nonexistent"] {
            assert!(ask(request, 5).is_err(), "{request:?}");
        }
        for request in ["", "open", "open 1 5 0", "open x 5 0 /", "close 1 5 0 /"] {
            assert!(ask(request, 5).is_err(), "{request:?}");
        }
    }

    #[test]
    fn an_answer_that_lacks_a_sample_or_has_words_is_none() {
        let taken = parse("7 1000 10 1 20 2\n", 2).expect("whole");
        assert_eq!((taken.repeats, taken.waited), (7, Duration::from_micros(1)));
        assert_eq!(taken.samples.ns, [10, 20]);
        assert_eq!(taken.samples.reference_ns, [1, 2]);
        for answer in [
            "7 1000 10 1 20\n",
            "7 1000 10 1\n",
            "",
            "error: 1\n",
            "7 9 1 -2 3 4\n",
        ] {
            assert!(parse(answer, 2).is_err(), "{answer:?}");
        }
    }
}
