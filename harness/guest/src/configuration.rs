//! The configurations in which the agent is put to the proofs: what a user could type.

use anyhow::{Result, bail};

mod evidence;

/// How the agent is started for a group of proofs.
#[derive(Debug)]
pub struct Configuration {
    /// Its name in the plan.
    pub name: &'static str,
    /// Arguments of `run` beside the policy and the readiness descriptor.
    pub arguments: &'static [&'static str],
    /// Whether the LSM list is read through the seam, with `bpf` left out.
    pub seam: bool,
    /// The sabotage to switch on in the sabotaged build; none runs the agent as shipped.
    pub sabotage: Option<&'static str>,
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
        name: "enforce-filesystems",
        arguments: &["--enforce"],
        seam: false,
        sabotage: None,
        becomes_ready: true,
        denies_trees: false,
    },
    Configuration {
        name: "modret-filesystems",
        arguments: &["--enforce", "--enforce-fallback=modret"],
        seam: false,
        sabotage: None,
        becomes_ready: true,
        denies_trees: false,
    },
    Configuration {
        name: "signal-filesystems",
        arguments: &["--enforce", "--enforce-fallback=signal"],
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
        name: "lsm-returns-zero",
        arguments: &["--enforce"],
        seam: false,
        sabotage: Some("lsm-returns-zero"),
        becomes_ready: false,
        denies_trees: false,
    },
];

/// Finds a configuration by the name that the plan gives.
///
/// # Errors
/// The plan names one that this guest doesn't know.
pub fn by_name(name: &str) -> Result<&'static Configuration> {
    let mut all = CONFIGURATIONS.iter().chain(evidence::CONFIGURATIONS);
    match all.find(|known| known.name == name) {
        Some(configuration) => Ok(configuration),
        None => bail!("this guest knows no configuration {name:?}"),
    }
}
