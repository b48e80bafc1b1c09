//! The agent as a user has it: its command line, its files, its report, its events.

mod ended;
mod output;
mod running;

use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use protocol::sabotage;
use rustix::pipe::{PipeFlags, pipe_with};
use serde_json::Value;

use crate::acts::wait;
use crate::configuration::Configuration;
pub use ended::Ended;
use output::{read_report, read_text, tail};
pub use running::Running;

/// Names the place of the agent's report.
const REPORT_VARIABLE: &str = "AEGIS_CAPABILITIES_REPORT_PATH";

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
        let child = self
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
        let running = Running::of(child, self.report.clone(), self.limit)?;
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

    /// Runs `run` with another policy and report, which is to end by itself.
    ///
    /// # Errors
    /// It can't be started, or doesn't end within the limit.
    pub fn ends_with(&self, policy: &str, report: &Path) -> Result<Ended> {
        let file = self.policy.with_file_name("ends.toml");
        fs::write(&file, policy).context("writing the policy")?;
        let child = self
            .command("run")
            .args(self.configuration.arguments)
            .arg("--policy")
            .arg(&file)
            .env(REPORT_VARIABLE, report)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting the agent")?;
        Running::of(child, report.to_owned(), self.limit)?.finish()
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

    /// Where its report goes.
    pub fn report_path(&self) -> &Path {
        &self.report
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
        command.env(REPORT_VARIABLE, &self.report);
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
