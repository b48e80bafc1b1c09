//! `matrix --list`: what a run would do, without doing it.
//!
//! In: the selected kernels and what is wanted of them. Out: text, JSON, or the job matrix
//! of a GitHub Actions workflow (one job a kernel). Pure.

use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;

use crate::manifest::Kernel;
use crate::plan::{self, CROSS_BOOT, SEAM_IS_FAITHFUL, Wanted};

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

/// The plan as text that ends with a line end.
#[must_use]
pub fn render(kernels: &[&Kernel], wanted: &Wanted, format: Format) -> String {
    let suites: Vec<Suite> = kernels
        .iter()
        .flat_map(|kernel| suites(&kernel.name, wanted))
        .collect();
    match format {
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
            let include: Vec<_> = kernels
                .iter()
                .map(|kernel| json!({"kernel": kernel.name}))
                .collect();
            format!("{}\n", json!({"include": include}))
        }
    }
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
