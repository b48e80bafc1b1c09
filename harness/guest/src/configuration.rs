//! The configurations in which the agent is put to the proofs: what a user could type.

use anyhow::{Result, bail};
use protocol::sabotage::{self, World};

use crate::privation::Privation;

mod deprived;
mod evidence;

/// How the agent is started for a group of proofs.
#[derive(Debug, Clone, Copy)]
pub struct Configuration<'a> {
    /// Its name in the plan.
    pub name: &'a str,
    /// Arguments of `run` beside the policy and the readiness descriptor.
    pub arguments: &'static [&'static str],
    /// Whether the LSM list is read through the seam, with `bpf` left out.
    pub seam: bool,
    /// The mutant that the sabotaged build is to be; none runs the agent as shipped.
    pub sabotage: Option<&'a str>,
    /// Whether the agent is to become ready; otherwise it is to end by itself.
    pub becomes_ready: bool,
    /// Whether its policy denies the trees to which every way leads, too. Reports that are
    /// compared must come of one policy.
    pub denies_trees: bool,
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

/// All configurations.
const CONFIGURATIONS: &[Configuration] = &[
    Configuration {
        name: "enforce",
        arguments: &["--enforce"],
        seam: false,
        sabotage: None,
        becomes_ready: true,
        denies_trees: true,
    },
    Configuration {
        name: "modret",
        arguments: FALLBACK_TO_MODRET,
        seam: false,
        sabotage: None,
        becomes_ready: true,
        denies_trees: true,
    },
    Configuration {
        name: "signal",
        arguments: FALLBACK_TO_SIGNAL,
        seam: false,
        sabotage: None,
        becomes_ready: true,
        denies_trees: true,
    },
    Configuration {
        name: "seam-signal",
        arguments: FALLBACK_TO_SIGNAL,
        seam: true,
        sabotage: None,
        becomes_ready: true,
        denies_trees: true,
    },
    Configuration {
        name: "fail-closed",
        arguments: &["--enforce"],
        seam: false,
        sabotage: None,
        becomes_ready: false,
        denies_trees: false,
    },
    Configuration {
        name: "audit-fallback",
        arguments: &["--enforce", "--enforce-gate-mode=audit-fallback"],
        seam: false,
        sabotage: None,
        becomes_ready: true,
        denies_trees: false,
    },
    Configuration {
        name: "seam-audit-fallback",
        arguments: &["--enforce", "--enforce-gate-mode=audit-fallback"],
        seam: true,
        sabotage: None,
        becomes_ready: true,
        denies_trees: false,
    },
    Configuration {
        name: "enforce-filesystems",
        arguments: &["--enforce", "--verify-interval=0.2"],
        seam: false,
        sabotage: None,
        becomes_ready: true,
        denies_trees: false,
    },
    Configuration {
        name: "modret-filesystems",
        arguments: &[
            "--enforce",
            "--enforce-fallback=modret",
            "--verify-interval=0.2",
        ],
        seam: false,
        sabotage: None,
        becomes_ready: true,
        denies_trees: false,
    },
    Configuration {
        name: "signal-filesystems",
        arguments: &[
            "--enforce",
            "--enforce-fallback=signal",
            "--verify-interval=0.2",
        ],
        seam: false,
        sabotage: None,
        becomes_ready: true,
        denies_trees: false,
    },
    Configuration {
        name: "enforce-identity",
        arguments: &["--enforce"],
        seam: false,
        sabotage: None,
        becomes_ready: true,
        denies_trees: false,
    },
    Configuration {
        name: "modret-identity",
        arguments: &["--enforce", "--enforce-fallback=modret"],
        seam: false,
        sabotage: None,
        becomes_ready: true,
        denies_trees: false,
    },
    Configuration {
        name: "signal-identity",
        arguments: &["--enforce", "--enforce-fallback=signal"],
        seam: false,
        sabotage: None,
        becomes_ready: true,
        denies_trees: false,
    },
    Configuration {
        name: "signal-term",
        arguments: &[
            "--enforce",
            "--enforce-fallback=signal",
            "--enforce-signal=TERM",
        ],
        seam: false,
        sabotage: None,
        becomes_ready: true,
        denies_trees: false,
    },
    Configuration {
        name: "rejects-guard",
        arguments: &["--enforce"],
        seam: false,
        sabotage: Some("rejects-guard"),
        becomes_ready: true,
        denies_trees: false,
    },
    Configuration {
        name: "rejects-lsm",
        arguments: FALLBACK_TO_SIGNAL,
        seam: false,
        sabotage: Some("rejects-lsm"),
        becomes_ready: true,
        denies_trees: false,
    },
    Configuration {
        name: "signal-refused",
        // New evidence would end what is to be seen.
        arguments: &[
            "--enforce",
            "--enforce-fallback=signal",
            "--verify-interval=3600",
        ],
        seam: false,
        sabotage: Some("signal-refused"),
        becomes_ready: true,
        denies_trees: false,
    },
    Configuration {
        name: "signal-refused-unread",
        arguments: &[
            "--enforce",
            "--enforce-fallback=signal",
            "--verify-interval=0.5",
        ],
        seam: false,
        sabotage: Some("signal-refused"),
        becomes_ready: true,
        denies_trees: false,
    },
    Configuration {
        name: "lockdown-enforce",
        arguments: &["--enforce"],
        seam: false,
        sabotage: None,
        becomes_ready: true,
        denies_trees: false,
    },
    Configuration {
        name: "lockdown-modret",
        arguments: &["--enforce", "--enforce-fallback=modret"],
        seam: true,
        sabotage: None,
        becomes_ready: true,
        denies_trees: false,
    },
    Configuration {
        name: "lockdown-signal",
        arguments: &["--enforce", "--enforce-fallback=signal"],
        seam: true,
        sabotage: None,
        becomes_ready: false,
        denies_trees: false,
    },
    Configuration {
        name: "lockdown-enforce-unreadable",
        arguments: &["--enforce", "--enforce-gate-mode=audit-fallback"],
        seam: false,
        sabotage: None,
        becomes_ready: true,
        denies_trees: false,
    },
    Configuration {
        name: "lockdown-fail-closed",
        arguments: &["--enforce"],
        seam: false,
        sabotage: None,
        becomes_ready: false,
        denies_trees: false,
    },
    Configuration {
        name: "lsm-returns-zero",
        arguments: &["--enforce"],
        seam: false,
        sabotage: Some("lsm-returns-zero"),
        becomes_ready: false,
        denies_trees: false,
    },
];

impl Configuration<'_> {
    /// What the agent is started without; `None` where it has all that root has.
    pub fn privation(&self) -> Option<Privation> {
        deprived::privation(sabotage::split(self.name).0)
    }
}

/// Finds a configuration by the name that the plan gives.
///
/// # Errors
/// The plan names one that this guest doesn't know.
pub fn by_name(name: &str) -> Result<Configuration<'_>> {
    let mut all = CONFIGURATIONS
        .iter()
        .chain(evidence::CONFIGURATIONS)
        .chain(deprived::configurations());
    let (known_as, mutant) = sabotage::split(name);
    let Some(found) = all.find(|known| known.name == known_as) else {
        bail!("this guest knows no configuration {known_as:?}");
    };
    let sabotage = match mutant {
        // Nothing is broken but what this configuration is about.
        Some(sabotage::CONTROL) => found.sabotage.or(mutant),
        Some(mutant) if World::from_name(mutant).is_none() => Some(mutant),
        Some(_) | None => found.sabotage,
    };
    Ok(Configuration {
        name,
        sabotage,
        ..*found
    })
}
