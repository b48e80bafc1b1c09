//! `cargo xtask judge`: judges the records that a run of the matrix saved, without a machine.
//!
//! In: the folder of that run. Out: what the run itself told, by the same code: its table, its
//! reports, its exit code. It says what the records show under this build's rules of the verdict; see
//! [`crate::run::judge`] for what is the run's own.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;

use super::matrix::told;
use crate::exit::{ExitCode, Failure, Result};
use crate::report::files;
use crate::run::judge;
use crate::run::out_dir::{OutDir, Reading};
use crate::run::saved::RunPlan;
use crate::tell;

/// Which run, and where the results go.
#[derive(Debug, Args)]
pub struct JudgeArgs {
    /// The folder of a run of the matrix, its --out [default: target/matrix]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Write the reports here; without this none is written
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print the results as JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Judges a run in a folder, by default the one in the checkout at `root`.
///
/// # Errors
/// The folder is none of a run's, or a run is writing to it, or `--out` can't be written. What is
/// wrong with a boot's files is a result.
pub fn run(args: &JudgeArgs, root: &Path) -> Result<ExitCode> {
    let dir = args.dir.clone();
    let dir = dir.unwrap_or_else(|| root.join("target/matrix"));
    let there = dir.canonicalize().and_then(|dir| match dir.is_dir() {
        true => Ok(dir),
        false => Err(std::io::ErrorKind::NotADirectory.into()),
    });
    let dir = there.map_err(|error| {
        Failure::usage(anyhow!(
            "{}: {error}; give the folder of a run (`cargo xtask matrix --out`)",
            dir.display()
        ))
    })?;
    let out = args.out.as_deref().map(OutDir::claim).transpose()?;
    // A folder that is claimed for writing is held already.
    let is_own = out.as_ref().is_some_and(|out| out.path() == dir);
    let _reading = match is_own {
        true => None,
        false => Reading::claim(&dir)?,
    };
    if let Some(out) = out.as_ref().filter(|_| !is_own) {
        // A boot's folder has a records.jsonl of its own, which a report's would take the place of.
        if out.path().starts_with(&dir) {
            return Err(Failure::usage(anyhow!(
                "--out: {} is a part of the run that is judged; name another folder",
                out.path().display()
            )));
        }
        files::remove_reports(out.path())?;
    }
    let plan = RunPlan::read(&dir)?;
    let others = plan.boots.iter().map(|boot| &boot.promises_sha256);
    if let Some(other) = others
        .into_iter()
        .find(|sha256| *sha256 != proofs::SOURCE_SHA256)
    {
        tell::err(&format!(
            "the run was of other promises than this build's (sources {other}, not {}): its own \
             plan is what its records are held against",
            proofs::SOURCE_SHA256
        ));
    }
    let boots = plan.boots.iter();
    let done = boots.map(|spec| judge::saved(spec, &files::boot_dir(&dir, &spec.suite)));
    let done = done.collect();
    told::tell(&plan, &dir, done, out.as_ref().map(OutDir::path), args.json)
}
