//! One module a subcommand of `cargo xtask`.

pub mod build;
pub mod list;
pub mod matrix;
