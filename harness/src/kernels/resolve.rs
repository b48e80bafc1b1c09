//! Decides which packages a kernel is made of. Pure.
//!
//! In: the manifest's kernels, the lock, and what the suites have. Out: for each kernel what
//! to pin, and whether that is what was pinned before. A series is never left: a kernel that
//! is gone is replaced within its series or not at all.

use std::{cmp::Ordering, collections::BTreeMap};

use debversion::Version;

use super::{
    index::Offer,
    lock::{LockedKernel, LockedPackage, Role},
};
use crate::kernels::manifest::{Kernel, Source};

/// What to pin for one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// What the lock says still stands.
    Keep(LockedKernel),
    /// The lock pinned nothing that fits the manifest.
    Add(LockedKernel),
    /// The lock pinned a version that is gone or, on an update, old.
    Replace {
        /// What it pinned.
        old: String,
        /// What to pin.
        new: LockedKernel,
    },
    /// No suite has the series.
    Unavailable,
}

/// Whether a pin is one for this kernel of the manifest, in these suites.
pub fn fits(kernel: &Kernel, suites: &[String], locked: &LockedKernel) -> bool {
    let Source::Debian { series, flavour } = &kernel.source else {
        return false;
    };
    locked.name == kernel.name
        && locked.series == *series
        && locked.flavour == *flavour
        && locked.packages.iter().all(|p| suites.contains(&p.suite))
}

/// Whether the suites still have every package of a pin, unchanged.
fn on_offer(locked: &LockedKernel, offers: &[Offer]) -> bool {
    locked.packages.iter().all(|pin| {
        let same = |o: &Offer| {
            o.package == pin.package && o.version == pin.version && o.sha256 == pin.sha256
        };
        offers.iter().any(same)
    })
}

/// What to pin for a kernel. `update` asks for the newest build even where the pinned one is
/// still there. `offers` come in the order of the manifest's suites.
pub fn decide(
    kernel: &Kernel,
    suites: &[String],
    locked: Option<&LockedKernel>,
    offers: &[Offer],
    update: bool,
) -> Decision {
    let Source::Debian { series, flavour } = &kernel.source else {
        return Decision::Unavailable;
    };
    let locked = locked.filter(|locked| fits(kernel, suites, locked));
    if let Some(locked) = locked
        && !update
        && on_offer(locked, offers)
    {
        return Decision::Keep(locked.clone());
    }
    let Some(new) = newest(&kernel.name, series, flavour, offers) else {
        return Decision::Unavailable;
    };
    match locked {
        None => Decision::Add(new),
        Some(locked) if *locked == new => Decision::Keep(new),
        Some(locked) => Decision::Replace {
            old: locked.version.clone(),
            new,
        },
    }
}

/// The newest build of a series whose kernel is on offer.
fn newest(name: &str, series: &str, flavour: &str, offers: &[Offer]) -> Option<LockedKernel> {
    let mut images: Vec<(&str, &Offer)> = offers
        .iter()
        .filter_map(|offer| Some((release(&offer.package, flavour)?, offer)))
        .filter(|(release, _)| series_of(release) == Some(series))
        .collect();
    // Stable, so that of equal versions the one in the suite named first is taken.
    images.sort_by(|(_, a), (_, b)| newer_first(&a.version, &b.version));
    images.into_iter().find_map(|(release, image)| {
        let packages = assemble(image, offers)?;
        Some(LockedKernel {
            name: name.to_owned(),
            series: series.to_owned(),
            flavour: flavour.to_owned(),
            release: release.to_owned(),
            version: image.version.clone(),
            modules: packages
                .iter()
                .any(|p| matches!(p.role, Role::Image | Role::Modules)),
            packages,
        })
    })
}

/// Debian's order of versions; text that is no version sorts behind all that are.
fn newer_first(a: &str, b: &str) -> Ordering {
    let parse = |text: &str| text.parse::<Version>().ok();
    parse(b).cmp(&parse(a))
}

/// The packages that an image consists of, by its dependencies; none if its kernel is gone.
fn assemble(image: &Offer, offers: &[Offer]) -> Option<Vec<LockedPackage>> {
    let part = |prefix: &str, role: Role| {
        let name = image.depends.iter().find(|name| {
            // `linux-base` itself is a package of scripts; only its namesakes with a
            // release belong to a kernel.
            name.strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })?;
        let same = |o: &&Offer| o.package == *name && o.version == image.version;
        Some(offers.iter().find(same).map(|offer| pin(offer, role)))
    };
    match part("linux-binary-", Role::Binary) {
        None => Some(vec![pin(image, Role::Image)]),
        Some(binary) => {
            let mut packages = vec![binary?];
            if let Some(Some(modules)) = part("linux-modules-", Role::Modules) {
                packages.push(modules);
                packages.extend(part("linux-base-", Role::Base).flatten());
            }
            Some(packages)
        }
    }
}

fn pin(offer: &Offer, role: Role) -> LockedPackage {
    LockedPackage {
        package: offer.package.clone(),
        version: offer.version.clone(),
        role,
        suite: offer.suite.clone(),
        sha256: offer.sha256.clone(),
        size: offer.size,
        filename: offer.filename.clone(),
    }
}

/// The kernel release in the name of an image package of this flavour, e.g.
/// `6.1.0-56-cloud-amd64`. Meta packages name no build; debug, unsigned and real-time ones
/// have other words in their names.
fn release<'a>(package: &'a str, flavour: &str) -> Option<&'a str> {
    let release = package.strip_prefix("linux-image-")?;
    let build = release.strip_suffix(flavour)?.strip_suffix('-')?;
    let number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    let rebuild = |word: &str| word == "bpo" || word.strip_prefix("deb").is_some_and(number);
    let mut words = build.split('.');
    let major_minor = words.by_ref().take(2).filter(|word| number(word)).count();
    let rest: Vec<_> = words.flat_map(|word| word.split(['-', '+'])).collect();
    let anchored = major_minor == 2
        && rest.first().is_some_and(|word| number(word))
        && rest.iter().all(|word| number(word) || rebuild(word));
    anchored.then_some(release)
}

/// `6.12` of `6.12.117+deb13-cloud-amd64`.
fn series_of(release: &str) -> Option<&str> {
    let (dot, _) = release.match_indices('.').nth(1)?;
    Some(&release[..dot])
}

/// Each series of a flavour that the suites have, with its newest version, oldest first.
pub fn series_on_offer(flavour: &str, offers: &[Offer]) -> Vec<(String, String)> {
    let mut all = BTreeMap::<&str, &str>::new();
    for offer in offers {
        let Some(series) = release(&offer.package, flavour).and_then(series_of) else {
            continue;
        };
        let newest = all.entry(series).or_insert(&offer.version);
        if newer_first(&offer.version, newest) == Ordering::Less {
            *newest = &offer.version;
        }
    }
    let mut all: Vec<_> = all
        .into_iter()
        .map(|(series, version)| (series.to_owned(), version.to_owned()))
        .collect();
    all.sort_by(|(a, _), (b, _)| newer_first(b, a));
    all
}

#[cfg(test)]
mod tests;
