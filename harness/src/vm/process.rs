//! Runs one QEMU, or what composes its command: in a process group of its own, watched by
//! events, ended by its limit.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, kill_process_group, pidfd_open,
    set_parent_process_death_signal,
};

use super::guard::Guard;
use super::monitor::Monitor;
use super::quote::quote;
use super::{Composed, Files, Machine, ending};
use crate::outcome::Ending;
use crate::tell;
use crate::vm::interrupt::{Interrupt, Stoppable, Stopwatch};

/// Boots a machine and stays with it until it has ended.
///
/// `arrived` gets the result channel's bytes as they come in, with the time since the start;
/// it is called from this thread. QEMU is bound to the calling thread's life, so that thread
/// must live as long as the boot. The boot ends early if the run is asked to.
///
/// # Errors
/// QEMU can't be started. An ending of any kind is no error, nor is a loss after the start.
pub fn boot(
    machine: &Machine,
    composed: &Composed,
    interrupt: &Interrupt,
    mut arrived: impl FnMut(&[u8], Duration),
) -> Result<Ending> {
    let files = Files::of(&machine.dir);
    fs::write(&files.records, "").context("making the file for the records")?;
    let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
        .context("watching for records")?;
    inotify::add_watch(&changes, &files.records, inotify::WatchFlags::MODIFY)
        .context("watching for records")?;
    let mut records = File::open(&files.records).context("opening the records")?;
    let started = interrupt.stopwatch();
    let killed_before = ending::out_of_memory_kills();
    let mut command = qemu(composed, &files)?;
    let monitor = Monitor::add(&mut command)?;
    let group = Group::start(command)?;
    let stoppable = Arc::new(Running {
        group: Pid::from_child(&group.leader),
        monitor,
    });
    // Dropped before the group is: its number may be another's then.
    let registered = interrupt.register(stoppable);
    // From here on QEMU has run, and an error is one of losing what came of it.
    let watch = || -> Result<Ending> {
        let ended = group.pidfd()?;
        let ending = loop {
            let left = machine.limit.saturating_sub(started.elapsed());
            let happened = wait(&changes, &ended, interrupt, left)?;
            if happened.changed {
                drain(&changes)?;
            }
            forward(&mut records, &started, &mut arrived)?;
            if happened.ended {
                drop(registered);
                let status = group.end()?;
                let killed = ending::out_of_memory_kills() > killed_before;
                break ending::of(status, &said(&files.qemu)?, killed);
            }
            if let Some(signal) = interrupt.to_end() {
                drop(registered);
                drop(group);
                break Ending::Interrupted {
                    signal,
                    started: true,
                };
            }
            // Only now: a harness that was stopped for longer than that finds QEMU long done.
            if left.is_zero() {
                drop(registered);
                drop(group);
                break Ending::Hung {
                    limit_s: machine.limit.as_secs(),
                };
            }
        };
        // What it wrote between the last look and its end.
        forward(&mut records, &started, &mut arrived)?;
        ending::check_writable(&machine.dir)?;
        Ok(ending)
    };
    Ok(watch().unwrap_or_else(|error| Ending::Lost {
        reason: format!("{error:#}"),
    }))
}

/// A machine that is to stop with the harness.
#[derive(Debug)]
struct Running {
    group: Pid,
    monitor: Monitor,
}

impl Stoppable for Running {
    fn stop(&self) {
        // A machine that can't be held is stopped all the same.
        if let Err(error) = self.monitor.hold() {
            tell::err(&format!("warning: the guest's clock goes on: {error:#}"));
        }
        signal(self.group, Signal::STOP);
    }

    fn go_on(&self) {
        signal(self.group, Signal::CONT);
        if let Err(error) = self.monitor.go_on() {
            tell::err(&format!("warning: {error:#}"));
        }
    }
}

fn signal(group: Pid, signal: Signal) {
    if let Err(error) = kill_process_group(group, signal) {
        tell::err(&format!("warning: stopping QEMU with the harness: {error}"));
    }
}

/// What QEMU said.
fn said(log: &Path) -> Result<String> {
    let bytes = fs::read(log).with_context(|| format!("reading {}", log.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The text of `command.txt`: how to run this boot again, each line for a shell.
#[must_use]
pub fn command_text(again: &str, composed: &Composed) -> String {
    let line = |argv: &[OsString]| {
        let words: Vec<String> = argv.iter().map(|word| quote(word)).collect();
        words.join(" ")
    };
    let mut text = format!("# the boot, built and judged anew\n{again}\n");
    if let Some(composer) = &composed.composer {
        text.push_str(
            "\n# what virtme-ng was asked, with stand-ins for paths and for the command line\n",
        );
        text.push_str(&line(composer));
        text.push('\n');
    }
    text.push_str("\n# the machine alone, with the same image\n");
    text.push_str(&line(&composed.argv));
    text.push('\n');
    text
}

/// What a command wrote before it ended.
#[derive(Debug)]
pub(super) struct Output {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Runs a command to its end, without input. The calling thread must live as long, as in
/// [`boot`].
///
/// # Errors
/// It can't be started, or hasn't ended within the limit.
pub(super) fn output(mut command: Command, limit: Duration) -> Result<Output> {
    let shown = command.get_program().to_string_lossy().into_owned();
    // Files and no pipes, since a pipe has no end while something it left behind holds it.
    let mut stdout = tempfile::tempfile().context("making a file for its output")?;
    let mut stderr = tempfile::tempfile().context("making a file for its output")?;
    command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().context("sharing a file")?)
        .stderr(stderr.try_clone().context("sharing a file")?);
    let started = Instant::now();
    let group = Group::start(command)?;
    let ended = group.pidfd()?;
    loop {
        let Some(left) = limit.checked_sub(started.elapsed()) else {
            bail!("{shown}: not done after {} s", limit.as_secs_f32());
        };
        if poll_for(&mut [PollFd::new(&ended, PollFlags::IN)], left)?[0] {
            break;
        }
    }
    let status = group.end()?;
    let read = |file: &mut File| -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    Ok(Output {
        status,
        stdout: read(&mut stdout).context("reading its output")?,
        stderr: read(&mut stderr).context("reading its output")?,
    })
}

/// QEMU's command, with its files.
fn qemu(composed: &Composed, files: &Files) -> Result<Command> {
    let (program, arguments) = composed.argv.split_first().context("an empty command")?;
    let log = File::create(&files.qemu).context("making QEMU's log")?;
    let stdout = if composed.console_on_stdout {
        File::create(&files.console).context("making the console's file")?
    } else {
        log.try_clone().context("sharing QEMU's log")?
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(log);
    Ok(command)
}

/// A process and whatever it starts; all of it ends with the value, however that goes, and with
/// the harness.
struct Group {
    leader: Child,
    /// None once the leader is reaped.
    guard: Option<Guard>,
}

impl Group {
    fn start(mut command: Command) -> Result<Self> {
        let mut guard = Guard::start()?;
        command.process_group(0);
        let harness = getpid();
        // SAFETY: a prctl(2) and a getppid(2) between fork and exec; they allocate nothing and
        // take no lock.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                // It tells only of a death that is still to come.
                match getppid() {
                    Some(parent) if parent == harness => Ok(()),
                    _ => Err(rustix::io::Errno::SRCH.into()),
                }
            });
        }
        let leader = command.spawn();
        let leader = match leader {
            Ok(leader) => leader,
            Err(error) => {
                // It has nothing to watch over, and its trouble is the lesser one.
                let _ = guard.dismiss();
                let program = command.get_program().to_string_lossy().into_owned();
                return Err(error).with_context(|| format!("starting {program}"));
            }
        };
        let told = guard.watch(Pid::from_child(&leader));
        let group = Self {
            leader,
            guard: Some(guard),
        };
        told.map(|()| group)
    }

    fn pidfd(&self) -> Result<rustix::fd::OwnedFd> {
        let pid = Pid::from_child(&self.leader);
        pidfd_open(pid, PidfdFlags::empty()).context("watching a process")
    }

    /// Ends what a leader that has ended left behind, and tells how it ended itself.
    fn end(mut self) -> Result<ExitStatus> {
        self.kill_and_reap().context("reaping a process")
    }

    fn kill_and_reap(&mut self) -> io::Result<ExitStatus> {
        // Until the leader is reaped its pid, and so the group's, can't belong to others. It
        // ends all but a leader that has ended already, whose status stays what it was.
        let killed = kill_process_group(Pid::from_child(&self.leader), Signal::KILL);
        let dismissed = self.guard.take().map_or(Ok(()), Guard::dismiss);
        let status = self.leader.wait();
        let killed = killed.map_err(io::Error::from).and(dismissed);
        if let Err(error) = killed {
            tell::err(&format!("warning: ending a process group: {error}"));
        }
        status
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.guard.is_some()
            && let Err(error) = self.kill_and_reap()
        {
            tell::err(&format!("warning: reaping a process: {error}"));
        }
    }
}

struct Happened {
    changed: bool,
    ended: bool,
}

/// Waits until something has happened, or the run is asked to end, or for the limit.
fn wait(
    changes: impl AsFd,
    ended: impl AsFd,
    interrupt: &Interrupt,
    limit: Duration,
) -> Result<Happened> {
    let [changed, ended, _] = poll_for(
        &mut [
            PollFd::new(&changes, PollFlags::IN),
            PollFd::new(&ended, PollFlags::IN),
            PollFd::from_borrowed_fd(interrupt.fd(), PollFlags::IN),
        ],
        limit,
    )?;
    Ok(Happened { changed, ended })
}

/// Which of these are readable, as soon as one is, and none of them at the limit or earlier.
fn poll_for<const N: usize>(fds: &mut [PollFd<'_>; N], limit: Duration) -> Result<[bool; N]> {
    let limit = Timespec::try_from(limit).context("a limit out of range")?;
    match poll(fds, Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(std::array::from_fn(|at| {
            fds[at].revents().contains(PollFlags::IN)
        })),
        Err(error) => Err(error).context("waiting for a process"),
    }
}

/// Empties the queue of change events; what changed is read from the file itself.
fn drain(changes: impl AsFd) -> Result<()> {
    let mut buffer = [0_u8; 4096];
    loop {
        match rustix::io::read(&changes, &mut buffer) {
            Ok(0) | Err(rustix::io::Errno::AGAIN) => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("reading change events"),
        }
    }
}

fn forward(
    records: &mut File,
    started: &Stopwatch<'_>,
    arrived: &mut impl FnMut(&[u8], Duration),
) -> Result<()> {
    let mut bytes = Vec::new();
    records
        .read_to_end(&mut bytes)
        .context("reading the records")?;
    if !bytes.is_empty() {
        arrived(&bytes, started.elapsed());
    }
    Ok(())
}
