//! The host side of the proof matrix: from `kernels.toml` to a verdict for each promise on
//! each kernel. `main.rs` only parses the command line and calls one module of `commands`.

pub mod artifacts;
pub mod bench;
pub mod channel;
pub mod commands;
pub mod cross_boot;
mod digest;
pub mod engine;
pub mod event;
pub mod exit;
pub mod guarantees;
pub mod image;
pub mod interrupt;
pub mod kernels;
pub mod launch;
pub mod manifest;
pub mod out_dir;
pub mod outcome;
pub mod plan;
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
