//! Makes kernels ready to boot: out of the cache where it has them, else out of the archive.
//!
//! In: the manifest's kernels, the lock file, the cache, the archive. Out: checked files for
//! every kernel asked for, or one error that names all that is missing. A run that finds
//! everything in the cache touches neither apt nor the network, and waits for nobody.

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
    exit::{Failure, Result},
    manifest::{Kernel, Manifest},
    progress::Progress,
};

mod look;
mod pin;
#[cfg(test)]
mod tests;

use look::Lack;
pub use pin::Pinned;

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

impl Fetcher<'_> {
    /// Makes kernels ready, in the order asked for.
    pub fn ready(&self, kernels: &[&Kernel], options: Options) -> Result<Vec<ReadyKernel>> {
        let lock = Lock::load(self.lock_path)?;
        let found = self.look(&lock, kernels, options)?;
        if found.iter().all(|found| found.is_ok()) {
            return Ok(found.into_iter().flatten().collect());
        }
        self.refuse(&lock, kernels, &found, options)?;
        let _guard = self.cache.lock(self.progress)?;
        let result = self.complete(kernels, options);
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
            .and_then(|offers| self.pin(&mut lock, &kernels, &offers, true, false));
        self.progress.idle();
        result
    }

    /// Gets what is lacking. The cache's lock is held.
    fn complete(&self, kernels: &[&Kernel], options: Options) -> Result<Vec<ReadyKernel>> {
        // Looked at again: whoever held the lock before may have brought everything.
        let mut lock = Lock::load(self.lock_path)?;
        let found = self.look(&lock, kernels, options)?;
        let lacking: Vec<&Kernel> = kernels
            .iter()
            .zip(&found)
            .filter_map(|(kernel, found)| found.is_err().then_some(*kernel))
            .collect();
        for (kernel, found) in kernels.iter().zip(&found) {
            if *found == Err(Lack::Content { altered: true }) {
                self.progress.line(&format!(
                    "kernel {:?}: its files in the cache were altered; taking them anew",
                    kernel.name
                ));
            }
        }
        // A pin whose packages are here stands, whatever became of it in the archive.
        let absent = |kernel: &&Kernel| {
            let pin = lock.find(&kernel.name);
            let pin = pin.filter(|pin| resolve::fits(kernel, &self.manifest.suites, pin));
            !pin.is_some_and(|pin| self.debs_at_hand(pin))
        };
        let absent: Vec<&Kernel> = lacking.iter().copied().filter(absent).collect();
        let mut replaced = Vec::new();
        if !absent.is_empty() {
            let offers = self.archive.offers()?;
            let pinned = self.pin(&mut lock, &absent, &offers, false, options.locked)?;
            for pin in pinned {
                if let Decision::Replace { old, new } = pin.decision {
                    let new = new.version;
                    replaced.push((pin.name, Replaced { old, new }));
                }
            }
            self.download(&lock, &absent)?;
        }
        self.unpack(&lock, &lacking, options)?;
        let found = self.look(&lock, kernels, options)?;
        let ready = kernels.iter().zip(found).map(|(kernel, found)| {
            let mut ready = found.map_err(|_| {
                let message = "its files changed while they were being fetched";
                Failure::infrastructure(self.manifest.about(kernel, message))
            })?;
            let mine = replaced.iter().find(|(name, _)| *name == ready.name);
            ready.replaced = mine.map(|(_, replaced)| replaced.clone());
            Ok(ready)
        });
        ready.collect()
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
    fn unpack(&self, lock: &Lock, kernels: &[&Kernel], options: Options) -> Result {
        for kernel in kernels {
            let Some(pin) = lock.find(&kernel.name) else {
                continue;
            };
            self.progress
                .step(&format!("unpacking kernel {}", kernel.name), None);
            self.unpack_one(pin, options).map_err(|error| {
                Failure::infrastructure(self.manifest.about(kernel, format!("{error:#}")))
            })?;
        }
        Ok(())
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
