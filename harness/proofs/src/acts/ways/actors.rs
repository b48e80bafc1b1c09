//! Whoever goes the ways: one process for each act, forked from one that waits for orders.
//!
//! The guest talks to that one over its standard streams, an order and an answer at a time,
//! each a line of JSON. It has a single thread and forks without `exec`, so that an act
//! costs a fork; and it started before the agent, so its children inherit descriptors that
//! are older than any rule.

use std::ffi::CString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Error, Result, bail, ensure};
use protocol::record::{Act, Fate, Helper};
use protocol::sabotage::World;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, waitpid};
use serde::{Deserialize, Serialize};

use super::calls;
use super::go::{Before, Failure, Go, Setting};
use super::raw;
use super::trees::{self, Look, Tree};
use crate::acts::act::{self, NOT_TRIED};
use crate::acts::attempt::{Attempt, Verb};
use crate::acts::cause::NotHere;
use crate::acts::cause::{self, Relayed};
use crate::acts::cgroup::{self, Place};
use crate::acts::wait;
use crate::acts::worlds;

/// What the guest asks for.
#[derive(Serialize, Deserialize)]
enum Order {
    /// Open the secrets again: the trees were laid anew.
    Hold,
    /// Go this way in that tree.
    Go(String, Tree),
}

/// What comes back.
#[derive(Serialize, Deserialize)]
enum Answer {
    /// To [`Order::Hold`].
    Held,
    /// To [`Order::Go`].
    Gone(Act),
    /// This kernel has no such way, for this reason.
    Missing(String),
    /// It couldn't be done, for this reason, with the error number at its bottom.
    Failed(String, Option<i32>),
}

/// What an act's process tells beside its exit code and what leaks.
#[derive(Serialize, Deserialize)]
enum Note {
    /// Another process acted for it.
    Helper(Helper),
    /// Why it never came to the forbidden call, with the error number at the bottom of that.
    NotTried(String, Option<i32>),
    /// This kernel has no such way, for this reason.
    Missing(String),
}

/// The longest path that is told: no hook shows more of one.
const LONGEST_TOLD: usize = 512;

/// The guest's side.
pub struct Actors {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    limit: Duration,
}

impl Actors {
    /// Starts the process, in a place that no policy exempts, and without the call that a world
    /// lacks. The trees must be laid.
    ///
    /// # Errors
    /// The process can't be started, or doesn't find the trees.
    pub fn start(limit: Duration, lacking: Option<World>) -> Result<Self> {
        let mut process = Command::new("/proc/self/exe")
            .arg("actors")
            .arg(Place::Plain.dir())
            .arg(limit.as_millis().to_string())
            .args(lacking.map(World::name))
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
    pub fn go(&mut self, name: &str, way: &Go, tree: Tree) -> Result<Act> {
        if way.before == Before::PidOne {
            return Ok(open_here(way, tree));
        }
        let answer = self.order(&Order::Go(name.to_owned(), tree));
        let act = answer.and_then(|answer| match answer {
            Answer::Gone(act) => Ok(act),
            _ => bail!("no act came back"),
        });
        act.with_context(|| format!("{name} in {}", tree.root()))
    }

    fn order(&mut self, order: &Order) -> Result<Answer> {
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
        let answer =
            serde_json::from_str(&answer).with_context(|| format!("answered {answer:?}"))?;
        match answer {
            Answer::Missing(why) => Err(NotHere(why).into()),
            Answer::Failed(why, errno) => Err(relayed(why, errno)),
            answer => Ok(answer),
        }
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
fn open_here(way: &Go, tree: Tree) -> Act {
    let path = tree.path(&(way.file)(tree));
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
        target: way.target(tree),
        passed: Some(path),
        fate,
        leaked: read.is_ok_and(|bytes| !bytes.is_empty()),
        effects: Vec::new(),
        helper: None,
        events: Vec::new(),
    }
}

/// The process's side: `actors CGROUP_DIR LIMIT_MS [WORLD]`, until its standard input ends.
/// `ways` knows them by name.
pub fn serve(arguments: &[String], ways: impl Fn(&str) -> Option<Go>) -> ExitCode {
    match try_to_serve(arguments, ways) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("actors: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_to_serve(arguments: &[String], ways: impl Fn(&str) -> Option<Go>) -> Result<()> {
    let [cgroup, limit, lacking @ ..] = arguments else {
        bail!("wants a cgroup and a limit");
    };
    cgroup::join(Path::new(cgroup))?;
    let worlds = lacking.iter().filter_map(|name| World::from_name(name));
    for refusal in worlds.filter_map(worlds::refusal) {
        raw::refuse(refusal)?;
    }
    let limit = Duration::from_millis(limit.parse().context("the limit")?);
    let mut held = Vec::new();
    for line in std::io::stdin().lines() {
        let order = serde_json::from_str(&line.context("reading an order")?)?;
        let answer = match order {
            Order::Hold => hold().map(|files| {
                held = files;
                Answer::Held
            }),
            Order::Go(name, tree) => ways(&name)
                .with_context(|| format!("nobody knows the way {name:?}"))
                .and_then(|way| go(&way, tree, &held, limit))
                .map(Answer::Gone),
        };
        let answer = answer.unwrap_or_else(|error| match error.downcast() {
            Ok(NotHere(why)) => Answer::Missing(why),
            Err(error) => Answer::Failed(format!("{error:#}"), number(&error)),
        });
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

/// Removes a file, where that is denied too from where no rule applies. Only there another process is
/// started, for which this one opens a file.
fn remove(path: &Path, limit: Duration) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {}
        removed => return removed.context("removing the file"),
    }
    let removal = Attempt::on(Verb::Unlink, path).exempt();
    let fate = removal.fate(limit).context("removing the file")?;
    ensure!(fate == "allowed", "removing {}: {fate}", path.display());
    Ok(())
}

/// Goes a way in a process of its own, and tells what came of it.
fn go(way: &Go, tree: Tree, held: &[(Tree, File)], limit: Duration) -> Result<Act> {
    let (_, held) = held
        .iter()
        .find(|(of, _)| *of == tree)
        .context("the secrets aren't held")?;
    let (mut leaks, output) = pipe_with(PipeFlags::CLOEXEC).map(read_end)?;
    let (mut told, notes) = pipe_with(PipeFlags::CLOEXEC).map(read_end)?;
    let file = (way.file)(tree);
    if way.before == Before::Removed {
        remove(tree.path(&file).as_ref(), limit)?;
    }
    let look = Look::at(tree, way.leaves.unwrap_or(&file));
    let sent = match way.before {
        Before::Sent => Some(calls::send(held.as_fd())?),
        _ => None,
    };
    let flags = match way.before {
        Before::PidNamespace => libc::CLONE_NEWPID,
        Before::UserNamespace => libc::CLONE_NEWUSER,
        _ => 0,
    };
    let part = Part {
        way,
        tree,
        held,
        sent: sent.as_ref(),
        output: &output,
        notes: File::from(notes),
    };
    let pid = raw::fork(flags, || play(&part)).context("forking");
    let pid = pid.map_err(|error| not_here_without_namespaces(way.before, error))?;
    drop(part);
    drop(output);
    let status = ended(pid, limit)?;
    // Both are far smaller than a pipe's buffer, so nobody has waited for their reader.
    let (mut leaked, mut text) = (Vec::new(), String::new());
    leaks.read_to_end(&mut leaked).context("reading leaks")?;
    told.read_to_string(&mut text).context("reading notes")?;
    let mut helper = None;
    for line in text.lines() {
        match serde_json::from_str(line).context("reading a note")? {
            Note::Helper(told) => helper = Some(told),
            Note::NotTried(why, errno) => {
                return Err(relayed(format!("never tried: {why}"), errno));
            }
            Note::Missing(why) => return Err(NotHere(why).into()),
        }
    }
    Ok(Act {
        pid: pid.as_raw_nonzero().get().cast_unsigned(),
        target: way.target(tree),
        passed: way.passed(tree).filter(|path| path.len() <= LONGEST_TOLD),
        fate: act::fate(status),
        leaked: !leaked.is_empty(),
        effects: look.effects(),
        helper,
        events: Vec::new(),
    })
}

/// The error of a fork as one that says what the kernel was built without, if it is that.
fn not_here_without_namespaces(before: Before, error: Error) -> Error {
    let why = match before {
        Before::PidNamespace if !Path::new("/proc/self/ns/pid").exists() => {
            Some("the kernel has no pid namespaces (CONFIG_PID_NS)")
        }
        Before::UserNamespace => worlds::lacks_user_namespaces(),
        _ => None,
    };
    why.map_or(error, |why| NotHere(why.to_owned()).into())
}

fn relayed(why: String, errno: Option<i32>) -> Error {
    let errno = errno.map(Errno::from_raw_os_error);
    Error::new(Relayed { why, errno })
}

fn number(error: &Error) -> Option<i32> {
    cause::errno(error).map(Errno::raw_os_error)
}

fn not_tried(error: &Error) -> Note {
    Note::NotTried(format!("{error:#}"), number(error))
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

/// What an act's process has.
struct Part<'a> {
    way: &'a Go,
    tree: Tree,
    held: &'a File,
    sent: Option<&'a OwnedFd>,
    output: &'a OwnedFd,
    notes: File,
}

/// The act's process: goes the way, and copies what it got to read. Gives its exit code, as
/// [`act::commit`] does.
fn play(part: &Part) -> i32 {
    let note = |note: &Note| -> Result<()> {
        let mut line = serde_json::to_vec(note)?;
        line.push(b'\n');
        (&part.notes).write_all(&line).context("writing a note")
    };
    let setting = Setting {
        tree: part.tree,
        held: part.held.as_fd(),
        sent: part.sent.map(AsFd::as_fd),
        output: part.output.as_fd(),
        tell_helper: &|helper| note(&Note::Helper(helper)),
    };
    let path = part.way.passed(part.tree).unwrap_or_default();
    let gone = match CString::new(path) {
        Ok(path) => (part.way.act)(&setting, &path),
        Err(error) => Err(Error::new(error).into()),
    };
    let why = match gone {
        Ok(None) => return 0,
        Err(Failure::Refused(errno)) => return errno.raw_os_error(),
        Ok(Some(opened)) => match copy(opened, part.output) {
            Ok(()) => return 0,
            Err(error) => not_tried(&error),
        },
        Err(Failure::NotTried(error)) => not_tried(&error),
        Err(Failure::Missing(NotHere(why))) => Note::Missing(why),
    };
    // Without the note the code alone says that nothing was tried.
    let _ = note(&why);
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
