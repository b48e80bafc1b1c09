//! `cargo xtask build`: the binaries that go into the guest, for another machine to use.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::artifacts;
use crate::exit::{ExitCode, Result};

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
    artifacts::build(root, &args.out)?;
    println!("{}", args.out.display());
    Ok(ExitCode::AsDeclared)
}
