//! What the host asks a guest to do, and what it expects to come out.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bench::BenchPlan;

use crate::record::{Effect, Fate};

/// Everything one kernel's guest may be asked to do; the command line picks the boot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestPlan {
    /// [`crate::VERSION`] of the host.
    pub version: u32,
    /// The kernel's name in `kernels.toml`.
    pub kernel: String,
    /// How long the guest waits for one event (the agent's readiness, a record, a child's
    /// end), in milliseconds. Scaled by the host to the accelerator.
    pub wait_ms: u64,
    /// One entry for each boot of this kernel.
    pub boots: Vec<BootPlan>,
}

/// One boot: what the guest must find itself in, and the proofs to run there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootPlan {
    /// `bpf-lsm`, `no-bpf-lsm`, `smp` or `lockdown`.
    pub boot: String,
    /// What the guest checks before any proof.
    pub machine: ExpectedMachine,
    /// The proofs, in the order in which they run.
    pub proofs: Vec<PlannedProof>,
    /// What to measure, in a boot that runs no proofs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bench: Option<BenchPlan>,
}

/// The machine that the guest must have woken up in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedMachine {
    /// `uname -r`, whole.
    pub release: String,
    /// A text that `uname -v` must hold as a whole word, e.g. `6.1.192-2`: the releases of
    /// Debian's older kernels carry only an ABI number.
    pub version_word: Option<String>,
    /// Our arguments, each present exactly once; a launcher may add its own.
    pub cmdline: Vec<String>,
    /// Its memory in MiB, of which the kernel keeps a part for itself.
    pub memory_mib: u32,
    /// Its processors.
    pub processors: usize,
    /// Whether the kernel's LSM list must have `bpf`.
    pub bpf_in_lsm: bool,
    /// Whether the kernel must be locked down to [`crate::CONFIDENTIALITY`]. Otherwise it must
    /// not be locked down at all.
    pub locked_down: bool,
}

impl ExpectedMachine {
    /// How a machine with so much memory, and so many processors, differs from this one. A kernel
    /// keeps less than half of the memory for itself.
    #[must_use]
    pub fn hardware_differences(&self, memory_kib: u64, processors: usize) -> Vec<String> {
        let mut found = Vec::new();
        let planned_kib = u64::from(self.memory_mib) * 1024;
        if memory_kib > planned_kib || memory_kib < planned_kib / 2 {
            found.push(format!(
                "memory: the kernel has {memory_kib} KiB, planned were {planned_kib}"
            ));
        }
        if processors != self.processors {
            found.push(format!(
                "processors: {processors}, planned were {}",
                self.processors
            ));
        }
        found
    }
}

/// One proof with the arms that it must report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedProof {
    /// Named after the promise, e.g. `kills-denied-open`.
    pub id: String,
    /// The agent's configuration under which it runs; proofs of one configuration share it.
    pub configuration: String,
    /// The file system that it takes place on, where it isn't the guest's own ground.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<Filesystem>,
    /// Every arm, each to be reported exactly once.
    pub arms: Vec<PlannedArm>,
}

/// A file system that proofs take place on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filesystem {
    /// On a disk.
    Ext4,
    /// On a disk.
    Xfs,
    /// On a disk, in a subvolume of it.
    Btrfs,
    /// In memory.
    Tmpfs,
    /// One folder laid over another.
    Overlayfs,
}

impl Filesystem {
    /// All of them, in the order in which they are reported.
    pub const ALL: [Self; 5] = [
        Self::Ext4,
        Self::Xfs,
        Self::Btrfs,
        Self::Tmpfs,
        Self::Overlayfs,
    ];

    /// As it stands in ids of proofs, in `images/` and in paths of the guest.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Tmpfs => "tmpfs",
            Self::Overlayfs => "overlayfs",
        }
    }
}

/// One arm of a proof with what it must show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedArm {
    /// `before`, `during`, `benign`, `exempt`, `exempt-child`, `after`, or the proof's own.
    pub arm: String,
    /// What the host will hold the observation against.
    pub expect: Expectation,
}

/// How many attempts a race is measured by: whether somebody gets there first is shown by no
/// single one.
pub const ATTEMPTS: usize = 32;

/// What an arm's observation must be. The host judges; the guest reads it only to know
/// whether an event of the agent is to be waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Expectation {
    /// An act with exactly this fate and these effects. With `event`, the agent must have
    /// told of it, and all that it told must name whoever did it, the target and this
    /// outcome; without, it must have told nothing of it.
    Act {
        /// The exact fate.
        fate: Fate,
        /// Whether the secret's bytes come out: as much a promise as the fate.
        leaks: bool,
        /// Exactly what it leaves behind.
        effects: Vec<Effect>,
        /// Who carries it out.
        by: Doer,
        /// The outcome that the agent's event must carry.
        event: Option<String>,
        /// The limit by which the agent declares what gets past it here. If nothing gets past
        /// it any more, the declaration is wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<String>,
    },
    /// As many attempts at one act, each exactly like this. Where a limit declares that it
    /// leaks, some may be stopped, but not all.
    Race {
        /// How many.
        attempts: usize,
        /// An [`Expectation::Act`].
        each: Box<Expectation>,
    },
    /// The agent ended by itself with this exit code.
    Exit {
        /// The exact code.
        code: i32,
    },
    /// A JSON document for which every clause holds: the agent's, or the guest's account of an
    /// attempt.
    Document {
        /// All must hold; an empty list is a plan error.
        clauses: Vec<Clause>,
        /// For the account of an attempt, as in [`Expectation::Act`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<String>,
    },
    /// No BPF program or link exists that wasn't there before the agent started.
    NoBpfLeft,
}

/// Who carries out the forbidden part of an act: whom the agent's event must name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Doer {
    /// The process itself, on its first thread.
    Itself,
    /// Another thread of the process, which the kernel makes on its behalf.
    Worker,
    /// Another process, which acts for the one that is watched and meets this fate.
    Helper {
        /// The exact fate of the helper.
        fate: Fate,
    },
}

/// One claim about a JSON document. Pointers are RFC 6901; a missing value fails a clause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Clause {
    /// The value there is exactly this.
    Equals {
        /// Where.
        pointer: String,
        /// What.
        value: Value,
    },
    /// There is a value, and it isn't this.
    Differs {
        /// Where.
        pointer: String,
        /// What it must not be.
        value: Value,
    },
    /// The array there has an element that equals this, or, for an object, one that has at
    /// least these members.
    Contains {
        /// Where.
        pointer: String,
        /// The element, or some of its members.
        value: Value,
    },
    /// There is an array, and no element of it matches (as in [`Clause::Contains`]).
    Lacks {
        /// Where.
        pointer: String,
        /// The element, or some of its members.
        value: Value,
    },
    /// The array there has an element that matches (as in [`Clause::Contains`]), and each that
    /// does gives a reason (a text, under `reason`) in which this word stands.
    Reasons {
        /// Where.
        pointer: String,
        /// Some of the elements' members.
        value: Value,
        /// A whole word, as it is spelled.
        word: String,
    },
}
