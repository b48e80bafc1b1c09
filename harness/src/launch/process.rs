//! Runs one QEMU: in a process group of its own, watched by events, ended by its limit.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, set_parent_process_death_signal,
};

use super::virtme::quote;
use super::{Composed, Files, Machine};
use crate::outcome::Ending;

/// Boots a machine and stays with it until it has ended.
///
/// `arrived` gets the result channel's bytes as they come in, with the time since the start;
/// it is called from this thread. QEMU is bound to the calling thread's life, so that thread
/// must live as long as the boot.
///
/// # Errors
/// QEMU can't be started or watched. An ending of any kind is no error.
pub fn boot(
    machine: &Machine,
    composed: &Composed,
    mut arrived: impl FnMut(&[u8], Duration),
) -> Result<Ending> {
    let files = Files::of(&machine.dir);
    fs::write(&files.records, "").context("making the file for the records")?;
    let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
        .context("watching for records")?;
    inotify::add_watch(&changes, &files.records, inotify::WatchFlags::MODIFY)
        .context("watching for records")?;
    let mut records = File::open(&files.records).context("opening the records")?;
    let started = Instant::now();
    let mut group = Group::start(composed, &files)?;
    let ended = group.pidfd()?;
    let ending = loop {
        let Some(left) = machine.limit.checked_sub(started.elapsed()) else {
            break Ending::Hung {
                limit_s: machine.limit.as_secs(),
            };
        };
        let happened = wait(&changes, &ended, left)?;
        if happened.changed {
            drain(&changes)?;
        }
        forward(&mut records, started, &mut arrived)?;
        if happened.ended {
            break group.reap()?;
        }
    };
    drop(group);
    // What it wrote between the last look and its end.
    forward(&mut records, started, &mut arrived)?;
    Ok(ending)
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
        text.push_str("\n# what composed QEMU's command (virtme-ng's folder first in PATH)\n");
        text.push_str(&line(composer));
        text.push('\n');
    }
    text.push_str("\n# the machine alone, with the same image\n");
    text.push_str(&line(&composed.argv));
    text.push('\n');
    text
}

/// A QEMU and whatever it starts; ended as a group when dropped.
struct Group {
    leader: Child,
    reaped: bool,
}

impl Group {
    fn start(composed: &Composed, files: &Files) -> Result<Self> {
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
            .stderr(log)
            .process_group(0);
        // SAFETY: one prctl(2) between fork and exec; it allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(|| {
                set_parent_process_death_signal(Some(Signal::KILL)).map_err(Into::into)
            });
        }
        let leader = command
            .spawn()
            .with_context(|| format!("starting {}", program.to_string_lossy()))?;
        Ok(Self {
            leader,
            reaped: false,
        })
    }

    fn pidfd(&self) -> Result<rustix::fd::OwnedFd> {
        let pid = Pid::from_child(&self.leader);
        pidfd_open(pid, PidfdFlags::empty()).context("watching QEMU")
    }

    fn reap(&mut self) -> Result<Ending> {
        let status = self.leader.wait().context("reaping QEMU")?;
        self.reaped = true;
        Ok(Ending::Exited {
            code: status.code().filter(|_| status.signal().is_none()),
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Until the leader is reaped its pid, and so the group's, can't belong to others.
        if !self.reaped {
            let killed = kill_process_group(Pid::from_child(&self.leader), Signal::KILL);
            let reaped = self.leader.wait();
            if let (Err(error), _) = (killed, &reaped) {
                eprintln!("warning: ending QEMU's process group: {error}");
            }
            if let Err(error) = reaped {
                eprintln!("warning: reaping QEMU: {error}");
            }
        }
    }
}

struct Happened {
    changed: bool,
    ended: bool,
}

fn wait(changes: impl AsFd, ended: impl AsFd, limit: Duration) -> Result<Happened> {
    let limit = Timespec::try_from(limit).context("a limit out of range")?;
    let mut fds = [
        PollFd::new(&changes, PollFlags::IN),
        PollFd::new(&ended, PollFlags::IN),
    ];
    match poll(&mut fds, Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(Happened {
            changed: fds[0].revents().contains(PollFlags::IN),
            ended: fds[1].revents().contains(PollFlags::IN),
        }),
        Err(error) => Err(error).context("waiting for records"),
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
    started: Instant,
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
