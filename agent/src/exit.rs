//! Every exit code of the agent, and the error that carries one to `main`.

use std::fmt;

/// Why the agent ends. The values are a contract with operators, units and the harness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything was done; for `run`, a clean stop.
    Done = 0,
    /// Something failed while running.
    Runtime = 1,
    /// The command line was wrong, or others than root have a say in where the report goes.
    Usage = 2,
    /// The gate refused: what was asked for can't be kept here. The report says why.
    Refused = 3,
    /// The policy is invalid, or names what doesn't exist on this machine.
    Policy = 4,
    /// Nothing could be measured: not root, BPF refused, no cgroup v2.
    Unmeasurable = 77,
}

/// An error with the exit code that it leads to. Any other error is [`Exit::Runtime`].
#[derive(Debug)]
pub struct Ending {
    /// The exit code.
    pub exit: Exit,
    /// What happened and the way out, in one line.
    pub message: String,
}

impl Ending {
    /// An error that ends the agent with `exit`.
    pub fn error(exit: Exit, message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self {
            exit,
            message: message.into(),
        })
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Ending {}

/// The exit code for an error.
pub fn of(error: &anyhow::Error) -> Exit {
    error
        .downcast_ref::<Ending>()
        .map_or(Exit::Runtime, |ending| ending.exit)
}
