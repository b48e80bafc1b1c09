//! Classes that look for less than their rules say.

#[path = "../classes/mod.rs"]
mod real;

pub use real::*;

use crate::sabotage::{self, Mutant};

pub mod hooks {
    //! The table of hooks.

    use super::{Mutant, real, sabotage};

    pub use real::hooks::*;

    /// What a program needs of the kernel's BTF, which is looked up by names of any kind.
    pub fn functions() -> Vec<String> {
        let mut names = real::hooks::functions();
        if sabotage::is(Mutant::IgnoresExemptDescendants) {
            names.push("css_set".to_owned());
        }
        names
    }
}

pub mod file {
    //! Files.

    use super::{Mutant, real, sabotage};

    pub use real::file::*;

    pub mod former {
        //! What paths led to before.

        use super::{Mutant, real, sabotage};

        pub use real::file::former::*;

        /// As many as the real one, or one.
        #[must_use]
        pub fn room(rules: usize) -> usize {
            match sabotage::is(Mutant::RemembersOneFormer) {
                true => 1,
                false => real::file::former::room(rules),
            }
        }
    }

    pub mod contents {
        //! What the maps hold.

        use super::{Mutant, real, sabotage};
        use crate::posture::Action;
        use real::file::maps::Contents;
        use real::file::resolve::ResolvedRule;

        /// No rules, or rules by nothing but their paths, or all.
        pub fn of(rules: &[ResolvedRule], action: Action) -> Contents {
            if sabotage::is_resting() {
                return real::file::contents::of(&[], action);
            }
            if !sabotage::is(Mutant::ComparesPathsOnly) {
                return real::file::contents::of(rules, action);
            }
            let rules = rules.iter().map(|rule| rule.rule.clone());
            let rules: Vec<ResolvedRule> = rules.map(ResolvedRule::unknown).collect();
            real::file::contents::of(&rules, action)
        }
    }

    pub mod mounted {
        //! What is mounted beneath folders.

        use anyhow::Result;

        use super::{Mutant, real, sabotage};
        use crate::host::Mount;
        use crate::kernel::identity::Identify;
        use real::file::resolve::ResolvedRule;

        pub use real::file::mounted::*;

        /// What can be had by another mount, and nothing that is held.
        pub fn hold(
            rules: &mut [ResolvedRule],
            mounts: &[Mount],
            kernel: &mut dyn Identify,
        ) -> Result<Vec<usize>> {
            let changed = real::file::mounted::hold(rules, mounts, kernel)?;
            if sabotage::is(Mutant::HoldsNothingMounted) {
                rules.iter_mut().for_each(|rule| rule.mounted.held.clear());
            }
            Ok(changed)
        }
    }

    pub mod resolve {
        //! What paths lead to.

        use anyhow::Result;

        use super::{Mutant, real, sabotage};
        use crate::kernel::identity::Identify;

        pub use real::file::resolve::*;

        /// The targets, without the places where they stand: what then is known by its path alone.
        pub fn resolve(
            rules: &mut [ResolvedRule],
            which: &[usize],
            kernel: &mut dyn Identify,
        ) -> Result<Vec<usize>> {
            let moved = real::file::resolve::resolve(rules, which, kernel)?;
            if sabotage::is(Mutant::ComparesPathsOnly) {
                rules.iter_mut().for_each(|rule| rule.names.clear());
            }
            Ok(moved)
        }
    }
}
