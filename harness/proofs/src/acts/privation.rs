//! What an agent is started without: less than root has on a whole machine.
//!
//! The guest re-executes itself (`/init deprived NAME PROGRAM ARGUMENT…`) to give something up, and
//! becomes the agent then, which so has the pid of the process that was started.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, capabilities, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

use crate::acts::act::NOT_TRIED;
use crate::acts::ways::raw::{self, Refusal};
use crate::configuration::Privation;

impl Privation {
    /// `RLIMIT_MEMLOCK` of [`Privation::SysResource`], in bytes: the default of kernels before
    /// 5.16, which holds none of the agent's larger maps.
    pub const MEMLOCK: u64 = 64 << 10;

    const ALL: [Self; 4] = [
        Self::SysResource,
        Self::Securityfs,
        Self::Tracefs,
        Self::PerfEvents,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::SysResource => "sys-resource",
            Self::Securityfs => "securityfs",
            Self::Tracefs => "tracefs",
            Self::PerfEvents => "perf-events",
        }
    }

    /// The command that runs a program without it.
    pub fn command(self, program: &str) -> Command {
        let mut command = Command::new("/proc/self/exe");
        command.args(["deprived", self.name(), program]);
        command
    }

    /// Gives it up, for this process and all that it executes.
    fn give_up(self) -> Result<()> {
        match self {
            Self::SysResource => {
                let limit = Some(Self::MEMLOCK);
                let (current, maximum) = (limit, limit);
                setrlimit(Resource::Memlock, Rlimit { current, maximum })
                    .context("lowering RLIMIT_MEMLOCK")?;
                let capability = CapabilitySet::SYS_RESOURCE;
                // Or root would have it again after execve(2).
                remove_capability_from_bounding_set(capability).context("the bounding set")?;
                let mut sets = capabilities(None).context("capget")?;
                for set in [
                    &mut sets.effective,
                    &mut sets.permitted,
                    &mut sets.inheritable,
                ] {
                    set.remove(capability);
                }
                set_capabilities(None, sets).context("capset")
            }
            Self::Securityfs => unmounted("/sys/kernel/security", None),
            // debugfs has tracefs in it too, where another proof has mounted that.
            Self::Tracefs => unmounted("/sys/kernel/tracing", Some("/sys/kernel/debug")),
            Self::PerfEvents => {
                set_no_new_privs(true).context("no_new_privs")?;
                let refusal = Refusal::Call(libc::SYS_perf_event_open, libc::EPERM);
                raw::refuse(refusal).context("seccomp")
            }
        }
    }
}

/// Unmounts what is mounted there, and what may be mounted at the other point with all that is in it,
/// in a mount namespace of this process's own.
fn unmounted(point: &str, other: Option<&str>) -> Result<()> {
    raw::own_mount_namespace().context("a mount namespace")?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).context("making all mounts private")?;
    unmount(point, UnmountFlags::empty()).with_context(|| format!("unmounting {point}"))?;
    match other.map(|other| (other, unmount(other, UnmountFlags::DETACH))) {
        // It is no mount point.
        None | Some((_, Ok(()) | Err(Errno::INVAL | Errno::NOENT))) => Ok(()),
        Some((other, Err(error))) => Err(error).with_context(|| format!("unmounting {other}")),
    }
}

/// The process's side: `NAME PROGRAM ARGUMENT…`. It only comes back if that failed.
pub fn become_deprived(arguments: &[String]) -> ExitCode {
    let Err(error) = deprive(arguments);
    eprintln!("deprived: {error:#}");
    ExitCode::from(NOT_TRIED)
}

fn deprive(arguments: &[String]) -> Result<std::convert::Infallible> {
    let [name, program, rest @ ..] = arguments else {
        bail!("what, and which program?");
    };
    let mut all = Privation::ALL.into_iter();
    let privation = all.find(|privation| privation.name() == name);
    privation
        .with_context(|| format!("no privation {name:?}"))?
        .give_up()?;
    let rest = rest.iter().map(OsString::from);
    let error = Command::new(program).args(rest).exec();
    Err(error).with_context(|| format!("executing {program}"))
}
