//! A run: what is to be booted, and booting it, many machines side by side.
//!
//! In: the kernels that are ready, and what the user asked for. Out: events as they happen, and one
//! judged result a boot. The folder that it writes to belongs to one run at a time.

pub mod engine;
pub mod event;
pub mod judge;
pub mod out_dir;
pub mod plan;
pub mod saved;
mod side_by_side;
