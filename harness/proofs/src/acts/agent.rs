//! The agent as a user has it: its command line, its files, its report, its events.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use protocol::record::{Observation, SeenEvent};
use protocol::sabotage;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;

use crate::acts::told::{Held, Listener, Told};
use crate::acts::wait;
use crate::configuration::Configuration;

/// Kept of standard error when the agent ends badly.
const STDERR_TAIL: usize = 4096;

/// The agent of one configuration, before and after its life.
pub struct Agent<'a> {
    configuration: &'a Configuration<'a>,
    program: &'static str,
    stdout: fn() -> Stdio,
    policy: PathBuf,
    report: PathBuf,
    seam: PathBuf,
    limit: Duration,
}

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

/// An agent that ended.
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it told on standard output, each line parsed.
    pub events: Vec<Value>,
    /// What it said on standard error.
    pub stderr: String,
}

/// What became of a start.
pub enum Start {
    /// It said `ready`.
    Ready(Running),
    /// It closed the readiness descriptor without it and ended.
    Ended(Ended),
}

/// The folder with the files of a configuration's agent, among them its report.
pub fn folder(configuration: &Configuration) -> PathBuf {
    PathBuf::from("/run").join(configuration.name)
}

impl<'a> Agent<'a> {
    /// Prepares the files of a configuration under `/run`.
    ///
    /// # Errors
    /// A file can't be written, or the LSM list can't be read.
    pub fn prepare(
        configuration: &'a Configuration<'a>,
        policy: &str,
        limit: Duration,
    ) -> Result<Self> {
        let dir = folder(configuration);
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        let agent = Self {
            configuration,
            program: match configuration.sabotage {
                None => protocol::AGENT_PATH,
                Some(_) => protocol::SABOTAGED_AGENT_PATH,
            },
            stdout: Stdio::piped,
            policy: dir.join("policy.toml"),
            report: dir.join("capabilities.json"),
            seam: dir.join("lsm"),
            limit,
        };
        fs::write(&agent.policy, policy).context("writing the policy")?;
        let listed = fs::read_to_string("/sys/kernel/security/lsm").context("reading the list")?;
        let without_bpf: Vec<&str> = listed
            .trim()
            .split(',')
            .filter(|name| *name != "bpf")
            .collect();
        fs::write(&agent.seam, without_bpf.join(",")).context("writing the seam's list")?;
        Ok(agent)
    }

    /// The same with another binary.
    pub fn program(self, program: &'static str) -> Self {
        Self { program, ..self }
    }

    /// The same with its events going elsewhere than to this process, which then has none.
    pub fn stdout(self, stdout: fn() -> Stdio) -> Self {
        Self { stdout, ..self }
    }

    /// Starts `run` and waits until it is ready or has ended.
    ///
    /// # Errors
    /// It can't be started, or neither happens within the limit.
    pub fn start(&self) -> Result<Start> {
        // Both ends without close-on-exec would leak the reading end into the agent, and its
        // end-of-file would never come.
        let (ready, give) = pipe_with(PipeFlags::empty()).context("making the readiness pipe")?;
        rustix::io::fcntl_setfd(&ready, rustix::io::FdFlags::CLOEXEC).context("marking it")?;
        let mut child = self
            .command("run")
            .args(self.configuration.arguments)
            .arg("--policy")
            .arg(&self.policy)
            .arg(format!("--ready-fd={}", give.as_raw_fd()))
            .arg("--timings")
            .stdin(Stdio::null())
            .stdout((self.stdout)())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting the agent")?;
        drop(give);
        let stdout = child.stdout.take();
        let stderr = child.stderr.take().context("its stderr is piped")?;
        let told = Arc::new(Told::default());
        let running = Running {
            child,
            told: Arc::clone(&told),
            events: stdout.map(|stdout| std::thread::spawn(move || read_events(stdout, &told))),
            stderr: std::thread::spawn(move || read_text(stderr)),
            limit: self.limit,
            report: self.report.clone(),
        };
        let mut said = String::new();
        let mut ready = fs::File::from(ready);
        let heard = wait::readable(&ready, self.limit, "the agent's readiness")
            .and_then(|()| Ok(ready.read_to_string(&mut said)?));
        match heard {
            Ok(_) if said == "ready\n" => Ok(Start::Ready(running)),
            Ok(_) if said.is_empty() => Ok(Start::Ended(running.finish()?)),
            Ok(_) => {
                running.stop()?;
                bail!("the agent said {said:?} on its readiness descriptor")
            }
            Err(error) => {
                let ended = running.stop();
                Err(error.context(match ended {
                    Ok(ended) => format!("its standard error: {}", tail(&ended.stderr)),
                    Err(second) => format!("and stopping it failed: {second:#}"),
                }))
            }
        }
    }

    /// Runs `capabilities --json` to its end and gives what it printed.
    ///
    /// # Errors
    /// It doesn't exit with 0, or prints no JSON.
    pub fn capabilities(&self) -> Result<Value> {
        let mut child = self
            .command("capabilities")
            .arg("--json")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("running the agent's capabilities")?;
        let stdout = child.stdout.take().context("its stdout is piped")?;
        let stderr = child.stderr.take().context("its stderr is piped")?;
        let stdout = std::thread::spawn(move || read_text(stdout));
        let stderr = std::thread::spawn(move || read_text(stderr));
        let status = wait::ended(&mut child, self.limit, "the agent's capabilities")?;
        let read = |text: JoinHandle<String>| {
            text.join()
                .map_err(|_| anyhow!("reading what capabilities --json said panicked"))
        };
        let (printed, said) = (read(stdout)?, read(stderr)?);
        if !status.success() {
            bail!("capabilities --json ended with {status}: {}", tail(&said));
        }
        serde_json::from_str(&printed).context("parsing what capabilities --json printed")
    }

    /// The report on disk, whoever wrote it.
    ///
    /// # Errors
    /// There is none, or it isn't JSON.
    pub fn report(&self) -> Result<Value> {
        read_report(&self.report)
    }

    /// Whether there is a report on disk, whatever it says.
    pub fn has_report(&self) -> bool {
        self.report.exists()
    }

    /// Gives the seam another list, for the next start.
    ///
    /// # Errors
    /// It can't be written.
    pub fn list_through_seam(&self, list: &str) -> Result<()> {
        fs::write(&self.seam, list).context("writing the seam's list")
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = match self.configuration.privation {
            None => Command::new(self.program),
            Some(privation) => privation.command(self.program),
        };
        command.arg(subcommand);
        command.env("AEGIS_CAPABILITIES_REPORT_PATH", &self.report);
        if self.configuration.seam {
            command.env("AEGIS_LSM_PATH", &self.seam);
        }
        let mutant = self.configuration.sabotage;
        if let Some(mutant) = mutant.filter(|mutant| *mutant != sabotage::CONTROL) {
            command.env(sabotage::VARIABLE, mutant);
        }
        command
    }
}

impl Running {
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

    /// Its report, checked to be its own and of this boot.
    ///
    /// # Errors
    /// There is none, it isn't JSON, or it speaks of another process or boot.
    pub fn report(&self) -> Result<Value> {
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

    fn finish(mut self) -> Result<Ended> {
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

impl Ended {
    /// As an error, for where it wasn't to end, or not so.
    pub fn error(&self, what: &str) -> anyhow::Error {
        anyhow!("{what} ended with {}: {}", self.status, tail(&self.stderr))
    }

    /// As evidence.
    pub fn observation(&self) -> Observation {
        Observation::Exit {
            code: self.status.code(),
            signal: self.status.signal(),
            stderr: tail(&self.stderr).to_owned(),
        }
    }

    /// The agent's events for these processes, in the order in which it told them.
    ///
    /// # Errors
    /// One of them lacks what every event must have.
    pub fn events_of(&self, pids: &[u32]) -> Result<Vec<SeenEvent>> {
        let wanted = |event: &&Value| {
            let tgid = event["tgid"].as_u64();
            pids.iter().any(|pid| tgid == Some(u64::from(*pid)))
        };
        self.events.iter().filter(wanted).map(seen).collect()
    }
}

fn seen(event: &Value) -> Result<SeenEvent> {
    let text = |field: &str| event[field].as_str().map(str::to_owned);
    let number = |field: &str| {
        event[field]
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
    };
    let lacks = |what: &str| format!("an event without {what}: {event}");
    Ok(SeenEvent {
        hook: text("hook").with_context(|| lacks("a hook"))?,
        pid: number("tgid").with_context(|| lacks("a process"))?,
        thread: number("pid").with_context(|| lacks("a pid"))?,
        target: text("rule_path"),
        path: text("path"),
        outcome: text("outcome").with_context(|| lacks("an outcome"))?,
        signal_result: event["signal_result"].as_i64(),
    })
}

fn read_report(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("reading the report {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("parsing {}", path.display()))
}

/// Reads all that it tells, and passes each line on as it comes.
fn read_events(stdout: impl Read, told: &Told) -> Result<Vec<Value>> {
    let events = read_lines(stdout, told);
    told.end();
    events
}

fn read_lines(stdout: impl Read, told: &Told) -> Result<Vec<Value>> {
    BufReader::new(stdout)
        .lines()
        .map(|line| {
            let line = line.context("reading the agent's events")?;
            let event: Value = serde_json::from_str(&line)
                .with_context(|| format!("an event that isn't JSON: {line}"))?;
            told.add(event.clone());
            Ok(event)
        })
        .collect()
}

fn read_text(mut stream: impl Read) -> String {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if let Err(error) = read {
        text.push_str(&format!("\n(reading it broke off: {error})"));
    }
    text
}

/// The last [`STDERR_TAIL`] bytes or a little less, cut at a character.
fn tail(text: &str) -> &str {
    let mut from = text.len().saturating_sub(STDERR_TAIL);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ended(events: Vec<Value>) -> Ended {
        Ended {
            status: ExitStatus::from_raw(0),
            events,
            stderr: String::new(),
        }
    }

    #[test]
    fn an_event_is_found_by_its_process_and_nothing_else() {
        let killed = json!({
            "hook": "tracepoint/syscalls/sys_enter_openat", "tgid": 7, "pid": 8,
            "path": "/srv/./secret", "rule_path": "/srv/secret",
            "outcome": "killed", "signal_result": 0,
        });
        let denied = json!({
            "hook": "lsm/file_open", "tgid": 9, "pid": 9,
            "path": null, "rule_path": "/srv/secret", "outcome": "denied",
        });
        let ended = ended(vec![killed, denied]);
        let of = |pids: &[u32]| ended.events_of(pids).expect("whole events");
        let killed = SeenEvent {
            hook: "tracepoint/syscalls/sys_enter_openat".to_owned(),
            pid: 7,
            thread: 8,
            target: Some("/srv/secret".to_owned()),
            path: Some("/srv/./secret".to_owned()),
            outcome: "killed".to_owned(),
            signal_result: Some(0),
        };
        let denied = SeenEvent {
            hook: "lsm/file_open".to_owned(),
            pid: 9,
            thread: 9,
            target: Some("/srv/secret".to_owned()),
            path: None,
            outcome: "denied".to_owned(),
            signal_result: None,
        };
        assert_eq!(of(&[7]), std::slice::from_ref(&killed));
        assert_eq!(of(&[9, 7]), [killed, denied.clone()]);
        assert_eq!(of(&[9, 8]), [denied]);
        assert_eq!(of(&[8]), []);
    }

    #[test]
    fn every_event_of_a_process_is_kept_and_one_that_lacks_something_is_an_error() {
        let event = json!({
            "hook": "lsm/file_open", "tgid": 7, "pid": 7,
            "rule_path": "/srv/secret", "outcome": "denied",
        });
        let twice = ended(vec![event.clone(), event.clone()]);
        assert_eq!(twice.events_of(&[7]).expect("whole events").len(), 2);
        for field in ["hook", "pid", "outcome"] {
            let mut lacking = event.clone();
            lacking.as_object_mut().expect("an object").remove(field);
            let ended = ended(vec![lacking]);
            assert!(ended.events_of(&[7]).is_err(), "{field}");
            assert_eq!(ended.events_of(&[8]).expect("none"), []);
        }
    }

    #[test]
    fn a_line_that_is_no_json_is_an_error() {
        assert!(read_events(&b"{}\n{}\n"[..], &Told::default()).is_ok());
        assert!(read_events(&b"{}\nready\n"[..], &Told::default()).is_err());
    }

    #[test]
    fn a_tail_is_cut_at_a_character() {
        let text = "\u{e9}".repeat(STDERR_TAIL);
        let tail = tail(&text);
        assert!(tail.len() <= STDERR_TAIL && text.ends_with(tail));
        assert_eq!(super::tail("short"), "short");
    }
}
