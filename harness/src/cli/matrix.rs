//! `cargo xtask matrix`: every kernel, every boot, every proof; then what came of it.
//!
//! The order: read what people wrote, claim the folder, set up, make kernels ready, build
//! what goes into the guest, choose the accelerator, plan, pack, save the plan, boot and judge,
//! compare the boots of each kernel, report. Each step is a module; this one only joins them.

pub(super) mod jobs;
pub(super) mod told;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use clap::Args;
use protocol::plan::Filesystem;

use super::list::{self, Format};
use super::options::{CommonArgs, JobsArgs, RunOptions};
use super::proof_names;
use crate::exit::{ExitCode, Result};
use crate::kernels::manifest::{self, Manifest};
use crate::outcome::{CROSS_BOOT, Cases, SuiteId};
use crate::run::engine;
use crate::run::event::Event;
use proofs::Boot;

use super::at_hand::AtHand;
use crate::report::{self, screen::Screen};
use crate::run::plan::{self, Wanted};
use crate::run::saved::{BootSpec, RunPlan};
use crate::tell;

/// Where the results go by default.
const OUT: &str = "target/matrix";

/// What to run, how, and where the results go.
#[derive(Debug, Args)]
#[command(mut_arg("out", |out| out.help("Where the results go [default: target/matrix]")))]
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
    /// How long a whole boot may take [default: by what it has to do, how it is accelerated, and
    /// how many machines share a core; see the README]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..))]
    pub boot_limit: Option<u16>,
    #[command(flatten)]
    pub jobs: JobsArgs,
    /// Put this agent to the proofs instead of this checkout's
    #[arg(long, value_name = "PATH")]
    pub agent: Option<PathBuf>,
    /// Show what would run, and run nothing
    #[arg(long)]
    pub list: bool,
    /// The form of the list
    #[arg(long, value_enum, default_value = "text", requires = "list")]
    pub format: Format,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// What to run, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatrixOptions {
    /// On which kernels of kernels.toml, by name or glob; on all without any.
    pub kernels: Vec<String>,
    /// In which boots; in all without any.
    pub boots: Vec<Boot>,
    /// Which proofs, by id or glob; all without any.
    pub proofs: Vec<String>,
    /// How many seconds a whole boot may take, if not as many as its plan says.
    pub boot_limit: Option<u16>,
    /// Only show what would run, in this form.
    pub list: Option<Format>,
    /// How.
    pub run: RunOptions,
}

impl MatrixOptions {
    /// What a command line asks for, in the checkout at `root`.
    #[must_use]
    pub fn of(args: &MatrixArgs, root: &Path) -> Self {
        Self {
            kernels: args.kernels.clone(),
            boots: args.boots.clone(),
            proofs: args.proofs.clone(),
            boot_limit: args.boot_limit,
            list: args.list.then_some(args.format),
            run: RunOptions {
                jobs: args.jobs.jobs,
                agent: args.agent.clone(),
                ..args.common.options(root.join(OUT))
            },
        }
    }

    /// What a command line without flags asks for.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            kernels: Vec::new(),
            boots: Vec::new(),
            proofs: Vec::new(),
            boot_limit: None,
            list: None,
            run: RunOptions::new(root.join(OUT)),
        }
    }
}

/// Runs the matrix in the checkout at `root`.
///
/// # Errors
/// Anything that keeps the boots from being started; what goes wrong in a boot is a result.
pub fn run(options: &MatrixOptions, root: &Path) -> Result<ExitCode> {
    let manifest = Manifest::load(&root.join("kernels.toml"))?;
    let kernels = manifest::select(&manifest.kernels, &options.kernels)?;
    let globs = proof_names::globs(&options.proofs)?;
    let boots = boots(&options.boots);
    let wanted = Wanted {
        boots: &boots,
        proofs: globs.as_ref(),
        sabotaged_agent: options.run.agent.is_none(),
    };
    proof_names::check_skips(&manifest)?;
    proof_names::check_each_matches(&options.proofs, &wanted)?;
    if let Some(format) = options.list {
        tell::out(&list::render(&kernels, &wanted, format)?)?;
        return Ok(ExitCode::AsDeclared);
    }
    go(
        &AtHand::get(
            &options.run,
            root,
            &manifest,
            &kernels,
            &plan::filesystems(&wanted),
        )?,
        options,
        &wanted,
    )
}

/// The boot of a name on the command line.
fn boot(name: &str) -> std::result::Result<Boot, String> {
    Boot::from_name(name).ok_or_else(|| {
        let names = Boot::ALL.map(Boot::name);
        format!("possible values: {}", names.join(", "))
    })
}

/// The boots asked for, each once and in the order of reports; without any wish all.
fn boots(asked: &[Boot]) -> Vec<Boot> {
    let wanted = |boot: &Boot| asked.is_empty() || asked.contains(boot);
    Boot::ALL.into_iter().filter(wanted).collect()
}

/// Sets up and gets everything at hand that a run needs, without running it.
///
/// # Errors
/// As [`run`].
pub fn prepare(options: &MatrixOptions, root: &Path) -> Result<()> {
    let manifest = Manifest::load(&root.join("kernels.toml"))?;
    let kernels = manifest::select(&manifest.kernels, &options.kernels)?;
    AtHand::get(
        &options.run,
        root,
        &manifest,
        &kernels,
        &BTreeSet::from(Filesystem::ALL),
    )?
    .with_all_kernels()?;
    Ok(())
}

/// Plans, boots, judges and reports.
fn go(at_hand: &AtHand, options: &MatrixOptions, wanted: &Wanted) -> Result<ExitCode> {
    let choice = at_hand.accelerator(options.run.accel)?;
    let pace = options.run.pace(choice.accelerator, wanted.boots);
    let jobs = jobs::jobs(at_hand, options, wanted, pace)?;
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
    let done = engine::run(jobs, &at_hand.composer, options.run.slots(), &events);
    drop(events);
    progress.finish();
    told::tell(&run, out, done?, Some(out), options.run.json)
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
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: MatrixArgs,
    }

    #[test]
    fn a_command_line_without_flags_asks_for_what_is_run_without_a_command_line() {
        let root = Path::new("/checkout");
        let line = Line::try_parse_from(["matrix"]).expect("a valid line");
        assert_eq!(
            MatrixOptions::of(&line.args, root),
            MatrixOptions::new(root)
        );
    }

    #[test]
    fn each_boot_asked_for_runs_once_and_all_do_if_none_is() {
        assert_eq!(boots(&[]), Boot::ALL);
        let asked = [Boot::Lockdown, Boot::BpfLsm, Boot::Lockdown];
        assert_eq!(boots(&asked), [Boot::BpfLsm, Boot::Lockdown]);
    }
}
