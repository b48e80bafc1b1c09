//! `cargo xtask build`: the binaries that go into the guest, for another machine to use.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::exit::{ExitCode, Result};
use crate::image::build::build;
use crate::kernels::cache::Cache;
use crate::progress::Terminal;
use crate::setup::{self, Asked, Job, Setup};
use crate::tell;

/// Where the binaries go.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The folder for `matrix --prebuilt`
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Install nothing; fail if something is missing
    #[arg(long)]
    pub no_setup: bool,
}

/// Builds agent, sabotaged agent and guest.
///
/// # Errors
/// A prerequisite is missing, or a build fails.
pub fn run(args: &BuildArgs, root: &Path) -> Result<ExitCode> {
    let cache = Cache::of_user()?;
    let progress = Terminal::new();
    Setup::new(&cache, args.no_setup, &progress)
        .ensure(&setup::needed_for(Job::Build, Asked::NOTHING))?;
    build(root, &args.out)?;
    tell::out(&format!("{}\n", args.out.display()))?;
    Ok(ExitCode::AsDeclared)
}
