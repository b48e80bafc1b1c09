//! The words of the posture, spelled once: states, tiers, classes, limits, modes, blockers.

pub mod gate;
pub mod limits;
pub mod lsm_list;

use serde::Serialize;

/// What the agent is, right now. The value of `runtime_state` in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub enum State {
    /// The BPF LSM denies.
    Enforce,
    /// The return value of the function that would ask the LSMs is replaced.
    EnforceModret,
    /// A signal kills after the fact.
    EnforceSignal,
    /// Was asked to watch, and watches.
    Audit,
    /// Was asked to enforce, can't, and watches.
    AuditFallback,
    /// Was enforcing, and the evidence for it is lost.
    Degraded,
    /// The gate refused; no agent runs.
    Refused,
}

impl State {
    /// The state's name, as in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "ENFORCE",
            Self::EnforceModret => "ENFORCE_MODRET",
            Self::EnforceSignal => "ENFORCE_SIGNAL",
            Self::Audit => "AUDIT",
            Self::AuditFallback => "AUDIT_FALLBACK",
            Self::Degraded => "DEGRADED",
            Self::Refused => "REFUSED",
        }
    }
}

/// A means of enforcement. The order is that of strength, the weakest first.
///
/// A new tier is a variant here, its state in [`Tier::state`] and its hooks in
/// [`crate::classes::hooks::HOOKS`]; the gate ranks it by this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "&'static str")]
pub enum Tier {
    /// A SIGKILL to whoever tried; the act itself still happens.
    Signal,
    /// A program's `-EPERM` in place of what the kernel's `security_*` function returns.
    Modret,
    /// A BPF LSM program's `-EPERM`.
    Lsm,
}

impl Tier {
    /// Every tier, the strongest first.
    pub const ALL: [Self; 3] = [Self::Lsm, Self::Modret, Self::Signal];

    /// The state of an agent whose claims rest on this tier.
    pub fn state(self) -> State {
        match self {
            Self::Signal => State::EnforceSignal,
            Self::Modret => State::EnforceModret,
            Self::Lsm => State::Enforce,
        }
    }

    /// The tier's name in the report and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Modret => "modret",
            Self::Lsm => "lsm",
        }
    }
}

/// Something that a tier doesn't stop, though a reader of its name might think so. The names
/// are those of `GUARANTEES.md`, where each has its proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "&'static str")]
pub enum Limit {
    /// `O_TRUNC` empties the file before whoever opened it dies.
    TruncatesBeforeKill,
    /// `O_CREAT` creates the file before whoever opened it dies.
    CreatesBeforeKill,
    /// A process that shares the dead one's table of descriptors can use the open file.
    SharedFdTableLeak,
    /// A tracer takes the open file's descriptor from the process that is about to die.
    DescriptorTakenBeforeDeath,
    /// The signal can be ignored or blocked, since the operator chose another than SIGKILL.
    CatchableSignal,
    /// Protected executables, pid 1 and the agent are never signalled.
    SparedProcesses,
    /// Descriptors opened before the rule held, inherited or received.
    AlreadyOpenFiles,
    /// Acts that open nothing and change nothing but flags: stat, `O_PATH`, reading extended
    /// attributes, what `ioctl(2)` sets, connecting to a socket.
    ActsOtherThanOpen,
    /// A hard link that led out of a denied folder before the rule held.
    HardlinkOutOfFolder,
    /// What is mounted beneath a denied folder and is shown elsewhere too, or can be mounted anew,
    /// can be had by another mount.
    MountOutOfFolder,
    /// An overlay's copy of a denied file of its lower folder, where the rule is on that folder,
    /// or where it was made of the file's second name.
    CopiedUpByOverlay,
    /// A preemptible kernel skips a program, and the act goes unchecked, while that program or a
    /// call on a map is preempted on the same processor. The kernel counts this (its
    /// `recursion_misses`); the agent looks, and is [`State::Degraded`] then.
    PassedOverWhenPreempted,
    /// A denied name may be created.
    CreatesDeniedName,
    /// A denied file may be given a second name.
    LinksDeniedFile,
    /// A denied name may be given to another file, and a denied file may lose its own.
    ReplacesDeniedName,
    /// A denied file or folder may be removed.
    RemovesDeniedFile,
    /// A denied file may be truncated by its path, and given another mode, owner, times, extended
    /// attributes or access control list.
    ChangesDeniedFile,
    /// Where memory runs out, the kernel may kill the agent, and with it what it enforces.
    EndsWhenOutOfMemory,
    /// A snapshot has a denied file as another one, which its owner may make; and a subvolume may be
    /// made at a denied name.
    SnapshotsOfDeniedFiles,
    /// A file that a rule's path led to once, after as many others that are still there as are
    /// remembered.
    ForgetsFormerTargets,
}

impl Limit {
    /// Every limit.
    pub const ALL: [Self; 20] = [
        Self::PassedOverWhenPreempted,
        Self::TruncatesBeforeKill,
        Self::CreatesBeforeKill,
        Self::SharedFdTableLeak,
        Self::DescriptorTakenBeforeDeath,
        Self::CatchableSignal,
        Self::SparedProcesses,
        Self::AlreadyOpenFiles,
        Self::ActsOtherThanOpen,
        Self::HardlinkOutOfFolder,
        Self::MountOutOfFolder,
        Self::CopiedUpByOverlay,
        Self::CreatesDeniedName,
        Self::LinksDeniedFile,
        Self::ReplacesDeniedName,
        Self::RemovesDeniedFile,
        Self::ChangesDeniedFile,
        Self::EndsWhenOutOfMemory,
        Self::SnapshotsOfDeniedFiles,
        Self::ForgetsFormerTargets,
    ];

    /// The limit's name, as in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::TruncatesBeforeKill => "truncates_before_kill",
            Self::CreatesBeforeKill => "creates_before_kill",
            Self::SharedFdTableLeak => "shared_fd_table_leak",
            Self::DescriptorTakenBeforeDeath => "descriptor_taken_before_death",
            Self::CatchableSignal => "catchable_signal",
            Self::SparedProcesses => "spared_processes",
            Self::AlreadyOpenFiles => "already_open_files",
            Self::ActsOtherThanOpen => "acts_other_than_open",
            Self::HardlinkOutOfFolder => "hardlink_out_of_folder",
            Self::MountOutOfFolder => "mount_out_of_folder",
            Self::CopiedUpByOverlay => "copied_up_by_overlay",
            Self::PassedOverWhenPreempted => "passed_over_when_preempted",
            Self::CreatesDeniedName => "creates_denied_name",
            Self::LinksDeniedFile => "links_denied_file",
            Self::ReplacesDeniedName => "replaces_denied_name",
            Self::RemovesDeniedFile => "removes_denied_file",
            Self::ChangesDeniedFile => "changes_denied_file",
            Self::EndsWhenOutOfMemory => "ends_when_out_of_memory",
            Self::SnapshotsOfDeniedFiles => "snapshots_of_denied_files",
            Self::ForgetsFormerTargets => "forgets_former_targets",
        }
    }
}

/// A class of acts that rules can deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "&'static str")]
pub enum Class {
    /// Opening a file.
    File,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 1] = [Self::File];

    /// The class's name in reports, events and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
        }
    }
}

/// What a rule does to whoever meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// Only an event.
    Observe = 0,
    /// Denial by the tier's means.
    Deny = 1,
}

/// What the operator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `--enforce`
    Enforce,
    /// `--audit`
    Audit,
}

/// What to do when enforcement can't be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum GateMode {
    /// Refuse to run.
    FailClosed,
    /// Run and only watch.
    AuditFallback,
}

/// Why the BPF LSM doesn't enforce here: the measured cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub enum Blocker {
    /// The list of active LSMs has no `bpf`.
    BpfLsmDisabled,
    /// The list of active LSMs is missing, empty or unreadable.
    LsmListUnreadable,
    /// The kernel took no LSM program of ours.
    LsmProgramRejected,
    /// The LSM program attached, and the canary didn't meet its fate.
    LsmCanaryFailed,
    /// The kernel has no readable BTF, so no program can be fitted to it.
    BtfMissing,
}

impl Blocker {
    /// The blocker's name, as in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::BpfLsmDisabled => "BPF_LSM_DISABLED",
            Self::LsmListUnreadable => "LSM_LIST_UNREADABLE",
            Self::LsmProgramRejected => "LSM_PROGRAM_REJECTED",
            Self::LsmCanaryFailed => "LSM_CANARY_FAILED",
            Self::BtfMissing => "BTF_MISSING",
        }
    }
}

impl From<State> for &'static str {
    fn from(value: State) -> Self {
        value.name()
    }
}

impl From<Tier> for &'static str {
    fn from(value: Tier) -> Self {
        value.name()
    }
}

impl From<Class> for &'static str {
    fn from(value: Class) -> Self {
        value.name()
    }
}

impl From<Blocker> for &'static str {
    fn from(value: Blocker) -> Self {
        value.name()
    }
}

impl From<Limit> for &'static str {
    fn from(value: Limit) -> Self {
        value.name()
    }
}
