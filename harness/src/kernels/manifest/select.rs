//! Which of the manifest's kernels a command is about.
//!
//! In: the kernels and what the user wrote behind `--kernel`. Out: those that match, in the
//! manifest's order, or an error that names the ones on offer.

use anyhow::{Context as _, anyhow};
use globset::Glob;

use super::Kernel;
use crate::exit::{Failure, Result};

/// The kernels that any of the patterns names; all of them without a pattern.
///
/// A pattern that matches none is an error: a run that quietly proved less than asked for
/// would look green.
pub fn select<'a>(kernels: &'a [Kernel], patterns: &[String]) -> Result<Vec<&'a Kernel>> {
    let mut chosen = vec![patterns.is_empty(); kernels.len()];
    for pattern in patterns {
        let matcher = Glob::new(pattern)
            .with_context(|| format!("--kernel {pattern:?} isn't a glob"))
            .map_err(Failure::usage)?
            .compile_matcher();
        let mut matched = false;
        for (kernel, chosen) in kernels.iter().zip(&mut chosen) {
            if matcher.is_match(&kernel.name) {
                matched = true;
                *chosen = true;
            }
        }
        if !matched {
            let names: Vec<_> = kernels.iter().map(|k| k.name.as_str()).collect();
            return Err(Failure::usage(anyhow!(
                "no kernel is called {pattern:?}; kernels.toml has {}",
                names.join(", ")
            )));
        }
    }
    let chosen = kernels.iter().zip(chosen).filter(|(_, chosen)| *chosen);
    Ok(chosen.map(|(kernel, _)| kernel).collect())
}
