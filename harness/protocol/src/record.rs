//! What a guest tells: JSON lines, the first a [`Record::Hello`], the last a [`Record::End`].

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bench::Life;

/// One line on the result channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case", deny_unknown_fields)]
pub enum Record {
    /// The first line: the machine as the guest found it.
    Hello(Box<Hello>),
    /// What the guest is about from here on. A death after this is put down to it.
    Phase {
        /// The configuration, as planned.
        configuration: String,
        /// The proof's id, as planned; none for what all proofs of the configuration share.
        id: Option<String>,
        /// Which phase.
        phase: Phase,
    },
    /// A proof began: it is in [`Phase::Before`]. It is told right before the proof's own work,
    /// so that a death is put down to no other.
    ProofStarted {
        /// The proof's id, as planned.
        id: String,
        /// The configuration, as planned.
        configuration: String,
    },
    /// What one arm saw, as soon as it saw it. The agent's events of it, which are known to be all
    /// there only once the agent has ended, come with the [`Record::Evidence`] of the same arm; an
    /// arm of which the agent has nothing to tell has that alone.
    Preliminary {
        /// The proof's id.
        id: String,
        /// The arm's name, as planned.
        arm: String,
        /// What was seen, without events.
        observation: Observation,
    },
    /// What one arm saw.
    Evidence {
        /// The proof's id.
        id: String,
        /// The arm's name, as planned.
        arm: String,
        /// What was seen; the host judges it.
        observation: Observation,
    },
    /// A proof ended.
    ProofFinished {
        /// The proof's id.
        id: String,
        /// Whether all its arms could be observed.
        outcome: Outcome,
        /// Why not, where they could not.
        reason: Option<String>,
        /// How long its own phases took, in microseconds: nothing that it shares with others.
        took_us: u64,
        /// `/proc/sys/kernel/tainted` when it ended: a kernel warning or oops shows here.
        tainted: u64,
    },
    /// What was measured in one life of an agent.
    Life(Life),
    /// Something worth keeping that judges nothing.
    Log {
        /// How loud.
        level: Level,
        /// One or more lines.
        message: String,
    },
    /// The last line.
    End {
        /// How many records came before this one.
        count: u64,
    },
}

/// A part of a configuration's way through one life of the agent, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Of the configuration: what its proofs need is made. No agent is there.
    Preparing,
    /// Of a proof: before the agent. No agent is there.
    Before,
    /// Of the configuration: the agent is started.
    Starting,
    /// Of a proof: while the agent is up, or after it ended by itself.
    During,
    /// Of the configuration: the agent is stopped.
    Stopping,
    /// Of a proof: after the agent.
    After,
    /// Of a proof: what the agent left behind in the kernel.
    LeftBehind,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Preparing,
        Self::Before,
        Self::Starting,
        Self::During,
        Self::Stopping,
        Self::After,
        Self::LeftBehind,
    ];

    /// As it stands in records and in reasons.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Before => "before",
            Self::Starting => "starting",
            Self::During => "during",
            Self::Stopping => "stopping",
            Self::After => "after",
            Self::LeftBehind => "left-behind",
        }
    }
}

/// The machine as the guest found it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// [`crate::VERSION`] of the guest.
    pub version: u32,
    /// SHA-256 of the sources of the promises that the guest was built of, in hexadecimal.
    pub promises_sha256: String,
    /// The nonce from the command line; empty if there was none.
    pub nonce: String,
    /// The boot's name from the command line; empty if there was none.
    pub boot: String,
    /// `uname -r`.
    pub release: String,
    /// `uname -v`.
    pub version_string: String,
    /// `/proc/cmdline`, without the line end.
    pub cmdline: String,
    /// What of its memory the kernel hands out, in KiB: `MemTotal` in `/proc/meminfo`.
    pub memory_kib: u64,
    /// How many processors `/proc/cpuinfo` shows.
    pub processors: usize,
    /// `/sys/kernel/security/lsm`, split at commas.
    pub lsm: Vec<String>,
    /// The level in `/sys/kernel/security/lockdown`: `none`, `integrity` or `confidentiality`.
    /// None if there is no such file, since the lockdown LSM isn't active.
    pub lockdown: Option<String>,
    /// Whether `/sys/kernel/btf/vmlinux` can be read.
    pub btf: bool,
    /// `/proc/sys/kernel/tainted` before any proof.
    pub tainted: u64,
    /// Kernel modules loaded from the image, in order.
    pub modules: Vec<String>,
    /// What the guest found to differ from the plan; it runs no proof unless this is empty.
    pub mismatches: Vec<String>,
}

/// Whether a proof's arms could all be observed. Not a verdict: the host's verdict holds
/// the observations against the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every arm was observed.
    Observed,
    /// The proof can't run here; counts only where `kernels.toml` declares it.
    Skipped,
    /// The agent didn't do what an arm needed, e.g. it never became ready: a broken promise.
    Broken,
    /// The guest itself couldn't, e.g. it found no way to make a cgroup: infrastructure.
    Error,
}

/// How loud a [`Record::Log`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For the record.
    Info,
    /// Shown with a failure.
    Error,
}

/// What one arm saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Observation {
    /// Somebody tried something.
    Act(Act),
    /// Somebody tried the same again and again.
    Race {
        /// Every attempt.
        acts: Vec<Act>,
    },
    /// The agent ended.
    Exit {
        /// Its exit code, unless a signal ended it.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
        /// The end of what it said on standard error.
        stderr: String,
    },
    /// A JSON document that the agent wrote or printed.
    Document {
        /// As parsed.
        document: Value,
    },
    /// BPF programs and links that weren't there before the agent started.
    BpfLeft {
        /// Each as `prog NAME (id N)` or `link N`.
        objects: Vec<String>,
    },
}

/// One attempt at something, and what came of it. What most attempts have none of isn't written:
/// an act is told twice, and there are races of many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// The pid (thread group id) of whoever tried.
    pub pid: u32,
    /// What was tried on, by the path under which the policy knows it.
    pub target: String,
    /// The path as it was passed to the kernel, where one was.
    pub passed: Option<String>,
    /// What came of it.
    pub fate: Fate,
    /// Whether any of the secret's bytes reached the output.
    pub leaked: bool,
    /// What it left behind, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
    /// The other process that acted for it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helper: Option<Helper>,
    /// The agent's own events for this pid and the helper's, in the order in which they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<SeenEvent>,
}

/// What an act leaves behind, whatever became of whoever tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// A file that had content is empty.
    Truncated,
    /// There is a file where none was.
    Created,
    /// There is another file than before.
    Replaced,
}

/// A process that acted for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Helper {
    /// Its pid (thread group id).
    pub pid: u32,
    /// What came of it.
    pub fate: Fate,
}

/// What came of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fate {
    /// It succeeded.
    Allowed,
    /// The call failed with this errno.
    Denied {
        /// The error number, e.g. 1 for `EPERM`.
        errno: i32,
    },
    /// The process died of this signal.
    Killed {
        /// The signal's number, e.g. 9 for `SIGKILL`.
        signal: i32,
    },
    /// It ended in a way that says nothing about the act.
    Broken {
        /// Its exit code.
        code: i32,
    },
}

/// The parts of an event of the agent that a proof rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenEvent {
    /// The hook that saw it.
    pub hook: String,
    /// The event's thread group id.
    pub pid: u32,
    /// The event's thread id.
    pub thread: u32,
    /// The path that the rule names, where it was one rule that matched.
    pub target: Option<String>,
    /// The path as the hook saw it, where it sees one.
    pub path: Option<String>,
    /// `denied`, `killed` or `observed`.
    pub outcome: String,
    /// The signal helper's result, where a signal was sent.
    pub signal_result: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_is_spelled_as_it_is_named() {
        for phase in Phase::ALL {
            let spelled = serde_json::to_value(phase).expect("a phase serializes");
            assert_eq!(spelled, phase.name());
        }
        assert!(Phase::ALL.is_sorted());
    }
}
