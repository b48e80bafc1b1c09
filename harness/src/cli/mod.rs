//! One module a subcommand of `cargo xtask`.

mod again;
mod at_hand;
pub mod bench;
pub mod build;
pub mod guarantees;
pub mod judge;
pub mod kernels;
pub mod list;
pub mod matrix;
pub mod options;
pub mod proof_names;
pub mod sabotage;
pub mod test;
