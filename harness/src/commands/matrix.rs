//! `cargo xtask matrix`: every kernel, every boot, every proof; then what came of it.
//!
//! The order: read what people wrote, set up, claim the folder, make kernels ready, build
//! what goes into the guest, plan, pack, choose the accelerator, boot and judge, compare the
//! boots of each kernel, report. Each step is a module; this one only joins them.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use protocol::plan::GuestPlan;
use protocol::record::Record;

use super::list::{self, Format};
use super::proofs;
use crate::artifacts::{self, Artifacts};
use crate::channel::{Channel, Line};
use crate::cross_boot;
use crate::engine::{self, Done, Job, LaunchWith};
use crate::event::Event;
use crate::exit::{ExitCode, Failure, Result};
use crate::image::pack::{self, PackInput, Packed};
use crate::image::spec::ImageSpec;
use crate::kernels::ReadyKernel;
use crate::kernels::apt::AptArchive;
use crate::kernels::cache::Cache;
use crate::kernels::fetch::{Fetcher, Options};
use crate::launch::{self, Accelerator, Launcher, Machine, accel};
use crate::manifest::{self, Kernel, Manifest, Skip};
use crate::out_dir::OutDir;
use crate::outcome::{BootResult, SuiteId};
use crate::plan::{self, Boot, CROSS_BOOT, PlannedBoot, Wanted};
use crate::progress::{Progress as _, Terminal};
use crate::report::{self, screen::Screen};
use crate::setup::{self, Setup, Venv};
use crate::verdict::{self, DeclaredSkip, RunVerdict};

/// What to run, how, and where the results go.
#[derive(Debug, Args)]
pub struct MatrixArgs {
    /// Only these kernels of kernels.toml, by name or glob
    #[arg(long = "kernel", value_name = "NAME|GLOB")]
    pub kernels: Vec<String>,
    /// Only this boot
    #[arg(long, value_enum, value_name = "NAME")]
    pub boot: Option<Boot>,
    /// Only these proofs, by id or glob
    #[arg(long = "proof", value_name = "GLOB")]
    pub proofs: Vec<String>,
    /// Who composes QEMU's command
    #[arg(long, value_enum, default_value = "virtme-ng")]
    pub launcher: Launcher,
    /// What runs the guest; auto takes KVM only after a marker boot on it
    #[arg(long, value_enum, default_value = "auto")]
    pub accel: accel::Wish,
    /// How long a whole boot may take [default: 180 under TCG, 60 under KVM]
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

/// Runs the matrix in the checkout at `root`.
///
/// # Errors
/// Anything that keeps the boots from being started; what goes wrong in a boot is a result.
pub fn run(args: &MatrixArgs, root: &Path) -> Result<ExitCode> {
    let manifest = Manifest::load(&root.join("kernels.toml"))?;
    let kernels = manifest::select(&manifest.kernels, &args.kernels)?;
    let globs = proofs::globs(&args.proofs)?;
    let boots = args.boot.map_or(Boot::ALL.to_vec(), |boot| vec![boot]);
    let wanted = Wanted {
        boots: &boots,
        proofs: globs.as_ref(),
        sabotaged_agent: args.agent.is_none(),
    };
    proofs::check_each_matches(&args.proofs, &wanted)?;
    if args.list {
        print!("{}", list::render(&kernels, &wanted, args.format));
        return Ok(ExitCode::AsDeclared);
    }
    if let Some(agent) = &args.agent {
        // Before anything is fetched or built for its sake.
        artifacts::check_runs_in_guest(agent)
            .context("--agent")
            .map_err(Failure::usage)?;
    }
    Matrix::prepare(args, root, &manifest, &kernels)?.go(args, &wanted)
}

/// Sets up and gets everything at hand that a run needs, without running it.
///
/// # Errors
/// As [`run`].
pub fn prepare(args: &MatrixArgs, root: &Path) -> Result<()> {
    let manifest = Manifest::load(&root.join("kernels.toml"))?;
    let kernels = manifest::select(&manifest.kernels, &args.kernels)?;
    Matrix::prepare(args, root, &manifest, &kernels)?;
    Ok(())
}

/// Everything at hand for the boots.
struct Matrix {
    out: OutDir,
    with: LaunchWith,
    artifacts: Artifacts,
    image: ImageSpec,
    kernels: Vec<ReadyKernel>,
    accelerator_memory: PathBuf,
    root: PathBuf,
}

impl Matrix {
    /// Sets up, claims the folder, makes the kernels ready and builds.
    fn prepare(
        args: &MatrixArgs,
        root: &Path,
        manifest: &Manifest,
        kernels: &[&Kernel],
    ) -> Result<Self> {
        let cache = Cache::of_user()?;
        let progress = Terminal::new();
        let image = ImageSpec::load(&root.join("images"))?;
        let job = setup::Job::Matrix {
            virtme_ng: args.launcher == Launcher::VirtmeNg,
            build: args.prebuilt.is_none(),
        };
        Setup::new(&cache, args.no_setup, &progress)
            .ensure(&setup::needed_for(job, !image.modules.is_empty()))?;
        let out = match &args.out {
            Some(out) => out.clone(),
            None => root.join("target/matrix"),
        };
        let out = OutDir::claim(&out)?;
        let archive = AptArchive::new(cache.root().join("apt"), &manifest.suites, &progress);
        let fetcher = Fetcher {
            manifest,
            lock_path: &root.join("kernels.lock"),
            cache: &cache,
            archive: &archive,
            progress: &progress,
        };
        let options = Options {
            locked: args.locked,
            offline: args.offline,
            modules: !image.modules.is_empty(),
        };
        let kernels = fetcher.ready(kernels, options)?;
        progress.step("building the agent and the guest", None);
        let artifacts = artifacts(args, root)?;
        progress.idle();
        Ok(Self {
            out,
            with: LaunchWith {
                launcher: args.launcher,
                vng: Venv::in_cache(&cache).program("vng"),
            },
            artifacts,
            image,
            kernels,
            accelerator_memory: cache.root().join("accelerator.json"),
            root: root.to_owned(),
        })
    }

    /// Plans, boots, judges and reports.
    fn go(self, args: &MatrixArgs, wanted: &Wanted) -> Result<ExitCode> {
        let choice = accel::choose(args.accel, &self.accelerator_memory, || self.marker_boot())?;
        let jobs = self.jobs(args, wanted, choice.accelerator)?;
        let mut planned: Vec<SuiteId> = jobs.iter().map(|job| job.boot.suite.clone()).collect();
        let workers = args.jobs.map_or_else(
            || std::thread::available_parallelism().map_or(1, usize::from),
            usize::from,
        );
        let (events, receiver) = mpsc::channel();
        let progress = report::progress::Progress::start(receiver, Screen::of_stderr());
        if let Some(notice) = choice.notice {
            // Nobody may be watching; the results will still name the accelerator.
            let _ = events.send(Event::Notice(notice));
        }
        let done = engine::run(jobs, &self.with, workers, &events);
        drop(events);
        progress.finish();
        let mut results = self.results(done);
        if plan::cross_boot(wanted) {
            planned.extend(
                self.kernels
                    .iter()
                    .map(|kernel| cross_boot_suite(&kernel.name)),
            );
        }
        let order = |suite: &SuiteId| {
            let kernel = self
                .kernels
                .iter()
                .position(|ready| ready.name == suite.kernel);
            let boot = Boot::ALL.iter().position(|boot| boot.name() == suite.boot);
            (kernel, boot.unwrap_or(Boot::ALL.len()))
        };
        results.sort_by_key(|result| order(&result.suite));
        report::write_all(self.out.path(), &results)?;
        if args.json {
            print!("{}", report::json::render(&results)?);
        } else {
            print!(
                "{}",
                report::table::render(&results, Screen::of_stdout().colour)
            );
        }
        Ok(match verdict::run_verdict(&results, &planned) {
            RunVerdict::AsDeclared => ExitCode::AsDeclared,
            RunVerdict::PromiseBroken => ExitCode::Failed,
            RunVerdict::Infrastructure => ExitCode::Infrastructure,
        })
    }

    /// Plans and packs every kernel; longest boots first.
    fn jobs(
        &self,
        args: &MatrixArgs,
        wanted: &Wanted,
        accelerator: Accelerator,
    ) -> Result<Vec<Job>> {
        let mut jobs = Vec::new();
        for kernel in &self.kernels {
            let (guest_plan, boots) = plan::kernel(kernel, wanted, accelerator, nonce);
            let packed = self.pack(kernel, &guest_plan)?;
            for module in &packed.missing_modules {
                eprintln!(
                    "kernel {} has no module {module}, which images/ asks for",
                    kernel.name
                );
            }
            for boot in boots {
                jobs.push(self.job(args, kernel, boot, &packed.path, accelerator));
            }
        }
        engine::longest_first(&mut jobs);
        Ok(jobs)
    }

    fn job(
        &self,
        args: &MatrixArgs,
        kernel: &ReadyKernel,
        boot: PlannedBoot,
        initramfs: &Path,
        accelerator: Accelerator,
    ) -> Job {
        Job {
            machine: Machine {
                vmlinuz: kernel.vmlinuz.clone(),
                initramfs: initramfs.to_owned(),
                cmdline: boot.cmdline.clone(),
                memory_mib: kernel.memory_mib,
                accelerator,
                limit: args.boot_limit.map_or(accelerator.boot_limit(), |limit| {
                    Duration::from_secs(limit.into())
                }),
                dir: report::files::boot_dir(self.out.path(), &boot.suite),
            },
            skips: declared_skips(&kernel.skips, &boot.suite.boot),
            package_version: kernel.package_version.clone(),
            replaced_version: kernel
                .replaced
                .as_ref()
                .map(|replaced| replaced.old.clone()),
            again: again(args, &self.root, &boot.suite, accelerator),
            boot,
        }
    }

    fn pack(&self, kernel: &ReadyKernel, plan: &GuestPlan) -> Result<Packed> {
        let input = PackInput {
            guest: &self.artifacts.guest,
            agent: &self.artifacts.agent,
            sabotaged_agent: self.artifacts.sabotaged_agent.as_deref(),
            plan,
            image: &self.image,
            modules: kernel.modules.as_deref(),
        };
        let suite = SuiteId {
            kernel: kernel.name.clone(),
            boot: "initramfs.cpio".to_owned(),
        };
        let path = report::files::boot_dir(self.out.path(), &suite);
        pack::pack(&input, &path)
    }

    /// Boots the first kernel on KVM with a plan of nothing, and tells whether its guest said
    /// hello: more than that no accelerator needs to show.
    fn marker_boot(&self) -> anyhow::Result<bool> {
        let kernel = self.kernels.first().context("no kernel to try KVM with")?;
        let plan = GuestPlan {
            version: protocol::VERSION,
            kernel: kernel.name.clone(),
            wait_ms: 0,
            boots: Vec::new(),
        };
        let dir = self.out.path().join("kvm-marker");
        std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        let packed = self.pack(kernel, &plan).map_err(|failure| failure.error)?;
        let machine = Machine {
            vmlinuz: kernel.vmlinuz.clone(),
            initramfs: packed.path,
            cmdline: "console=ttyS0 panic=-1 rdinit=/init".to_owned(),
            memory_mib: kernel.memory_mib,
            accelerator: Accelerator::Kvm,
            limit: accel::MARKER_LIMIT,
            dir,
        };
        let mut channel = Channel::default();
        let mut said_hello = false;
        // Always the direct launcher: the question is KVM's, not virtme-ng's.
        launch::boot(&machine, &launch::qemu::compose(&machine), |bytes, at| {
            let lines = channel.push(bytes, at);
            said_hello |= lines
                .iter()
                .any(|(_, line)| matches!(line, Line::Record(Record::Hello(_))));
        })?;
        Ok(said_hello)
    }

    /// The judged boots, with each kernel's comparison where both its boots ran.
    fn results(&self, done: Vec<Done>) -> Vec<BootResult> {
        let of = |kernel: &str, boot: Boot| {
            done.iter().find(|done| {
                done.result.suite.kernel == kernel && done.result.suite.boot == boot.name()
            })
        };
        let mut compared = Vec::new();
        for kernel in &self.kernels {
            let (Some(real), Some(seam)) = (
                of(&kernel.name, Boot::NoBpfLsm),
                of(&kernel.name, Boot::BpfLsm),
            ) else {
                continue;
            };
            let dir = report::files::boot_dir(self.out.path(), &cross_boot_suite(&kernel.name));
            compared.push(cross_boot::judge(side(real), side(seam), dir));
        }
        done.into_iter()
            .map(|done| done.result)
            .chain(compared)
            .collect()
    }
}

fn side(done: &Done) -> cross_boot::Side<'_> {
    cross_boot::Side {
        result: &done.result,
        documents: &done.documents,
    }
}

fn cross_boot_suite(kernel: &str) -> SuiteId {
    SuiteId {
        kernel: kernel.to_owned(),
        boot: CROSS_BOOT.to_owned(),
    }
}

fn artifacts(args: &MatrixArgs, root: &Path) -> Result<Artifacts> {
    let ours = match &args.prebuilt {
        Some(dir) => Artifacts::in_folder(dir).map_err(Failure::usage)?,
        None => artifacts::build(root, &root.join("target/artifacts"))?,
    };
    match &args.agent {
        Some(agent) => ours
            .with_agent(agent)
            .context("--agent")
            .map_err(Failure::usage),
        None => Ok(ours),
    }
}

fn declared_skips(skips: &[Skip], boot: &str) -> Vec<DeclaredSkip> {
    skips
        .iter()
        .filter(|skip| skip.boot.as_deref().is_none_or(|only| only == boot))
        .map(|skip| DeclaredSkip {
            proof: skip.proof.clone(),
            reason: skip.reason.clone(),
        })
        .collect()
}

/// The command line that repeats one boot.
fn again(args: &MatrixArgs, root: &Path, suite: &SuiteId, accelerator: Accelerator) -> String {
    let mut words = vec!["cargo".to_owned(), "xtask".to_owned(), "matrix".to_owned()];
    let mut option = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
    option("--kernel", &suite.kernel);
    option("--boot", &suite.boot);
    option("--launcher", args.launcher.name());
    option("--accel", accelerator.name());
    for glob in &args.proofs {
        option("--proof", glob);
    }
    if let Some(agent) = &args.agent {
        option("--agent", &root.join(agent).display().to_string());
    }
    let words: Vec<_> = words
        .iter()
        .map(|word| shlex::try_quote(word).map_or(word.as_str().into(), |quoted| quoted))
        .collect();
    words.join(" ")
}

/// A word that no earlier boot had.
fn nonce() -> String {
    use std::hash::{BuildHasher, RandomState};
    // Each state has keys of its own from the system's random source.
    let half = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", half(), half())
}
