//! `--proof`: which proofs a run is asked for.
//!
//! In: what the user wrote, and what else narrows the run down. Out: globs over ids, or an
//! error for a pattern that matches nothing. Pure.

use anyhow::{Context, anyhow};
use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::exit::{Failure, Result};
use crate::plan::{self, Wanted};

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
