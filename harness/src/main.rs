//! `cargo xtask`: parses the command line and calls one module of `harness::cli`.

use std::process;

use clap::{Parser, Subcommand};
use harness::cli::matrix::MatrixOptions;
use harness::cli::sabotage::SabotageOptions;
use harness::cli::{bench, build, guarantees, judge, kernels, matrix, sabotage, test};
use harness::exit::{ExitCode, Result};
use harness::progress::Terminal;
use harness::{root, tell};

/// Proves the agent's promises on every kernel of kernels.toml.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Boot every kernel and put the agent to the proofs
    Matrix(matrix::MatrixArgs),
    /// Judge the records that a run of the matrix saved once more, without a machine
    Judge(judge::JudgeArgs),
    /// Put the proofs to agents that are broken on purpose: each must be caught
    Sabotage(sabotage::SabotageArgs),
    /// Measure what the agent costs
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Run everything that CI checks
    Test(test::TestArgs),
    /// List, fetch or update the kernels
    #[command(subcommand)]
    Kernels(kernels::KernelsCommand),
    /// Hold GUARANTEES.md and SECURITY.md against the proofs, or show what a run found of each promise
    Guarantees(guarantees::GuaranteesArgs),
    /// Build what goes into the guest, for `matrix --prebuilt`
    Build(build::BuildArgs),
}

fn main() -> process::ExitCode {
    match dispatch(Cli::parse()) {
        Ok(code) => code.into(),
        Err(failure) => {
            tell::err(&format!("error: {failure}"));
            failure.code.into()
        }
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode> {
    let root = root::find()?;
    match cli.command {
        Command::Matrix(args) => matrix::run(&MatrixOptions::of(&args, &root), &root),
        Command::Judge(args) => judge::run(&args, &root),
        Command::Sabotage(args) => sabotage::run(&SabotageOptions::of(&args, &root), &root),
        Command::Bench(command) => bench::run(&command, &root),
        Command::Test(args) => test::run(&args, &root),
        Command::Kernels(command) => {
            kernels::run(&command, &root, &Terminal::new())?;
            Ok(ExitCode::AsDeclared)
        }
        Command::Guarantees(args) => guarantees::run(&args, &root),
        Command::Build(args) => build::run(&args, &root),
    }
}
