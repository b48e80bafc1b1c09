//! Decisions that what was measured doesn't bear out.

#[path = "../posture/mod.rs"]
mod real;

pub use real::*;

use crate::sabotage::{self, Mutant};

pub mod gate {
    //! The gate.

    use super::{Mutant, real, sabotage};
    use real::{Action, State};

    pub use real::gate::*;

    /// What a rule does to whoever meets it.
    pub fn action(claimed: State) -> Action {
        match sabotage::is(Mutant::EnforcesWhenAuditing) {
            true => Action::Deny,
            false => real::gate::action(claimed),
        }
    }
}

pub mod lsm_list {
    //! The list of LSMs.

    use super::{Mutant, real, sabotage};

    pub use real::lsm_list::*;

    /// What both lists have, or what looks like it.
    pub fn lower(kernel: LsmList, mut seam: LsmList) -> LsmList {
        if sabotage::is(Mutant::LetsSeamRaise) {
            return seam;
        }
        if let (true, LsmList::Known(kernel), LsmList::Known(seam)) =
            (sabotage::is(Mutant::MatchesSubstring), &kernel, &mut seam)
        {
            let within = |name: &&String| seam.iter().any(|listed| listed.contains(*name));
            let found: Vec<String> = kernel.iter().filter(within).cloned().collect();
            seam.extend(found);
        }
        real::lsm_list::lower(kernel, seam)
    }
}
