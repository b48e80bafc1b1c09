//! Somebody without privileges who uses up memory by many small processes, so that another one is
//! the largest, until the kernel kills one.
//!
//! The guest re-executes itself (`/init hog CGROUP`) to start them. They and the agent are in a cgroup
//! with little memory, so that the kernel must choose among them and the machine keeps the rest.

use std::fs;
use std::io::{Read as _, pipe};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::acts::act::NOT_TRIED;
use crate::acts::cgroup;
use crate::acts::wait;
use crate::acts::ways::raw;

const ROOT: &str = "/sys/fs/cgroup";
const CGROUP: &str = "/sys/fs/cgroup/little-memory";

/// Of the cgroup. What the agent had before it was put there isn't counted.
const MEMORY: &str = "16777216";

/// What each process takes, so that it is far smaller than any agent.
const EACH: usize = 512 << 10;
/// So many can't be had of [`MEMORY`].
const MOST: usize = 64;

/// Whom nothing is allowed to.
const NOBODY: u32 = 65_534;

/// The exit code for: the kernel killed one of his processes.
const KILLED: u8 = 9;

/// The process's side.
pub fn hog(arguments: &[String]) -> ExitCode {
    let taken = match arguments {
        [cgroup] => take_all(Path::new(cgroup)),
        _ => Err(anyhow::anyhow!("which cgroup?")),
    };
    match taken {
        Ok(()) => ExitCode::from(KILLED),
        Err(error) => {
            eprintln!("hog: {error:#}");
            ExitCode::from(NOT_TRIED)
        }
    }
}

/// Takes memory until the kernel has killed a process for it.
fn take_all(cgroup: &Path) -> Result<()> {
    let mut takers = Vec::new();
    let mut killed = None;
    while killed.is_none() && takers.len() < MOST {
        takers.push(taker(cgroup)?);
        killed = takers.iter().copied().find(|pid| is_killed(*pid));
    }
    let left = takers.into_iter().filter(|pid| Some(*pid) != killed);
    for pid in left {
        // He may be dead too.
        let _ = kill_process(pid, Signal::KILL);
        let _ = waitpid(Some(pid), WaitOptions::empty());
    }
    killed.context("there was memory for all")?;
    Ok(())
}

/// A user's process that has taken its part, or died of that, and waits. Whoever starts it isn't in
/// the cgroup, where the kernel might choose him.
fn taker(cgroup: &Path) -> Result<Pid> {
    let (mut taken, give) = pipe().context("a pipe")?;
    let pid = raw::fork(0, || {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: at no address of ours, so it takes nobody's place.
        let at = unsafe { mmap_anonymous(std::ptr::null_mut(), EACH, protection, flags) };
        let Ok(at) = at else { return 1 };
        if cgroup::join(cgroup).is_err() || raw::become_user(NOBODY).is_err() {
            return 1;
        }
        // SAFETY: it was just mapped with this length, and is nobody else's.
        unsafe { std::ptr::write_bytes(at.cast::<u8>(), 1, EACH) };
        // SAFETY: it is this process's copy, of which nothing is used any more; to close it tells
        // that the memory is taken.
        unsafe { libc::close(std::os::fd::AsRawFd::as_raw_fd(&give)) };
        loop {
            // SAFETY: it only waits.
            unsafe { libc::pause() };
        }
    })?;
    drop(give);
    // Its end of the pipe is closed, by itself or by its death.
    taken.read_to_end(&mut Vec::new()).context("waiting")?;
    Ok(pid)
}

/// Whether it is dead of SIGKILL. One that is dying has closed its end of the pipe before it can be
/// waited for, and then the next one meets the limit.
fn is_killed(pid: Pid) -> bool {
    let status = waitpid(Some(pid), WaitOptions::NOHANG);
    let signal = status
        .ok()
        .flatten()
        .and_then(|(_, s)| s.terminating_signal());
    signal == Some(Signal::KILL.as_raw())
}

/// A cgroup with little memory, in which a process is until this is dropped.
pub struct LittleMemory {
    pid: u32,
    printk: String,
}

const PRINTK: &str = "/proc/sys/kernel/printk";

impl LittleMemory {
    /// Makes it, and puts a process there.
    ///
    /// # Errors
    /// There is no such control here.
    pub fn around(pid: u32) -> Result<Self> {
        let write = |path: PathBuf, text: &str| {
            fs::write(&path, text).with_context(|| format!("writing {text} to {}", path.display()))
        };
        write(Path::new(ROOT).join("cgroup.subtree_control"), "+memory")?;
        fs::create_dir_all(CGROUP).context("making a cgroup")?;
        write(Path::new(CGROUP).join("memory.max"), MEMORY)?;
        // That a process is killed for memory is a warning with a stack, which else stands for a
        // fault of the kernel's. Errors are still told, and a kernel that warned of itself is tainted.
        let printk = fs::read_to_string(PRINTK).context("the console's level")?;
        write(PRINTK.into(), "4")?;
        let little = Self { pid, printk };
        write(Path::new(CGROUP).join("cgroup.procs"), &pid.to_string())?;
        Ok(little)
    }

    /// Has somebody use it up; whether the kernel killed a process of his for that.
    ///
    /// # Errors
    /// He couldn't be started, couldn't do it, or not within the limit.
    pub fn use_up(&self, limit: Duration) -> Result<bool> {
        let mut hog = Command::new("/proc/self/exe")
            .args(["hog", CGROUP])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("starting somebody who uses up memory")?;
        let status = wait::ended(&mut hog, limit, "whoever uses up memory")?;
        match status.code() {
            Some(code) if code == i32::from(KILLED) => Ok(true),
            _ => bail!("whoever is to use up memory couldn't: {status}"),
        }
    }
}

impl Drop for LittleMemory {
    fn drop(&mut self) {
        // Where the process is dead there is nobody to move.
        let _ = fs::write(Path::new(ROOT).join("cgroup.procs"), self.pid.to_string());
        let _ = fs::remove_dir(CGROUP);
        // Whoever reads this holds the consoles, and lets go of them once they have printed all.
        let _ = fs::read("/proc/consoles");
        let _ = fs::write(PRINTK, self.printk.trim());
    }
}
