//! Proofs as people name them: with `--proof`, and in the skips of `kernels.toml`.
//!
//! In: what the user wrote, and what else narrows the run down. Out: globs over ids, or an
//! error for a name that stands for nothing. Pure.

use anyhow::{Context, anyhow};
use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::exit::{Failure, Result};
use crate::kernels::manifest::Manifest;
use proofs::Boot;

use crate::run::plan::{self, Wanted, catalogue};

/// The patterns as globs; none without a pattern, which means every proof.
///
/// # Errors
/// A pattern isn't a glob.
pub fn globs(patterns: &[String]) -> Result<Option<GlobSet>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mut globs = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = Glob::new(pattern)
            .with_context(|| format!("--proof {pattern}"))
            .map_err(Failure::usage)?;
        globs.add(glob);
    }
    let globs = globs.build().context("--proof").map_err(Failure::usage)?;
    Ok(Some(globs))
}

/// Checks that each pattern matches a proof of the boots asked for.
///
/// # Errors
/// One matches none, even if another does: a run that quietly proved less than asked for
/// would look green.
pub fn check_each_matches(patterns: &[String], wanted: &Wanted) -> Result<()> {
    for pattern in patterns {
        let alone = globs(std::slice::from_ref(pattern))?;
        let wanted = Wanted {
            proofs: alone.as_ref(),
            ..*wanted
        };
        if plan::is_empty(&wanted) {
            let boots: Vec<&str> = wanted.boots.iter().map(|boot| boot.name()).collect();
            return Err(Failure::usage(anyhow!(
                "no proof of {} is named {pattern}; see them with --list",
                boots.join(" or "),
            )));
        }
    }
    Ok(())
}

/// Checks that each declared skip is of a proof that some boot has.
///
/// # Errors
/// One isn't: it would declare nothing, and go unnoticed.
pub fn check_skips(manifest: &Manifest) -> Result<()> {
    for kernel in &manifest.kernels {
        for skip in &kernel.skips {
            if let Err(error) = Glob::new(&skip.proof) {
                return Err(Failure::usage(manifest.about(kernel, error)));
            }
            let known = Boot::ALL.into_iter().any(|boot| {
                let mut proofs = catalogue(boot, true).into_iter();
                proofs.any(|proof| skip.is_of(boot.name(), &proof.id))
            });
            if !known {
                let boot = skip.boot.as_deref().unwrap_or("any boot");
                let message = format!(
                    "no proof {:?} in {boot} that could be skipped; see them with \
                     `cargo xtask matrix --list`",
                    skip.proof
                );
                return Err(Failure::usage(manifest.about(kernel, message)));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check(skip: &str) -> Result<()> {
        let text = format!(
            "suites = [\"trixie\"]\n[[kernel]]\nname = \"6.1\"\npath = \"vmlinuz\"\n\
             [[kernel.skip]]\n{skip}\nreason = \"why\"\n"
        );
        check_skips(&Manifest::parse(&text, "kernels.toml", Path::new("/")).expect("a manifest"))
    }

    #[test]
    fn a_skip_is_of_a_proof_that_its_boot_has() {
        check("proof = \"no-pretend\"").expect("two boots have it");
        check("proof = \"kills-denied-open\"\nboot = \"no-bpf-lsm\"").expect("it has it");
        check("proof = \"*-holds-on-{ext4,xfs}\"").expect("two boots have some");
        check("proof = \"lockdown-*\"\nboot = \"lockdown\"").expect("it has nothing else");
        for skip in [
            "proof = \"*-holds-on-{ext4\"",
            "proof = \"*-holds-on-ntfs\"",
            "proof = \"kills-denied-opens\"",
            "proof = \"kills-denied-open\"\nboot = \"bpf-lsm\"",
            "proof = \"kills-denied-open\"\nboot = \"no-bpf\"",
            "proof = \"lockdown-*\"\nboot = \"bpf-lsm\"",
            "proof = \"seam-is-faithful\"",
        ] {
            let failure = check(skip).expect_err(skip);
            assert!(
                failure.to_string().starts_with("kernels.toml:3:"),
                "{failure}"
            );
        }
    }
}
