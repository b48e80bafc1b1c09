//! The process that times operations, and how it is asked to.
//!
//! The guest re-executes itself (`/init time …`) once for each place, and that process lives as
//! long as the boot measures: before, during and after a life it is the same one, at the same
//! addresses. It does nothing but wait on its standard input, and between a request's first
//! operation and its last it makes no other system call than those it times.
//!
//! What else the host does shows in the guest as a slower processor: on a core whose other thread
//! is busy, everything takes twice as long for as long as that lasts. So each sample stands between
//! two stretches of work of the processor alone, the same each time, and where these take longer
//! than at the best of times another sample is taken. A choice by this work favours neither short
//! samples nor long ones.

use std::ffi::CString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use protocol::bench::{Case, EnforcingTier, Samples};

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

/// How many samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// That count.
    pub wanted: usize,
    /// That may be taken.
    pub at_most: usize,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The samples that count.
    pub samples: Samples,
    /// How many were taken for them.
    pub count: usize,
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
        count: Count,
    ) -> Result<Taken> {
        let path = path.to_str().context("a path that isn't text")?;
        let Count { wanted, at_most } = count;
        let request = format!("{} {ops} {wanted} {at_most} {path}\n", operation.name());
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
        parse(&answer, count).with_context(|| format!("{} {path}", operation.name()))
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

/// `TAKEN REFERENCE_NS SAMPLE_NS…`
fn parse(answer: &str, count: Count) -> Result<Taken> {
    let numbers: Option<Vec<u64>> = answer
        .split_whitespace()
        .map(|word| word.parse().ok())
        .collect();
    match numbers.as_deref() {
        Some([taken, reference_ns, ns @ ..]) if ns.len() == count.wanted => Ok(Taken {
            samples: Samples {
                ns: ns.to_vec(),
                reference_ns: *reference_ns,
            },
            count: usize::try_from(*taken)?,
        }),
        _ => bail!(
            "instead of {} samples: {:?}",
            count.wanted,
            answer.trim_end()
        ),
    }
}

/// The process's side: `time CGROUP_DIR` joins the cgroup and answers requests,
/// `OPERATION OPS WANTED AT_MOST PATH`, as [`parse`] has it or with what went wrong.
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

/// One sample, with the longer of the two stretches of work around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    took: Duration,
    reference: Duration,
}

impl Sample {
    /// Whether the machine was about as quick as at its best.
    fn is_quiet(&self, best: Duration) -> bool {
        self.reference <= best * 5 / 4
    }
}

fn answer(request: &str, best: &mut Duration) -> Result<String> {
    let words: Vec<&str> = request.splitn(5, ' ').collect();
    let [operation, ops, wanted, at_most, path] = words[..] else {
        bail!("no request: {request:?}");
    };
    let operation = Operation::from_name(operation).context("no such operation")?;
    let (ops, wanted, at_most): (u32, usize, usize) =
        (ops.parse()?, wanted.parse()?, at_most.parse()?);
    let path = CString::new(Path::new(path).as_os_str().as_bytes())?;
    let mut taken = Vec::with_capacity(at_most);
    let mut quiet = 0;
    repeat(operation, &path, ops)?;
    let mut before = reference_work();
    while taken.len() < wanted || (quiet < wanted && taken.len() < at_most) {
        let start = Instant::now();
        repeat(operation, &path, ops)?;
        let took = start.elapsed();
        let after = reference_work();
        let sample = Sample {
            took,
            reference: before.max(after),
        };
        *best = (*best).min(before).min(after);
        quiet += usize::from(sample.is_quiet(*best));
        taken.push(sample);
        before = after;
    }
    let count = taken.len();
    let counting = quietest(taken, wanted);
    let mut numbers = vec![count as u128, median_reference(&counting).as_nanos()];
    numbers.extend(counting.iter().map(|sample| sample.took.as_nanos()));
    let words: Vec<String> = numbers.iter().map(u128::to_string).collect();
    Ok(words.join(" "))
}

/// Those around which the machine was quickest, in the order in which they were taken.
fn quietest(taken: Vec<Sample>, wanted: usize) -> Vec<Sample> {
    let mut places: Vec<usize> = (0..taken.len()).collect();
    places.sort_by_key(|&place| taken[place].reference);
    places.truncate(wanted);
    places.sort_unstable();
    places.into_iter().map(|place| taken[place]).collect()
}

fn median_reference(samples: &[Sample]) -> Duration {
    let mut references: Vec<Duration> = samples.iter().map(|sample| sample.reference).collect();
    references.sort_unstable();
    references
        .get(references.len() / 2)
        .copied()
        .unwrap_or_default()
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

    const FIVE: Count = Count {
        wanted: 5,
        at_most: 20,
    };

    fn ask(request: &str, count: Count) -> Result<Taken> {
        parse(&answer(request, &mut Duration::MAX.clone())?, count)
    }

    #[test]
    fn a_request_is_answered_with_as_many_samples_as_it_asks_for() {
        let path = std::env::current_exe().expect("this test");
        let taken =
            ask(&format!("open 3 5 20 {}", path.display()), FIVE).expect("it can be opened");
        let Samples { ns, reference_ns } = &taken.samples;
        assert!(
            ns.iter().all(|&ns| ns > 0) && *reference_ns > 0,
            "{taken:?}"
        );
        assert!((5..=20).contains(&taken.count), "{taken:?}");
        assert!(ask("getpid 3 5 5 /", FIVE).is_ok());
    }

    #[test]
    fn an_operation_that_comes_out_otherwise_is_an_error_and_no_sample() {
        let path = std::env::current_exe().expect("this test");
        let denied = ask(&format!("open-denied 3 5 20 {}", path.display()), FIVE);
        assert!(format!("{denied:?}").contains("opened"), "{denied:?}");
        for request in [
            "open 1 5 20 /nonexistent",
            "open-denied 1 5 20 /nonexistent",
        ] {
            assert!(ask(request, FIVE).is_err(), "{request:?}");
        }
        for request in ["", "open", "open 1 1 1", "open x 1 1 /", "close 1 1 1 /"] {
            assert!(ask(request, FIVE).is_err(), "{request:?}");
        }
    }

    #[test]
    fn an_answer_that_lacks_a_sample_or_has_words_is_none() {
        let count = Count {
            wanted: 3,
            at_most: 9,
        };
        let taken = parse("7 100 1 2 3\n", count).expect("whole");
        assert_eq!((taken.count, taken.samples.reference_ns), (7, 100));
        assert_eq!(taken.samples.ns, [1, 2, 3]);
        for answer in [
            "7 100 1 2\n",
            "7 100 1 2 3 4\n",
            "",
            "error: 1\n",
            "7 100 1 -2 3\n",
        ] {
            assert!(parse(answer, count).is_err(), "{answer:?}");
        }
    }

    #[test]
    fn the_quietest_samples_count_however_long_they_took() {
        let sample = |took, reference| Sample {
            took: Duration::from_nanos(took),
            reference: Duration::from_nanos(reference),
        };
        let taken = vec![
            sample(9, 200),
            sample(50, 101),
            sample(10, 190),
            sample(40, 100),
        ];
        let counting = quietest(taken, 2);
        assert_eq!(counting, [sample(50, 101), sample(40, 100)]);
        assert_eq!(median_reference(&counting), Duration::from_nanos(101));
    }
}
