//! The reports: what a person or a machine reads of a run.
//!
//! In: [`Event`](crate::run::event::Event)s while it runs, [`BootResult`](crate::outcome::BootResult)s
//! once it is judged. Out: progress on standard error, a table for standard output, and the
//! files under `--out`. No report judges anything; each shows what the verdict found.

pub mod files;
pub mod guarantees;
pub mod json;
pub mod junit;
pub mod progress;
#[cfg(test)]
pub(crate) mod samples;
pub mod screen;
pub mod summary;
pub mod table;

pub use files::write_all;
