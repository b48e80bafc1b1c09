//! What happens while a matrix runs, as seen by whoever shows it.
//!
//! One channel carries [`Event`]s from the engine to every reporter. For each boot they come
//! in this order: `BootStarted`, any number of `PhaseChanged` and `ProofFinished`, then one
//! `BootFinished`. Boots of several kernels interleave. `Notice`s may come at any time.

use crate::outcome::{BootResult, SuiteId};

/// Something happened. Each variant carries the boot of which it speaks.
#[derive(Debug, Clone)]
pub enum Event {
    /// A boot with this many planned proofs is about to start.
    BootStarted {
        /// Which.
        suite: SuiteId,
        /// How many proofs it is to run.
        planned: usize,
    },
    /// The boot entered another phase.
    PhaseChanged {
        /// Which boot.
        suite: SuiteId,
        /// The new phase.
        phase: Phase,
    },
    /// The guest finished a proof; the verdict comes with `BootFinished`.
    ProofFinished {
        /// Which boot.
        suite: SuiteId,
        /// The proof's id.
        id: String,
    },
    /// The boot is over and judged.
    BootFinished(Box<BootResult>),
    /// One line that a person should see, e.g. that KVM isn't usable here.
    Notice(String),
}

/// Where a boot stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// The launcher composes its command and starts QEMU.
    Launching,
    /// The kernel boots; the guest hasn't said hello.
    Booting,
    /// This proof runs.
    Proving(String),
    /// So many lives of an agent have been measured.
    Measuring(usize),
    /// The last record is there; QEMU is ending.
    Ending,
}
