//! Brings `kernels.lock` in line with the manifest and the archive.
//!
//! In: the lock, what the suites have. Out: the lock, rewritten where a pin changed, and what
//! became of each pin; or one error for all kernels that can't be pinned.

use anyhow::anyhow;

use super::Fetcher;
use crate::{
    exit::{ExitCode, Failure, Result},
    kernels::{
        index::Offer,
        lock::{Lock, LockedKernel},
        resolve::{self, Decision},
    },
    manifest::{Kernel, Source},
};

/// A kernel of the manifest and what became of its pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// Its name in the manifest.
    pub name: String,
    /// What became of its pin.
    pub decision: Decision,
}

impl Fetcher<'_> {
    /// Decides on the pins of these kernels, and writes the lock if one changed.
    pub(super) fn pin(
        &self,
        lock: &mut Lock,
        kernels: &[&Kernel],
        offers: &[Offer],
        update: bool,
        locked: bool,
    ) -> Result<Vec<Pinned>> {
        let mut pinned = Vec::new();
        let mut code = ExitCode::Usage;
        let mut refusals = Vec::new();
        for kernel in kernels {
            let suites = &self.manifest.suites;
            let pin = lock.find(&kernel.name);
            let pin = pin.filter(|pin| resolve::fits(kernel, suites, pin));
            let decision = resolve::decide(kernel, suites, pin, offers, update);
            let refusal = match &decision {
                Decision::Replace { old, .. } if locked => Some(format!(
                    "its locked version {old} is gone from the archive; \
                     `cargo xtask kernels update {}` pins another one",
                    kernel.name
                )),
                Decision::Unavailable => Some(unavailable(kernel, offers)),
                _ => None,
            };
            if let Some(refusal) = refusal {
                // What was once there and is gone is nobody's mistake in kernels.toml.
                if pin.is_some() {
                    code = ExitCode::Infrastructure;
                }
                refusals.push(self.manifest.about(kernel, refusal).to_string());
            }
            let name = kernel.name.clone();
            pinned.push(Pinned { name, decision });
        }
        if !refusals.is_empty() {
            return Err(Failure::new(code, anyhow!(refusals.join("\n"))));
        }
        self.rewrite(lock, &pinned)?;
        Ok(pinned)
    }

    /// Writes the lock if a pin changed, with one loud line for each that replaces another.
    fn rewrite(&self, lock: &mut Lock, pinned: &[Pinned]) -> Result {
        let mut kernels = Vec::new();
        for kernel in self.manifest.kernels.iter().filter(|k| k.is_debian()) {
            let decided = pinned.iter().find(|pinned| pinned.name == kernel.name);
            let pin = match decided.map(|pinned| &pinned.decision) {
                Some(Decision::Keep(pin) | Decision::Add(pin)) => Some(pin.clone()),
                Some(Decision::Replace { old, new }) => {
                    let line = replaced(&kernel.name, old, new);
                    self.progress.line(&line);
                    Some(new.clone())
                }
                Some(Decision::Unavailable) | None => lock.find(&kernel.name).cloned(),
            };
            kernels.extend(pin);
        }
        let new = Lock::new(kernels);
        if new != *lock {
            new.store(self.lock_path)?;
            *lock = new;
        }
        Ok(())
    }
}

fn replaced(name: &str, old: &str, new: &LockedKernel) -> String {
    if *old == new.version {
        return format!(
            "kernels.lock: kernel {name:?}: {old} changed in the archive; the lock was rewritten \
             ({})",
            if new.modules {
                "with modules"
            } else {
                "its modules are gone"
            }
        );
    }
    format!(
        "kernels.lock: kernel {name:?}: {old} is replaced by {}; the lock was rewritten",
        new.version
    )
}

fn unavailable(kernel: &Kernel, offers: &[Offer]) -> String {
    let Source::Debian { series, flavour } = &kernel.source else {
        return "it doesn't come from Debian".to_owned();
    };
    let offered = resolve::series_on_offer(flavour, offers);
    let offered: Vec<_> = offered.into_iter().map(|(series, _)| series).collect();
    format!(
        "no suite has a package \"linux-image-{series}.*-{flavour}\" (on offer: {}); see what \
         is on offer with `cargo xtask kernels list --offered`",
        if offered.is_empty() {
            "no series at all".to_owned()
        } else {
            offered.join(", ")
        }
    )
}
