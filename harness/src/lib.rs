//! The host side of the proof matrix: from `kernels.toml` to a verdict for each promise on
//! each kernel. `main.rs` only parses the command line and calls one module of `commands`.

pub mod artifacts;
pub mod channel;
pub mod cross_boot;
pub mod event;
pub mod exit;
pub mod image;
pub mod kernels;
pub mod launch;
pub mod manifest;
pub mod outcome;
pub mod plan;
pub mod report;
pub mod run;
pub mod verdict;
