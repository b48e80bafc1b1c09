//! Gets everything at hand that the boots need: tools, kernels, binaries, the folder.
//!
//! In: how to run, the manifest, the selected kernels. Out: [`AtHand`], or why not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use protocol::plan::{Filesystem, GuestPlan};
use protocol::record::Record;

use crate::cli::options::RunOptions;
use crate::exit::{ExitCode, Failure, Result};
use crate::image::artifacts::{Artifacts, Program};
use crate::image::build;
use crate::image::disk::{self, Disk};
use crate::image::pack::{self, PackInput, Packed};
use crate::image::spec::ImageSpec;
use crate::kernels::ReadyKernel;
use crate::kernels::apt::AptArchive;
use crate::kernels::cache::Cache;
use crate::kernels::fetch::{Fetcher, MissingKernel, Options, Readied};
use crate::kernels::manifest::{Kernel, Manifest};
use crate::outcome::{Provenance, SuiteId};
use crate::progress::{Progress as _, Terminal};
use crate::report;
use crate::run::engine::Job;
use crate::run::out_dir::OutDir;
use crate::run::plan::PlannedBoot;
use crate::setup::{self, Asked, Setup, Venv};
use crate::verdict::DeclaredSkip;
use crate::vm::channel::{Channel, Line};
use crate::vm::interrupt::Interrupt;
use crate::vm::{self, Accelerator, Composer, Launcher, Machine, accel};

/// Everything at hand for the boots.
pub(super) struct AtHand {
    /// Where the results go.
    pub out: OutDir,
    /// Who composes QEMU's commands.
    pub composer: Composer,
    /// What goes into every guest.
    pub artifacts: Artifacts,
    /// What the results are of.
    pub provenance: Provenance,
    /// What else goes into it.
    pub image: ImageSpec,
    /// The disks of the file systems that take one.
    pub disks: BTreeMap<Filesystem, Disk>,
    /// The kernels, in the manifest's order.
    pub kernels: Vec<ReadyKernel>,
    /// Those that were asked for and can't be had.
    pub missing: Vec<MissingKernel>,
    /// The names of all that were asked for, in the manifest's order.
    pub names: Vec<String>,
    /// The file that remembers whether KVM runs kernels here.
    pub accelerator_memory: PathBuf,
}

/// The image of one kernel.
pub(super) struct Image {
    /// Where it is, or was to be.
    pub path: PathBuf,
    /// Modules that `images/` asks for and this kernel doesn't have.
    pub missing_modules: Vec<String>,
    /// Why it couldn't be packed, if it couldn't.
    pub obstacle: Option<String>,
}

/// What a command decides about a boot by itself.
pub(super) struct Terms {
    /// What runs the guest.
    pub accelerator: Accelerator,
    /// How long it may take.
    pub limit: Duration,
    /// Skips declared for it.
    pub skips: Vec<DeclaredSkip>,
    /// The command line that repeats it.
    pub again: String,
}

impl AtHand {
    /// Claims the folder and clears it of an earlier run's results, sets up, makes the kernels
    /// ready and builds. Proofs are planned on these file systems.
    ///
    /// The old results go before anything that can fail: a run that breaks off must not leave
    /// them in the place of its own. Only a wrong word on the command line or in a file of the
    /// user's comes before that, since it begins no run.
    pub fn get(
        options: &RunOptions,
        root: &Path,
        manifest: &Manifest,
        kernels: &[&Kernel],
        filesystems: &BTreeSet<Filesystem>,
    ) -> Result<Self> {
        let cache = Cache::of_user()?;
        let progress = Terminal::new();
        let mut image = ImageSpec::load(&root.join("images"))?;
        image.keep(filesystems);
        let brought = options.prebuilt.as_deref().map(Artifacts::in_folder);
        let brought = brought.transpose().map_err(Failure::usage)?;
        let agent = options.agent.as_deref().map(Program::read).transpose();
        let agent = agent.context("--agent").map_err(Failure::usage)?;
        let out = clear(options)?;
        let job = setup::Job::Matrix {
            virtme_ng: options.launcher == Launcher::VirtmeNg,
            build: brought.is_none(),
        };
        Setup::new(&cache, options.no_setup, &progress)
            .ensure(&setup::needed_for(job, Asked::from(&image)))?;
        let archive = AptArchive::new(cache.root().join("apt"), &manifest.suites, &progress);
        let fetcher = Fetcher {
            manifest,
            lock_path: &root.join("kernels.lock"),
            cache: &cache,
            archive: &archive,
            progress: &progress,
        };
        let fetching = Options {
            locked: options.locked,
            offline: options.offline,
            modules: image.asks_for_modules(),
        };
        let names = kernels.iter().map(|kernel| kernel.name.clone()).collect();
        let Readied { ready, missing } = fetcher.ready(kernels, fetching)?;
        for MissingKernel { kernel, why, .. } in &missing {
            progress.line(&format!("kernel {} can't be booted: {why}", kernel.name));
        }
        let ours = match brought {
            Some(brought) => brought,
            None => {
                progress.step("building the agent and the guest", None);
                build::build(root, &root.join("target/artifacts"))?
            }
        };
        let artifacts = match agent {
            Some(agent) => ours.with_agent(agent),
            None => ours,
        };
        let disks = disks(&image)?;
        progress.idle();
        Ok(Self {
            out,
            composer: Composer::new(options.launcher, Venv::in_cache(&cache).program("vng"))?,
            provenance: artifacts.provenance(Timestamp::now()),
            artifacts,
            image,
            disks,
            kernels: ready,
            missing,
            names,
            accelerator_memory: cache.root().join("accelerator.json"),
        })
    }

    /// The same, for those who need every kernel that was asked for.
    ///
    /// # Errors
    /// One can't be had.
    pub fn with_all_kernels(self) -> Result<Self> {
        let (ready, missing) = (self.kernels, self.missing);
        Ok(Self {
            kernels: Readied { ready, missing }.all()?,
            missing: Vec::new(),
            ..self
        })
    }

    /// Packs the image of one kernel for its boots. What keeps this kernel from being packed is
    /// told as an obstacle, so that it drops no other.
    ///
    /// # Errors
    /// What people wrote is wrong, and so it is for every kernel.
    pub fn image(&self, kernel: &ReadyKernel, plan: &GuestPlan) -> Result<Image> {
        let (missing_modules, obstacle) = match self.pack(kernel, plan) {
            Ok(packed) => (packed.missing_modules, None),
            Err(failure) if failure.code == ExitCode::Usage => return Err(failure),
            Err(failure) => (Vec::new(), Some(failure.to_string())),
        };
        Ok(Image {
            path: self.image_path(kernel),
            missing_modules,
            obstacle,
        })
    }

    /// A boot of a kernel with its image, on these terms.
    pub fn job(&self, kernel: &ReadyKernel, image: &Image, boot: PlannedBoot, terms: Terms) -> Job {
        let replaced = kernel.replaced.as_ref();
        Job {
            machine: Machine {
                vmlinuz: kernel.vmlinuz.clone(),
                initramfs: image.path.clone(),
                cmdline: boot.cmdline.clone(),
                memory_mib: kernel.memory_mib,
                processors: boot.plan.machine.processors,
                accelerator: terms.accelerator,
                limit: terms.limit,
                dir: report::files::boot_dir(self.out.path(), &boot.suite),
            },
            skips: terms.skips,
            allows: kernel.allows.clone(),
            package_version: kernel.package_version.clone(),
            replaced_version: replaced.map(|replaced| replaced.old.clone()),
            provenance: self.provenance.clone(),
            again: terms.again,
            obstacle: image.obstacle.clone(),
            boot,
        }
    }

    fn image_path(&self, kernel: &ReadyKernel) -> PathBuf {
        let suite = SuiteId {
            kernel: kernel.name.clone(),
            boot: "initramfs.cpio".to_owned(),
        };
        report::files::boot_dir(self.out.path(), &suite)
    }

    fn pack(&self, kernel: &ReadyKernel, plan: &GuestPlan) -> Result<Packed> {
        let input = PackInput {
            artifacts: &self.artifacts,
            plan,
            image: &self.image,
            disks: &self.disks,
            modules: kernel.modules.as_deref(),
        };
        pack::pack(&input, &self.image_path(kernel))
    }

    /// Chooses the accelerator.
    ///
    /// # Errors
    /// As [`accel::choose`].
    pub fn accelerator(&self, wish: accel::Wish) -> anyhow::Result<accel::Choice> {
        let device = Path::new(accel::DEVICE);
        accel::choose(wish, device, &self.accelerator_memory, || {
            self.marker_boot()
        })
    }

    /// Boots a kernel on KVM with a plan of nothing: more than a hello no accelerator needs to show.
    /// One of Debian's, if there is one, which runs on every other machine.
    fn marker_boot(&self) -> anyhow::Result<accel::Marker> {
        let is_known = |kernel: &&ReadyKernel| kernel.package_version.is_some();
        let known = self.kernels.iter().find(is_known);
        let kernel = known.or(self.kernels.first());
        let kernel = kernel.context("no kernel to try KVM with")?;
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
            processors: 1,
            accelerator: Accelerator::Kvm,
            limit: accel::MARKER_LIMIT,
            dir,
        };
        let mut channel = Channel::default();
        let mut said_hello = false;
        // Always the direct launcher: the question is KVM's, not virtme-ng's.
        let composed = vm::qemu::compose(&machine);
        let ending = vm::boot(&machine, &composed, &Interrupt::nothing()?, |bytes, at| {
            let lines = channel.push(bytes, at);
            said_hello |= lines
                .iter()
                .any(|(_, line)| matches!(line, Line::Record(Record::Hello(_))));
        })?;
        Ok(accel::Marker::of(said_hello, &ending, known.is_some()))
    }
}

/// Claims the folder for the results, and removes what an earlier run left there.
///
/// # Errors
/// Another run has it, or it can't be written.
pub(super) fn clear(options: &RunOptions) -> Result<OutDir> {
    let out = OutDir::claim(&options.out)?;
    report::files::remove_all(out.path())?;
    Ok(out)
}

fn disks(image: &ImageSpec) -> Result<BTreeMap<Filesystem, Disk>> {
    let mut disks = BTreeMap::new();
    for (filesystem, spec) in &image.filesystems {
        if let Some(spec) = &spec.disk {
            let disk = disk::make(spec);
            let disk =
                disk.with_context(|| format!("images/: the disk with {}", filesystem.name()));
            disks.insert(*filesystem, disk?);
        }
    }
    Ok(disks)
}
