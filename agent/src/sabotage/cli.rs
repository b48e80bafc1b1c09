//! The command line, which ends where no such mutant is known.

#[path = "../cli.rs"]
mod real;

use std::process::ExitCode;

/// Chooses the mutant before anything else.
pub fn main() -> ExitCode {
    crate::sabotage::choose();
    real::main()
}
