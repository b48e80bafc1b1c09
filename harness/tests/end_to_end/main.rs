//! The harness from outside: its program on real input, judged by exit code and message.
//!
//! Tests that boot machines are ignored by default, since they need QEMU, kernels in the
//! cache and the binaries of `target/artifacts`; `cargo xtask test` gets these ready and runs
//! them. All others bring along what they need, down to the tools in PATH.

mod agents;
mod apt;
mod bad_input;
mod bench;
mod boots;
mod broken_qemu;
mod host_trouble;
mod interrupts;
mod judge;
mod launchers;
mod missing_kernel;
mod modules;
mod old_results;
mod sabotage;
mod set_up;
mod skips;
mod support;
mod telling;
