//! The configurations of the agent that proofs run in.

use protocol::sabotage::{self, World};

use crate::tier::Tier;

/// How the agent is started for a group of proofs, which share its one life.
#[derive(Debug, Clone, Copy)]
pub struct Configuration<'a> {
    /// Its name in the plan.
    pub name: &'a str,
    /// The tier that it ends up in; if in none, the weakest tier that was asked for.
    pub tier: Tier,
    /// The state in the agent's report as long as nothing happens to it.
    pub state: &'static str,
    /// Arguments of `run` beside the policy and the readiness descriptor.
    pub arguments: &'static [&'static str],
    /// Whether the LSM list is read through the seam, with `bpf` left out.
    pub seam: bool,
    /// The mutant that the sabotaged build is to be; none runs the agent as shipped.
    pub sabotage: Option<&'a str>,
    /// What the agent is started without; none where it has all that root has.
    pub privation: Option<Privation>,
    /// Whether the agent is to become ready; otherwise it is to end by itself.
    pub becomes_ready: bool,
    /// Whether its policy also denies `Tree::Denied`, to which every way leads. Reports that
    /// are compared must be of the same policy.
    pub denies_trees: bool,
}

/// What an agent is started without: less than root has on a whole machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privation {
    /// `CAP_SYS_RESOURCE`, with little room in `RLIMIT_MEMLOCK`.
    SysResource,
    /// The mount of securityfs.
    Securityfs,
    /// The mount of tracefs.
    Tracefs,
    /// `perf_event_open(2)`, which a seccomp filter refuses with `EPERM`, as those of containers
    /// do.
    PerfEvents,
}

const FALLBACK_TO_SIGNAL: &[&str] = &[
    "--enforce",
    "--enforce-fallback=signal",
    "--enforce-gate-mode=audit-fallback",
];

const FALLBACK_TO_MODRET: &[&str] = &[
    "--enforce",
    "--enforce-fallback=modret",
    "--enforce-gate-mode=audit-fallback",
];

/// The agent as shipped, on the machine as it is, which becomes ready in its tier.
const fn shipped(
    name: &'static str,
    tier: Tier,
    arguments: &'static [&'static str],
) -> Configuration<'static> {
    let state = match tier {
        Tier::Lsm => "ENFORCE",
        Tier::Modret => "ENFORCE_MODRET",
        Tier::Signal => "ENFORCE_SIGNAL",
    };
    Configuration {
        name,
        tier,
        state,
        arguments,
        seam: false,
        sabotage: None,
        privation: None,
        becomes_ready: true,
        denies_trees: false,
    }
}

pub(crate) const ENFORCE: Configuration = Configuration {
    denies_trees: true,
    ..shipped("enforce", Tier::Lsm, &["--enforce"])
};
pub(crate) const MODRET: Configuration = Configuration {
    denies_trees: true,
    ..shipped("modret", Tier::Modret, FALLBACK_TO_MODRET)
};
pub(crate) const SIGNAL: Configuration = Configuration {
    denies_trees: true,
    ..shipped("signal", Tier::Signal, FALLBACK_TO_SIGNAL)
};
pub(crate) const SEAM_SIGNAL: Configuration = Configuration {
    seam: true,
    denies_trees: true,
    ..shipped("seam-signal", Tier::Signal, FALLBACK_TO_SIGNAL)
};
pub(crate) const FAIL_CLOSED: Configuration = Configuration {
    state: "REFUSED",
    becomes_ready: false,
    ..shipped("fail-closed", Tier::Lsm, &["--enforce"])
};
pub(crate) const AUDIT_FALLBACK: Configuration = Configuration {
    state: "AUDIT_FALLBACK",
    ..shipped(
        "audit-fallback",
        Tier::Lsm,
        &["--enforce", "--enforce-gate-mode=audit-fallback"],
    )
};
pub(crate) const SEAM_AUDIT_FALLBACK: Configuration = Configuration {
    state: "AUDIT_FALLBACK",
    seam: true,
    ..shipped(
        "seam-audit-fallback",
        Tier::Lsm,
        &["--enforce", "--enforce-gate-mode=audit-fallback"],
    )
};
pub(crate) const ENFORCE_FILESYSTEMS: Configuration = shipped(
    "enforce-filesystems",
    Tier::Lsm,
    &["--enforce", "--verify-interval=0.2"],
);
pub(crate) const MODRET_FILESYSTEMS: Configuration = shipped(
    "modret-filesystems",
    Tier::Modret,
    &[
        "--enforce",
        "--enforce-fallback=modret",
        "--verify-interval=0.2",
    ],
);
pub(crate) const SIGNAL_FILESYSTEMS: Configuration = shipped(
    "signal-filesystems",
    Tier::Signal,
    &[
        "--enforce",
        "--enforce-fallback=signal",
        "--verify-interval=0.2",
    ],
);
pub(crate) const ENFORCE_IDENTITY: Configuration =
    shipped("enforce-identity", Tier::Lsm, &["--enforce"]);
pub(crate) const MODRET_IDENTITY: Configuration = shipped(
    "modret-identity",
    Tier::Modret,
    &["--enforce", "--enforce-fallback=modret"],
);
pub(crate) const SIGNAL_IDENTITY: Configuration = shipped(
    "signal-identity",
    Tier::Signal,
    &["--enforce", "--enforce-fallback=signal"],
);
// What is mounted in the folder of any other proof's rule would show in the limits that they report.
pub(crate) const ENFORCE_MOUNTS: Configuration =
    shipped("enforce-mounts", Tier::Lsm, &["--enforce"]);
pub(crate) const MODRET_MOUNTS: Configuration = shipped(
    "modret-mounts",
    Tier::Modret,
    &["--enforce", "--enforce-fallback=modret"],
);
pub(crate) const SIGNAL_MOUNTS: Configuration = shipped(
    "signal-mounts",
    Tier::Signal,
    &["--enforce", "--enforce-fallback=signal"],
);
pub(crate) const SIGNAL_TERM: Configuration = shipped(
    "signal-term",
    Tier::Signal,
    &[
        "--enforce",
        "--enforce-fallback=signal",
        "--enforce-signal=TERM",
    ],
);
pub(crate) const REJECTS_GUARD: Configuration = Configuration {
    sabotage: Some("rejects-guard"),
    ..shipped("rejects-guard", Tier::Lsm, &["--enforce"])
};
pub(crate) const REJECTS_LSM: Configuration = Configuration {
    sabotage: Some("rejects-lsm"),
    ..shipped("rejects-lsm", Tier::Signal, FALLBACK_TO_SIGNAL)
};
// A verification would end what the proof sees.
pub(crate) const SIGNAL_REFUSED: Configuration = Configuration {
    sabotage: Some("signal-refused"),
    ..shipped(
        "signal-refused",
        Tier::Signal,
        &[
            "--enforce",
            "--enforce-fallback=signal",
            "--verify-interval=3600",
        ],
    )
};
pub(crate) const SIGNAL_REFUSED_UNREAD: Configuration = Configuration {
    sabotage: Some("signal-refused"),
    ..shipped(
        "signal-refused-unread",
        Tier::Signal,
        &[
            "--enforce",
            "--enforce-fallback=signal",
            "--verify-interval=0.5",
        ],
    )
};
// A verification would add its own events to those that are counted.
pub(crate) const SMP_ENFORCE: Configuration = shipped(
    "smp-enforce",
    Tier::Lsm,
    &["--enforce", "--verify-interval=3600"],
);
pub(crate) const SMP_ENFORCE_VERIFYING: Configuration = shipped(
    "smp-enforce-verifying",
    Tier::Lsm,
    &["--enforce", "--verify-interval=0.2"],
);
pub(crate) const SMP_MODRET_VERIFYING: Configuration = Configuration {
    seam: true,
    ..shipped(
        "smp-modret-verifying",
        Tier::Modret,
        &[
            "--enforce",
            "--enforce-fallback=modret",
            "--verify-interval=0.2",
        ],
    )
};
pub(crate) const SMP_SIGNAL_VERIFYING: Configuration = Configuration {
    seam: true,
    ..shipped(
        "smp-signal-verifying",
        Tier::Signal,
        &[
            "--enforce",
            "--enforce-fallback=signal",
            "--verify-interval=0.2",
        ],
    )
};
pub(crate) const SMP_ENFORCE_FLOODED: Configuration = shipped(
    "smp-enforce-flooded",
    Tier::Lsm,
    &["--enforce", "--verify-interval=1"],
);
pub(crate) const SMP_MODRET_FLOODED: Configuration = Configuration {
    seam: true,
    ..shipped(
        "smp-modret-flooded",
        Tier::Modret,
        &[
            "--enforce",
            "--enforce-fallback=modret",
            "--verify-interval=1",
        ],
    )
};
pub(crate) const SMP_SIGNAL_FLOODED: Configuration = Configuration {
    seam: true,
    ..shipped(
        "smp-signal-flooded",
        Tier::Signal,
        &[
            "--enforce",
            "--enforce-fallback=signal",
            "--verify-interval=1",
        ],
    )
};
pub(crate) const LOCKDOWN_ENFORCE: Configuration =
    shipped("lockdown-enforce", Tier::Lsm, &["--enforce"]);
pub(crate) const LOCKDOWN_ENFORCE_VERIFYING: Configuration = shipped(
    "lockdown-enforce-verifying",
    Tier::Lsm,
    &["--enforce", "--verify-interval=0.2"],
);
pub(crate) const LOCKDOWN_ENFORCE_MOUNTS: Configuration =
    shipped("lockdown-enforce-mounts", Tier::Lsm, &["--enforce"]);
pub(crate) const LOCKDOWN_MODRET: Configuration = Configuration {
    seam: true,
    ..shipped(
        "lockdown-modret",
        Tier::Modret,
        &["--enforce", "--enforce-fallback=modret"],
    )
};
pub(crate) const LOCKDOWN_SIGNAL: Configuration = Configuration {
    state: "REFUSED",
    seam: true,
    becomes_ready: false,
    ..shipped(
        "lockdown-signal",
        Tier::Signal,
        &["--enforce", "--enforce-fallback=signal"],
    )
};
pub(crate) const LOCKDOWN_ENFORCE_UNREADABLE: Configuration = shipped(
    "lockdown-enforce-unreadable",
    Tier::Lsm,
    &["--enforce", "--enforce-gate-mode=audit-fallback"],
);
pub(crate) const LOCKDOWN_FAIL_CLOSED: Configuration = Configuration {
    state: "REFUSED",
    becomes_ready: false,
    ..shipped("lockdown-fail-closed", Tier::Lsm, &["--enforce"])
};
pub(crate) const LSM_RETURNS_ZERO: Configuration = Configuration {
    state: "REFUSED",
    sabotage: Some("lsm-returns-zero"),
    becomes_ready: false,
    ..shipped("lsm-returns-zero", Tier::Lsm, &["--enforce"])
};
pub(crate) const ENFORCE_VERIFYING: Configuration = shipped(
    "enforce-verifying",
    Tier::Lsm,
    &["--enforce", "--verify-interval=0.2"],
);
pub(crate) const MODRET_VERIFYING: Configuration = shipped(
    "modret-verifying",
    Tier::Modret,
    &[
        "--enforce",
        "--enforce-fallback=modret",
        "--verify-interval=0.2",
    ],
);
pub(crate) const SIGNAL_VERIFYING: Configuration = shipped(
    "signal-verifying",
    Tier::Signal,
    &[
        "--enforce",
        "--enforce-fallback=signal",
        "--verify-interval=0.2",
    ],
);
pub(crate) const ENFORCE_EXITING: Configuration = shipped(
    "enforce-exiting",
    Tier::Lsm,
    &["--enforce", "--verify-interval=0.2", "--on-degraded=exit"],
);
pub(crate) const MODRET_EXITING: Configuration = shipped(
    "modret-exiting",
    Tier::Modret,
    &[
        "--enforce",
        "--enforce-fallback=modret",
        "--verify-interval=0.2",
        "--on-degraded=exit",
    ],
);
pub(crate) const SIGNAL_EXITING: Configuration = shipped(
    "signal-exiting",
    Tier::Signal,
    &[
        "--enforce",
        "--enforce-fallback=signal",
        "--verify-interval=0.2",
        "--on-degraded=exit",
    ],
);
// Ended by another signal than the rest.
pub(crate) const ENFORCE_HUNG_UP: Configuration =
    shipped("enforce-hung-up", Tier::Lsm, &["--enforce"]);
// A verification would add its own events to those that are counted.
pub(crate) const ENFORCE_MANY: Configuration = shipped(
    "enforce-many",
    Tier::Lsm,
    &["--enforce", "--verify-interval=3600"],
);
pub(crate) const MODRET_MANY: Configuration = shipped(
    "modret-many",
    Tier::Modret,
    &[
        "--enforce",
        "--enforce-fallback=modret",
        "--verify-interval=3600",
    ],
);
pub(crate) const SIGNAL_MANY: Configuration = shipped(
    "signal-many",
    Tier::Signal,
    &[
        "--enforce",
        "--enforce-fallback=signal",
        "--verify-interval=3600",
    ],
);
pub(crate) const SIGNAL_NEEDS: Configuration = shipped(
    "signal-needs",
    Tier::Signal,
    &["--enforce", "--enforce-fallback=signal"],
);
pub(crate) const ENFORCE_WITHOUT_SYS_RESOURCE: Configuration = Configuration {
    privation: Some(Privation::SysResource),
    ..shipped("enforce-without-sys-resource", Tier::Lsm, &["--enforce"])
};
pub(crate) const UNMOUNTED_SECURITYFS: Configuration = Configuration {
    state: "REFUSED",
    privation: Some(Privation::Securityfs),
    becomes_ready: false,
    ..shipped("unmounted-securityfs", Tier::Lsm, &["--enforce"])
};
pub(crate) const UNMOUNTED_TRACEFS: Configuration = Configuration {
    state: "REFUSED",
    privation: Some(Privation::Tracefs),
    becomes_ready: false,
    ..shipped(
        "unmounted-tracefs",
        Tier::Signal,
        &["--enforce", "--enforce-fallback=signal"],
    )
};
pub(crate) const REFUSED_PERF_EVENTS: Configuration = Configuration {
    state: "REFUSED",
    privation: Some(Privation::PerfEvents),
    becomes_ready: false,
    ..shipped(
        "refused-perf-events",
        Tier::Signal,
        &["--enforce", "--enforce-fallback=signal"],
    )
};

impl Tier {
    /// The configuration in which most proofs of it run, among them those of every way.
    #[must_use]
    pub fn plain(self) -> &'static Configuration<'static> {
        match self {
            Self::Lsm => &ENFORCE,
            Self::Modret => &MODRET,
            Self::Signal => &SIGNAL,
        }
    }

    /// The one in which what a rule means is proven.
    pub(crate) fn identity(self) -> &'static Configuration<'static> {
        match self {
            Self::Lsm => &ENFORCE_IDENTITY,
            Self::Modret => &MODRET_IDENTITY,
            Self::Signal => &SIGNAL_IDENTITY,
        }
    }

    /// The one in which it is proven what a rule means for what is mounted.
    pub(crate) fn mounts(self) -> &'static Configuration<'static> {
        match self {
            Self::Lsm => &ENFORCE_MOUNTS,
            Self::Modret => &MODRET_MOUNTS,
            Self::Signal => &SIGNAL_MOUNTS,
        }
    }

    /// The one in which rules are on other file systems.
    pub(crate) fn filesystems(self) -> &'static Configuration<'static> {
        match self {
            Self::Lsm => &ENFORCE_FILESYSTEMS,
            Self::Modret => &MODRET_FILESYSTEMS,
            Self::Signal => &SIGNAL_FILESYSTEMS,
        }
    }

    /// The one in which the agent verifies often, since a proof waits for it.
    pub(crate) fn verifying(self) -> &'static Configuration<'static> {
        match self {
            Self::Lsm => &ENFORCE_VERIFYING,
            Self::Modret => &MODRET_VERIFYING,
            Self::Signal => &SIGNAL_VERIFYING,
        }
    }

    /// The one on two processors, in which it verifies often.
    pub(crate) fn smp_verifying(self) -> &'static Configuration<'static> {
        match self {
            Self::Lsm => &SMP_ENFORCE_VERIFYING,
            Self::Modret => &SMP_MODRET_VERIFYING,
            Self::Signal => &SMP_SIGNAL_VERIFYING,
        }
    }

    /// The one on two processors in which users flood it.
    pub(crate) fn smp_flooded(self) -> &'static Configuration<'static> {
        match self {
            Self::Lsm => &SMP_ENFORCE_FLOODED,
            Self::Modret => &SMP_MODRET_FLOODED,
            Self::Signal => &SMP_SIGNAL_FLOODED,
        }
    }

    /// The one in which the agent has ten thousand rules, and doesn't verify again.
    pub(crate) fn many(self) -> &'static Configuration<'static> {
        match self {
            Self::Lsm => &ENFORCE_MANY,
            Self::Modret => &MODRET_MANY,
            Self::Signal => &SIGNAL_MANY,
        }
    }
}

/// What is measured of a tier. The weaker ones are reached through the seam, in a kernel that runs
/// the BPF LSM, so that one boot measures all.
pub const BENCH_LSM: Configuration = shipped("bench-lsm", Tier::Lsm, &["--enforce"]);
/// See [`BENCH_LSM`].
pub const BENCH_MODRET: Configuration = Configuration {
    seam: true,
    ..shipped(
        "bench-modret",
        Tier::Modret,
        &["--enforce", "--enforce-fallback=modret"],
    )
};
/// See [`BENCH_LSM`].
pub const BENCH_SIGNAL: Configuration = Configuration {
    seam: true,
    ..shipped(
        "bench-signal",
        Tier::Signal,
        &["--enforce", "--enforce-fallback=signal"],
    )
};

/// Finds a configuration by the name that a plan gives it. A mutant behind the name says what is
/// broken in the sabotaged build; what the guest itself breaks leaves the agent as it is.
#[must_use]
pub fn by_name(name: &str) -> Option<Configuration<'_>> {
    let (known_as, mutant) = sabotage::split(name);
    let found = ALL.iter().find(|known| known.name == known_as)?;
    let sabotage = match mutant {
        // Nothing is broken but what this configuration is about.
        Some(sabotage::CONTROL) => found.sabotage.or(mutant),
        Some(mutant) if World::from_name(mutant).is_none() => Some(mutant),
        Some(_) | None => found.sabotage,
    };
    Some(Configuration {
        name,
        sabotage,
        ..**found
    })
}

/// All configurations that proofs run in.
pub const ALL: &[&Configuration] = &[
    &ENFORCE,
    &MODRET,
    &SIGNAL,
    &SEAM_SIGNAL,
    &FAIL_CLOSED,
    &AUDIT_FALLBACK,
    &SEAM_AUDIT_FALLBACK,
    &ENFORCE_FILESYSTEMS,
    &MODRET_FILESYSTEMS,
    &SIGNAL_FILESYSTEMS,
    &ENFORCE_IDENTITY,
    &MODRET_IDENTITY,
    &SIGNAL_IDENTITY,
    &ENFORCE_MOUNTS,
    &MODRET_MOUNTS,
    &SIGNAL_MOUNTS,
    &SIGNAL_TERM,
    &REJECTS_GUARD,
    &REJECTS_LSM,
    &SIGNAL_REFUSED,
    &SIGNAL_REFUSED_UNREAD,
    &SMP_ENFORCE,
    &SMP_ENFORCE_VERIFYING,
    &SMP_MODRET_VERIFYING,
    &SMP_SIGNAL_VERIFYING,
    &SMP_ENFORCE_FLOODED,
    &SMP_MODRET_FLOODED,
    &SMP_SIGNAL_FLOODED,
    &LOCKDOWN_ENFORCE,
    &LOCKDOWN_ENFORCE_VERIFYING,
    &LOCKDOWN_ENFORCE_MOUNTS,
    &LOCKDOWN_MODRET,
    &LOCKDOWN_SIGNAL,
    &LOCKDOWN_ENFORCE_UNREADABLE,
    &LOCKDOWN_FAIL_CLOSED,
    &LSM_RETURNS_ZERO,
    &ENFORCE_VERIFYING,
    &MODRET_VERIFYING,
    &SIGNAL_VERIFYING,
    &ENFORCE_EXITING,
    &MODRET_EXITING,
    &SIGNAL_EXITING,
    &ENFORCE_HUNG_UP,
    &ENFORCE_MANY,
    &MODRET_MANY,
    &SIGNAL_MANY,
    &SIGNAL_NEEDS,
    &ENFORCE_WITHOUT_SYS_RESOURCE,
    &UNMOUNTED_SECURITYFS,
    &UNMOUNTED_TRACEFS,
    &REFUSED_PERF_EVENTS,
];
