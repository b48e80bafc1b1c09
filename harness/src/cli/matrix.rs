//! `cargo xtask matrix`: every kernel, every boot, every proof; then what came of it.
//!
//! The order: read what people wrote, claim the folder, set up, make kernels ready, build
//! what goes into the guest, choose the accelerator, plan, pack, save the plan, boot and judge,
//! compare the boots of each kernel, report. Each step is a module; this one only joins them.

pub(super) mod at_hand;
pub(super) mod jobs;
pub(super) mod told;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use clap::Args;
use protocol::plan::Filesystem;

use super::list::{self, Format};
use super::proof_names;
use crate::exit::{ExitCode, Result};
use crate::kernels::manifest::{self, Manifest};
use crate::outcome::{CROSS_BOOT, Cases, SuiteId};
use crate::run::engine;
use crate::run::event::Event;
use crate::vm::{Accelerator, Launcher, Pace, accel};
use proofs::Boot;

use crate::report::{self, screen::Screen};
use crate::run::plan::{self, Wanted};
use crate::run::saved::{BootSpec, RunPlan};
use crate::tell;
use at_hand::AtHand;

/// What to run, how, and where the results go.
#[derive(Debug, Args)]
pub struct MatrixArgs {
    /// Only these kernels of kernels.toml, by name or glob
    #[arg(long = "kernel", value_name = "NAME|GLOB")]
    pub kernels: Vec<String>,
    /// Only these boots
    #[arg(long = "boot", value_parser = boot, value_name = "NAME")]
    pub boots: Vec<Boot>,
    /// Only these proofs, by id or glob
    #[arg(long = "proof", value_name = "GLOB")]
    pub proofs: Vec<String>,
    /// Who composes QEMU's command
    #[arg(long, value_enum, default_value = "virtme-ng")]
    pub launcher: Launcher,
    /// What runs the guest; auto takes KVM only after a marker boot on it
    #[arg(long, value_enum, default_value = "auto")]
    pub accel: accel::Wish,
    /// How long a whole boot may take [default: by what it has to do, how it is accelerated, and
    /// how many machines share a core; see the README]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..))]
    pub boot_limit: Option<u16>,
    /// How many machines side by side [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Put this agent to the proofs instead of this checkout's
    #[arg(long, value_name = "PATH")]
    pub agent: Option<PathBuf>,
    /// Take agent and guest from a folder that `cargo xtask build` wrote
    #[arg(long, value_name = "DIR")]
    pub prebuilt: Option<PathBuf>,
    /// Where the results go [default: target/matrix]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Show what would run, and run nothing
    #[arg(long)]
    pub list: bool,
    /// The form of the list
    #[arg(long, value_enum, default_value = "text", requires = "list")]
    pub format: Format,
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

impl MatrixArgs {
    /// How many machines run side by side.
    pub(super) fn workers(&self) -> usize {
        self.jobs.map_or_else(cores, usize::from)
    }

    /// How quickly its machines get on.
    pub(super) fn pace(&self, accelerator: Accelerator) -> Pace {
        Pace::new(accelerator, self.workers(), cores())
    }
}

/// The cores that machines may share.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs the matrix in the checkout at `root`.
///
/// # Errors
/// Anything that keeps the boots from being started; what goes wrong in a boot is a result.
pub fn run(args: &MatrixArgs, root: &Path) -> Result<ExitCode> {
    let manifest = Manifest::load(&root.join("kernels.toml"))?;
    let kernels = manifest::select(&manifest.kernels, &args.kernels)?;
    let globs = proof_names::globs(&args.proofs)?;
    let boots = boots(&args.boots);
    let wanted = Wanted {
        boots: &boots,
        proofs: globs.as_ref(),
        sabotaged_agent: args.agent.is_none(),
    };
    proof_names::check_skips(&manifest)?;
    proof_names::check_each_matches(&args.proofs, &wanted)?;
    if args.list {
        tell::out(&list::render(&kernels, &wanted, args.format)?)?;
        return Ok(ExitCode::AsDeclared);
    }
    go(
        &AtHand::get(args, root, &manifest, &kernels, &plan::filesystems(&wanted))?,
        args,
        &wanted,
    )
}

/// The boots asked for, each once and in the order of reports; without any wish all.
/// The boot of a name on the command line.
fn boot(name: &str) -> std::result::Result<Boot, String> {
    Boot::from_name(name).ok_or_else(|| {
        let names = Boot::ALL.map(Boot::name);
        format!("possible values: {}", names.join(", "))
    })
}

fn boots(asked: &[Boot]) -> Vec<Boot> {
    let wanted = |boot: &Boot| asked.is_empty() || asked.contains(boot);
    Boot::ALL.into_iter().filter(wanted).collect()
}

/// Sets up and gets everything at hand that a run needs, without running it.
///
/// # Errors
/// As [`run`].
pub fn prepare(args: &MatrixArgs, root: &Path) -> Result<()> {
    let manifest = Manifest::load(&root.join("kernels.toml"))?;
    let kernels = manifest::select(&manifest.kernels, &args.kernels)?;
    AtHand::get(
        args,
        root,
        &manifest,
        &kernels,
        &BTreeSet::from(Filesystem::ALL),
    )?
    .with_all_kernels()?;
    Ok(())
}

/// Plans, boots, judges and reports.
fn go(at_hand: &AtHand, args: &MatrixArgs, wanted: &Wanted) -> Result<ExitCode> {
    let choice = at_hand.accelerator(args.accel)?;
    let jobs = jobs::jobs(at_hand, args, wanted, args.pace(choice.accelerator))?;
    let out = at_hand.out.path();
    let launcher = at_hand.composer.launcher();
    let boots = jobs.iter().map(|job| BootSpec::of(job, launcher));
    let run = RunPlan::new(
        at_hand.names.clone(),
        planned(&at_hand.names, wanted),
        boots.collect(),
    );
    // Before the first boot, so that whoever judges the folder knows of each that never came to be.
    run.write(out)?;
    let (events, receiver) = mpsc::channel();
    let progress = report::progress::Progress::start(receiver, Screen::of_stderr());
    if let Some(notice) = choice.notice {
        // Nobody may be watching; the results will still name the accelerator.
        let _ = events.send(Event::Notice(notice));
    }
    let done = engine::run(jobs, &at_hand.composer, args.workers(), &events);
    drop(events);
    progress.finish();
    told::tell(&run, out, done?, Some(out), args.json)
}

/// How many proofs each suite must come back with: every cell that the catalogue declares, for
/// every kernel and boot. Not taken from the jobs, which could have lost one.
fn planned(kernels: &[String], wanted: &Wanted) -> Cases {
    let mut planned = Cases::new();
    for kernel in kernels {
        for &boot in wanted.boots {
            let proofs = plan::proofs(boot, wanted).len();
            if proofs > 0 {
                planned.insert(plan::suite(kernel, boot), proofs);
            }
        }
        if plan::cross_boot(wanted) {
            planned.insert(cross_boot_suite(kernel), 1);
        }
    }
    planned
}

fn cross_boot_suite(kernel: &str) -> SuiteId {
    SuiteId {
        kernel: kernel.to_owned(),
        boot: CROSS_BOOT.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_boot_asked_for_runs_once_and_all_do_if_none_is() {
        assert_eq!(boots(&[]), Boot::ALL);
        let asked = [Boot::Lockdown, Boot::BpfLsm, Boot::Lockdown];
        assert_eq!(boots(&asked), [Boot::BpfLsm, Boot::Lockdown]);
    }
}
