//! The tier that a proof's configuration is to end up in, for proofs that do other things in
//! one than in another.

use std::path::PathBuf;

/// A means of enforcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// BPF LSM programs deny.
    Lsm,
    /// Modified return values deny.
    Modret,
    /// A signal kills after the fact.
    Signal,
}

impl Tier {
    /// The one of these ids, given in the order of the tiers, that is this tier's.
    pub fn of<'a>(self, ids: &'a [&'static str; 3]) -> &'a [&'static str] {
        let place = self as usize;
        &ids[place..=place]
    }

    /// As [`Self::of`], for proofs that are put to some tiers under more than one id.
    pub fn any_of<'a>(self, ids: &'a [&'a [&'static str]; 3]) -> &'a [&'static str] {
        ids[self as usize]
    }

    /// Whether what is denied doesn't happen.
    pub fn prevents(self) -> bool {
        self != Self::Signal
    }

    /// A folder for one proof of this tier, beneath this one.
    pub fn ground(self, above: &str, name: &str) -> PathBuf {
        let tier = match self {
            Self::Lsm => "lsm",
            Self::Modret => "modret",
            Self::Signal => "signal",
        };
        PathBuf::from(format!("{above}/{name}-{tier}"))
    }
}

/// A rule of a policy.
pub fn rule(id: &str, path: &str, access: &str) -> String {
    format!("\n[[deny.file]]\nid = \"{id}\"\npath = \"{path}\"\naccess = \"{access}\"\n")
}
