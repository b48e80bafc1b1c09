//! Kernels: from `kernels.toml` to files that can be booted.

pub mod apt;
pub mod bzimage;
pub mod cache;
mod extract;
pub mod fetch;
pub mod index;
pub mod lock;
pub mod manifest;
pub mod resolve;

use std::path::PathBuf;

use crate::kernels::manifest::{Allow, Skip, Source};

/// A kernel that is on this machine, checked, and can be booted.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadyKernel {
    /// Its name in `kernels.toml`.
    pub name: String,
    /// Where it came from.
    pub source: Source,
    /// What `uname -r` says in it.
    pub release: String,
    /// A whole word of its `uname -v`, e.g. `6.1.192-2`, where it has one of Debian's.
    pub version_word: Option<String>,
    /// The bzImage.
    pub vmlinuz: PathBuf,
    /// The folder with `modules.dep`, where there are modules and the image asks for any.
    pub modules: Option<PathBuf>,
    /// The version of the package it came from.
    pub package_version: Option<String>,
    /// Set if the version that the lock named was gone and this run took another one.
    pub replaced: Option<Replaced>,
    /// The guest's memory.
    pub memory_mib: u32,
    /// Skips declared for it.
    pub skips: Vec<Skip>,
    /// What it may say on its console.
    pub allows: Vec<Allow>,
}

/// A locked version that the archive no longer has, and the one taken in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// What `kernels.lock` named.
    pub old: String,
    /// What it names now.
    pub new: String,
}
