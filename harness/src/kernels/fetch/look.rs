//! What of the kernels asked for is already here, and whether the rest may be fetched.
//!
//! In: the lock, the cache, the files of the user's own kernels. Out: a checked kernel or
//! what it lacks, for each; or an error where a run isn't allowed to get it.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use anyhow::anyhow;

use super::{Fetcher, MissingKernel, Options};
use crate::{
    exit::{ExitCode, Failure, Result},
    kernels::manifest::{Kernel, Source},
    kernels::{ReadyKernel, bzimage, cache::Found, lock::Lock, resolve},
};

/// What keeps a kernel from being ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lack {
    /// The lock has no pin for it that fits the manifest.
    Pin,
    /// The cache lacks what the pin names, or has it altered.
    Content { altered: bool },
}

impl Fetcher<'_> {
    /// What the lock and the cache have of each kernel. A wrong path is an error at once.
    pub(super) fn look(
        &self,
        lock: &Lock,
        kernels: &[&Kernel],
        options: Options,
    ) -> Result<Vec<Result<ReadyKernel, Lack>>> {
        // Side by side, since every kernel is hashed.
        thread::scope(|scope| {
            let looks: Vec<_> = kernels
                .iter()
                .map(|kernel| scope.spawn(|| self.look_at(lock, kernel, options)))
                .collect();
            let join = |look: thread::ScopedJoinHandle<'_, _>| {
                look.join().unwrap_or_else(|_| {
                    Err(anyhow!("looking a kernel up in the cache panicked").into())
                })
            };
            looks.into_iter().map(join).collect()
        })
    }

    fn look_at(
        &self,
        lock: &Lock,
        kernel: &Kernel,
        options: Options,
    ) -> Result<Result<ReadyKernel, Lack>> {
        if let Source::Path { vmlinuz, modules } = &kernel.source {
            return self.own(kernel, vmlinuz, modules.as_deref()).map(Ok);
        }
        let pin = lock.find(&kernel.name);
        let Some(pin) = pin.filter(|pin| resolve::fits(kernel, &self.manifest.suites, pin)) else {
            return Ok(Err(Lack::Pin));
        };
        let (vmlinuz, entry) = match self.cache.kernel(pin) {
            Found::Good(found) => found,
            Found::Missing => return Ok(Err(Lack::Content { altered: false })),
            Found::Altered => return Ok(Err(Lack::Content { altered: true })),
        };
        let modules = match (options.modules && pin.modules).then(|| self.cache.modules(pin)) {
            None => None,
            Some(Found::Good(modules)) => Some(modules),
            Some(Found::Missing) => return Ok(Err(Lack::Content { altered: false })),
            Some(Found::Altered) => return Ok(Err(Lack::Content { altered: true })),
        };
        Ok(Ok(ReadyKernel {
            name: kernel.name.clone(),
            source: kernel.source.clone(),
            release: entry.release,
            version_word: Some(entry.version_word),
            vmlinuz,
            modules,
            package_version: Some(pin.version.clone()),
            replaced: None,
            memory_mib: kernel.memory_mib,
            skips: kernel.skips.clone(),
            allows: kernel.allows.clone(),
        }))
    }

    /// A kernel of the user's own, as its file describes it.
    fn own(&self, kernel: &Kernel, vmlinuz: &Path, modules: Option<&Path>) -> Result<ReadyKernel> {
        let wrong = |what: String| Failure::usage(self.manifest.about(kernel, what));
        let image = fs::read(vmlinuz)
            .map_err(|error| wrong(format!("cannot read {}: {error}", vmlinuz.display())))?;
        let head = &image[..image.len().min(bzimage::HEAD)];
        let header =
            bzimage::parse(head).map_err(|why| wrong(format!("{} is {why}", vmlinuz.display())))?;
        let modules = modules.map(|folder| {
            let below = folder.join("lib/modules").join(&header.release);
            let holds = |folder: &PathBuf| folder.join("modules.dep").is_file();
            [folder.to_owned(), below]
                .into_iter()
                .find(holds)
                .ok_or_else(|| {
                    let folder = folder.display();
                    wrong(format!(
                        "{folder} has no modules.dep; run depmod, or remove `modules`"
                    ))
                })
        });
        Ok(ReadyKernel {
            name: kernel.name.clone(),
            source: kernel.source.clone(),
            version_word: header.debian_version().map(str::to_owned),
            release: header.release,
            vmlinuz: vmlinuz.to_owned(),
            modules: modules.transpose()?,
            package_version: None,
            replaced: None,
            memory_mib: kernel.memory_mib,
            skips: kernel.skips.clone(),
            allows: kernel.allows.clone(),
        })
    }

    /// The kernels that the run lacks and isn't allowed to get.
    ///
    /// # Errors
    /// The lock is to say it all and doesn't.
    pub(super) fn refuse(
        &self,
        lock: &Lock,
        kernels: &[&Kernel],
        found: &[Result<ReadyKernel, Lack>],
        options: Options,
    ) -> Result<Vec<MissingKernel>> {
        let pairs = kernels.iter().zip(found);
        let lacking = pairs.filter_map(|(kernel, found)| Some((*kernel, found.as_ref().err()?)));
        let lacking: Vec<(&Kernel, &Lack)> = lacking.collect();
        let unpinned = lacking.iter().filter(|(_, lack)| **lack == Lack::Pin);
        let unpinned: Vec<&str> = unpinned.map(|(kernel, _)| kernel.name.as_str()).collect();
        if options.locked && !unpinned.is_empty() {
            return Err(Failure::usage(anyhow!(
                "kernels.lock has no pin that fits kernels.toml for {}; run \
                 `cargo xtask kernels update` and commit the lock",
                unpinned.join(", ")
            )));
        }
        if !options.offline {
            return Ok(Vec::new());
        }
        // What is still there as downloaded only has to be unpacked again.
        let at_hand = |kernel: &Kernel| {
            let pin = lock.find(&kernel.name);
            pin.is_some_and(|pin| self.debs_at_hand(pin))
        };
        let missing = lacking.iter();
        let missing = missing.filter(|(kernel, lack)| **lack == Lack::Pin || !at_hand(kernel));
        let missing: Vec<&Kernel> = missing.map(|(kernel, _)| *kernel).collect();
        let names: Vec<&str> = missing.iter().map(|kernel| kernel.name.as_str()).collect();
        let why = format!(
            "the cache lacks {}, and --offline forbids fetching; run \
             `cargo xtask kernels fetch` once with a network",
            names.join(", ")
        );
        let missing = missing.into_iter().map(|kernel| MissingKernel {
            kernel: kernel.clone(),
            code: ExitCode::Infrastructure,
            why: why.clone(),
        });
        Ok(missing.collect())
    }
}
