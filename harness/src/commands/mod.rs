//! The commands of `cargo xtask`, one module each.

pub mod kernels;
