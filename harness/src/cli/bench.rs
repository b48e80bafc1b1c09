//! `cargo xtask bench agent`: what the agent costs, on each kernel in one guest.
//!
//! As `matrix`: set up, build, plan, pack, boot. One machine at a time, since another would be
//! measured along with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand, ValueEnum};
use protocol::bench::{AgentBinary, BenchPlan, EnforcingTier};

use super::again::Again;
use super::at_hand::{AtHand, Terms};
use super::matrix::jobs::nonce;
use super::options::{CommonArgs, RunOptions};
use crate::bench::numbers;
use crate::bench::plan::{self, Measure};
use crate::bench::read;
use crate::bench::report::{self as told, Agent, Measured, OfKernel};
use crate::exit::{ExitCode, Failure, Result};
use crate::image::artifacts::{Artifacts, Program};
use crate::kernels::ReadyKernel;
use crate::kernels::manifest::{self, Manifest};
use crate::run::engine::{self, Done, Job};
use crate::run::event::{Event, Phase};
use crate::vm::channel::Channel;
use crate::vm::{Accelerator, Files, Pace};
use proofs::Boot;

use crate::progress::{Progress as _, Terminal};
use crate::report;
use crate::run::plan as boots;
use crate::tell;

/// The kernels that costs differ most on: the oldest, the newest, and the two that most machines
/// run.
const KERNELS: [&str; 4] = ["5.10", "6.1", "6.12", "7.3"];

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// What an open costs with the agent, and what the agent itself takes
    Agent(AgentArgs),
}

/// Of which agents, where, and how long.
#[derive(Debug, Args)]
#[command(mut_arg("out", |out| out.help("Where the results go [default: target/bench]")))]
pub struct AgentArgs {
    /// On these kernels of kernels.toml, by name or glob [default: 5.10, 6.1, 6.12, 7.3]
    #[arg(long = "kernel", value_name = "NAME|GLOB")]
    pub kernels: Vec<String>,
    /// Measure this agent instead of this checkout's
    #[arg(long, value_name = "PATH")]
    pub agent: Option<PathBuf>,
    /// Measure another agent too, turn by turn in the same guest, and compare
    #[arg(long, value_name = "OTHER_AGENT")]
    pub against: Option<PathBuf>,
    /// Only this tier
    #[arg(long = "tier", value_enum, value_name = "NAME")]
    pub tiers: Vec<TierName>,
    /// Only policies with as many file rules: 1, 1000 or 10000
    #[arg(long = "rules", value_name = "N")]
    pub rules: Vec<usize>,
    /// How often each agent is started for each policy of one file rule in each tier; for a policy
    /// of more, three fifths as often
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..))]
    pub lives: u16,
    /// How many opens make a sample
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub ops: u32,
    /// How long a kernel's guest may take [default: 1800 under TCG, 600 under KVM]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..))]
    pub boot_limit: Option<u16>,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// A tier as on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TierName {
    /// BPF LSM programs.
    Lsm,
    /// Modified return values.
    Modret,
    /// Signals.
    Signal,
}

impl From<TierName> for EnforcingTier {
    fn from(name: TierName) -> Self {
        match name {
            TierName::Lsm => Self::Lsm,
            TierName::Modret => Self::Modret,
            TierName::Signal => Self::Signal,
        }
    }
}

/// Measures in the checkout at `root`.
///
/// # Errors
/// Anything that keeps the boots from being started; what goes wrong in a boot is a result.
pub fn run(command: &BenchCommand, root: &Path) -> Result<ExitCode> {
    let BenchCommand::Agent(args) = command;
    let bench = plan::plan(&measure(args)?);
    let manifest = Manifest::load(&root.join("kernels.toml"))?;
    let names = match args.kernels.is_empty() {
        true => KERNELS.map(str::to_owned).to_vec(),
        false => args.kernels.clone(),
    };
    let kernels = manifest::select(&manifest.kernels, &names)?;
    // Before anything is fetched or built for its sake.
    let other = args.against.as_deref().map(Program::read).transpose();
    let other = other.context("--against").map_err(Failure::usage)?;
    let options = RunOptions {
        agent: args.agent.clone(),
        ..args.common.options(root.join("target/bench"))
    };
    let mut at_hand =
        AtHand::get(&options, root, &manifest, &kernels, &BTreeSet::new())?.with_all_kernels()?;
    at_hand.artifacts.other_agent = other;
    at_hand.artifacts.sabotaged_agent = None;
    let choice = at_hand.accelerator(options.accel)?;
    if let Some(notice) = &choice.notice {
        tell::err(notice);
    }
    let jobs = jobs(&at_hand, args, &bench, choice.accelerator)?;
    let done = run_jobs(&at_hand, jobs, bench.lives.len())?;
    let measured = Measured {
        agents: agents(&at_hand.artifacts),
        kernels: done
            .iter()
            .map(|done| of_kernel(done, &bench))
            .collect::<anyhow::Result<_>>()?,
    };
    let json = told::json(&measured)?;
    report::files::write_whole(&at_hand.out.path().join(told::FILE), json.as_bytes())?;
    match options.json {
        true => tell::out(&json)?,
        false => tell::out(&told::table(&measured))?,
    }
    let mut code = ExitCode::AsDeclared;
    for (kernel, why) in measured.errors() {
        tell::err(&format!("error: {kernel}: nothing was measured: {why}"));
        code = ExitCode::Infrastructure;
    }
    Ok(engine::interrupted(&done).unwrap_or(code))
}

fn measure(args: &AgentArgs) -> Result<Measure> {
    let known = plan::rules();
    if let Some(unknown) = args.rules.iter().find(|rules| !known.contains(rules)) {
        return Err(Failure::usage(anyhow!(
            "--rules {unknown}: there is a policy with each of {known:?} rules"
        )));
    }
    let mut tiers: Vec<EnforcingTier> = EnforcingTier::ALL.to_vec();
    if !args.tiers.is_empty() {
        let wanted = |tier: &EnforcingTier| args.tiers.iter().any(|&name| *tier == name.into());
        tiers.retain(wanted);
    }
    Ok(Measure {
        tiers,
        rules: args.rules.clone(),
        against: args.against.is_some(),
        lives: args.lives.into(),
        ops: args.ops,
    })
}

fn jobs(
    at_hand: &AtHand,
    args: &AgentArgs,
    bench: &BenchPlan,
    accelerator: Accelerator,
) -> Result<Vec<Job>> {
    let limit = args.boot_limit.map_or(
        match accelerator {
            Accelerator::Tcg => Duration::from_secs(1800),
            Accelerator::Kvm => Duration::from_secs(600),
        },
        |limit| Duration::from_secs(limit.into()),
    );
    let mut jobs = Vec::new();
    for kernel in &at_hand.kernels {
        let mut boot = boots::boot(kernel, Boot::BpfLsm, plan::BOOT, Vec::new(), nonce());
        boot.plan.bench = Some(bench.clone());
        let guest_plan = boots::guest(
            kernel,
            Pace::new(accelerator, 1, 1),
            std::slice::from_ref(&boot),
        );
        let image = at_hand.image(kernel, &guest_plan)?;
        let terms = Terms {
            accelerator,
            limit,
            skips: Vec::new(),
            again: again(args, kernel, accelerator),
        };
        jobs.push(at_hand.job(kernel, &image, boot, terms));
    }
    Ok(jobs)
}

/// The command line that does it again.
fn again(args: &AgentArgs, kernel: &ReadyKernel, accelerator: Accelerator) -> String {
    let tiers = args.tiers.iter();
    let tiers = tiers.map(|&tier| EnforcingTier::from(tier).name());
    let launcher = args.common.launcher;
    let again = Again::new(&["bench", "agent"], &kernel.name, launcher, accelerator)
        .option("--lives", &args.lives.to_string())
        .option("--ops", &args.ops.to_string())
        .options("--tier", tiers)
        .options("--rules", args.rules.iter().map(usize::to_string))
        .path("--agent", args.agent.as_ref())
        .path("--against", args.against.as_ref())
        .path("--prebuilt", args.common.prebuilt.as_ref());
    again.line()
}

/// One boot after the other.
fn run_jobs(at_hand: &AtHand, jobs: Vec<Job>, lives: usize) -> anyhow::Result<Vec<Done>> {
    let (events, receiver) = mpsc::channel();
    let watcher = std::thread::spawn(move || {
        let progress = Terminal::new();
        for event in receiver {
            match event {
                Event::PhaseChanged {
                    suite,
                    phase: Phase::Measuring(measured),
                } => {
                    let percent = u64::try_from(measured * 100 / lives.max(1)).ok();
                    progress.step(&format!("measuring {}", suite.kernel), percent);
                }
                Event::BootFinished(result) => {
                    let took = result.duration.as_secs_f32();
                    progress.line(&format!("done {} in {took:.1} s", result.suite));
                }
                Event::Notice(notice) => progress.line(&notice),
                Event::BootStarted { .. }
                | Event::PhaseChanged { .. }
                | Event::ProofFinished { .. } => {}
            }
        }
        progress.idle();
    });
    let done = engine::run(jobs, &at_hand.composer, 1, &events);
    drop(events);
    // All that it could tell is on standard error already.
    let _ = watcher.join();
    done
}

/// Which binaries were measured.
fn agents(artifacts: &Artifacts) -> Vec<Agent> {
    let tested = (AgentBinary::Tested, &artifacts.agent);
    let other = artifacts.other_agent.iter();
    let all = [tested]
        .into_iter()
        .chain(other.map(|program| (AgentBinary::Other, program)));
    all.map(|(agent, program)| Agent {
        agent,
        path: program.path.display().to_string(),
        sha256: program.sha256.clone(),
    })
    .collect()
}

/// What came of a boot. One with a fault has no numbers, whatever it told before.
fn of_kernel(done: &Done, bench: &BenchPlan) -> anyhow::Result<OfKernel> {
    let result = &done.result;
    let mut channel = Channel::default();
    channel.push(&Files::of(&result.dir).read_records()?, Duration::ZERO);
    channel.close();
    let kernel = &result.suite.kernel;
    let lives = read::lives(bench, &channel);
    let numbers = match (lives, result.faults.is_empty()) {
        (Ok(lives), true) => Ok(numbers::of_kernel(kernel, bench, &lives)),
        (lives, _) => {
            let reasons = result.faults.iter().cloned().chain(lives.err());
            Err(reasons.collect::<Vec<_>>().join("; "))
        }
    };
    Ok(OfKernel {
        kernel: kernel.clone(),
        release: result.release.clone(),
        accelerator: result.accelerator.clone(),
        took_s: result.duration.as_secs_f64(),
        numbers,
    })
}
