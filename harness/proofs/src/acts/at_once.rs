//! Opens at the same moment on two processors, again and again.
//!
//! The guest re-executes itself (`/init at-once …`). That process forks one for each of two sides,
//! which keeps to a processor of its own and has a child open its file in each round. The two
//! children of a round wait for each other right before each try, awake, so that neither has to be
//! woken first. What they find out they leave in memory that all of them share: whoever is killed
//! tells nothing afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::acts::act::{self, NOT_TRIED};
use crate::acts::attempt;
use crate::acts::cgroup::{self, Place};
use crate::acts::wait;

/// How many rounds, and how often each process tries in one. It must live through all but its last
/// try, as the other waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounds {
    /// How many rounds.
    pub count: usize,
    /// How often each process.
    pub tries: usize,
}

/// What a side opens, and from where.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// From where.
    pub place: Place,
    /// What.
    pub path: &'a Path,
}

/// What came of it.
#[derive(Debug)]
pub struct Met {
    /// Of each side a document as [`crate::acts::many::open`] gives it: fates and pids.
    pub sides: [Value; 2],
    /// On which processors files were opened.
    pub processors: BTreeSet<u32>,
    /// In how many rounds the second began its last try before the first was done with its own.
    pub overlapping: usize,
}

impl Met {
    /// Both sides as one, where they do the same.
    ///
    /// # Errors
    /// A side has no fates.
    pub fn both(self) -> Result<Value> {
        let mut fates = BTreeMap::<String, u64>::new();
        let mut pids = Vec::new();
        for side in self.sides {
            for (fate, count) in side["fates"].as_object().context("no fates")? {
                *fates.entry(fate.clone()).or_default() += count.as_u64().context("no count")?;
            }
            pids.extend(side["pids"].as_array().context("no pids")?.iter().cloned());
        }
        Ok(json!({"fates": fates, "pids": pids}))
    }
}

/// What one process of a round leaves.
#[derive(Debug, Default)]
struct Trace {
    pid: AtomicI32,
    status: AtomicI32,
    /// Its processor, counted from 1.
    processor: AtomicU32,
    /// When it began its last try, in nanoseconds.
    began: AtomicU64,
    /// When it was done with that; or dead, if it was killed.
    ended: AtomicU64,
}

/// Where the processes of all rounds meet: memory that they share, of zeros at first.
#[derive(Clone, Copy)]
struct Meeting {
    /// How many came; `BROKEN` once somebody never will.
    arrived: &'static AtomicU64,
    /// Side by side, each round after round.
    traces: &'static [Trace],
    rounds: Rounds,
}

/// A path to nothing.
const NOWHERE: &str = "/nowhere";

const BROKEN: u64 = u64::MAX / 2;

impl Meeting {
    fn make(rounds: Rounds) -> io::Result<Self> {
        let count = 2 * rounds.count;
        // The traces need no stricter alignment than the number before them.
        let bytes = size_of::<AtomicU64>() + count * size_of::<Trace>();
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a new mapping, which no other has.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the mapping is never undone, large and aligned enough, and zeros are valid
        // atomics, which any number of processes may change.
        let (arrived, traces) = unsafe {
            let arrived = at.cast::<AtomicU64>();
            let traces = arrived.add(1).cast::<Trace>();
            (&*arrived, std::slice::from_raw_parts(traces, count))
        };
        Ok(Self {
            arrived,
            traces,
            rounds,
        })
    }

    fn trace(&self, side: usize, round: usize) -> &'static Trace {
        &self.traces[side * self.rounds.count + round]
    }

    /// Waits until both are there for this try; whether they are.
    fn meet(&self, round: usize, attempt: usize) -> bool {
        let all = 2 * ((round * self.rounds.tries + attempt) as u64 + 1);
        self.arrived.fetch_add(1, Ordering::SeqCst);
        loop {
            match self.arrived.load(Ordering::SeqCst) {
                BROKEN.. => return false,
                here if here >= all => return true,
                _ => std::hint::spin_loop(),
            }
        }
    }

    /// Nobody is to wait any more.
    fn cancel(&self) {
        self.arrived.fetch_add(BROKEN, Ordering::SeqCst);
    }
}

/// The process's side: `at-once ROUNDS TRIES CGROUP_DIR PATH CGROUP_DIR PATH`. It prints a line for
/// each process that opened: its side, its pid, the raw status with which it ended, its processor,
/// and when it began and was done.
pub fn commit(arguments: &[String]) -> ExitCode {
    let [rounds, tries, first_cgroup, first, second_cgroup, second] = arguments else {
        return ExitCode::from(NOT_TRIED);
    };
    let (Ok(count), Ok(tries)) = (rounds.parse(), tries.parse()) else {
        return ExitCode::from(NOT_TRIED);
    };
    let Ok(meeting) = Meeting::make(Rounds { count, tries }) else {
        return ExitCode::from(NOT_TRIED + 1);
    };
    // Where the kernel has no PR_GET_AUXV (before 6.4), the first question for the time or the
    // processor opens /proc/self/auxv. Asked here, none of those who act opens a file of its own.
    let _ = (now(), sched_getcpu());
    let sides = [(first_cgroup, first), (second_cgroup, second)];
    let mut forked = Vec::new();
    for (side, (cgroup, path)) in sides.into_iter().enumerate() {
        let work = || serve(meeting, side, Path::new(cgroup), Path::new(path));
        match fork(work) {
            Ok(pid) => forked.push(pid),
            Err(_) => meeting.cancel(),
        }
    }
    let ended: Vec<_> = forked.into_iter().map(reap).collect();
    if ended.len() < sides.len() || !ended.iter().all(|ended| matches!(ended, Ok(0))) {
        return ExitCode::from(NOT_TRIED + 2);
    }
    for side in 0..sides.len() {
        for round in 0..count {
            let trace = meeting.trace(side, round);
            println!(
                "{side} {} {} {} {} {}",
                trace.pid.load(Ordering::SeqCst),
                trace.status.load(Ordering::SeqCst),
                trace.processor.load(Ordering::SeqCst),
                trace.began.load(Ordering::SeqCst),
                trace.ended.load(Ordering::SeqCst),
            );
        }
    }
    ExitCode::SUCCESS
}

/// One side: on its own processor, a child for each round. Its exit code.
fn serve(meeting: Meeting, side: usize, cgroup: &Path, path: &Path) -> i32 {
    let went = keep_to_processor(side)
        .and_then(|()| cgroup::join(cgroup).map_err(io::Error::other))
        .and_then(|()| {
            (0..meeting.rounds.count).try_for_each(|round| open(meeting, side, round, path))
        });
    match went {
        Ok(()) => 0,
        Err(error) => {
            meeting.cancel();
            eprintln!("side {side}: {error}");
            1
        }
    }
}

/// Has the calling process run on its side's processor alone.
fn keep_to_processor(side: usize) -> io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let mut processors = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    let own = processors.nth(side);
    let own = own.ok_or_else(|| io::Error::other("there is no processor for it"))?;
    let mut only = CpuSet::new();
    only.set(own);
    Ok(sched_setaffinity(None, &only)?)
}

/// One round of a side.
fn open(meeting: Meeting, side: usize, round: usize, path: &Path) -> io::Result<()> {
    let trace = meeting.trace(side, round);
    let pid = fork(|| {
        let processor = u32::try_from(sched_getcpu()).map_or(0, |number| number + 1);
        trace.processor.store(processor, Ordering::SeqCst);
        // So that what a first open takes longer for doesn't keep the two apart.
        let _ = File::open(NOWHERE);
        let mut code = NOT_TRIED.into();
        for attempt in 0..meeting.rounds.tries {
            trace.ended.store(0, Ordering::SeqCst);
            if !meeting.meet(round, attempt) {
                return NOT_TRIED.into();
            }
            trace.began.store(now(), Ordering::SeqCst);
            let opened = File::open(path);
            trace.ended.store(now(), Ordering::SeqCst);
            // Open at any try is open.
            code = match opened {
                Ok(_) => 0,
                Err(_) if code == 0 => 0,
                Err(error) => error.raw_os_error().unwrap_or(NOT_TRIED.into()),
            };
        }
        code
    })?;
    let status = reap(pid)?;
    // Of one that was killed.
    let zero = trace.ended.load(Ordering::SeqCst) == 0;
    if zero {
        trace.ended.store(now(), Ordering::SeqCst);
    }
    trace.pid.store(pid, Ordering::SeqCst);
    trace.status.store(status, Ordering::SeqCst);
    match trace.began.load(Ordering::SeqCst) {
        0 => Err(io::Error::other("it never came to open")),
        _ => Ok(()),
    }
}

fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Does this in a child, which ends with the code that comes of it, and not after its parent.
fn fork(work: impl FnOnce() -> i32) -> io::Result<i32> {
    // SAFETY: this process has one thread, so the child may do anything that it could.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let killed = Some(rustix::process::Signal::KILL);
        let _ = rustix::process::set_parent_process_death_signal(killed);
        let code = work();
        // SAFETY: ends the child at once, without flushing what belongs to its parent.
        unsafe { libc::_exit(code) };
    }
    match pid {
        ..0 => Err(io::Error::last_os_error()),
        _ => Ok(pid),
    }
}

/// Waits for a child's end; its raw status.
fn reap(pid: i32) -> io::Result<i32> {
    let mut status = 0;
    // SAFETY: the status outlives the call.
    match unsafe { libc::waitpid(pid, &raw mut status, 0) } == pid {
        true => Ok(status),
        false => Err(io::Error::last_os_error()),
    }
}

/// Has both sides open their files, and counts what came of it.
///
/// # Errors
/// They couldn't be started, as where there is only one processor, or took longer than the limit.
pub fn meet(rounds: Rounds, sides: [Side; 2], limit: Duration) -> Result<Met> {
    let what = "processes that open files at the same time";
    let mut command = Command::new("/proc/self/exe");
    command
        .arg("at-once")
        .args([rounds.count, rounds.tries].map(|number| number.to_string()));
    for side in sides {
        command.args([side.place.dir().as_path(), side.path]);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {what}"))?;
    let output = child.stdout.take().context("its stdout is piped")?;
    let errors = child.stderr.take().context("its stderr is piped")?;
    // What there is to read is smaller than a pipe's buffer.
    let status = wait::ended(&mut child, limit, what)?;
    let said = io::read_to_string(errors).context("reading its errors")?;
    ensure!(status.success(), "{what}: {status}: {}", said.trim());
    let lines = io::read_to_string(output).context("reading its output")?;
    read(&lines, rounds.count)
}

/// Takes the lines apart that the process has printed. Pure.
fn read(lines: &str, rounds: usize) -> Result<Met> {
    let mut sides = [const { Vec::new() }; 2];
    for line in lines.lines() {
        let numbers: Result<Vec<u64>, _> = line.split(' ').map(str::parse).collect();
        let numbers = numbers.with_context(|| format!("no numbers: {line}"))?;
        let [side, pid, status, processor, began, ended] = numbers[..] else {
            anyhow::bail!("no line on an open: {line}");
        };
        let side = usize::try_from(side)
            .ok()
            .and_then(|side| sides.get_mut(side));
        let side = side.with_context(|| format!("no such side: {line}"))?;
        side.push((pid, status, processor, began, ended));
    }
    let whole = sides.iter().all(|side| side.len() == rounds);
    ensure!(whole, "not a line for each open");
    let overlap = |(first, second): &(&Open, &Open)| first.3.max(second.3) < first.4.min(second.4);
    let overlapping = sides[0].iter().zip(&sides[1]).filter(overlap).count();
    let processors = sides.iter().flatten().map(|open| open.2);
    let processors: Result<BTreeSet<u32>> = processors
        .map(|number| {
            let number = number.checked_sub(1).context("no processor")?;
            Ok(u32::try_from(number)?)
        })
        .collect();
    let told = |opens: &Vec<Open>| -> Result<Value> {
        let mut fates = BTreeMap::<String, usize>::new();
        for open in opens {
            let fate = act::fate(ExitStatus::from_raw(i32::try_from(open.1)?));
            *fates.entry(attempt::word(fate)).or_default() += 1;
        }
        let pids: Vec<u64> = opens.iter().map(|open| open.0).collect();
        Ok(json!({"fates": fates, "pids": pids}))
    };
    Ok(Met {
        sides: [told(&sides[0])?, told(&sides[1])?],
        processors: processors?,
        overlapping,
    })
}

/// Of one process: its pid, its raw status, its processor counted from 1, when it began to open and
/// when it was done.
type Open = (u64, u64, u64, u64, u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_overlap_where_the_second_begins_before_the_first_is_done() {
        // The exit code 1 is EPERM, and a raw status of 9 is SIGKILL.
        let lines = "0 7 256 1 10 20\n0 8 9 1 40 50\n0 9 256 1 70 80\n\
                     1 17 256 2 19 30\n1 18 0 2 30 40\n1 19 256 2 60 71\n";
        let met = read(lines, 3).expect("whole lines");
        assert_eq!(met.overlapping, 2);
        assert_eq!(met.processors, BTreeSet::from([0, 1]));
        let first = json!({"fates": {"EPERM": 2, "SIGKILL": 1}, "pids": [7, 8, 9]});
        assert_eq!(met.sides[0], first);
        let both = met.both().expect("two sides");
        let fates = json!({"EPERM": 4, "SIGKILL": 1, "allowed": 1});
        assert_eq!(both["fates"], fates);
        assert_eq!(both["pids"].as_array().map(Vec::len), Some(6));
    }

    #[test]
    fn what_is_not_whole_is_an_error() {
        let line = "0 7 256 1 10 20\n1 8 256 2 10 20\n";
        assert!(read(line, 1).is_ok());
        for (lines, rounds) in [
            ("", 1),
            (line, 2),
            ("0 7 256 1 10\n1 8 256 2 10 20\n", 1),
            ("0 7 256 1 10 20\n2 8 256 2 10 20\n", 1),
            ("0 7 256 1 10 20\n0 8 256 2 10 20\n", 1),
            // It never came to a processor.
            ("0 7 256 0 10 20\n1 8 256 2 10 20\n", 1),
            ("0 7 x 1 10 20\n1 8 256 2 10 20\n", 1),
        ] {
            assert!(read(lines, rounds).is_err(), "{lines}");
        }
    }
}
