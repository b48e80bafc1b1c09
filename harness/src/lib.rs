//! The host side of the proof matrix: from `kernels.toml` to a verdict for each promise on
//! each kernel. `main.rs` only parses the command line and calls one module of `cli`.

pub mod bench;
pub mod cli;
pub mod columns;
mod digest;
pub mod exit;
pub mod image;
pub mod kernels;
pub mod outcome;
mod program;
pub mod progress;
pub mod report;
pub mod root;
pub mod run;
pub mod sabotage;
pub mod setup;
pub mod signals;
pub mod tell;
#[cfg(test)]
mod testing;
pub mod verdict;
pub mod vm;
