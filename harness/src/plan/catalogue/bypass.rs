//! The ways to a denied file, and what must come of each in each tier: the table of
//! `GUARANTEES.md`, as proofs.
//!
//! A leak that a tier declares is a promise like any other: its proof fails if it is stopped.

use protocol::bypass::Bypass;
use protocol::plan::{Doer, Expectation, PlannedArm, PlannedProof};
use protocol::record::{Effect, Fate};

use super::{EPERM, SIGKILL, contains, document};

/// The tiers in which files are enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// The BPF LSM.
    Lsm,
    /// Programs that modify the return of the kernel's own functions.
    Modret,
    /// A signal after the fact.
    Signal,
}

impl Tier {
    /// All of them, the strongest first.
    pub const ALL: [Self; 3] = [Self::Lsm, Self::Modret, Self::Signal];

    /// The guest's configuration in which the tier is tried.
    #[must_use]
    pub fn configuration(self) -> &'static str {
        match self {
            Self::Lsm => "enforce",
            Self::Modret => "modret",
            Self::Signal => "signal",
        }
    }
}

/// What an act comes to.
#[derive(Debug, Clone, PartialEq)]
struct Met {
    fate: Fate,
    leaks: bool,
    effects: Vec<Effect>,
    by: Doer,
    event: Option<&'static str>,
    limit: Option<&'static str>,
}

/// What it comes to where nobody stops it.
fn free(way: Bypass) -> Met {
    let (leaks, effects) = match way {
        Bypass::Creat | Bypass::Truncate | Bypass::TruncateByPath => {
            (false, vec![Effect::Truncated])
        }
        Bypass::Create | Bypass::Link => (false, vec![Effect::Created]),
        Bypass::Replace => (false, vec![Effect::Replaced]),
        Bypass::NamespaceFile | Bypass::Pidfd | Bypass::OPath => (false, Vec::new()),
        _ => (true, Vec::new()),
    };
    Met {
        fate: Fate::Allowed,
        leaks,
        effects,
        by: doer(way, Fate::Allowed),
        event: None,
        limit: None,
    }
}

/// What it comes to on a denied file in a tier.
fn met(way: Bypass, tier: Tier) -> Met {
    if is_neighbour(way) {
        return free(way);
    }
    if let Some(limit) = limit_of_all(way) {
        let limit = Some(limit);
        return Met { limit, ..free(way) };
    }
    let (fate, event) = match tier {
        Tier::Lsm | Tier::Modret => (EPERM, "denied"),
        Tier::Signal => (SIGKILL, "killed"),
    };
    let stopped = Met {
        fate,
        leaks: false,
        effects: Vec::new(),
        by: doer(way, fate),
        event: Some(event),
        limit: None,
    };
    if tier != Tier::Signal {
        return stopped;
    }
    let limit = match way {
        Bypass::Truncate => Some("truncates_before_kill"),
        Bypass::Create => Some("creates_before_kill"),
        Bypass::SharedFdTable => Some("shared_fd_table_leak"),
        Bypass::TracedChild => Some("descriptor_taken_before_death"),
        Bypass::Link => Some("links_denied_file"),
        Bypass::Replace => Some("replaces_denied_name"),
        Bypass::PidOne => Some("spared_processes"),
        _ => None,
    };
    let after_the_fact = free(way);
    match way {
        // It sees opens only.
        Bypass::Link | Bypass::Replace => Met {
            limit,
            ..after_the_fact
        },
        Bypass::PidOne => Met {
            event: Some("observed"),
            limit,
            ..after_the_fact
        },
        // Only the child dies; who waits for it reads on.
        Bypass::SharedFdTable | Bypass::TracedChild => Met {
            fate: after_the_fact.fate,
            leaks: after_the_fact.leaks,
            limit,
            ..stopped
        },
        _ => Met {
            effects: after_the_fact.effects,
            limit,
            ..stopped
        },
    }
}

/// Whether it is no way to a denied file, and so nothing that a rule may stop.
fn is_neighbour(way: Bypass) -> bool {
    matches!(
        way,
        Bypass::ReopenedPipe | Bypass::ReopenedMemfd | Bypass::NamespaceFile | Bypass::Pidfd
    )
}

/// What no tier stops, by the name that it has in the agent's report.
fn limit_of_all(way: Bypass) -> Option<&'static str> {
    match way {
        Bypass::AlreadyOpen | Bypass::ReceivedFd => Some("already_open_files"),
        Bypass::OPath | Bypass::TruncateByPath => Some("acts_other_than_open"),
        Bypass::HardlinkOutOfFolder => Some("hardlink_out_of_folder"),
        _ => None,
    }
}

/// Who carries it out, where whoever does meets this fate.
fn doer(way: Bypass, fate: Fate) -> Doer {
    match way {
        Bypass::IoUringWorker | Bypass::IoUringSqpoll => Doer::Worker,
        Bypass::SharedFdTable | Bypass::TracedChild => Doer::Helper { fate },
        _ => Doer::Itself,
    }
}

/// The proof's id, `CONFIGURATION-VERB-WAY`: so each way has one in each tier, whatever it
/// comes to there.
#[must_use]
pub fn id(way: Bypass, tier: Tier) -> String {
    let verb = match met(way, tier).fate {
        _ if is_neighbour(way) => "spares",
        Fate::Denied { .. } => "stops",
        Fate::Killed { .. } => "kills",
        Fate::Allowed | Fate::Broken { .. } => "leaks",
    };
    format!("{}-{verb}-{}", tier.configuration(), way.name())
}

/// The limit of the agent's report that declares what the way comes to, if one does.
#[must_use]
pub fn limit(way: Bypass, tier: Tier) -> Option<&'static str> {
    met(way, tier).limit
}

/// The proofs of a tier, one a way.
#[must_use]
pub fn proofs(tier: Tier) -> Vec<PlannedProof> {
    Bypass::ALL.map(|way| proof(way, tier)).into()
}

fn proof(way: Bypass, tier: Tier) -> PlannedProof {
    let (free, met) = (free(way), met(way, tier));
    // It is the one process that lives through all arms: an event of it in one couldn't be
    // told from an event in another.
    let same_process = way == Bypass::PidOne;
    let mut arms = Vec::new();
    if !same_process {
        arms.push(arm("before", &free));
    }
    let race = |name: &str, met: &Met| {
        let attempts = way.race()?;
        let each = Box::new(expected(met));
        let arm = name.to_owned();
        let expect = Expectation::Race { attempts, each };
        Some(PlannedArm { arm, expect })
    };
    arms.extend(race("race-before", &free));
    if let Some(limit) = met.limit {
        let declared = contains("/classes/file/limits", limit);
        arms.push(document("report", &[declared]));
    }
    arms.push(arm("during", &met));
    // Beside an act that nobody stops, one more that nobody stops shows nothing.
    if met.event.is_some() && !same_process {
        arms.push(arm("benign", &free));
    }
    arms.extend(race("race", &met));
    PlannedProof {
        id: id(way, tier),
        configuration: tier.configuration().to_owned(),
        bypass: Some(way),
        filesystem: None,
        arms,
    }
}

fn arm(name: &str, met: &Met) -> PlannedArm {
    PlannedArm {
        arm: name.to_owned(),
        expect: expected(met),
    }
}

fn expected(met: &Met) -> Expectation {
    Expectation::Act {
        fate: met.fate,
        leaks: met.leaks,
        effects: met.effects.clone(),
        by: met.by,
        event: met.event.map(str::to_owned),
        limit: met.limit.map(str::to_owned),
    }
}

/// The table of `GUARANTEES.md`: a line a way, a column a tier.
#[must_use]
pub fn table() -> String {
    let mut text = String::from("| way | what it is |");
    let columns = || Tier::ALL.into_iter().map(Tier::configuration);
    columns().for_each(|name| text.push_str(&format!(" `{name}` |")));
    text.push_str("\n| --- | --- |");
    columns().for_each(|_| text.push_str(" --- |"));
    text.push('\n');
    for way in Bypass::ALL {
        text.push_str(&format!("| `{}` | {} |", way.name(), described(way)));
        for tier in Tier::ALL {
            text.push_str(&format!(" {} |", cell(&met(way, tier))));
        }
        text.push('\n');
    }
    text
}

fn cell(met: &Met) -> String {
    let mut words = vec![match met.fate {
        Fate::Denied { .. } => "`EPERM`",
        Fate::Killed { .. } => "killed",
        Fate::Allowed if met.leaks && met.limit.is_some() => "leaks",
        Fate::Allowed | Fate::Broken { .. } => "allowed",
    }];
    words.extend(met.effects.iter().map(|effect| match effect {
        Effect::Truncated => "truncated",
        Effect::Created => "created",
        Effect::Replaced => "replaced",
    }));
    let words = words.join(", ");
    match met.limit {
        Some(limit) => format!("{words}: `{limit}`"),
        None => words,
    }
}

/// The way in words.
fn described(way: Bypass) -> &'static str {
    match way {
        Bypass::RelativePath => "a path relative to the working folder",
        Bypass::Dirfd => "a path relative to a folder's descriptor",
        Bypass::DoubleSlash => "`//` in the path",
        Bypass::Dot => "`/./` in the path",
        Bypass::DotDot => "`..` in the path",
        Bypass::Symlink => "a symbolic link",
        Bypass::SymlinkChain => {
            "40 symbolic links one behind the other, as many as the kernel follows"
        }
        Bypass::Hardlink => "a hard link, made before the agent started",
        Bypass::BindMount => "a bind mount, made before the agent started",
        Bypass::Renamed => "the file under another name, given to it while the agent is up",
        Bypass::MountNamespace => "a bind mount in a mount namespace of its own",
        Bypass::Chroot => "`chroot(2)` into the file's folder",
        Bypass::ProcSelfRoot => "a path through `/proc/self/root`",
        Bypass::ProcSelfFd => "an `O_PATH` descriptor, opened again through `/proc/self/fd`",
        Bypass::Openat2 => "`openat2(2)`",
        Bypass::Openat2NoSymlinks => "`openat2(2)` with `RESOLVE_NO_SYMLINKS`",
        Bypass::Openat2Beneath => "`openat2(2)` with `RESOLVE_BENEATH`",
        Bypass::Openat2InRoot => "`openat2(2)` with `RESOLVE_IN_ROOT`",
        Bypass::Openat2NoXdev => "`openat2(2)` with `RESOLVE_NO_XDEV`",
        Bypass::Openat2NoMagiclinks => "`openat2(2)` with `RESOLVE_NO_MAGICLINKS`",
        Bypass::Openat2Cached => "`openat2(2)` with `RESOLVE_CACHED`",
        Bypass::Open => "`open(2)`",
        Bypass::Creat => "`creat(2)`, which truncates",
        Bypass::FileHandle => "`open_by_handle_at(2)`",
        Bypass::Compat => "the 32-bit `open(2)`, through `int 0x80`",
        Bypass::CompatOpenat => "the 32-bit `openat(2)`, in the same way",
        Bypass::IoUring => "`io_uring`, on the thread that submits",
        Bypass::IoUringWorker => "`io_uring`, on a worker (`IOSQE_ASYNC`)",
        Bypass::IoUringSqpoll => {
            "`io_uring`, on the thread that polls for submissions (`IORING_SETUP_SQPOLL`)"
        }
        Bypass::UnmappedPath => "a path on a page that isn't mapped in when the call begins",
        Bypass::LatePath => "a path that a second thread writes once the call is under way",
        Bypass::RewrittenPath => {
            "a path that a second thread writes over another file's once the call is under way"
        }
        Bypass::LongName => "a name of 255 bytes (`NAME_MAX`)",
        Bypass::LongPath => "a path of 4095 bytes (`PATH_MAX`), beneath a denied folder",
        Bypass::Truncate => "`O_TRUNC`",
        Bypass::Create => "`O_CREAT` on a denied name that has no file",
        Bypass::SharedFdTable => {
            "a child that shares the table of descriptors (`CLONE_FILES`) opens the file and dies"
        }
        Bypass::TracedChild => {
            "a traced child opens the file and ends; its tracer takes the descriptor from it \
             (`pidfd_getfd(2)` at `PTRACE_EVENT_EXIT`)"
        }
        Bypass::Traced => "a process whose tracer holds every signal back that can be",
        Bypass::SigtermIgnored => {
            "a process that ignores SIGTERM and every other signal that can be"
        }
        Bypass::SigtermBlocked => {
            "a process that blocks SIGTERM and every other signal that can be"
        }
        Bypass::PidNamespaceInit => "pid 1 of a pid namespace",
        Bypass::OtherUser => "a process of another user than root",
        Bypass::UserNamespace => "a process in a user namespace of its own",
        Bypass::Exec => "`execve(2)` of a denied executable",
        Bypass::Execveat => {
            "`execveat(2)` of an `O_PATH` descriptor of a denied executable (`AT_EMPTY_PATH`)"
        }
        Bypass::Fanotify => {
            "the descriptor that the kernel opens for whoever reads an event of `fanotify(7)`"
        }
        Bypass::BeneathFolder => "a file beneath a denied folder",
        Bypass::DeepFolder => "a file 200 levels beneath a denied folder",
        Bypass::Link => "`link(2)`: a second name, given while the agent is up",
        Bypass::Replace => "`rename(2)`: another file, put in the denied one's place",
        Bypass::PidOne => "the machine's pid 1",
        Bypass::ReopenedPipe => "no way: a pipe, opened again through `/proc/self/fd`",
        Bypass::ReopenedMemfd => "no way: a `memfd_create(2)` file, opened again in the same way",
        Bypass::NamespaceFile => "no way: a namespace's file, `/proc/self/ns/mnt`",
        Bypass::Pidfd => "no way: `pidfd_open(2)`, which newer kernels take for an open",
        Bypass::AlreadyOpen => "a descriptor opened before the agent started, and inherited",
        Bypass::ReceivedFd => {
            "a descriptor opened before the agent started, and received over a Unix socket"
        }
        Bypass::OPath => {
            "`O_PATH`: the descriptor tells of the file (`fstat(2)`), and can't be read"
        }
        Bypass::TruncateByPath => "`truncate(2)`, which opens nothing",
        Bypass::HardlinkOutOfFolder => {
            "a hard link outside of a denied folder, made before the agent started"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn during(way: Bypass, tier: Tier) -> Expectation {
        let proof = proof(way, tier);
        let during = proof.arms.into_iter().find(|arm| arm.arm == "during");
        during
            .expect("every way is gone while the agent is up")
            .expect
    }

    #[test]
    fn both_tiers_that_deny_promise_the_same() {
        for way in Bypass::ALL {
            assert_eq!(met(way, Tier::Lsm), met(way, Tier::Modret));
        }
    }

    #[test]
    fn a_tier_that_denies_lets_nothing_happen() {
        for way in Bypass::ALL {
            let met = met(way, Tier::Lsm);
            if met.limit.is_none() && !is_neighbour(way) {
                assert_eq!(met.fate, EPERM, "{}", way.name());
                assert!(!met.leaks && met.effects.is_empty(), "{}", way.name());
            }
        }
    }

    #[test]
    fn the_signal_comes_after_the_fact() {
        let truncates = during(Bypass::Truncate, Tier::Signal);
        let expected = Expectation::Act {
            fate: SIGKILL,
            leaks: false,
            effects: vec![Effect::Truncated],
            by: Doer::Itself,
            event: Some("killed".to_owned()),
            limit: Some("truncates_before_kill".to_owned()),
        };
        assert_eq!(truncates, expected);
        let reads_on = during(Bypass::SharedFdTable, Tier::Signal);
        let expected = Expectation::Act {
            fate: Fate::Allowed,
            leaks: true,
            effects: vec![],
            by: Doer::Helper { fate: SIGKILL },
            event: Some("killed".to_owned()),
            limit: Some("shared_fd_table_leak".to_owned()),
        };
        assert_eq!(reads_on, expected);
    }

    #[test]
    fn every_leak_and_every_effect_is_a_limit_or_comes_with_a_death() {
        for (way, tier) in Bypass::ALL
            .into_iter()
            .flat_map(|way| Tier::ALL.map(|tier| (way, tier)))
        {
            let met = met(way, tier);
            if met.leaks || met.fate == Fate::Allowed {
                let harmless = is_neighbour(way);
                assert!(met.limit.is_some() || harmless, "{}", id(way, tier));
            }
            if !met.effects.is_empty() && met.limit.is_none() {
                assert_eq!(met.fate, SIGKILL, "{}", id(way, tier));
            }
        }
    }

    #[test]
    fn an_id_says_what_the_way_comes_to() {
        for (way, tier, expected) in [
            (Bypass::Dot, Tier::Lsm, "enforce-stops-dot"),
            (Bypass::Dot, Tier::Signal, "signal-kills-dot"),
            (Bypass::Truncate, Tier::Modret, "modret-stops-truncate"),
            (Bypass::Truncate, Tier::Signal, "signal-kills-truncate"),
            (Bypass::Link, Tier::Signal, "signal-leaks-link"),
            (Bypass::AlreadyOpen, Tier::Lsm, "enforce-leaks-already-open"),
            (Bypass::Pidfd, Tier::Signal, "signal-spares-pidfd"),
        ] {
            assert_eq!(id(way, tier), expected);
        }
    }

    #[test]
    fn a_limit_is_shown_beside_the_report_that_declares_it() {
        for (way, limit) in [
            (Bypass::Truncate, "truncates_before_kill"),
            (Bypass::AlreadyOpen, "already_open_files"),
        ] {
            let proof = proof(way, Tier::Signal);
            let report = proof.arms.iter().find(|arm| arm.arm == "report");
            let clause = contains("/classes/file/limits", limit);
            let expected = document("report", &[clause]);
            assert_eq!(report, Some(&expected));
        }
    }

    #[test]
    fn only_where_something_is_stopped_a_neighbour_must_not_be() {
        for way in Bypass::ALL {
            for tier in Tier::ALL {
                let arms = proof(way, tier).arms;
                let has = |name: &str| arms.iter().any(|arm| arm.arm == name);
                assert!(has("during"));
                if way != Bypass::PidOne {
                    assert!(has("before"));
                    assert_eq!(has("benign"), met(way, tier).event.is_some());
                }
            }
        }
    }
}
