//! `cargo xtask guarantees`: whether `GUARANTEES.md` says what the proofs show, whether what
//! `SECURITY.md` promises rests on them, and what a run showed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use proofs::contract::security;
use walkdir::WalkDir;

use crate::exit::{ExitCode, Failure, Result};
use crate::kernels::manifest::Manifest;
use crate::outcome::BootResult;
use crate::report::files::write_whole;
use crate::report::guarantees::{difference, on_no_kernel, render, shown};
use crate::report::json;
use crate::tell;

/// What to do with the document.
#[derive(Debug, Default, Args)]
pub struct GuaranteesArgs {
    /// Write GUARANTEES.md from the promises
    #[arg(long, conflicts_with = "results")]
    pub write: bool,
    /// Show what the run in this folder found of each promise, as a table for a release
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
}

/// Holds `GUARANTEES.md` of the checkout at `root` against the promises, or writes it from them, holds
/// `SECURITY.md` against them, and shows a run's results by promise if asked to.
///
/// # Errors
/// One of the two isn't what the promises say, or `SECURITY.md` is missing; a file can't be read or
/// written.
pub fn run(args: &GuaranteesArgs, root: &Path) -> Result<ExitCode> {
    let path = root.join("GUARANTEES.md");
    let written = proofs::contract::document();
    if args.write {
        write_whole(&path, written.as_bytes())?;
    }
    let text = fs::read_to_string(&path)
        .with_context(|| format!("reading {}", path.display()))
        .map_err(Failure::usage)?;
    let kernels = Manifest::load(&root.join("kernels.toml"))?.kernels;
    let mut findings: Vec<String> = difference(&text, &written).into_iter().collect();
    findings.extend(on_no_kernel(&kernels));
    findings.extend(security::violations(security(root)?.as_deref()));
    if !findings.is_empty() {
        let told = anyhow!(
            "what is promised isn't what the proofs show:\n{}",
            findings.join("\n")
        );
        return Err(Failure::new(ExitCode::Failed, told));
    }
    match &args.results {
        Some(folder) => {
            let results = results(folder)?;
            let provenance = render::provenance(&results).context("--results");
            tell::out(&format!(
                "{}\n{}\n{}",
                provenance.map_err(Failure::usage)?,
                render::table(&results),
                render::races(&results)
            ))?;
        }
        None => {
            let promises = proofs::ALL.iter();
            let proofs: usize = promises.map(|promise| shown(promise).len()).sum();
            tell::out(&format!(
                "GUARANTEES.md: {} promises, as written; {proofs} proofs, each planned on a \
                 kernel; SECURITY.md rests on them\n",
                proofs::ALL.len(),
            ))?;
        }
    }
    Ok(ExitCode::AsDeclared)
}

/// The text of `SECURITY.md`, if it is there.
fn security(root: &Path) -> Result<Option<String>> {
    let path = root.join("SECURITY.md");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let told = anyhow!(error).context(format!("reading {}", path.display()));
            Err(Failure::usage(told))
        }
    }
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
