//! `cargo xtask sabotage`: the same proofs, put to agents and worlds that are broken on purpose.
//!
//! As `matrix`: set up, build, plan, pack, boot, judge. Only that a red proof is what is wanted
//! here, and for the declared reason; a mutant that survives ends it with exit code 1.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use anyhow::{Context, anyhow};
use clap::Args;
use globset::Glob;
use proofs::{Boot, Mutant};
use protocol::plan::GuestPlan;

use super::again::Again;
use super::at_hand::{AtHand, Terms};
use super::matrix::jobs::nonce;
use super::options::{CommonArgs, JobsArgs, RunOptions};
use super::proof_names;
use crate::exit::{ExitCode, Failure, Result};
use crate::kernels::ReadyKernel;
use crate::kernels::manifest::{self, Manifest};
use crate::report;
use crate::run::engine::{self, Done, Job};
use crate::run::event::Event;
use crate::run::plan::{self, PlannedBoot};
use crate::sabotage::kernel::{self, Over};
use crate::sabotage::report::{self as told, OfKernel};
use crate::sabotage::skip;
use crate::sabotage::sweep::{self, Null, Sweep};
use crate::sabotage::{
    self,
    catalogue::{self, ListedMutant},
};
use crate::tell;
use crate::vm::{Accelerator, Files, Pace};

/// The kernel that is enough to see that the suite can fail: one that skips no mutant's proof.
const KERNEL: &str = "7.3";

/// How many events may fail to come in a boot: what is broken here mostly shows by that.
const MISSING_EVENTS: u32 = 4;

/// What to break, where, and where the results go.
#[derive(Debug, Args)]
#[command(mut_arg("out", |out| {
    out.help("Where the results go [default: target/sabotage, of a sweep target/sweep]")
}))]
pub struct SabotageArgs {
    /// On these kernels of kernels.toml, by name or glob [default: 7.3]
    #[arg(long = "kernel", value_name = "NAME|GLOB", conflicts_with = "all")]
    pub kernels: Vec<String>,
    /// On every kernel
    #[arg(long)]
    pub all: bool,
    /// Only these mutants, by name or glob
    #[arg(long = "mutant", value_name = "NAME|GLOB")]
    pub mutants: Vec<String>,
    #[command(flatten)]
    pub jobs: JobsArgs,
    /// Put every proof to an agent that enforces nothing but its own canaries, instead of the mutants
    #[arg(long, conflicts_with_all = ["mutants", "list"])]
    pub sweep: bool,
    /// Only these proofs of a sweep, by id or glob
    #[arg(long = "proof", value_name = "ID|GLOB", requires = "sweep")]
    pub proofs: Vec<String>,
    /// Show the mutants, what they break and what must catch them, and run nothing
    #[arg(long)]
    pub list: bool,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// What to break, and how to run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SabotageOptions {
    /// On which kernels of kernels.toml, by name or glob; on all without any.
    pub kernels: Vec<String>,
    /// Which mutants, by name or glob; all without any.
    pub mutants: Vec<String>,
    /// Sweep in the place of trying mutants.
    pub sweep: bool,
    /// Which proofs a sweep is of, by id or glob; all without any.
    pub proofs: Vec<String>,
    /// Only show the mutants.
    pub list: bool,
    /// How.
    pub run: RunOptions,
}

impl SabotageOptions {
    /// What a command line asks for, in the checkout at `root`.
    #[must_use]
    pub fn of(args: &SabotageArgs, root: &Path) -> Self {
        Self {
            kernels: match (args.all, args.kernels.is_empty()) {
                (true, _) => Vec::new(),
                (false, true) => vec![KERNEL.to_owned()],
                (false, false) => args.kernels.clone(),
            },
            mutants: args.mutants.clone(),
            sweep: args.sweep,
            proofs: args.proofs.clone(),
            list: args.list,
            run: RunOptions {
                jobs: args.jobs.jobs,
                ..args.common.options(out(args.sweep, root))
            },
        }
    }

    /// What a command line without flags asks for, but for `--sweep`.
    #[must_use]
    pub fn new(sweep: bool, root: &Path) -> Self {
        Self {
            kernels: vec![KERNEL.to_owned()],
            mutants: Vec::new(),
            sweep,
            proofs: Vec::new(),
            list: false,
            run: RunOptions::new(out(sweep, root)),
        }
    }
}

/// Where the results go by default.
fn out(sweep: bool, root: &Path) -> PathBuf {
    root.join(if sweep {
        "target/sweep"
    } else {
        "target/sabotage"
    })
}

/// Runs the mutants in the checkout at `root`.
///
/// # Errors
/// Anything that keeps the boots from being started; what goes wrong in a boot is a result.
pub fn run(options: &SabotageOptions, root: &Path) -> Result<ExitCode> {
    let mutants = select(&options.mutants)?;
    if options.list {
        for listed in mutants {
            let Mutant {
                name, breaks, arm, ..
            } = listed.mutant;
            let (boot, proof) = (listed.boot.name(), &listed.proof);
            tell::out(&format!("{name}: {breaks}\n  {boot}: {proof}: {arm}\n"))?;
        }
        return Ok(ExitCode::AsDeclared);
    }
    let manifest = Manifest::load(&root.join("kernels.toml"))?;
    let kernels = manifest::select(&manifest.kernels, &options.kernels)?;
    if options.sweep {
        return sweep(options, root, &manifest, &kernels);
    }
    let proofs = mutants.iter().flat_map(sabotage::plan::proofs);
    let filesystems: BTreeSet<_> = proofs.filter_map(|proof| proof.filesystem).collect();
    let at_hand =
        AtHand::get(&options.run, root, &manifest, &kernels, &filesystems)?.with_all_kernels()?;
    let choice = at_hand.accelerator(options.run.accel)?;
    let pace = options.run.pace(choice.accelerator, &Boot::ALL);
    let jobs = jobs(&at_hand, options, pace, |kernel| {
        let (mutants, _) = skip::part(&mutants, &kernel.skips);
        sabotage::plan::kernel(kernel, &mutants, pace, nonce)
    })?;
    let planned: Vec<PlannedBoot> = jobs.iter().map(|job| job.boot.clone()).collect();
    let done = boots(&at_hand, jobs, options.run.slots(), choice.notice)?;
    let judged = |ready: &ReadyKernel| {
        let boots = over(&ready.name, &done, &planned)?;
        let ReadyKernel { name, skips, .. } = ready;
        Ok(kernel::judge(
            name,
            &mutants,
            skips,
            &boots,
            choice.accelerator,
        ))
    };
    let kernels = at_hand.kernels.iter();
    let results: Vec<OfKernel> = kernels.map(judged).collect::<anyhow::Result<_>>()?;
    let json = told::json(&results)?;
    let path = at_hand.out.path().join(told::FILE);
    let written = report::files::write_whole(&path, json.as_bytes());
    let shown = match options.run.json {
        true => {
            tell::err(told::summary(&results).trim_end());
            tell::out(&json)
        }
        false => tell::out(&told::table(&results)),
    };
    let code = engine::interrupted(&done).unwrap_or_else(|| told::exit_code(&results));
    told_or(code, written, shown)
}

/// The exit code of results that were to be written and shown: success only if they were.
fn told_or(code: ExitCode, written: anyhow::Result<()>, shown: Result) -> Result<ExitCode> {
    let Err(failure) = written.map_err(Failure::from).and(shown) else {
        return Ok(code);
    };
    tell::err(&format!("error: {failure}"));
    Ok(match code {
        ExitCode::AsDeclared => failure.code,
        other => other,
    })
}

/// Puts every proof to the agents of the null sweeps.
fn sweep(
    options: &SabotageOptions,
    root: &Path,
    manifest: &Manifest,
    kernels: &[&manifest::Kernel],
) -> Result<ExitCode> {
    let globs = proof_names::globs(&options.proofs)?;
    let wanted = sweep::wanted(globs.as_ref());
    proof_names::check_each_matches(&options.proofs, &wanted)?;
    let filesystems = plan::filesystems(&wanted);
    let at_hand =
        AtHand::get(&options.run, root, manifest, kernels, &filesystems)?.with_all_kernels()?;
    let choice = at_hand.accelerator(options.run.accel)?;
    let pace = options.run.pace(choice.accelerator, &Boot::ALL);
    let jobs = jobs(&at_hand, options, pace, |kernel| {
        sweep::kernel(kernel, &wanted, pace, nonce)
    })?;
    let planned: Vec<PlannedBoot> = jobs.iter().map(|job| job.boot.clone()).collect();
    let done = boots(&at_hand, jobs, options.run.slots(), choice.notice)?;
    let swept = at_hand.kernels.iter().flat_map(|ready| {
        let of_kernel = planned
            .iter()
            .filter(|boot| boot.suite.kernel == ready.name);
        let boots: Vec<_> = of_kernel
            .filter_map(|boot| {
                let done = done.iter().find(|done| done.result.suite == boot.suite)?;
                Some((&boot.plan, &done.result))
            })
            .collect();
        Null::BOTH.map(|null| sweep::judge(&ready.name, null, &wanted, &boots))
    });
    let swept: Vec<Sweep> = swept.collect();
    let json = sweep::json(&swept)?;
    let written =
        report::files::write_whole(&at_hand.out.path().join(sweep::FILE), json.as_bytes());
    let shown = match options.run.json {
        true => tell::out(&json),
        false => tell::out(&sweep::table(&swept)),
    };
    let code = engine::interrupted(&done).unwrap_or_else(|| sweep::exit_code(&swept));
    told_or(code, written, shown)
}

/// The mutants that the patterns match; all without one.
fn select(patterns: &[String]) -> Result<Vec<ListedMutant>> {
    let all = catalogue::all();
    if patterns.is_empty() {
        return Ok(all);
    }
    let mut wanted = BTreeSet::new();
    for pattern in patterns {
        let glob = Glob::new(pattern)
            .with_context(|| format!("--mutant {pattern}"))
            .map_err(Failure::usage)?
            .compile_matcher();
        let matching: Vec<&str> = all
            .iter()
            .map(|listed| listed.mutant.name)
            .filter(|name| glob.is_match(name))
            .collect();
        if matching.is_empty() {
            return Err(Failure::usage(anyhow!(
                "no mutant is named {pattern}; see them with --list"
            )));
        }
        wanted.extend(matching);
    }
    let all = all.into_iter();
    Ok(all
        .filter(|listed| wanted.contains(listed.mutant.name))
        .collect())
}

/// Plans and packs every kernel. The boots with most processors come first, as in
/// [`engine::longest_first`], and of these the ones with most to do.
fn jobs(
    at_hand: &AtHand,
    options: &SabotageOptions,
    pace: Pace,
    plan: impl Fn(&ReadyKernel) -> (GuestPlan, Vec<PlannedBoot>),
) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for kernel in &at_hand.kernels {
        let (guest_plan, boots) = plan(kernel);
        let image = at_hand.image(kernel, &guest_plan)?;
        let job = |boot: PlannedBoot| {
            let terms = Terms {
                accelerator: pace.accelerator,
                limit: pace.boot_limit(&boot.plan, MISSING_EVENTS),
                skips: Vec::new(),
                again: again(options, &kernel.name, pace.accelerator),
            };
            at_hand.job(kernel, &image, boot, terms)
        };
        jobs.extend(boots.into_iter().map(job));
    }
    jobs.sort_by_key(|job| std::cmp::Reverse((job.machine.processors, job.boot.plan.proofs.len())));
    Ok(jobs)
}

/// The command line that does it again.
fn again(options: &SabotageOptions, kernel: &str, accelerator: Accelerator) -> String {
    let launcher = options.run.launcher;
    let again = Again::new(&["sabotage"], kernel, launcher, accelerator);
    let again = match options.sweep {
        true => again.flag("--sweep"),
        false => again,
    };
    again
        .options("--mutant", &options.mutants)
        .options("--proof", &options.proofs)
        .path("--prebuilt", options.run.prebuilt.as_ref())
        .line()
}

fn boots(
    at_hand: &AtHand,
    jobs: Vec<Job>,
    slots: usize,
    notice: Option<String>,
) -> anyhow::Result<Vec<Done>> {
    let (events, receiver) = mpsc::channel();
    // Most proofs are to fail here, so what is shown is only how far it is.
    let watcher = std::thread::spawn(move || {
        for event in receiver {
            match event {
                Event::BootFinished(result) => {
                    let took = result.duration.as_secs_f32();
                    let proofs = result.proofs.len();
                    tell::err(&format!(
                        "done {}: {proofs} proofs in {took:.1} s",
                        result.suite
                    ));
                }
                Event::Notice(notice) => tell::err(&notice),
                Event::BootStarted { .. }
                | Event::PhaseChanged { .. }
                | Event::ProofFinished { .. } => {}
            }
        }
    });
    if let Some(notice) = notice {
        // Nobody may be watching; the results will still name the accelerator.
        let _ = events.send(Event::Notice(notice));
    }
    let done = engine::run(jobs, &at_hand.composer, slots, &events);
    drop(events);
    // All that it could tell is on standard error already.
    let _ = watcher.join();
    done
}

/// The boots of a kernel, with their records.
fn over<'a>(
    kernel: &str,
    done: &'a [Done],
    planned: &'a [PlannedBoot],
) -> anyhow::Result<Vec<Over<'a>>> {
    let mut boots = Vec::new();
    for done in done {
        let result = &done.result;
        let planned = planned
            .iter()
            .find(|planned| planned.suite == result.suite && result.suite.kernel == kernel);
        if let Some(planned) = planned {
            boots.push(Over {
                planned,
                result,
                records: Files::of(&result.dir).read_records()?,
            });
        }
    }
    Ok(boots)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::vm::accel::Wish;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: SabotageArgs,
    }

    #[test]
    fn patterns_select_mutants_and_one_that_matches_none_is_an_error() {
        assert_eq!(select(&[]).expect("all").len(), catalogue::all().len());
        let some = select(&["leaves-*-on-stop".to_owned()]).expect("some");
        assert_eq!(some.len(), 3);
        let error = select(&["leaves-*".to_owned(), "nothing".to_owned()]).expect_err("one");
        assert_eq!(error.code, ExitCode::Usage);
    }

    #[test]
    fn a_command_line_without_flags_asks_for_what_is_run_without_a_command_line() {
        let root = Path::new("/checkout");
        for sweep in [false, true] {
            let line = ["sabotage"].into_iter().chain(sweep.then_some("--sweep"));
            let line = Line::try_parse_from(line).expect("a valid line");
            assert_eq!(
                SabotageOptions::of(&line.args, root),
                SabotageOptions::new(sweep, root)
            );
        }
    }

    #[test]
    fn the_line_that_does_it_again_means_the_same() {
        let root = Path::new("/checkout");
        for sweep in [false, true] {
            let mut given = SabotageOptions::new(sweep, root);
            given.run.prebuilt = Some("/a b/bin".into());
            if sweep {
                given.proofs = vec!["*-open".to_owned()];
            } else {
                given.mutants = vec!["leaves-*".to_owned(), "denies-all".to_owned()];
            }
            let line = again(&given, "6.1", Accelerator::Tcg);
            let words = shlex::split(&line).expect("a line for a shell");
            let words = words.strip_prefix(&["cargo", "xtask"].map(str::to_owned));
            let line = Line::try_parse_from(words.expect("a line of cargo xtask"));
            let again = SabotageOptions::of(&line.expect("a valid line").args, root);
            given.kernels = vec!["6.1".to_owned()];
            given.run.accel = Wish::Tcg;
            assert_eq!(again, given);
        }
    }

    #[test]
    fn every_mutant_can_be_tried_on_the_kernel_that_is_enough() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let manifest = Manifest::load(&root.join("kernels.toml")).expect("the manifest");
        let mut kernels = manifest.kernels.iter();
        let kernel = kernels.find(|kernel| kernel.name == KERNEL).expect(KERNEL);
        let (_, skipped) = skip::part(&catalogue::all(), &kernel.skips);
        assert_eq!(skipped, []);
    }
}
