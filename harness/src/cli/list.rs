//! `matrix --list`: what a run would do, without doing it.
//!
//! In: the selected kernels and what is wanted of them. Out: text, JSON, or the job matrix
//! of a GitHub Actions workflow (one job a kernel). Pure.

use anyhow::anyhow;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;

use crate::exit::{Failure, Result};
use crate::kernels::manifest::Kernel;
use crate::outcome::CROSS_BOOT;
use crate::run::plan::{self, Wanted};
use proofs::SEAM_IS_FAITHFUL;

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For `strategy.matrix` of a workflow, through `fromJSON`.
    Github,
}

/// One suite of the plan.
#[derive(Debug, Serialize)]
struct Suite<'a> {
    kernel: &'a str,
    boot: &'a str,
    proofs: Vec<String>,
}

/// The most jobs that GitHub makes of one matrix.
const MOST_JOBS: usize = 256;

/// The plan as text that ends with a line end.
///
/// # Errors
/// There are more kernels than the workflow's matrix takes jobs.
pub fn render(kernels: &[&Kernel], wanted: &Wanted, format: Format) -> Result<String> {
    let suites: Vec<Suite> = kernels
        .iter()
        .flat_map(|kernel| suites(&kernel.name, wanted))
        .collect();
    Ok(match format {
        Format::Text => {
            let mut text = String::new();
            for suite in &suites {
                text.push_str(&format!("{}/{}\n", suite.kernel, suite.boot));
                for proof in &suite.proofs {
                    text.push_str(&format!("  {proof}\n"));
                }
            }
            text
        }
        Format::Json => format!("{}\n", json!({"version": 1, "suites": suites})),
        Format::Github => {
            if kernels.len() > MOST_JOBS {
                return Err(Failure::usage(anyhow!(
                    "these are {} kernels, and a matrix of GitHub's takes {MOST_JOBS} jobs; ask for \
                     fewer (--kernel), in a workflow of their own",
                    kernels.len()
                )));
            }
            let include: Vec<_> = kernels
                .iter()
                .map(|kernel| json!({"kernel": kernel.name}))
                .collect();
            format!("{}\n", json!({"include": include}))
        }
    })
}

fn suites<'a>(kernel: &'a str, wanted: &Wanted) -> Vec<Suite<'a>> {
    let mut suites: Vec<Suite> = wanted
        .boots
        .iter()
        .map(|&boot| Suite {
            kernel,
            boot: boot.name(),
            proofs: plan::proofs(boot, wanted)
                .into_iter()
                .map(|proof| proof.id)
                .collect(),
        })
        .filter(|suite| !suite.proofs.is_empty())
        .collect();
    if plan::cross_boot(wanted) {
        suites.push(Suite {
            kernel,
            boot: CROSS_BOOT,
            proofs: vec![SEAM_IS_FAITHFUL.to_owned()],
        });
    }
    suites
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::exit::ExitCode;
    use crate::kernels::manifest::Manifest;
    use proofs::Boot;

    fn listed(kernels: usize, format: Format) -> Result<String> {
        let kernels =
            (0..kernels).map(|n| format!("[[kernel]]\nname = \"k{n}\"\npath = \"vmlinuz\"\n"));
        let text = format!("suites = [\"trixie\"]\n{}", kernels.collect::<String>());
        let manifest = Manifest::parse(&text, "kernels.toml", Path::new("/"));
        let manifest = manifest.expect("a valid manifest");
        let wanted = Wanted {
            boots: &Boot::ALL,
            proofs: None,
            sabotaged_agent: true,
        };
        render(
            &manifest.kernels.iter().collect::<Vec<_>>(),
            &wanted,
            format,
        )
    }

    #[test]
    fn a_matrix_that_github_does_not_take_is_refused() {
        assert!(listed(MOST_JOBS, Format::Github).is_ok());
        let failure = listed(MOST_JOBS + 1, Format::Github).expect_err("too many");
        assert_eq!(failure.code, ExitCode::Usage);
        assert!(failure.to_string().contains("--kernel"), "{failure}");
        assert!(listed(MOST_JOBS + 1, Format::Json).is_ok());
    }
}
