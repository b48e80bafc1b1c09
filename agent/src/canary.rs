//! The canary: this binary run again, to meet a decoy and show by its fate what a hook does.
//!
//! In: a system call, a control file, a decoy. Out: the child's exact [`Fate`]. The child
//! waits for a byte on stdin before it acts, so that the parent can put it into its cgroup
//! and make it known to the programs; if the parent dies, the pipe ends and it does nothing.

use std::ffi::CString;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::hooks::Syscall;

/// How long a canary may take from the go to its end. It opens two files; the rest is room
/// for a loaded machine under emulation.
const DEADLINE: Duration = Duration::from_secs(10);

/// Exit codes of the child, apart from those of a program that fails in a common way.
const ALLOWED: u8 = 64;
const CONTROL_FAILED: u8 = 65;
const NOT_RELEASED: u8 = 66;
/// Plus the errno, which is below 134 on Linux.
const DENIED: u8 = 100;

/// What became of a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It opened the decoy.
    Allowed,
    /// Its open of the decoy failed with this errno.
    Denied(i32),
    /// This signal ended it.
    Killed(i32),
    /// It couldn't open the control file, so the decoy says nothing.
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

/// What a canary is sent to do; also the hidden subcommand's arguments.
#[derive(Debug, Clone, clap::Args)]
pub struct Errand {
    /// The system call to open both files with.
    #[arg(long)]
    pub syscall: Syscall,
    /// The file whose open must succeed.
    #[arg(long)]
    pub control: PathBuf,
    /// The file whose open shows what the hook does.
    #[arg(long)]
    pub decoy: PathBuf,
}

/// A canary that was started and waits for its release.
pub struct Canary {
    child: Child,
}

impl Canary {
    /// Starts it; it does nothing yet.
    pub fn start(errand: &Errand) -> Result<Self> {
        let child = Command::new("/proc/self/exe")
            .arg0("aegisbpf-canary")
            .args(["canary", "--syscall", errand.syscall.name(), "--control"])
            .arg(&errand.control)
            .arg("--decoy")
            .arg(&errand.decoy)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start the canary")?;
        Ok(Self { child })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it act, and waits for its end: its fate, and how long it took.
    pub fn release(mut self) -> Result<(Fate, Duration)> {
        let started = Instant::now();
        let mut stdin = self.child.stdin.take().context("the canary has no stdin")?;
        // One that is already dead has a fate all the same; the broken pipe is no news.
        let _ = stdin.write_all(b"!");
        drop(stdin);
        let fate = match wait_until(&mut self.child, started + DEADLINE)? {
            Some(status) => fate(status),
            None => Fate::Stuck,
        };
        Ok((fate, started.elapsed()))
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        // On every path it is dead and reaped, or its cgroup couldn't be removed. Both calls
        // do nothing if it was already waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a child on its pidfd; `None` if the deadline came first.
fn wait_until(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pidfd = pidfd_open(pid.context("bad pid")?, PidfdFlags::empty()).context("pidfd_open")?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).context("bad deadline")?;
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(child.wait().context("wait")?)),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("poll"),
        }
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

/// The child's whole life.
pub fn act(errand: &Errand) -> ExitCode {
    let mut go = [0];
    if io::stdin().read_exact(&mut go).is_err() {
        return ExitCode::from(NOT_RELEASED);
    }
    if open(errand.syscall, &errand.control).is_err() {
        return ExitCode::from(CONTROL_FAILED);
    }
    match open(errand.syscall, &errand.decoy) {
        Ok(()) => ExitCode::from(ALLOWED),
        Err(error) => {
            let errno = error
                .raw_os_error()
                .and_then(|errno| u8::try_from(errno).ok());
            ExitCode::from(errno.map_or(DENIED, |errno| DENIED.saturating_add(errno)))
        }
    }
}

/// Opens a file by exactly this system call, which no library function promises.
fn open(syscall: Syscall, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let how: [u64; 3] = [libc::O_RDONLY as u64, 0, 0];
    // SAFETY: the path is NUL-terminated and `how` has the layout and size of open_how; both
    // outlive the call. The descriptor is left to the end of the process, which is near.
    let fd = unsafe {
        match syscall {
            Syscall::Openat => libc::syscall(
                libc::SYS_openat,
                libc::AT_FDCWD,
                path.as_ptr(),
                libc::O_RDONLY,
            ),
            Syscall::Openat2 => libc::syscall(
                libc::SYS_openat2,
                libc::AT_FDCWD,
                path.as_ptr(),
                how.as_ptr(),
                size_of_val(&how),
            ),
            Syscall::Open => libc::syscall(libc::SYS_open, path.as_ptr(), libc::O_RDONLY),
            Syscall::Creat => libc::syscall(libc::SYS_creat, path.as_ptr(), 0o600),
        }
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
