//! Whoever goes the ways: one process for each act, forked from one that waits for orders.
//!
//! The guest talks to that one over its standard streams, an order and an answer at a time,
//! each a line of JSON. It has a single thread and forks without `exec`, so that an act
//! costs a fork; and it started before the agent, so its children inherit descriptors that
//! are older than any rule.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use protocol::bypass::Bypass;
use protocol::record::{Act, Fate, Helper};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, waitpid};
use serde::{Deserialize, Serialize};

use super::trees::{self, Look, Tree};
use super::ways::{self, Failure, Setting};
use crate::act::{self, NOT_TRIED};
use crate::cgroup::{self, Place};
use crate::wait;

/// What the guest asks for.
#[derive(Serialize, Deserialize)]
enum Order {
    /// Open the secrets again: the trees were laid anew.
    Hold,
    /// Go this way in that tree.
    Go(Bypass, Tree),
}

/// What comes back: nothing for [`Order::Hold`], an act otherwise, or why there is none.
type Answer = Result<Option<Act>, String>;

/// What an act's process tells beside its exit code and what leaks.
#[derive(Serialize, Deserialize)]
enum Note {
    /// Another process acted for it.
    Helper(Helper),
    /// Why it never came to the forbidden call.
    NotTried(String),
}

/// The guest's side.
pub struct Actors {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    limit: Duration,
}

impl Actors {
    /// Starts the process, in a place that no policy exempts. The trees must be laid.
    ///
    /// # Errors
    /// The process can't be started, or doesn't find the trees.
    pub fn start(limit: Duration) -> Result<Self> {
        let mut process = Command::new("/proc/self/exe")
            .arg("actors")
            .arg(Place::Plain.dir())
            .arg(limit.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the actors")?;
        let orders = process.stdin.take().context("its stdin is piped")?;
        let answers = process.stdout.take().context("its stdout is piped")?;
        let mut actors = Self {
            process,
            orders,
            answers: BufReader::new(answers),
            limit,
        };
        actors.order(&Order::Hold)?;
        Ok(actors)
    }

    /// Lays the trees anew, so that nothing is left of what was done to them.
    ///
    /// # Errors
    /// They can't be laid.
    pub fn lay_anew(&mut self) -> Result<()> {
        trees::lay()?;
        self.order(&Order::Hold)?;
        Ok(())
    }

    /// Goes one way.
    ///
    /// # Errors
    /// It never came to the forbidden call, or didn't end within the limit.
    pub fn go(&mut self, way: Bypass, tree: Tree) -> Result<Act> {
        if way == Bypass::PidOne {
            return Ok(open_here(way, tree));
        }
        self.order(&Order::Go(way, tree))
            .and_then(|act| act.context("no act came back"))
            .with_context(|| format!("{} in {}", way.name(), tree.root()))
    }

    fn order(&mut self, order: &Order) -> Result<Option<Act>> {
        let mut line = serde_json::to_string(order)?;
        line.push('\n');
        self.orders
            .write_all(line.as_bytes())
            .context("sending an order")?;
        // The act itself has the limit; its answer comes somewhat later.
        wait::readable(self.answers.get_ref(), self.limit * 2, "the actors' answer")?;
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .context("reading an answer")?;
        let answer: Answer =
            serde_json::from_str(&answer).with_context(|| format!("answered {answer:?}"))?;
        answer.map_err(|why| anyhow!(why))
    }
}

impl Drop for Actors {
    fn drop(&mut self) {
        // It may hang in an act; nothing of it is needed any more.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Opens in this process, which is the machine's pid 1.
fn open_here(way: Bypass, tree: Tree) -> Act {
    let path = tree.path(trees::file(way));
    let read = std::fs::read(&path);
    let fate = match &read {
        Ok(_) => Fate::Allowed,
        Err(error) => match error.raw_os_error() {
            Some(errno) => Fate::Denied { errno },
            None => Fate::Broken { code: -1 },
        },
    };
    Act {
        pid: std::process::id(),
        target: trees::target(way, tree),
        passed: Some(path),
        fate,
        leaked: read.is_ok_and(|bytes| !bytes.is_empty()),
        effects: Vec::new(),
        helper: None,
        events: Vec::new(),
    }
}

/// The process's side: `actors CGROUP_DIR LIMIT_MS`, until its standard input ends.
pub fn serve(arguments: &[String]) -> ExitCode {
    match try_to_serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("actors: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_to_serve(arguments: &[String]) -> Result<()> {
    let [cgroup, limit] = arguments else {
        bail!("wants a cgroup and a limit");
    };
    cgroup::join(Path::new(cgroup))?;
    let limit = Duration::from_millis(limit.parse().context("the limit")?);
    let mut held = Vec::new();
    for line in std::io::stdin().lines() {
        let order = serde_json::from_str(&line.context("reading an order")?)?;
        let answer: Result<Option<Act>> = match order {
            Order::Hold => hold().map(|files| {
                held = files;
                None
            }),
            Order::Go(way, tree) => go(way, tree, &held, limit).map(Some),
        };
        let answer: Answer = answer.map_err(|error| format!("{error:#}"));
        let mut line = serde_json::to_string(&answer)?;
        line.push('\n');
        std::io::stdout().write_all(line.as_bytes())?;
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// The secrets of both trees, to be inherited.
fn hold() -> Result<Vec<(Tree, File)>> {
    Tree::BOTH
        .into_iter()
        .map(|tree| {
            let path = tree.path(trees::SECRET);
            let file = File::open(&path).with_context(|| format!("opening {path}"))?;
            Ok((tree, file))
        })
        .collect()
}

/// Goes a way in a process of its own, and tells what came of it.
fn go(way: Bypass, tree: Tree, held: &[(Tree, File)], limit: Duration) -> Result<Act> {
    let (_, held) = held
        .iter()
        .find(|(of, _)| *of == tree)
        .context("the secrets aren't held")?;
    let (mut leaks, output) = pipe_with(PipeFlags::CLOEXEC).map(read_end)?;
    let (mut told, notes) = pipe_with(PipeFlags::CLOEXEC).map(read_end)?;
    if way == Bypass::Create {
        std::fs::remove_file(tree.path(trees::ABSENT)).context("removing the file")?;
    }
    let look = Look::at(way, tree);
    // SAFETY: this process has one thread, so the child may do anything.
    let pid = match unsafe { libc::fork() } {
        -1 => return Err(std::io::Error::last_os_error()).context("forking"),
        0 => {
            let code = play(way, tree, held, &output, notes);
            // SAFETY: ends at once, so that nothing is run or flushed twice.
            unsafe { libc::_exit(code) }
        }
        pid => Pid::from_raw(pid).context("a pid")?,
    };
    drop((output, notes));
    let status = ended(pid, limit)?;
    // Both are far smaller than a pipe's buffer, so nobody has waited for their reader.
    let (mut leaked, mut text) = (Vec::new(), String::new());
    leaks.read_to_end(&mut leaked).context("reading leaks")?;
    told.read_to_string(&mut text).context("reading notes")?;
    let mut helper = None;
    for line in text.lines() {
        match serde_json::from_str(line).context("reading a note")? {
            Note::Helper(told) => helper = Some(told),
            Note::NotTried(why) => bail!("never tried: {why}"),
        }
    }
    Ok(Act {
        pid: pid.as_raw_nonzero().get().cast_unsigned(),
        target: trees::target(way, tree),
        passed: ways::passed(way, tree),
        fate: act::fate(status),
        leaked: !leaked.is_empty(),
        effects: look.effects(),
        helper,
        events: Vec::new(),
    })
}

fn read_end((read, write): (OwnedFd, OwnedFd)) -> (File, OwnedFd) {
    (File::from(read), write)
}

/// Waits for the end of a process; one that outlives the limit is killed.
fn ended(pid: Pid, limit: Duration) -> Result<ExitStatus> {
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("watching the act")?;
    let in_time = wait::readable(&pidfd, limit, "the act's end");
    if in_time.is_err() {
        rustix::process::kill_process(pid, Signal::KILL).context("killing it")?;
    }
    let (_, status) = waitpid(Some(pid), WaitOptions::empty())
        .context("reaping it")?
        .context("it hasn't ended")?;
    in_time.map(|()| ExitStatus::from_raw(status.as_raw()))
}

/// The act's process: goes the way, and copies what it got to read. Gives its exit code, as
/// [`act::commit`] does.
fn play(way: Bypass, tree: Tree, held: &File, output: &OwnedFd, notes: OwnedFd) -> i32 {
    let notes = File::from(notes);
    let note = |note: &Note| -> Result<()> {
        let mut line = serde_json::to_vec(note)?;
        line.push(b'\n');
        (&notes).write_all(&line).context("writing a note")
    };
    let setting = Setting {
        tree,
        held: held.as_fd(),
        output: output.as_fd(),
        tell_helper: &|helper| note(&Note::Helper(helper)),
    };
    let why = match ways::go(way, &setting) {
        Ok(None) => return 0,
        Err(Failure::Refused(errno)) => return errno.raw_os_error(),
        Ok(Some(opened)) => match copy(opened, output) {
            Ok(()) => return 0,
            Err(error) => error,
        },
        Err(Failure::NotTried(error)) => error,
    };
    // Without the note the code alone says that nothing was tried.
    let _ = note(&Note::NotTried(format!("{why:#}")));
    i32::from(NOT_TRIED)
}

/// Copies a file from its beginning: the position of an inherited descriptor is shared.
fn copy(from: OwnedFd, to: &OwnedFd) -> Result<()> {
    let (from, number) = (File::from(from), to.as_raw_fd());
    let mut bytes = [0; 4096];
    let got = match from.read_at(&mut bytes, 0) {
        // A pipe has no beginning.
        Err(error) if error.raw_os_error() == Some(libc::ESPIPE) => (&from).read(&mut bytes),
        read => read,
    };
    let got = got.context("reading the secret")?;
    let mut to = File::from(
        to.try_clone()
            .with_context(|| format!("writing to {number}"))?,
    );
    to.write_all(&bytes[..got]).context("writing it out")
}
