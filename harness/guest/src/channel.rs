//! The result channel: records as JSON lines on the second serial port.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use proofs::acts::lab::Teller;
use protocol::bench::Life;
use protocol::record::{Hello, Level, Observation, Outcome, Phase, Record};
use rustix::termios::{self, OptionalActions};

use crate::machine;

const PORT: &str = "/dev/ttyS1";

/// Writes records and counts them, so that the last one can say how many came before.
pub struct Channel {
    port: File,
    count: u64,
}

impl Channel {
    /// Opens the port and makes it raw: a line discipline would rewrite line ends.
    ///
    /// # Errors
    /// Without the port there is no way to report anything.
    pub fn open() -> Result<Self> {
        let port = OpenOptions::new()
            .write(true)
            .read(true)
            .open(PORT)
            .with_context(|| format!("opening the result channel {PORT}"))?;
        let mut settings = termios::tcgetattr(&port).context("reading the port's settings")?;
        settings.make_raw();
        termios::tcsetattr(&port, OptionalActions::Now, &settings).context("making it raw")?;
        Ok(Self { port, count: 0 })
    }

    /// Sends the first record.
    pub fn hello(&mut self, hello: Hello) -> Result<()> {
        self.send(&Record::Hello(Box::new(hello)))
    }

    /// Tells what the guest is about from here on, and waits until the port has carried it: what
    /// comes next may be the machine's end.
    pub fn phase(&mut self, configuration: &str, id: Option<&str>, phase: Phase) -> Result<()> {
        self.send(&Record::Phase {
            configuration: configuration.to_owned(),
            id: id.map(str::to_owned),
            phase,
        })?;
        self.drain()
    }

    /// Announces a proof, and waits as [`Self::phase`] does.
    pub fn started(&mut self, id: &str, configuration: &str) -> Result<()> {
        self.send(&Record::ProofStarted {
            id: id.to_owned(),
            configuration: configuration.to_owned(),
        })?;
        self.drain()
    }

    /// Closes a proof, whose own phases took so long.
    pub fn finished(
        &mut self,
        id: &str,
        outcome: Outcome,
        reason: Option<String>,
        took: Duration,
    ) -> Result<()> {
        self.send(&Record::ProofFinished {
            id: id.to_owned(),
            outcome,
            reason,
            took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            tainted: machine::tainted(),
        })
    }

    /// Tells what was measured in a life, and waits until the port has carried it: what is
    /// measured next isn't to be interrupted by it.
    pub fn life(&mut self, life: Life) -> Result<()> {
        self.send(&Record::Life(life))?;
        self.drain()
    }

    /// Keeps something worth keeping.
    pub fn log(&mut self, level: Level, message: &str) -> Result<()> {
        self.send(&Record::Log {
            level,
            message: message.to_owned(),
        })
    }

    /// Sends the last record and waits until the port has carried it.
    pub fn end(mut self) -> Result<()> {
        let count = self.count;
        self.send(&Record::End { count })?;
        self.drain()
    }

    fn drain(&self) -> Result<()> {
        termios::tcdrain(&self.port).context("draining the result channel")
    }

    fn send(&mut self, record: &Record) -> Result<()> {
        let mut line = serde_json::to_vec(record).context("writing a record as JSON")?;
        line.push(b'\n');
        self.port
            .write_all(&line)
            .with_context(|| format!("writing to {PORT}"))?;
        self.count += 1;
        Ok(())
    }
}

impl Teller for Channel {
    fn preliminary(&mut self, id: &str, arm: &str, observation: Observation) -> Result<()> {
        self.send(&Record::Preliminary {
            id: id.to_owned(),
            arm: arm.to_owned(),
            observation,
        })
    }

    fn evidence(&mut self, id: &str, arm: &str, observation: Observation) -> Result<()> {
        self.send(&Record::Evidence {
            id: id.to_owned(),
            arm: arm.to_owned(),
            observation,
        })
    }
}
