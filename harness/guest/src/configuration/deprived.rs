//! The configurations in which the agent is started with less than it wants.

use super::Configuration;
use crate::privation::Privation;

/// With what each is started without.
const DEPRIVED: &[(Configuration, Privation)] = &[
    (
        started("enforce-without-sys-resource", &["--enforce"], true),
        Privation::SysResource,
    ),
    (
        started("unmounted-securityfs", &["--enforce"], false),
        Privation::Securityfs,
    ),
    (
        started("unmounted-tracefs", SIGNAL, false),
        Privation::Tracefs,
    ),
    (
        started("refused-perf-events", SIGNAL, false),
        Privation::PerfEvents,
    ),
];

const SIGNAL: &[&str] = &["--enforce", "--enforce-fallback=signal"];

pub(super) fn configurations() -> impl Iterator<Item = &'static Configuration<'static>> {
    DEPRIVED.iter().map(|(configuration, _)| configuration)
}

/// What the agent of a configuration with this name is started without.
pub(super) fn privation(name: &str) -> Option<Privation> {
    let mut all = DEPRIVED.iter();
    let found = all.find(|(configuration, _)| configuration.name == name);
    found.map(|(_, privation)| *privation)
}

const fn started(
    name: &'static str,
    arguments: &'static [&'static str],
    becomes_ready: bool,
) -> Configuration<'static> {
    Configuration {
        name,
        arguments,
        seam: false,
        sabotage: None,
        becomes_ready,
        denies_trees: false,
    }
}
