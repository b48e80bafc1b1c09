//! What a guest measures of an agent, and what it tells of it: times and sizes as they were read,
//! from which the host works out ratios.
//!
//! A boot that measures runs no proofs. It takes the agents through many short lives, and times
//! the same operations without an agent before and after each, so that whatever changes slowly
//! (the host's load, its clock) is in both and falls out of their ratio.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All that a boot measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchPlan {
    /// How many samples are taken of a case before, during and after each life.
    pub samples: usize,
    /// For how long all of these together may wait for the machine to be quiet, in milliseconds.
    pub patience_ms: u64,
    /// The lives, in their order.
    pub lives: Vec<PlannedLife>,
}

/// One life of an agent, from its start to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedLife {
    /// Which agent.
    pub agent: AgentBinary,
    /// The tier that it is to enforce in.
    pub tier: EnforcingTier,
    /// How many files its policy names, each of which exists.
    pub rules: usize,
    /// How many folders its policy names.
    pub folder_rules: usize,
    /// What is timed, in this order.
    pub cases: Vec<PlannedCase>,
    /// Whether the kernel is to count the runs of each program too, after all that is timed.
    pub counts_runs: bool,
}

/// A case, with how often it is done for one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedCase {
    /// What.
    pub case: Case,
    /// How many operations make a sample.
    pub ops: u32,
}

/// One of the agents in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentBinary {
    /// [`crate::AGENT_PATH`].
    Tested,
    /// [`crate::OTHER_AGENT_PATH`].
    Other,
}

impl AgentBinary {
    /// As it stands in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tested => "tested",
            Self::Other => "other",
        }
    }
}

/// A tier that an agent enforces in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnforcingTier {
    /// BPF LSM programs deny.
    Lsm,
    /// Modified return values deny.
    Modret,
    /// A signal kills after the fact.
    Signal,
}

impl EnforcingTier {
    /// All of them, the strongest first.
    pub const ALL: [Self; 3] = [Self::Lsm, Self::Modret, Self::Signal];

    /// As it stands in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lsm => "lsm",
            Self::Modret => "modret",
            Self::Signal => "signal",
        }
    }
}

/// An operation that is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// Opening for reading, and closing, a file in a folder of which no rule names anything, on
    /// the file system of the files that rules name.
    Miss,
    /// The same, nine folders down on the file system that has the folder rule.
    MissDeep,
    /// The same, nine folders down on a file system that no rule names anything of.
    MissOtherFs,
    /// Opening a file that a rule names: it fails, and without an agent it is opened and closed.
    /// In the signal tier, where it would end who measures, it is opened from an exempt cgroup.
    Hit,
    /// A system call that no rule is about: `getpid(2)`.
    Unrelated,
}

impl Case {
    /// As it stands in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Miss => "miss",
            Self::MissDeep => "miss-deep",
            Self::MissOtherFs => "miss-other-fs",
            Self::Hit => "hit",
            Self::Unrelated => "unrelated",
        }
    }
}

/// What was read in one life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Life {
    /// Its place in [`BenchPlan::lives`].
    pub number: usize,
    /// From before the agent was started until it said `ready`, in microseconds.
    pub start_us: u64,
    /// Where that time went, as the agent itself told with `--timings`, in microseconds; the
    /// names are its own. Empty if it told nothing.
    pub start_parts_us: BTreeMap<String, u64>,
    /// Its resident memory after its misses were timed, in bytes.
    pub rss_bytes: u64,
    /// The most that its resident memory had been until then, in bytes.
    pub peak_bytes: u64,
    /// Each case, as planned.
    pub cases: Vec<TimedCase>,
    /// What the kernel counted, if it was to.
    pub programs: Vec<ProgramRuns>,
}

/// A case of one life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedCase {
    /// What.
    pub case: Case,
    /// Before the agent was started.
    pub before: Samples,
    /// While it ran.
    pub during: Samples,
    /// After it had ended.
    pub after: Samples,
}

/// Samples of one case, taken one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Samples {
    /// How long each took, in nanoseconds.
    pub ns: Vec<u64>,
    /// For each, how long the same work of the processor alone took right before or right after it,
    /// whichever took longer, in nanoseconds. No agent has any part in that work: it tells how
    /// quick the machine was.
    pub reference_ns: Vec<u64>,
}

/// What the kernel counted of one program during one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramRuns {
    /// The case.
    pub case: Case,
    /// How many operations there were.
    pub ops: u64,
    /// The program's name, of which the kernel keeps 15 bytes.
    pub name: String,
    /// Its type, as in the kernel's `enum bpf_prog_type`, e.g. `lsm`.
    pub kind: String,
    /// How often it ran.
    pub runs: u64,
    /// How long it ran in all, in nanoseconds.
    pub run_ns: u64,
}
