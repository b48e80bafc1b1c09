//! Brings `kernels.lock` in line with the manifest and the archive.
//!
//! In: the lock, what the suites have. Out: the lock, rewritten where a pin changed, what became of
//! each pin, and the kernels that can't be pinned.

use anyhow::anyhow;

use super::Fetcher;
use crate::{
    exit::{ExitCode, Failure, Result},
    kernels::manifest::{Kernel, Source},
    kernels::{
        index::Offer,
        lock::{Lock, LockedKernel},
        resolve::{self, Decision},
    },
};

/// A kernel of the manifest and what became of its pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// Its name in the manifest.
    pub name: String,
    /// What became of its pin.
    pub decision: Decision,
}

/// A kernel that can't be pinned.
#[derive(Debug)]
pub(super) struct Refused<'a> {
    pub kernel: &'a Kernel,
    /// What was once there and is gone is nobody's mistake in kernels.toml.
    pub code: ExitCode,
    /// With the place in the manifest, and the way out.
    pub why: String,
}

/// One error for all that can't be pinned.
pub(super) fn refusal(refused: Vec<Refused<'_>>) -> Failure {
    let gone = refused
        .iter()
        .any(|refused| refused.code == ExitCode::Infrastructure);
    let code = match gone {
        true => ExitCode::Infrastructure,
        false => ExitCode::Usage,
    };
    let reasons: Vec<String> = refused.into_iter().map(|refused| refused.why).collect();
    Failure::new(code, anyhow!(reasons.join("\n")))
}

impl Fetcher<'_> {
    /// Pins the newest builds of all of these kernels, or none.
    pub(super) fn pin(
        &self,
        lock: &mut Lock,
        kernels: &[&Kernel],
        offers: &[Offer],
    ) -> Result<Vec<Pinned>> {
        let (pinned, refused) = self.decide(lock, kernels, offers, true, false);
        if !refused.is_empty() {
            return Err(refusal(refused));
        }
        self.rewrite(lock, &pinned)?;
        Ok(pinned)
    }

    /// Decides on the pins of these kernels.
    pub(super) fn decide<'a>(
        &self,
        lock: &Lock,
        kernels: &[&'a Kernel],
        offers: &[Offer],
        update: bool,
        locked: bool,
    ) -> (Vec<Pinned>, Vec<Refused<'a>>) {
        let mut pinned = Vec::new();
        let mut refused = Vec::new();
        for &kernel in kernels {
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
            match refusal {
                Some(why) => refused.push(Refused {
                    kernel,
                    code: match pin {
                        Some(_) => ExitCode::Infrastructure,
                        None => ExitCode::Usage,
                    },
                    why: self.manifest.about(kernel, why).to_string(),
                }),
                None => pinned.push(Pinned {
                    name: kernel.name.clone(),
                    decision,
                }),
            }
        }
        (pinned, refused)
    }

    /// Writes the lock if a pin changed, with one loud line for each that replaces another.
    pub(super) fn rewrite(&self, lock: &mut Lock, pinned: &[Pinned]) -> Result {
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
