//! What came out of a matrix run, as plain data: the verdict makes it, every report reads it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

/// The name of the suites that compare a kernel's boots.
pub const CROSS_BOOT: &str = "cross-boot";

/// A boot of a kernel, or the kernel's comparison of two of its boots (`cross-boot`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SuiteId {
    /// The kernel's name in `kernels.toml`.
    pub kernel: String,
    /// A kind of boot's name, or [`CROSS_BOOT`].
    pub boot: String,
}

impl std::fmt::Display for SuiteId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kernel, self.boot)
    }
}

/// How many proofs a suite has: as planned, or as reported.
pub type Cases = BTreeMap<SuiteId, usize>;

/// How one planned proof came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofResult {
    /// The proof's id.
    pub id: String,
    /// How it came out.
    pub status: Status,
    /// Why, one line each; empty for a pass.
    pub reasons: Vec<String>,
    /// How long its own phases took, without what it shares with others: starting the agent, say.
    pub duration: Duration,
    /// What was measured while the agent was up, where the proof is of a race.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub race: Option<Race>,
}

/// A race, measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Race {
    /// How often it was tried.
    pub attempts: usize,
    /// How often some of the secret came out.
    pub leaks: usize,
}

impl std::fmt::Display for Race {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { attempts, leaks } = self;
        // No more exact than so few attempts can be.
        let rate = (100 * leaks).checked_div(*attempts).unwrap_or_default();
        write!(f, "{leaks} of {attempts} attempts leaked ({rate} %)")
    }
}

/// How a proof came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Every arm showed what was planned.
    Passed,
    /// A promise broke: an arm showed something else, or the guest died in this proof.
    Failed,
    /// What a limit of the agent's declares didn't get past it: the declaration is wrong, which
    /// counts as a failure.
    UnexpectedPass,
    /// Declared in `kernels.toml` with a reason, and confirmed by the guest.
    Skipped,
    /// The guest skipped what nobody declared; counts as a failure.
    UndeclaredSkip,
    /// Infrastructure: no record of it, a machine other than planned, a cut channel.
    Incomplete,
}

/// How QEMU's run ended; only ever *explains* missing records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Ending {
    /// QEMU ended by itself: with 0 on the guest's restart or death, with another code on trouble
    /// of its own.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// A signal ended QEMU, and the harness hadn't sent it.
    Killed {
        /// Its number.
        signal: i32,
        /// Who sent it, where QEMU could still tell.
        sender: Option<String>,
        /// Whether the host ended processes meanwhile, as it had no more memory.
        out_of_memory: bool,
    },
    /// The whole-boot limit passed and the harness ended QEMU.
    Hung {
        /// The limit in seconds.
        limit_s: u64,
    },
    /// QEMU never ran.
    NotStarted {
        /// Why.
        reason: String,
    },
    /// The run was asked to end before this boot had.
    Interrupted {
        /// By the signal of this number.
        signal: i32,
        /// Whether QEMU ran.
        started: bool,
    },
    /// QEMU ran, but the host couldn't keep what came of it.
    Lost {
        /// Which file or what else, and why.
        reason: String,
    },
    /// The run that booted it kept no word of it; only records that are judged again can lack one.
    Unknown {
        /// Which file should have it, and what is wrong with that.
        reason: String,
    },
}

/// What was put to the proofs, and when: a result is of this and of nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// SHA-256 of the agent, in hexadecimal digits.
    pub agent_sha256: String,
    /// SHA-256 of the guest, likewise.
    pub guest_sha256: String,
    /// The commit that both were built of, with `-dirty` behind it where files differed from it;
    /// none for an agent by path, and where git didn't tell.
    pub commit: Option<String>,
    /// When the run began.
    pub began_at: Timestamp,
}

/// One boot (or one cross-boot comparison), judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BootResult {
    /// Which.
    pub suite: SuiteId,
    /// `virtme-ng` or `qemu`.
    pub launcher: String,
    /// `kvm` or `tcg`.
    pub accelerator: String,
    /// `uname -r` as the guest said it; none without a hello.
    pub release: Option<String>,
    /// The Debian package version of the kernel, or none for a kernel by path.
    pub package_version: Option<String>,
    /// The version that the lock had before, where it was no longer on offer.
    pub replaced_version: Option<String>,
    /// What was put to the proofs, and when.
    pub provenance: Provenance,
    /// One for each planned proof, in the plan's order.
    pub proofs: Vec<ProofResult>,
    /// What was wrong with the boot as a whole: a mismatch, a missing `end`, a cut record.
    /// Empty for a clean boot; not empty means that the run can't be clean.
    pub faults: Vec<String>,
    /// How QEMU ended; none for a cross-boot comparison.
    pub ending: Option<Ending>,
    /// From launch to the end of QEMU.
    pub duration: Duration,
    /// The harness's own command line that repeats this suite.
    pub again: String,
    /// The boot's folder: console.log, records.jsonl, command.txt. A name that isn't UTF-8 is
    /// written as near to it as can be.
    #[serde(serialize_with = "as_text")]
    pub dir: PathBuf,
    /// The end of the console, where something went wrong.
    pub console_tail: Option<String>,
}

fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

impl BootResult {
    /// Whether nothing at all went other than declared.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
            && !self.proofs.is_empty()
            && self
                .proofs
                .iter()
                .all(|proof| matches!(proof.status, Status::Passed | Status::Skipped))
    }
}
