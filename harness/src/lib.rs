//! The host side of the proof matrix: from `kernels.toml` to a verdict for each promise on
//! each kernel. `main.rs` only parses the command line and calls one module of `commands`.

pub mod channel;
pub mod event;
pub mod outcome;
pub mod report;
pub mod verdict;
