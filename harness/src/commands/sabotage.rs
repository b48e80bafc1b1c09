//! `cargo xtask sabotage`: the same proofs, put to agents and worlds that are broken on purpose.
//!
//! As `matrix`: set up, build, plan, pack, boot, judge. Only that a red proof is what is wanted
//! here, and for the declared reason; a mutant that survives ends it with exit code 1.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use globset::Glob;
use protocol::record::Record;
use protocol::sabotage::{self as mark, CONTROL};

use super::matrix::MatrixArgs;
use super::matrix::at_hand::AtHand;
use super::matrix::jobs::nonce;
use crate::channel::{Channel, Line};
use crate::engine::{self, Done, Job};
use crate::event::Event;
use crate::exit::{ExitCode, Failure, Result};
use crate::kernels::ReadyKernel;
use crate::launch::{Accelerator, Files, Launcher, Machine, accel};
use crate::manifest::{self, Manifest};
use crate::outcome::{BootResult, Ending, ProofResult, Status};
use crate::plan::{Boot, PlannedBoot};
use crate::report;
use crate::sabotage::catalogue::{self, Mutant, Way};
use crate::sabotage::judge::{self, Judged};
use crate::sabotage::plan;
use crate::sabotage::report::{self as told, OfKernel};
use crate::sabotage::skip;
use crate::verdict;

/// The kernel that is enough to see that the suite can fail.
const KERNEL: &str = "6.1";

/// What to break, where, and where the results go.
#[derive(Debug, Args)]
pub struct SabotageArgs {
    /// On these kernels of kernels.toml, by name or glob [default: 6.1]
    #[arg(long = "kernel", value_name = "NAME|GLOB", conflicts_with = "all")]
    pub kernels: Vec<String>,
    /// On every kernel
    #[arg(long)]
    pub all: bool,
    /// Only these mutants, by name or glob
    #[arg(long = "mutant", value_name = "NAME|GLOB")]
    pub mutants: Vec<String>,
    /// Who composes QEMU's command
    #[arg(long, value_enum, default_value = "virtme-ng")]
    pub launcher: Launcher,
    /// What runs the guest; auto takes KVM only after a marker boot on it
    #[arg(long, value_enum, default_value = "auto")]
    pub accel: accel::Wish,
    /// How many machines side by side [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Take the builds from a folder that `cargo xtask build` wrote
    #[arg(long, value_name = "DIR")]
    pub prebuilt: Option<PathBuf>,
    /// Where the results go [default: target/sabotage]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Show the mutants, what they break and what must catch them, and run nothing
    #[arg(long)]
    pub list: bool,
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

/// Runs the mutants in the checkout at `root`.
///
/// # Errors
/// Anything that keeps the boots from being started; what goes wrong in a boot is a result.
pub fn run(args: &SabotageArgs, root: &Path) -> Result<ExitCode> {
    let mutants = select(&args.mutants)?;
    if args.list {
        for mutant in mutants {
            let Mutant {
                name,
                breaks,
                proof,
                arm,
                ..
            } = mutant;
            println!("{name}: {breaks}\n  {}: {proof}: {arm}", mutant.boot.name());
        }
        return Ok(ExitCode::AsDeclared);
    }
    let manifest = Manifest::load(&root.join("kernels.toml"))?;
    let names = match (args.all, args.kernels.is_empty()) {
        (true, _) => Vec::new(),
        (false, true) => vec![KERNEL.to_owned()],
        (false, false) => args.kernels.clone(),
    };
    let kernels = manifest::select(&manifest.kernels, &names)?;
    let of_matrix = as_matrix(args, root);
    let at_hand = AtHand::get(&of_matrix, root, &manifest, &kernels, &BTreeSet::new())?;
    let choice = at_hand.accelerator(args.accel)?;
    let jobs = jobs(&at_hand, args, &mutants, choice.accelerator)?;
    let planned: Vec<PlannedBoot> = jobs.iter().map(|job| job.boot.clone()).collect();
    let workers = args.jobs.map_or_else(
        || std::thread::available_parallelism().map_or(1, usize::from),
        usize::from,
    );
    let done = boots(&at_hand, jobs, workers, choice.notice);
    let of_kernel = |kernel: &ReadyKernel| {
        let done: Vec<&Done> = done
            .iter()
            .filter(|done| done.result.suite.kernel == kernel.name)
            .collect();
        judge_kernel(kernel, &mutants, &done, &planned, choice.accelerator)
    };
    let results: Vec<OfKernel> = at_hand
        .kernels
        .iter()
        .map(of_kernel)
        .collect::<anyhow::Result<_>>()?;
    let json = told::json(&results)?;
    report::files::write_whole(&at_hand.out.path().join(told::FILE), json.as_bytes())?;
    match args.json {
        true => {
            print!("{json}");
            eprint!("{}", told::summary(&results));
        }
        false => print!("{}", told::table(&results)),
    }
    Ok(told::exit_code(&results))
}

/// The mutants that the patterns match; all without one.
fn select(patterns: &[String]) -> Result<Vec<Mutant>> {
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
            .map(|mutant| mutant.name)
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
    Ok(all.filter(|mutant| wanted.contains(mutant.name)).collect())
}

/// What a matrix of the same kernels would be asked for: it takes the same to get ready.
pub(super) fn as_matrix(args: &SabotageArgs, root: &Path) -> MatrixArgs {
    let out = args.out.clone();
    MatrixArgs {
        kernels: Vec::new(),
        boot: None,
        proofs: Vec::new(),
        launcher: args.launcher,
        accel: args.accel,
        boot_limit: None,
        jobs: args.jobs,
        agent: None,
        prebuilt: args.prebuilt.clone(),
        out: Some(out.unwrap_or_else(|| root.join("target/sabotage"))),
        list: false,
        format: super::list::Format::Text,
        json: false,
        locked: args.locked,
        offline: args.offline,
        no_setup: args.no_setup,
    }
}

/// Plans and packs every kernel. The boots with most to do come first.
fn jobs(
    at_hand: &AtHand,
    args: &SabotageArgs,
    mutants: &[Mutant],
    accelerator: Accelerator,
) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for kernel in &at_hand.kernels {
        let (mutants, _) = skip::part(mutants, &kernel.skips);
        let (guest_plan, boots) = plan::kernel(kernel, &mutants, accelerator, nonce);
        let image = at_hand.image(kernel, &guest_plan)?;
        jobs.extend(boots.into_iter().map(|boot| Job {
            machine: Machine {
                vmlinuz: kernel.vmlinuz.clone(),
                initramfs: image.path.clone(),
                cmdline: boot.cmdline.clone(),
                memory_mib: kernel.memory_mib,
                accelerator,
                limit: accelerator.boot_limit(),
                dir: report::files::boot_dir(at_hand.out.path(), &boot.suite),
            },
            skips: Vec::new(),
            package_version: kernel.package_version.clone(),
            replaced_version: None,
            again: again(args, kernel, accelerator),
            obstacle: image.obstacle.clone(),
            boot,
        }));
    }
    jobs.sort_by_key(|job| std::cmp::Reverse(job.boot.plan.proofs.len()));
    Ok(jobs)
}

/// The command line that does it again.
fn again(args: &SabotageArgs, kernel: &ReadyKernel, accelerator: Accelerator) -> String {
    let mut text = format!(
        "cargo xtask sabotage --kernel {} --launcher {} --accel {}",
        kernel.name,
        args.launcher.name(),
        accelerator.name()
    );
    for mutant in &args.mutants {
        text += &format!(" --mutant '{mutant}'");
    }
    text
}

fn boots(at_hand: &AtHand, jobs: Vec<Job>, workers: usize, notice: Option<String>) -> Vec<Done> {
    let (events, receiver) = mpsc::channel();
    // Most proofs are to fail here, so what is shown is only how far it is.
    let watcher = std::thread::spawn(move || {
        for event in receiver {
            match event {
                Event::BootFinished(result) => {
                    let took = result.duration.as_secs_f32();
                    let proofs = result.proofs.len();
                    eprintln!("done {}: {proofs} proofs in {took:.1} s", result.suite);
                }
                Event::Notice(notice) => eprintln!("{notice}"),
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
    let done = engine::run(jobs, &at_hand.with, workers, &events);
    drop(events);
    // All that it could tell is on standard error already.
    let _ = watcher.join();
    done
}

fn judge_kernel(
    kernel: &ReadyKernel,
    mutants: &[Mutant],
    done: &[&Done],
    planned: &[PlannedBoot],
    accelerator: Accelerator,
) -> anyhow::Result<OfKernel> {
    let of = |boot: &str| {
        let mut results = done.iter().map(|done| &done.result);
        results.find(|result| result.suite.boot == boot)
    };
    let mut judged = Vec::new();
    let (mutants, skipped) = skip::part(mutants, &kernel.skips);
    for mutant in mutants {
        let shared = of(mutant.boot.name());
        let alone = of(&mark::with(mutant.boot.name(), mutant.name));
        let planned = planned
            .iter()
            .find(|planned| shared.is_some_and(|shared| shared.suite == planned.suite));
        judged.push(match (mutant.way, shared, planned) {
            (Way::LostRecord, Some(shared), Some(planned)) => {
                lost_record(&mutant, shared, planned)?
            }
            _ => {
                let boots = shared.into_iter().chain(alone);
                let results: Vec<&ProofResult> = boots.flat_map(|boot| &boot.proofs).collect();
                let faults = alone.or(shared).map_or(&[][..], |boot| &boot.faults);
                judge::judge(&mutant, &results, faults)
            }
        });
    }
    let shared = Boot::ALL.into_iter().filter_map(|boot| of(boot.name()));
    let mut control = Control::default();
    shared.for_each(|boot| control.add(boot));
    Ok(OfKernel {
        kernel: kernel.name.clone(),
        release: done.iter().find_map(|done| done.result.release.clone()),
        accelerator: accelerator.name().to_owned(),
        control_passed: control.passed,
        control_faults: control.faults,
        mutants: judged,
        skipped,
    })
}

/// What came of the proofs with nothing broken.
#[derive(Default)]
struct Control {
    passed: usize,
    faults: Vec<String>,
}

impl Control {
    fn add(&mut self, boot: &BootResult) {
        self.faults.extend(boot.faults.iter().cloned());
        for proof in &boot.proofs {
            match (mark::split(&proof.id), proof.status) {
                ((_, Some(CONTROL)), Status::Passed) => self.passed += 1,
                ((id, Some(CONTROL)), _) => {
                    self.faults
                        .push(format!("{id}: {}", proof.reasons.join("; ")));
                }
                _ => {}
            }
        }
    }
}

/// Judges the control's own records once more, with one of them lost.
fn lost_record(
    mutant: &Mutant,
    boot: &BootResult,
    planned: &PlannedBoot,
) -> anyhow::Result<Judged> {
    let path = Files::of(&boot.dir).records;
    let records = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let proof = mark::with(mutant.proof, CONTROL);
    let records = lose(&records, &proof, mutant.arm);
    let mut channel = Channel::default();
    channel.push(&records, Duration::ZERO);
    channel.close();
    let ending = Ending::Exited { code: Some(0) };
    let judged = verdict::judge(&planned.plan, &planned.nonce, &[], &channel, &ending, "");
    let with_loss = judged
        .proofs
        .into_iter()
        .filter(|result| result.id == proof);
    let with_loss: Vec<ProofResult> = with_loss
        .map(|result| ProofResult {
            id: mark::with(mutant.proof, mutant.name),
            ..result
        })
        .collect();
    let results: Vec<&ProofResult> = boot.proofs.iter().chain(&with_loss).collect();
    Ok(judge::judge(mutant, &results, &judged.faults))
}

/// The records without the evidence of one arm.
fn lose(records: &[u8], proof: &str, lost: &str) -> Vec<u8> {
    let is_lost = |line: &&[u8]| {
        let mut channel = Channel::default();
        let lines = channel.push(line, Duration::ZERO);
        matches!(lines, [(_, Line::Record(Record::Evidence { id, arm, .. }))]
            if id == proof && arm == lost)
    };
    let lines = records.split_inclusive(|byte| *byte == b'\n');
    lines
        .filter(|line| !is_lost(line))
        .flatten()
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_select_mutants_and_one_that_matches_none_is_an_error() {
        assert_eq!(select(&[]).expect("all").len(), catalogue::all().len());
        let some = select(&["leaves-*-on-stop".to_owned()]).expect("some");
        assert_eq!(some.len(), 3);
        let error = select(&["leaves-*".to_owned(), "nothing".to_owned()]).expect_err("one");
        assert_eq!(error.code, ExitCode::Usage);
    }

    #[test]
    fn exactly_one_record_is_lost() {
        let evidence = |id: &str, arm: &str| {
            format!(
                "{{\"record\":\"evidence\",\"id\":\"{id}\",\"arm\":\"{arm}\",\
                 \"observation\":{{\"kind\":\"document\",\"document\":1}}}}\n"
            )
        };
        let (first, second) = (evidence("a-proof", "before"), evidence("a-proof", "during"));
        let all = format!("{first}{second}{}", evidence("b-proof", "during"));
        let left = lose(all.as_bytes(), "a-proof", "during");
        let expected = format!("{first}{}", evidence("b-proof", "during"));
        assert_eq!(String::from_utf8(left).expect("text"), expected);
    }
}
