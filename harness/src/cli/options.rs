//! What every command that boots machines is told: by whom they are booted, on what, and where
//! everything comes from and goes.
//!
//! In: the flags that such commands share. Out: [`RunOptions`], plain data, which a command that
//! runs others makes without any flags.

use std::path::PathBuf;

use clap::Args;
use proofs::Boot;

use crate::vm::{Accelerator, Launcher, Pace, accel};

const LAUNCHER: Launcher = Launcher::VirtmeNg;
const ACCEL: accel::Wish = accel::Wish::Auto;

/// The flags of every command that boots machines. Each command says where its results go by
/// default.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Who composes QEMU's command
    #[arg(long, value_enum, default_value_t = LAUNCHER)]
    pub launcher: Launcher,
    /// What runs the guest; auto takes KVM only after a marker boot on it
    #[arg(long, value_enum, default_value_t = ACCEL)]
    pub accel: accel::Wish,
    /// Take agent and guest from a folder that `cargo xtask build` wrote
    #[arg(long, value_name = "DIR")]
    pub prebuilt: Option<PathBuf>,
    /// Where the results go
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print the results as JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Fail where kernels.lock would have to change
    #[arg(long)]
    pub locked: bool,
    /// Work from the cache alone
    #[arg(long)]
    pub offline: bool,
    /// Install nothing; fail if something is missing
    #[arg(long)]
    pub no_setup: bool,
}

impl CommonArgs {
    /// What they ask for; the results go to `out` unless a flag says otherwise.
    pub fn options(&self, out: PathBuf) -> RunOptions {
        RunOptions {
            launcher: self.launcher,
            accel: self.accel,
            prebuilt: self.prebuilt.clone(),
            out: self.out.clone().unwrap_or(out),
            json: self.json,
            locked: self.locked,
            offline: self.offline,
            no_setup: self.no_setup,
            jobs: None,
            agent: None,
        }
    }
}

/// The flag of the commands that may run several machines at a time.
#[derive(Debug, Clone, Copy, Args)]
pub struct JobsArgs {
    /// How many machines side by side, one with two processors counted twice [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
}

/// How machines are booted, whatever they are to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOptions {
    /// Who composes QEMU's command.
    pub launcher: Launcher,
    /// What runs the guest.
    pub accel: accel::Wish,
    /// How many machines side by side, one with two processors counted twice; one a core if that is
    /// left open.
    pub jobs: Option<u16>,
    /// The agent that goes into the guest in the place of the one that is built.
    pub agent: Option<PathBuf>,
    /// The folder that has agent and guest, in the place of building them.
    pub prebuilt: Option<PathBuf>,
    /// Where the results go.
    pub out: PathBuf,
    /// The results are printed as JSON.
    pub json: bool,
    /// It is an error if kernels.lock would have to change.
    pub locked: bool,
    /// Nothing is fetched.
    pub offline: bool,
    /// Nothing is installed.
    pub no_setup: bool,
}

impl RunOptions {
    /// What a command line without flags asks for.
    pub fn new(out: PathBuf) -> Self {
        Self {
            launcher: LAUNCHER,
            accel: ACCEL,
            jobs: None,
            agent: None,
            prebuilt: None,
            out,
            json: false,
            locked: false,
            offline: false,
            no_setup: false,
        }
    }

    /// How many processors the machines that run side by side have together, but for one that alone
    /// has more.
    pub fn slots(&self) -> usize {
        self.jobs.map_or_else(cores, usize::from)
    }

    /// How quickly its machines get on, if they are of these boots.
    pub fn pace(&self, accelerator: Accelerator, boots: &[Boot]) -> Pace {
        Pace::new(accelerator, at_once(self.slots(), boots), cores())
    }
}

/// The most processors that machines of these boots have at once: one that has more than there are
/// slots runs all the same. The guests of all boots go by the same limits.
fn at_once(slots: usize, boots: &[Boot]) -> usize {
    let processors = boots.iter().map(|boot| boot.kind().processors);
    processors.fold(slots, usize::max)
}

/// The cores that machines may share.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_count_the_processors_of_a_machine_that_has_more_than_there_are_slots() {
        for (slots, boots, expected) in [
            (1, &[Boot::BpfLsm, Boot::Lockdown][..], 1),
            (1, &[Boot::Smp], 2),
            (1, &Boot::ALL, 2),
            (2, &Boot::ALL, 2),
            (3, &Boot::ALL, 3),
        ] {
            assert_eq!(at_once(slots, boots), expected, "{slots} {boots:?}");
        }
    }
}
