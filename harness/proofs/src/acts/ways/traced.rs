//! Processes that are traced: what a tracer can do for whoever opens a denied file.
//!
//! It can hold signals back, though not every one; and it is told when the process that it
//! traces is about to end, while that one's descriptors are still there to be taken.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::ptr::{null_mut, without_provenance_mut};

use anyhow::{Context, Result, bail};
use protocol::record::Fate;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Signal, getpid, kill_process, pidfd_getfd, pidfd_open,
};

use super::raw;
use crate::acts::act;
use crate::acts::tracer::request;

/// Has a child trace this process, and hold every signal back that the kernel shows it; comes
/// back once it does.
///
/// # Errors
/// The child can't trace it.
pub fn hold_signals_back() -> Result<()> {
    let (ready, tell) = pipe_with(PipeFlags::CLOEXEC).context("a pipe")?;
    let traced = getpid();
    raw::fork(0, || match hold_back(traced, &tell) {
        Ok(()) => 0,
        Err(_) => 1,
    })?;
    drop(tell);
    let mut answer = Vec::new();
    // It closes its end once it has told.
    File::from(ready).read_to_end(&mut answer)?;
    match answer.as_slice() {
        TRACING => Ok(()),
        _ => bail!("the child can't trace it"),
    }
}

/// What the tracer says.
const TRACING: &[u8] = b"tracing";

/// The tracer's side, until the process ends.
fn hold_back(traced: Pid, tell: &OwnedFd) -> Result<()> {
    let pid = traced.as_raw_nonzero().get();
    request(libc::PTRACE_SEIZE, pid, 0, null_mut()).context("seizing it")?;
    File::from(tell.try_clone()?).write_all(TRACING)?;
    // Whoever waits for the end of these pipes waits for nobody but the process itself.
    rustix::stdio::dup2_stdout(rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty())?)?;
    // SAFETY: nothing here uses a descriptor any more.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    while let Stop::Stopped { .. } = wait(pid)? {
        request(libc::PTRACE_CONT, pid, 0, null_mut()).context("letting it go on")?;
    }
    Ok(())
}

/// How a traced process came to a halt.
enum Stop {
    /// It can go on.
    Stopped {
        /// It is about to end, and still has all that it had.
        ending: bool,
    },
    /// It has ended.
    Ended(ExitStatus),
}

fn wait(pid: libc::pid_t) -> Result<Stop> {
    let mut status = 0;
    // SAFETY: the status outlives the call.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
    if waited != pid {
        return Err(std::io::Error::last_os_error()).context("waiting for the traced process");
    }
    if !libc::WIFSTOPPED(status) {
        return Ok(Stop::Ended(ExitStatus::from_raw(status)));
    }
    let ending = status >> 8 == libc::SIGTRAP | libc::PTRACE_EVENT_EXIT << 8;
    Ok(Stop::Stopped { ending })
}

/// What came of a traced child's open.
pub struct Opened {
    /// The child.
    pub pid: u32,
    /// How it ended.
    pub fate: Fate,
    /// What was taken from it, if the kernel gave it.
    pub taken: Option<OwnedFd>,
}

/// Has a traced child open the file, and takes the descriptor from it as it ends, whatever
/// ends it.
///
/// # Errors
/// No child could be traced.
pub fn take_from_child(path: &CStr) -> Result<Opened> {
    // The lowest free number is the one that the child's open will take.
    let next = openat(CWD, c"/dev/null", OFlags::PATH, Mode::empty())
        .context("looking for a free descriptor")?
        .as_raw_fd();
    let child = raw::fork(0, || open_traced(path))?;
    let pid = child.as_raw_nonzero().get();
    let pidfd = pidfd_open(child, PidfdFlags::empty()).context("watching it")?;
    if let Stop::Ended(status) = wait(pid)? {
        bail!("it ended before it was traced: {status}");
    }
    let tell_end = without_provenance_mut(libc::PTRACE_O_TRACEEXIT as usize);
    request(libc::PTRACE_SETOPTIONS, pid, 0, tell_end).context("asking to be told of its end")?;
    let mut taken = None;
    let status = loop {
        request(libc::PTRACE_CONT, pid, 0, null_mut()).context("letting it go on")?;
        match wait(pid)? {
            Stop::Ended(status) => break status,
            // What isn't there wasn't opened: its fate says why.
            Stop::Stopped { ending: true } => {
                taken = pidfd_getfd(&pidfd, next, PidfdGetfdFlags::empty()).ok();
            }
            Stop::Stopped { ending: false } => {}
        }
    };
    Ok(Opened {
        pid: pid.cast_unsigned(),
        fate: act::fate(status),
        taken,
    })
}

/// The child's side: opens once it is traced, and leaves the file open.
fn open_traced(path: &CStr) -> i32 {
    let traced = request(libc::PTRACE_TRACEME, 0, 0, null_mut()).is_ok()
        && kill_process(getpid(), Signal::STOP).is_ok();
    if !traced {
        return i32::from(act::NOT_TRIED);
    }
    match openat(CWD, path, OFlags::RDONLY, Mode::empty()) {
        Ok(opened) => {
            std::mem::forget(opened);
            0
        }
        Err(errno) => errno.raw_os_error(),
    }
}
