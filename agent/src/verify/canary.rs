//! The canary: this binary run again, to meet decoys and show by its fate what a hook does.
//!
//! In: acts, each on a control and on a decoy. Out: the exact [`Fate`] of whoever did it. The
//! canary forks a child for each act, since an act may cost the child its life; starting the
//! binary anew for each would cost more than all the acts together. A child waits for its
//! release, so that it can be made known to the programs first; if anybody above it dies, the
//! pipe that it waits on ends and it does nothing.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::classes::file::Failure;
use crate::classes::{Act, Errand};

/// The argument that makes this binary a canary.
pub const WORD: &str = "canary";

/// How long a canary may take for one answer. It does next to nothing; the rest is room for a
/// loaded machine under emulation.
const DEADLINE: Duration = Duration::from_secs(10);

/// Exit codes of a child, apart from those of a program that fails in a common way.
const ALLOWED: u8 = 64;
const CONTROL_FAILED: u8 = 65;
const NOT_RELEASED: u8 = 66;
const NOT_TRIED: u8 = 67;
/// Plus the errno, which is below 134 on Linux.
const DENIED: u8 = 100;

/// What became of a canary's child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its act on the decoy succeeded.
    Allowed,
    /// Its act on the decoy failed with this errno.
    Denied(i32),
    /// This signal ended it.
    Killed(i32),
    /// The act failed on the control already, so the decoy says nothing.
    ControlFailed,
    /// It ended in a way that says nothing.
    Broken(i32),
    /// It didn't end in time, and was ended.
    Stuck,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed => f.write_str("allowed"),
            Self::Denied(libc::EPERM) => f.write_str("denied:EPERM"),
            Self::Denied(errno) => write!(f, "denied:errno {errno}"),
            Self::Killed(libc::SIGKILL) => f.write_str("killed:SIGKILL"),
            Self::Killed(signal) => write!(f, "killed:signal {signal}"),
            Self::ControlFailed => f.write_str("control-failed"),
            Self::Broken(code) => write!(f, "broken:exit {code}"),
            Self::Stuck => f.write_str("stuck"),
        }
    }
}

impl Errand {
    /// As one line. The paths are our own and have no blanks.
    fn line(&self) -> String {
        let path = |path: &Path| path.display().to_string();
        format!(
            "{} {} {} {}\n",
            self.act.name(),
            path(&self.control),
            path(&self.decoy),
            path(&self.scratch)
        )
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let act = Act::by_name(name)?;
        let mut path = || words.next().map(PathBuf::from);
        Some(Self {
            act,
            control: path()?,
            decoy: path()?,
            scratch: path()?,
        })
    }
}

/// A canary that was started and waits for errands.
pub struct Canary {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Whether an answer is due that didn't come in time. Were it to come later, it would be taken for
    /// that to another errand.
    out_of_step: bool,
}

/// A child of the canary that waits for its release.
pub struct Waiting<'a> {
    canary: &'a mut Canary,
    /// Its process id.
    pub pid: u32,
}

impl Canary {
    /// Starts it; it does nothing yet.
    pub fn start() -> Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .arg0("aegisbpf-canary")
            .arg(WORD)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start the canary")?;
        let orders = child.stdin.take().context("the canary has no stdin")?;
        let answers = child.stdout.take().context("the canary has no stdout")?;
        Ok(Self {
            child,
            orders,
            answers: BufReader::new(answers),
            out_of_step: false,
        })
    }

    /// Its process id; its children are where it is.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gets a child ready for an errand.
    pub fn prepare(&mut self, errand: &Errand) -> Result<Waiting<'_>> {
        if self.out_of_step {
            bail!("the canary owes an answer to an earlier errand");
        }
        self.orders
            .write_all(errand.line().as_bytes())
            .context("failed to send the canary on an errand")?;
        let pid = self.answer()?;
        self.out_of_step = pid.is_none();
        let pid = pid.context("the canary forked no child in time")?;
        let pid = u32::try_from(pid).context("the canary couldn't fork")?;
        Ok(Waiting { canary: self, pid })
    }

    /// One number; `None` if the deadline came first.
    fn answer(&mut self) -> Result<Option<i64>> {
        let deadline = Instant::now() + DEADLINE;
        while self.answers.buffer().is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).context("bad deadline")?;
            let answers = PollFd::new(self.answers.get_ref(), PollFlags::IN);
            match poll(&mut [answers], Some(&timeout)) {
                Ok(0) => return Ok(None),
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("poll"),
            }
        }
        let mut line = String::new();
        // A line is shorter than what a pipe passes on in one piece.
        self.answers.read_line(&mut line).context("the canary")?;
        if line.is_empty() {
            bail!("the canary is dead");
        }
        line.trim().parse().map(Some).context("the canary's answer")
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        // Killed and reaped on every path: its cgroup can't be removed while it lives. Both calls
        // do nothing if it was already waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Waiting<'_> {
    /// Lets it act, and waits for its end: its fate, and how long it took.
    pub fn release(self) -> Result<(Fate, Duration)> {
        let started = Instant::now();
        self.canary
            .orders
            .write_all(b"go\n")
            .context("failed to release the canary")?;
        let fate = match self.canary.answer()? {
            Some(status) => fate(ExitStatus::from_raw(i32::try_from(status)?)),
            None => {
                if let Some(pid) = i32::try_from(self.pid)
                    .ok()
                    .and_then(rustix::process::Pid::from_raw)
                {
                    // Not reaped yet, as the canary waits for it, so the pid is still its own.
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
                self.canary.out_of_step = self.canary.answer()?.is_none();
                Fate::Stuck
            }
        };
        Ok((fate, started.elapsed()))
    }
}

fn fate(status: ExitStatus) -> Fate {
    if let Some(signal) = status.signal() {
        return Fate::Killed(signal);
    }
    let code = status.code().unwrap_or(-1);
    match u8::try_from(code) {
        Ok(ALLOWED) => Fate::Allowed,
        Ok(CONTROL_FAILED) => Fate::ControlFailed,
        Ok(denied) if denied > DENIED => Fate::Denied(code - i32::from(DENIED)),
        _ => Fate::Broken(code),
    }
}

/// The canary's whole life: errands on stdin, answers on stdout.
pub fn serve() -> ExitCode {
    let served = serve_errands(&mut io::stdin().lock(), &mut io::stdout().lock());
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(NOT_RELEASED),
    }
}

fn serve_errands(orders: &mut impl io::BufRead, answers: &mut impl io::Write) -> io::Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        if orders.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let errand = Errand::parse(&line).ok_or(io::ErrorKind::InvalidInput)?;
        let (mut release, hold) = io::pipe()?;
        // SAFETY: this process has one thread, so the child may do anything that it could.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            drop(hold);
            let mut go = [0];
            let code = match release.read_exact(&mut go) {
                Ok(()) => run(&errand),
                Err(_) => NOT_RELEASED,
            };
            // SAFETY: ends the child at once, without flushing what belongs to its parent.
            unsafe { libc::_exit(code.into()) };
        }
        drop(release);
        writeln!(answers, "{pid}")?;
        answers.flush()?;
        line.clear();
        if pid < 0 || orders.read_line(&mut line)? == 0 {
            return Ok(());
        }
        // A child that is already dead has a fate all the same; the broken pipe is no news.
        let _ = (&hold).write_all(b"!");
        drop(hold);
        writeln!(answers, "{}", wait(pid)?)?;
        answers.flush()?;
    }
}

/// The raw status of a child at its end.
fn wait(pid: i32) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: the status outlives the call.
        if unsafe { libc::waitpid(pid, &raw mut status, 0) } == pid {
            return Ok(status);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// The child's whole life after its release.
fn run(errand: &Errand) -> u8 {
    if errand
        .act
        .attempt(&errand.control, &errand.scratch)
        .is_err()
    {
        return CONTROL_FAILED;
    }
    match errand.act.attempt(&errand.decoy, &errand.scratch) {
        Ok(()) => ALLOWED,
        Err(Failure::Around(_)) => NOT_TRIED,
        Err(Failure::Refused(error)) => {
            let errno = error.raw_os_error().map(u8::try_from);
            errno
                .and_then(Result::ok)
                .map_or(DENIED, |errno| DENIED.saturating_add(errno))
        }
    }
}
