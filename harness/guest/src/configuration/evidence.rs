//! The configurations of the proofs on evidence while the agent runs, and on many rules: one
//! for each tier and proof. Those on evidence verify often, since a proof waits for it.

use super::Configuration;

pub(super) const CONFIGURATIONS: &[Configuration] = &[
    shipped("enforce-verifying", &["--enforce", "--verify-interval=0.2"]),
    shipped(
        "modret-verifying",
        &[
            "--enforce",
            "--enforce-fallback=modret",
            "--verify-interval=0.2",
        ],
    ),
    shipped(
        "signal-verifying",
        &[
            "--enforce",
            "--enforce-fallback=signal",
            "--verify-interval=0.2",
        ],
    ),
    shipped(
        "enforce-exiting",
        &["--enforce", "--verify-interval=0.2", "--on-degraded=exit"],
    ),
    shipped(
        "modret-exiting",
        &[
            "--enforce",
            "--enforce-fallback=modret",
            "--verify-interval=0.2",
            "--on-degraded=exit",
        ],
    ),
    shipped(
        "signal-exiting",
        &[
            "--enforce",
            "--enforce-fallback=signal",
            "--verify-interval=0.2",
            "--on-degraded=exit",
        ],
    ),
    // Ended by another signal than the rest.
    shipped("enforce-hung-up", &["--enforce"]),
    // A verification would add its own events to those that are counted.
    shipped("enforce-many", &["--enforce", "--verify-interval=3600"]),
    shipped(
        "modret-many",
        &[
            "--enforce",
            "--enforce-fallback=modret",
            "--verify-interval=3600",
        ],
    ),
    shipped(
        "signal-many",
        &[
            "--enforce",
            "--enforce-fallback=signal",
            "--verify-interval=3600",
        ],
    ),
    shipped("signal-needs", &["--enforce", "--enforce-fallback=signal"]),
];

/// The agent as shipped, on the machine as it is, which becomes ready.
const fn shipped(name: &'static str, arguments: &'static [&'static str]) -> Configuration<'static> {
    Configuration {
        name,
        arguments,
        seam: false,
        sabotage: None,
        becomes_ready: true,
        denies_trees: false,
    }
}
