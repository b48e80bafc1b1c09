//! Makes kernels ready to boot: out of the cache where it has them, else out of the archive.
//!
//! In: the manifest's kernels, the lock file, the cache, the archive. Out: checked files for
//! each kernel asked for, or why it can't be had; an error only where people wrote something wrong,
//! or where not one can be had. A run that finds everything in the cache touches neither apt nor
//! the network, and waits for nobody.

use std::{fs, path::Path};

use anyhow::{Context as _, anyhow};

use super::{
    ReadyKernel, Replaced,
    cache::{Cache, Found},
    extract,
    index::Offer,
    lock::{Lock, LockedKernel, LockedPackage},
    resolve::{self, Decision},
};
use crate::{
    exit::{ExitCode, Failure, Result},
    kernels::manifest::{Kernel, Manifest},
    progress::Progress,
};

mod look;
mod pin;
mod readied;
#[cfg(test)]
mod tests;

use look::Lack;
pub use pin::Pinned;
pub use readied::{MissingKernel, Readied};

/// Where packages come from.
pub trait Archive: Sync {
    /// What the manifest's suites have now, in their order.
    fn offers(&self) -> Result<Vec<Offer>>;
    /// Puts the files of these packages into a folder, under any names. Called after
    /// [`Archive::offers`].
    fn download(&self, packages: &[&LockedPackage], into: &Path) -> Result;
}

/// What a run allows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The lock must already say it all.
    pub locked: bool,
    /// The cache must already have it all.
    pub offline: bool,
    /// Unpack the modules too, where there are any.
    pub modules: bool,
}

/// Everything that fetching works with.
pub struct Fetcher<'a> {
    /// The manifest.
    pub manifest: &'a Manifest,
    /// The path of `kernels.lock`.
    pub lock_path: &'a Path,
    /// The cache.
    pub cache: &'a Cache,
    /// Debian's archive.
    pub archive: &'a dyn Archive,
    /// Where to tell what is going on.
    pub progress: &'a dyn Progress,
}

/// The kernels that aren't here yet.
struct Getting<'a> {
    /// Those that may still come.
    lacking: Vec<&'a Kernel>,
    /// Those that won't.
    missing: Vec<MissingKernel>,
}

impl Getting<'_> {
    fn lacks(&self, kernel: &Kernel) -> bool {
        self.lacking.iter().any(|other| other.name == kernel.name)
    }

    /// A kernel won't come. The first reason stands.
    fn fail(&mut self, kernel: &Kernel, code: ExitCode, why: String) {
        self.lacking.retain(|other| other.name != kernel.name);
        if self
            .missing
            .iter()
            .all(|gone| gone.kernel.name != kernel.name)
        {
            let kernel = kernel.clone();
            self.missing.push(MissingKernel { kernel, code, why });
        }
    }
}

/// Those of the kernels that weren't found.
fn lacking<'a>(kernels: &[&'a Kernel], found: &[Result<ReadyKernel, Lack>]) -> Vec<&'a Kernel> {
    let pairs = kernels.iter().zip(found);
    pairs
        .filter_map(|(kernel, found)| found.is_err().then_some(*kernel))
        .collect()
}

impl Fetcher<'_> {
    /// Makes kernels ready, in the order asked for.
    pub fn ready(&self, kernels: &[&Kernel], options: Options) -> Result<Readied> {
        let lock = Lock::load(self.lock_path)?;
        let found = self.look(&lock, kernels, options)?;
        let missing = self.refuse(&lock, kernels, &found, options)?;
        if lacking(kernels, &found).len() == missing.len() {
            let ready = found.into_iter().flatten().collect();
            return Readied { ready, missing }.or_nothing();
        }
        let wanted: Vec<&Kernel> = kernels
            .iter()
            .copied()
            .filter(|kernel| missing.iter().all(|gone| gone.kernel.name != kernel.name))
            .collect();
        let _guard = self.cache.lock(self.progress)?;
        let result = self.complete(&wanted, missing, options);
        self.progress.idle();
        result
    }

    /// Pins the newest builds, and returns what became of each pin.
    pub fn update(&self, kernels: &[&Kernel]) -> Result<Vec<Pinned>> {
        let _guard = self.cache.lock(self.progress)?;
        let mut lock = Lock::load(self.lock_path)?;
        let kernels: Vec<_> = kernels.iter().copied().filter(|k| k.is_debian()).collect();
        let result = self
            .archive
            .offers()
            .and_then(|offers| self.pin(&mut lock, &kernels, &offers));
        self.progress.idle();
        result
    }

    /// Gets what is lacking. The cache's lock is held. Some may be known to be missing.
    fn complete(
        &self,
        kernels: &[&Kernel],
        missing: Vec<MissingKernel>,
        options: Options,
    ) -> Result<Readied> {
        // Looked at again: whoever held the lock before may have brought everything.
        let mut lock = Lock::load(self.lock_path)?;
        let found = self.look(&lock, kernels, options)?;
        for (kernel, found) in kernels.iter().zip(&found) {
            if *found == Err(Lack::Content { altered: true }) {
                self.progress.line(&format!(
                    "kernel {:?}: its files in the cache were altered; taking them anew",
                    kernel.name
                ));
            }
        }
        let mut getting = Getting {
            lacking: lacking(kernels, &found),
            missing,
        };
        // A pin whose packages are here stands, whatever became of it in the archive.
        let absent = |kernel: &&Kernel| {
            let pin = lock.find(&kernel.name);
            let pin = pin.filter(|pin| resolve::fits(kernel, &self.manifest.suites, pin));
            !pin.is_some_and(|pin| self.debs_at_hand(pin))
        };
        let absent: Vec<&Kernel> = getting.lacking.iter().copied().filter(absent).collect();
        let replaced = self.bring(&mut lock, &absent, &mut getting, options)?;
        self.unpack(&lock, &mut getting, options);
        let found = self.look(&lock, kernels, options)?;
        let mut ready = Vec::new();
        for (kernel, found) in kernels.iter().zip(found) {
            match found {
                Ok(mut kernel) => {
                    let mine = replaced.iter().find(|(name, _)| *name == kernel.name);
                    kernel.replaced = mine.map(|(_, replaced)| replaced.clone());
                    ready.push(kernel);
                }
                // Unless it is known why.
                Err(_) => {
                    let message = "its files changed while they were being fetched";
                    let why = self.manifest.about(kernel, message).to_string();
                    getting.fail(kernel, ExitCode::Infrastructure, why);
                }
            }
        }
        let missing = getting.missing;
        Readied { ready, missing }.or_nothing()
    }

    /// Pins and downloads what isn't here in any form. Out come the pins that were replaced.
    fn bring(
        &self,
        lock: &mut Lock,
        absent: &[&Kernel],
        getting: &mut Getting<'_>,
        options: Options,
    ) -> Result<Vec<(String, Replaced)>> {
        let mut replaced = Vec::new();
        if absent.is_empty() {
            return Ok(replaced);
        }
        let offers = match self.archive.offers() {
            Ok(offers) => offers,
            Err(failure) => {
                for kernel in absent {
                    getting.fail(kernel, failure.code, failure.to_string());
                }
                return Ok(replaced);
            }
        };
        let (pinned, refused) = self.decide(lock, absent, &offers, false, options.locked);
        if refused
            .iter()
            .any(|refused| refused.code == ExitCode::Usage)
        {
            return Err(pin::refusal(refused));
        }
        for refused in refused {
            getting.fail(refused.kernel, refused.code, refused.why);
        }
        self.rewrite(lock, &pinned)?;
        for pin in pinned {
            if let Decision::Replace { old, new } = pin.decision {
                let new = new.version;
                replaced.push((pin.name, Replaced { old, new }));
            }
        }
        let wanted: Vec<&Kernel> = absent
            .iter()
            .copied()
            .filter(|kernel| getting.lacks(kernel))
            .collect();
        if self.download(lock, &wanted).is_err() {
            // One by one, to know whose packages can't be had, and to have the others'.
            for kernel in wanted {
                if let Err(failure) = self.download(lock, &[kernel]) {
                    getting.fail(kernel, failure.code, failure.to_string());
                }
            }
        }
        Ok(replaced)
    }

    /// Whether a pin's packages are still here as they were downloaded.
    fn debs_at_hand(&self, pin: &LockedKernel) -> bool {
        let good = |package| matches!(self.cache.deb(package), Found::Good(_));
        pin.packages.iter().all(good)
    }

    /// Downloads what the pins of these kernels name and the cache doesn't have.
    fn download(&self, lock: &Lock, kernels: &[&Kernel]) -> Result {
        let pins = kernels.iter().filter_map(|kernel| lock.find(&kernel.name));
        let mut wanted: Vec<&LockedPackage> = pins
            .flat_map(|pin| &pin.packages)
            .filter(|package| !matches!(self.cache.deb(package), Found::Good(_)))
            .collect();
        wanted.sort_by(|a, b| a.sha256.cmp(&b.sha256));
        wanted.dedup_by(|a, b| a.sha256 == b.sha256);
        if wanted.is_empty() {
            return Ok(());
        }
        let staging = self.cache.staging()?;
        self.archive.download(&wanted, staging.path())?;
        self.progress.step("checking what was downloaded", None);
        let files = fs::read_dir(staging.path()).context("cannot list the downloaded packages")?;
        for file in files
            .flatten()
            .map(|file| file.path())
            .filter(|path| path.is_file())
        {
            let sum = crate::digest::of_file(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            // By content: how apt spells a version in a file name is its own business.
            if let Some(package) = wanted.iter().find(|package| package.sha256 == sum) {
                self.cache.place(&file, &self.cache.deb_path(package))?;
            }
        }
        let other = wanted
            .iter()
            .filter(|p| !matches!(self.cache.deb(p), Found::Good(_)));
        let other: Vec<_> = other.map(|p| p.package.as_str()).collect();
        if other.is_empty() {
            return Ok(());
        }
        Err(Failure::infrastructure(anyhow!(
            "what the archive sent for {} isn't what kernels.lock pins by its SHA-256; \
             `cargo xtask kernels update` pins what is there now",
            other.join(", ")
        )))
    }

    /// Takes kernels and modules out of their packages.
    fn unpack(&self, lock: &Lock, getting: &mut Getting<'_>, options: Options) {
        for kernel in getting.lacking.clone() {
            let Some(pin) = lock.find(&kernel.name) else {
                continue;
            };
            self.progress
                .step(&format!("unpacking kernel {}", kernel.name), None);
            if let Err(error) = self.unpack_one(pin, options) {
                let why = self.manifest.about(kernel, format!("{error:#}"));
                getting.fail(kernel, ExitCode::Infrastructure, why.to_string());
            }
        }
    }

    fn unpack_one(&self, pin: &LockedKernel, options: Options) -> anyhow::Result<()> {
        let binary = pin.binary().context("its pin names no kernel package")?;
        let place = |from: &Path, to: &Path| self.cache.place(from, to).map_err(|f| f.error);
        if !matches!(self.cache.kernel(pin), Found::Good(_)) {
            let staging = self.cache.staging().map_err(|f| f.error)?;
            extract::kernel(&self.cache.deb_path(binary), pin, staging.path())?;
            place(&staging.keep(), &self.cache.kernel_path(binary))?;
        }
        let wanted = options
            .modules
            .then(|| pin.module_packages().next())
            .flatten();
        if let Some(package) = wanted
            && !matches!(self.cache.modules(pin), Found::Good(_))
        {
            let staging = self.cache.staging().map_err(|f| f.error)?;
            let debs = pin.module_packages().map(|p| self.cache.deb_path(p));
            extract::modules(&debs.collect::<Vec<_>>(), pin, staging.path())?;
            place(&staging.keep(), &self.cache.modules_path(package))?;
        }
        Ok(())
    }
}
