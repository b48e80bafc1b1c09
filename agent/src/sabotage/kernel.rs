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

pub mod readback {
    //! Reading maps back.

    use std::collections::HashMap;
    use std::hash::Hash;

    use super::{Mutant, real, sabotage};

    pub use real::readback::*;

    /// How what was found differs, unless nobody is to see it.
    pub fn compare<K: Clone + Eq + Hash, V: PartialEq, E>(
        expected: &HashMap<K, V>,
        read: impl FnOnce(&mut dyn FnMut(K, &V)) -> Result<(), E>,
    ) -> Result<Difference<K>, E> {
        let difference = real::readback::compare(expected, read)?;
        match sabotage::is(Mutant::OverlooksAlteredRules) {
            true => Ok(Difference::none()),
            false => Ok(difference),
        }
    }

    /// The same of exempt cgroups.
    pub fn compare_exempt(expected: &[u64], found: &[Exempted]) -> Difference<u64> {
        match sabotage::is(Mutant::OverlooksAddedExemptions) {
            true => Difference::none(),
            false => real::readback::compare_exempt(expected, found),
        }
    }
}
