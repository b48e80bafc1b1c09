//! The host side of the harness: everything behind `cargo xtask`.

pub mod commands;
pub mod exit;
pub mod image;
pub mod kernels;
pub mod manifest;
pub mod progress;
pub mod run;
pub mod setup;
