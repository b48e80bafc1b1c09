//! `cargo xtask guarantees`: whether `GUARANTEES.md` says what the proofs show, and what a run
//! showed of it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use walkdir::WalkDir;

use crate::exit::{ExitCode, Failure, Result};
use crate::guarantees::{Finding, check, parse, render};
use crate::manifest::Manifest;
use crate::outcome::BootResult;
use crate::plan::catalogue::bypass;
use crate::report::json;
use crate::tell;

/// What to do with the document.
#[derive(Debug, Args)]
pub struct GuaranteesArgs {
    /// Show what the run in this folder found of each promise, as a table for a release
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
}

/// Holds `GUARANTEES.md` of the checkout at `root` against the catalogue of proofs, and shows
/// a run's results by promise if asked to.
///
/// # Errors
/// The two differ; a file can't be read.
pub fn run(args: &GuaranteesArgs, root: &Path) -> Result<ExitCode> {
    let path = root.join("GUARANTEES.md");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("reading {}", path.display()))
        .map_err(Failure::usage)?;
    let kernels = Manifest::load(&root.join("kernels.toml"))?.kernels;
    let shown = check::shown(&kernels);
    let promises = parse(&text).map_err(|findings| differs(&findings))?;
    let findings = check::differences(&promises, &shown, &bypass::table());
    if !findings.is_empty() {
        return Err(differs(&findings));
    }
    match &args.results {
        Some(folder) => {
            let results = results(folder)?;
            let provenance = render::provenance(&results).context("--results");
            tell::out(&format!(
                "{}\n{}\n{}",
                provenance.map_err(Failure::usage)?,
                render::table(&promises, &shown, &results),
                render::races(&results)
            ))?;
        }
        None => tell::out(&format!(
            "GUARANTEES.md: {} promises, and a proof for each line of theirs; {} proofs, each \
             planned on a kernel\n",
            promises.len(),
            shown.len()
        ))?,
    }
    Ok(ExitCode::AsDeclared)
}

fn differs(findings: &[Finding]) -> Failure {
    let told: Vec<String> = findings.iter().map(Finding::to_string).collect();
    let told = anyhow!(
        "GUARANTEES.md isn't what the proofs show:\n{}",
        told.join("\n")
    );
    Failure::new(ExitCode::Failed, told)
}

/// Every `results.json` in the folder and beneath: a run of a workflow has one a kernel.
fn results(folder: &Path) -> Result<Vec<BootResult>> {
    let mut results = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.context("--results").map_err(Failure::usage)?;
        if entry.file_name() == "results.json" {
            let path = entry.path();
            let read = || -> anyhow::Result<_> { json::parse(&fs::read_to_string(path)?) };
            let read = read().with_context(|| format!("reading {}", path.display()));
            results.extend(read.map_err(Failure::usage)?);
        }
    }
    if results.is_empty() {
        return Err(Failure::usage(anyhow!(
            "--results: {} has no results.json; give the folder of a run (--out)",
            folder.display()
        )));
    }
    Ok(results)
}
