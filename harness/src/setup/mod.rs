//! Set-up: what the harness needs on a machine, and how it gets there.
//!
//! In: what a command is about to do. Out: a machine that has what that takes, or exit code 69
//! with the exact commands to run. A machine that has it all is only looked at: nothing runs.
//!
//! What it starts from is Debian 12 with Rust, gcc, libc6-dev, git and CA certificates.

use std::path::Path;

use anyhow::anyhow;

use crate::{
    exit::{Failure, Result},
    image::spec::ImageSpec,
    kernels::cache::Cache,
    progress::Progress,
};

mod system;
#[cfg(test)]
mod tests;
mod venv;

pub use system::{Machine, System};
pub use venv::{VIRTME_NG, Venv};

/// Something that a command is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Fetch kernels out of Debian's archive.
    Fetch,
    /// Put kernel modules into the image.
    Modules,
    /// Make disks with a file system on them.
    Disks,
    /// Build the agent's kernel side.
    Build,
    /// Boot under QEMU.
    Qemu,
    /// Have virtme-ng compose QEMU's command line.
    VirtmeNg,
    /// Hold what the harness writes against other readers of it.
    Tests,
}

/// A command of the harness, as far as set-up tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// `kernels fetch`, `kernels update`, `kernels list --offered`.
    Kernels,
    /// `matrix` with one of its launchers.
    Matrix {
        /// Whether it is virtme-ng.
        virtme_ng: bool,
        /// Whether agent and guest are built here, and not brought along.
        build: bool,
    },
    /// `build`.
    Build,
    /// `test`, whose tests do all of it.
    Test,
}

/// What `images/` asks of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Whether it asks for kernel modules.
    pub modules: bool,
    /// Whether it asks for disks.
    pub disks: bool,
}

impl Asked {
    /// Neither.
    pub const NOTHING: Self = Self {
        modules: false,
        disks: false,
    };

    /// All that it can ask for.
    pub const ALL: Self = Self {
        modules: true,
        disks: true,
    };
}

impl From<&ImageSpec> for Asked {
    fn from(image: &ImageSpec) -> Self {
        Self {
            modules: image.asks_for_modules(),
            disks: image.asks_for_disks(),
        }
    }
}

/// What a job needs.
pub fn needed_for(job: Job, asked: Asked) -> Vec<Need> {
    let (fetch, build, boots, virtme_ng) = match job {
        Job::Kernels => (true, false, false, false),
        Job::Build => (false, true, false, false),
        Job::Matrix { virtme_ng, build } => (true, build, true, virtme_ng),
        Job::Test => (true, true, true, true),
    };
    let wanted = [
        (fetch, Need::Fetch),
        (asked.modules && fetch, Need::Modules),
        (asked.disks && boots, Need::Disks),
        (build, Need::Build),
        (boots, Need::Qemu),
        (virtme_ng, Need::VirtmeNg),
        (job == Job::Test, Need::Tests),
    ];
    wanted
        .into_iter()
        .filter_map(|(wanted, need)| wanted.then_some(need))
        .collect()
}

/// How to see whether something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// A program along PATH or in root's folders.
    Program(&'static str),
    /// A file at exactly this path. For what a stub along PATH could hide.
    File(&'static str),
    /// A file that lies below a folder whose name starts like this.
    FileBelow {
        /// The folder above it.
        folder: &'static str,
        /// How the name in between starts.
        prefix: &'static str,
        /// The file's path below that.
        file: &'static str,
    },
}

/// Something that a need takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prerequisite {
    /// What takes it.
    pub need: Need,
    /// How to see whether it is there.
    pub probe: Probe,
    /// The Debian package that brings it.
    pub package: &'static str,
}

const fn takes(need: Need, probe: Probe, package: &'static str) -> Prerequisite {
    Prerequisite {
        need,
        probe,
        package,
    }
}

/// All that the harness may need of Debian.
pub const PREREQUISITES: &[Prerequisite] = &[
    takes(Need::Fetch, Probe::Program("apt-get"), "apt"),
    takes(Need::Fetch, Probe::Program("dpkg-deb"), "dpkg"),
    takes(Need::Modules, Probe::Program("depmod"), "kmod"),
    takes(Need::Modules, Probe::Program("gzip"), "gzip"),
    takes(Need::Modules, Probe::Program("xz"), "xz-utils"),
    takes(Need::Modules, Probe::Program("zstd"), "zstd"),
    takes(Need::Disks, Probe::Program("mkfs.btrfs"), "btrfs-progs"),
    takes(Need::Disks, Probe::Program("mkfs.ext4"), "e2fsprogs"),
    takes(Need::Disks, Probe::Program("mkfs.xfs"), "xfsprogs"),
    takes(Need::Build, Probe::Program("clang"), "clang"),
    takes(
        Need::Build,
        Probe::File("/usr/include/bpf/bpf_helpers.h"),
        "libbpf-dev",
    ),
    takes(
        Need::Qemu,
        Probe::Program("qemu-system-x86_64"),
        "qemu-system-x86",
    ),
    // Debian's own Python: a version manager's shim may stand before it along PATH.
    takes(Need::VirtmeNg, Probe::File("/usr/bin/python3"), "python3"),
    takes(
        Need::VirtmeNg,
        Probe::FileBelow {
            folder: "/usr/lib",
            prefix: "python3.",
            file: "ensurepip/__init__.py",
        },
        "python3-venv",
    ),
    takes(Need::VirtmeNg, Probe::Program("file"), "file"),
    takes(Need::VirtmeNg, Probe::Program("strings"), "binutils"),
    takes(Need::Tests, Probe::Program("cpio"), "cpio"),
];

/// Set-up of one machine.
pub struct Setup<'a> {
    cache: &'a Cache,
    no_setup: bool,
    system: &'a dyn System,
    progress: &'a dyn Progress,
}

impl<'a> Setup<'a> {
    /// Set-up of this machine; with `no_setup` it installs nothing.
    pub fn new(cache: &'a Cache, no_setup: bool, progress: &'a dyn Progress) -> Self {
        Self::of(&Machine, cache, no_setup, progress)
    }

    /// Set-up of some machine.
    pub fn of(
        system: &'a dyn System,
        cache: &'a Cache,
        no_setup: bool,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            cache,
            no_setup,
            system,
            progress,
        }
    }

    /// Makes sure that all of these needs are met.
    pub fn ensure(&self, needs: &[Need]) -> Result {
        let missing = self.missing(needs);
        if missing.is_nothing() {
            return Ok(());
        }
        if self.no_setup {
            return Err(Failure::prerequisite(anyhow!(
                "{} missing, and --no-setup forbids installing; run: {}",
                missing.listed(),
                missing.commands(self.system.is_root())
            )));
        }
        // One at a time: another run's set-up may be what brings it.
        let _guard = self
            .cache
            .exclusive("setup.lock", "this machine", self.progress)?;
        let missing = self.missing(needs);
        let result = self.install(&missing);
        self.progress.idle();
        result?;
        let missing = self.missing(needs);
        if missing.is_nothing() {
            return Ok(());
        }
        Err(Failure::prerequisite(anyhow!(
            "{} still missing after the installation went well; see what `{}` says",
            missing.listed(),
            missing.commands(self.system.is_root())
        )))
    }

    fn missing(&self, needs: &[Need]) -> Missing {
        let venv = needs.contains(&Need::VirtmeNg) && !self.system.has_venv(&self.venv());
        let mut packages: Vec<&'static str> = PREREQUISITES
            .iter()
            .filter(|p| needs.contains(&p.need) && !self.system.has(&p.probe))
            // A venv that is there and whole no longer takes what made it.
            .filter(|p| venv || p.package != "python3-venv")
            .map(|p| p.package)
            .collect();
        packages.sort_unstable();
        packages.dedup();
        Missing {
            packages,
            venv: venv.then(|| self.venv()),
        }
    }

    fn venv(&self) -> Venv {
        Venv::in_cache(self.cache)
    }

    fn install(&self, missing: &Missing) -> Result {
        if missing.is_nothing() {
            return Ok(());
        }
        self.progress
            .line(&format!("setting up: installing {}", missing.listed()));
        let commands = || missing.commands(self.system.is_root());
        let refused = |why: &str| Failure::prerequisite(anyhow!("{why}; run: {}", commands()));
        if !self.system.confirm("install now? [Y/n] ")? {
            return Err(refused("nothing was installed"));
        }
        if !missing.packages.is_empty() {
            if !self.system.has(&Probe::Program("apt-get")) {
                return Err(Failure::prerequisite(anyhow!(
                    "this machine has no apt-get; install what these packages of Debian's hold: \
                     {}",
                    missing.packages.join(", ")
                )));
            }
            if !self.system.is_root() && !self.system.sudo_works() {
                return Err(refused("installing takes root or sudo without a password"));
            }
            self.system
                .install(&missing.packages, self.progress)
                .map_err(|error| refused(&format!("the installation failed: {error:#}")))?;
        }
        if let Some(venv) = &missing.venv {
            self.system
                .make_venv(venv, self.progress)
                .map_err(|error| refused(&format!("virtme-ng couldn't be installed: {error:#}")))?;
        }
        Ok(())
    }
}

/// What a machine lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Missing {
    packages: Vec<&'static str>,
    venv: Option<Venv>,
}

impl Missing {
    fn is_nothing(&self) -> bool {
        self.packages.is_empty() && self.venv.is_none()
    }

    fn listed(&self) -> String {
        let venv = self.venv.as_ref().map(|_| VIRTME_NG);
        let all: Vec<_> = self.packages.iter().copied().chain(venv).collect();
        all.join(", ")
    }

    /// What a person would type.
    fn commands(&self, root: bool) -> String {
        let sudo = if root { "" } else { "sudo " };
        let packages = (!self.packages.is_empty()).then(|| {
            let packages = self.packages.join(" ");
            format!(
                "{sudo}apt-get update && \
                 {sudo}apt-get install --no-install-recommends -y {packages}"
            )
        });
        let venv = self.venv.as_ref().map(Venv::commands);
        let all: Vec<_> = packages.into_iter().chain(venv).collect();
        all.join(" && ")
    }
}

/// Whether `folder` has a file that [`Probe::FileBelow`] asks for.
fn file_below(folder: &Path, prefix: &str, file: &str) -> bool {
    let Ok(items) = std::fs::read_dir(folder) else {
        return false;
    };
    items.flatten().any(|item| {
        let starts = item.file_name().to_string_lossy().starts_with(prefix);
        starts && item.path().join(file).is_file()
    })
}
