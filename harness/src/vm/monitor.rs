//! QEMU's monitor, through which a machine is held and let go on.
//!
//! In: QEMU's command before it is started. Out: a [`Monitor`]. No time passes for a machine that
//! its monitor holds; one whose process a signal stops finds its clock moved on afterwards, and
//! with it every wait of the guest's over.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::io::{FdFlags, fcntl_setfd};
use serde_json::Value;

/// How long QEMU may take to answer. It needs no more than its own lock.
const LIMIT: Duration = Duration::from_secs(5);

/// Whose monitor it is among those that a launcher may have added.
const NAME: &str = "aegisbpf-monitor";

/// Our end of the monitor. QEMU has the other from its start on, so that no file is left behind.
#[derive(Debug)]
pub(super) struct Monitor(UnixStream);

impl Monitor {
    /// Gives QEMU a monitor.
    ///
    /// # Errors
    /// No sockets can be made.
    pub fn add(command: &mut Command) -> Result<Self> {
        let (ours, theirs) = UnixStream::pair().context("making a socket for QEMU's monitor")?;
        let fd = theirs.as_raw_fd();
        command.arg("-chardev");
        command.arg(format!("socket,id={NAME},fd={fd}"));
        command.arg("-mon");
        command.arg(format!("chardev={NAME},mode=control"));
        // SAFETY: one fcntl(2) between fork and exec, on a descriptor that the closure owns.
        unsafe {
            command.pre_exec(move || fcntl_setfd(&theirs, FdFlags::empty()).map_err(Into::into));
        }
        Ok(Self(ours))
    }

    /// Holds the machine.
    ///
    /// # Errors
    /// QEMU doesn't answer.
    pub fn hold(&self) -> Result<()> {
        // QEMU needs it once; later ones fail, which is ignored.
        self.tell("qmp_capabilities")?;
        self.ask("stop")
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// QEMU doesn't answer.
    pub fn go_on(&self) -> Result<()> {
        self.ask("cont")
    }

    fn tell(&self, command: &str) -> Result<()> {
        let line = format!("{{\"execute\":\"{command}\",\"id\":\"{command}\"}}\n");
        let told = (&self.0).write_all(line.as_bytes());
        told.with_context(|| format!("telling QEMU's monitor `{command}`"))
    }

    /// Gives a command and waits until it is carried out.
    fn ask(&self, command: &str) -> Result<()> {
        self.tell(command)?;
        let started = Instant::now();
        let mut lines = BufReader::new(&self.0);
        loop {
            let left = LIMIT.saturating_sub(started.elapsed());
            if left.is_zero() {
                bail!("QEMU's monitor didn't answer to `{command}`");
            }
            self.0.set_read_timeout(Some(left))?;
            let mut line = String::new();
            let read = lines.read_line(&mut line);
            if read.with_context(|| format!("QEMU's monitor, asked to `{command}`"))? == 0 {
                bail!("QEMU's monitor is gone");
            }
            // Events come in between.
            let answer: Value = serde_json::from_str(&line).unwrap_or_default();
            if answer["id"] == *command {
                return match answer.get("return") {
                    Some(_) => Ok(()),
                    None => bail!("QEMU's monitor refused to `{command}`: {}", line.trim()),
                };
            }
        }
    }
}
