//! Packs one kernel's initramfs.
//!
//! In: the guest and agent binaries, the plan, what `images/` asks for, the kernel's modules.
//! Out: the initramfs file, and what was put in or couldn't be.

use std::path::{Path, PathBuf};

use protocol::plan::GuestPlan;

use crate::exit::Result;

/// What goes into one kernel's initramfs.
#[derive(Debug, Clone, Copy)]
pub struct PackInput<'a> {
    /// The static guest binary; becomes `/init`.
    pub guest: &'a Path,
    /// The static agent binary; becomes [`protocol::AGENT_PATH`].
    pub agent: &'a Path,
    /// Its sabotaged build; becomes [`protocol::SABOTAGED_AGENT_PATH`].
    pub sabotaged_agent: Option<&'a Path>,
    /// Becomes [`protocol::PLAN_PATH`].
    pub plan: &'a GuestPlan,
    /// The kernel's modules ([`crate::kernels::ReadyKernel::modules`]).
    pub modules: Option<&'a Path>,
}

/// A packed initramfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The modules in it, in load order, as they stand in `load-order`.
    pub modules: Vec<String>,
    /// Modules that `images/` asks for and this kernel doesn't have, by name.
    pub missing_modules: Vec<String>,
}

/// Writes the initramfs to `out`, whole or not at all.
pub fn pack(_input: &PackInput<'_>, _out: &Path) -> Result<Packed> {
    unimplemented!("lands with the newc writer")
}
