//! `cargo xtask test`: everything that CI checks, in the order in which it fails fastest.
//!
//! The contract, the formatting, the lints, every test (those that boot machines too), then the
//! matrix on the kernels that the promises of this project differ most on, that it finds every
//! mutant out on one of them, and that every proof there sees an agent that stops nobody.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, anyhow};
use clap::Args;
use xshell::{Shell, cmd};

use super::at_hand;
use super::guarantees::{self, GuaranteesArgs};
use super::matrix::{self, MatrixOptions};
use super::sabotage::{self, SabotageOptions};
use crate::exit::{ExitCode, Failure, Result};
use crate::kernels::cache::Cache;
use crate::kernels::manifest::{Kernel, Manifest};
use crate::progress::Terminal;
use crate::setup::{self, Setup};
use crate::tell;

/// The kernels that CI boots beside the newest: the oldest, and the two that most machines
/// run.
const KERNELS: [&str; 3] = ["5.10", "6.1", "6.12"];

/// Set for the tests, so that one which can't run here fails instead of being left out.
pub const TEST_ALL: &str = "AEGISBPF_TEST_ALL";

/// How to run the tests.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Install nothing; fail if something is missing
    #[arg(long)]
    pub no_setup: bool,
}

/// Runs all checks in the checkout at `root`, and stops at the first that fails.
///
/// # Errors
/// A check fails or can't be run.
pub fn run(args: &TestArgs, root: &Path) -> Result<ExitCode> {
    let manifest = Manifest::load(&root.join("kernels.toml"))?;
    let matrix = matrix_options(&manifest.kernels, args.no_setup, root)?;
    let sabotage = [false, true].map(|sweep| sabotage_options(sweep, args.no_setup, root));
    // Checks that break off must not leave an earlier run's results in the place of theirs.
    at_hand::clear(&matrix.run)?;
    for sabotage in &sabotage {
        at_hand::clear(&sabotage.run)?;
    }
    // More than the matrix takes: the tests put modules into an image, and use both launchers.
    Setup::new(&Cache::of_user()?, args.no_setup, &Terminal::new())
        .ensure(&setup::needed_for(setup::Job::Test, setup::Asked::ALL))?;
    ensure_components(args.no_setup)?;
    // Gets kernels and binaries ready for the tests that boot machines.
    matrix::prepare(&matrix, root)?;
    guarantees::run(&GuaranteesArgs::default(), root)?;
    let shell = Shell::new().context("starting the checks")?;
    shell.change_dir(root);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    check(cmd!(shell, "{cargo} fmt --all --check"))?;
    check(cmd!(
        shell,
        "{cargo} clippy --quiet --locked --workspace --all-targets --all-features -- -D warnings"
    ))?;
    let nextest = cmd!(shell, "{cargo} nextest --version")
        .quiet()
        .ignore_stdout()
        .ignore_stderr()
        .run();
    // Release, as everything else that is built here: it shares the work of `cargo xtask`.
    let tests = match nextest {
        Ok(()) => cmd!(
            shell,
            "{cargo} nextest run --locked --release --workspace --run-ignored all"
        ),
        Err(_) => cmd!(
            shell,
            "{cargo} test --locked --release --workspace -- --include-ignored"
        ),
    };
    check(tests.env(TEST_ALL, "1"))?;
    let mut code = matrix::run(&matrix, root)?;
    for sabotage in &sabotage {
        if code == ExitCode::AsDeclared {
            code = sabotage::run(sabotage, root)?;
        }
    }
    Ok(code)
}

/// Makes sure of rustfmt and clippy, which rustup's minimal profile leaves out.
fn ensure_components(no_setup: bool) -> Result<()> {
    const INSTALL: &str = "rustup component add rustfmt clippy";
    let shell = Shell::new().context("looking for rustfmt and clippy")?;
    let there = |tool: &str| {
        let probe = cmd!(shell, "cargo {tool} --version").quiet();
        probe.ignore_stdout().ignore_stderr().run().is_ok()
    };
    if there("fmt") && there("clippy") {
        return Ok(());
    }
    if no_setup {
        return Err(Failure::prerequisite(anyhow!(
            "rustfmt or clippy missing, and --no-setup forbids installing; run: {INSTALL}"
        )));
    }
    tell::err(&format!("setting up: {INSTALL}"));
    cmd!(shell, "rustup component add rustfmt clippy")
        .quiet()
        .run()
        .map_err(|error| Failure::prerequisite(anyhow!("{error}; run: {INSTALL}")))
}

fn check(command: xshell::Cmd) -> Result<()> {
    tell::err(&format!("$ {command}"));
    command
        .quiet()
        .run()
        .map_err(|error| Failure::new(ExitCode::Failed, anyhow!(error)))
}

fn matrix_options(kernels: &[Kernel], no_setup: bool, root: &Path) -> Result<MatrixOptions> {
    let newest = newest(kernels).context("kernels.toml names no kernel of Debian's")?;
    let mut options = MatrixOptions::new(root);
    let names = KERNELS.into_iter().chain([newest]);
    options.kernels = names.map(str::to_owned).collect();
    options.run.no_setup = no_setup;
    Ok(options)
}

fn sabotage_options(sweep: bool, no_setup: bool, root: &Path) -> SabotageOptions {
    let mut options = SabotageOptions::new(sweep, root);
    options.run.no_setup = no_setup;
    options
}

/// The kernel with the highest version number in its name.
fn newest(kernels: &[Kernel]) -> Option<&str> {
    kernels
        .iter()
        .filter_map(|kernel| Some((numbers(&kernel.name)?, kernel.name.as_str())))
        .max()
        .map(|(_, name)| name)
}

fn numbers(name: &str) -> Option<Vec<u32>> {
    name.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernels(names: &[&str]) -> Vec<Kernel> {
        let text: String = names
            .iter()
            .map(|name| format!("[[kernel]]\nname = {name:?}\npath = \"vmlinuz\"\n"))
            .collect();
        let text = format!("suites = [\"trixie\"]\n{text}");
        Manifest::parse(&text, "kernels.toml", Path::new("/"))
            .expect("a valid manifest")
            .kernels
    }

    #[test]
    fn the_newest_kernel_goes_by_numbers_and_not_by_letters() {
        assert_eq!(newest(&kernels(&["6.12", "6.9", "mine"])), Some("6.12"));
        assert_eq!(newest(&kernels(&["7.3", "10.0", "6.12"])), Some("10.0"));
        assert_eq!(newest(&kernels(&["mine"])), None);
    }

    #[test]
    fn ci_puts_every_mutant_to_the_proofs() {
        let options = sabotage_options(false, true, Path::new("/checkout"));
        assert!(options.mutants.is_empty() && !options.list && !options.sweep);
        assert!(options.run.no_setup);
        assert!(sabotage_options(true, true, Path::new("/checkout")).sweep);
    }

    #[test]
    fn ci_boots_the_oldest_the_common_and_the_newest() {
        let kernels = kernels(&["5.10", "6.1", "6.12", "7.2", "7.3"]);
        let options = matrix_options(&kernels, true, Path::new("/checkout"));
        let options = options.expect("there is a newest kernel");
        assert_eq!(options.kernels, ["5.10", "6.1", "6.12", "7.3"]);
        assert!(options.boots.is_empty() && options.proofs.is_empty());
        assert!(options.list.is_none() && options.run.no_setup);
    }
}
