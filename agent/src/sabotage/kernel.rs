//! The edges to the kernel's BPF, with a mutant's object.

#[path = "../kernel/mod.rs"]
mod real;

pub use real::*;

use crate::sabotage::{self, Mutant};

pub mod bpf_call {
    //! Calls.

    use std::io;
    use std::os::fd::OwnedFd;

    use super::{Mutant, real, sabotage};

    pub use real::bpf_call::*;

    /// Attaches, for as long as the descriptor or a copy of it is open.
    pub fn link(program: &OwnedFd, target: Target) -> Result<OwnedFd, Unlinked> {
        let link = real::bpf_call::link(program, target)?;
        if sabotage::is(Mutant::LeavesLinkAfterRefusing) {
            std::mem::forget(link.try_clone().map_err(Unlinked::Link)?);
        }
        Ok(link)
    }

    /// How often the kernel skipped a program.
    pub fn recursion_misses(program: &OwnedFd) -> io::Result<u64> {
        match sabotage::is(Mutant::OverlooksPassedOver) {
            true => Ok(0),
            false => real::bpf_call::recursion_misses(program),
        }
    }
}

pub mod loader {
    //! The loader.

    use super::{real, sabotage};

    pub use real::loader::*;

    /// The object that is loaded.
    pub fn object() -> &'static [u8] {
        sabotage::object().unwrap_or_else(real::loader::object)
    }
}
