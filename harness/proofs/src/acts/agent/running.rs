//! An agent that is up: what it tells meanwhile, and its end.

use std::fs;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use protocol::record::Observation;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;

use super::ended::Ended;
use super::output::{read_events, read_report, read_text, tail};
use crate::acts::reports;
use crate::acts::told::{Held, Listener, Told};
use crate::acts::wait;

/// An agent that said `ready`.
pub struct Running {
    child: Child,
    told: Arc<Told>,
    /// None where nobody reads them.
    events: Option<JoinHandle<Result<Vec<Value>>>>,
    stderr: JoinHandle<String>,
    limit: Duration,
    report: PathBuf,
}

impl Running {
    /// A process that was started with its standard error piped, and its standard output too where
    /// its events are to be read.
    ///
    /// # Errors
    /// Its standard error isn't piped.
    pub(super) fn of(mut child: Child, report: PathBuf, limit: Duration) -> Result<Self> {
        let stdout = child.stdout.take();
        let stderr = child.stderr.take().context("its stderr is piped")?;
        let told = Arc::new(Told::default());
        Ok(Self {
            child,
            told: Arc::clone(&told),
            events: stdout.map(|stdout| std::thread::spawn(move || read_events(stdout, &told))),
            stderr: std::thread::spawn(move || read_text(stderr)),
            limit,
            report,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process itself, to wait for its end.
    ///
    /// # Errors
    /// The kernel gives no descriptor.
    pub fn process(&self) -> Result<OwnedFd> {
        let pid = Pid::from_child(&self.child);
        pidfd_open(pid, PidfdFlags::empty()).context("watching the agent")
    }

    /// Hears what it tells on standard output from now on.
    pub fn listen(&self) -> Listener<'_> {
        self.told.listen(self.limit)
    }

    /// Has whoever reads its standard output stand still.
    pub fn hold(&self) -> Held<'_> {
        self.told.hold()
    }

    /// Where its report is.
    pub fn report_path(&self) -> &Path {
        &self.report
    }

    /// How long anything that it does may take.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Whether there is a report, whatever it says.
    pub fn has_report(&self) -> bool {
        self.report.exists()
    }

    /// Ends it without a warning.
    ///
    /// # Errors
    /// It can't be killed.
    pub fn kill(&self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::KILL).context("killing the agent")
    }

    /// Asks it to stop, and doesn't wait for that.
    ///
    /// # Errors
    /// It can't be asked.
    pub fn terminate(&self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).context("stopping the agent")
    }

    /// Tells it that its terminal or session went away.
    ///
    /// # Errors
    /// It can't be told.
    pub fn hang_up(&self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::HUP).context("hanging up")
    }

    /// Waits for its end, without asking for it.
    ///
    /// # Errors
    /// It doesn't end within the limit.
    pub fn ends(&self) -> Result<Observation> {
        let status = wait::left_to_reap(&self.child, self.limit, "the agent's own end")?;
        Ok(Observation::Exit {
            code: status.exit_status(),
            signal: status.terminating_signal(),
            // It stands in the log of the configuration.
            stderr: String::new(),
        })
    }

    /// Its report, checked to be its own, of this boot, and valid still by the boot clock. One that
    /// expired says nothing, as where the agent had no turn on a busy host: then the next one.
    ///
    /// # Errors
    /// There is none, it isn't JSON, it speaks of another process or boot, or it expired and no other
    /// came within the limit.
    pub fn report(&self) -> Result<Value> {
        let report = self.own_report()?;
        if !is_expired(&report)? {
            return Ok(report);
        }
        let mut watch = reports::watch_for(&self.report)?;
        loop {
            // It may have come before the watch.
            let report = self.own_report()?;
            if !is_expired(&report)? {
                return Ok(report);
            }
            let until = reports::boot_ms(&report, "valid_until_boot_ms")?;
            let what =
                format!("a report after the one that was valid until {until} ms of the boot");
            wait::readable(&watch, self.limit, &what)?;
            let read = watch.read(&mut [0; 4096]);
            read.context("reading that the report is new")?;
        }
    }

    fn own_report(&self) -> Result<Value> {
        let report = read_report(&self.report)?;
        let pid = report.pointer("/agent/pid").and_then(Value::as_u64);
        if pid != Some(u64::from(self.child.id())) {
            bail!(
                "the report names the agent {pid:?}, which is {}",
                self.child.id()
            );
        }
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        if report["boot_id"] != boot_id.trim() {
            bail!(
                "the report names the boot {}, which is {boot_id}",
                report["boot_id"]
            );
        }
        Ok(report)
    }

    /// Asks it to stop, unless it has ended, and waits for its end.
    ///
    /// # Errors
    /// It doesn't end within the limit, or printed something other than JSON lines.
    pub fn stop(self) -> Result<Ended> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).context("stopping the agent")?;
        self.finish()
    }

    /// Waits for its end, and for the end of what it tells.
    ///
    /// # Errors
    /// As [`Self::stop`].
    pub(super) fn finish(mut self) -> Result<Ended> {
        let ended = wait::ended(&mut self.child, self.limit, "the agent's end");
        let stderr = self
            .stderr
            .join()
            .map_err(|_| anyhow!("reading the agent's standard error panicked"))?;
        let status = ended.with_context(|| format!("it said: {}", tail(&stderr)))?;
        let events = match self.events {
            Some(events) => events
                .join()
                .map_err(|_| anyhow!("reading the agent's events panicked"))??,
            None => Vec::new(),
        };
        Ok(Ended {
            status,
            events,
            stderr,
        })
    }
}

/// Whether a report may be believed no more, by the boot clock.
fn is_expired(report: &Value) -> Result<bool> {
    let until = reports::boot_ms(report, "valid_until_boot_ms")?;
    Ok(until < reports::boot_ms_now()?)
}
