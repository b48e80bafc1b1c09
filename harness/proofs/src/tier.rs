//! The means of enforcement, and how the proofs differ by them.

use std::path::PathBuf;

use protocol::record::Fate;

use crate::boot::Boot;

/// A means of enforcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// BPF LSM programs deny.
    Lsm,
    /// Modified return values deny.
    Modret,
    /// A signal kills after the fact.
    Signal,
}

/// The act fails with `EPERM`.
pub(crate) const EPERM: Fate = Fate::Denied { errno: 1 };
/// Whoever acted is dead of `SIGKILL`.
pub(crate) const SIGKILL: Fate = Fate::Killed { signal: 9 };

impl Tier {
    /// All of them, the strongest first.
    pub const ALL: [Self; 3] = [Self::Lsm, Self::Modret, Self::Signal];

    /// In the ids of proofs and configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lsm => "enforce",
            Self::Modret => "modret",
            Self::Signal => "signal",
        }
    }

    /// The boot in which it is proven without the seam.
    #[must_use]
    pub fn boot(self) -> Boot {
        match self {
            Self::Lsm => Boot::BpfLsm,
            Self::Modret | Self::Signal => Boot::NoBpfLsm,
        }
    }

    /// The agent's state, as in its report.
    #[must_use]
    pub fn state(self) -> &'static str {
        match self {
            Self::Lsm => "ENFORCE",
            Self::Modret => "ENFORCE_MODRET",
            Self::Signal => "ENFORCE_SIGNAL",
        }
    }

    /// What becomes of whoever does what is denied.
    #[must_use]
    pub fn fate(self) -> Fate {
        match self {
            Self::Lsm | Self::Modret => EPERM,
            Self::Signal => SIGKILL,
        }
    }

    /// The same, as the account of an attempt has it.
    #[must_use]
    pub fn fate_word(self) -> &'static str {
        match self {
            Self::Lsm | Self::Modret => "EPERM",
            Self::Signal => "SIGKILL",
        }
    }

    /// What the agent's event says of it.
    #[must_use]
    pub fn outcome(self) -> &'static str {
        match self {
            Self::Lsm | Self::Modret => "denied",
            Self::Signal => "killed",
        }
    }

    /// The hook that sees an open.
    #[must_use]
    pub fn open_hook(self) -> &'static str {
        match self {
            Self::Lsm => "lsm/file_open",
            Self::Modret => "fmod_ret/security_file_open",
            Self::Signal => "kprobe/security_file_open",
        }
    }

    /// What comes before the name of a hook on names; the signal tier has none.
    #[must_use]
    pub fn name_hooks(self) -> Option<&'static str> {
        match self {
            Self::Lsm => Some("lsm/inode_"),
            Self::Modret => Some("fmod_ret/security_inode_"),
            Self::Signal => None,
        }
    }

    /// Whether what is denied doesn't happen.
    #[must_use]
    pub fn prevents(self) -> bool {
        self != Self::Signal
    }

    /// A folder for one proof of this tier, beneath this one.
    #[must_use]
    pub fn ground(self, above: &str, name: &str) -> PathBuf {
        let tier = match self {
            Self::Lsm => "lsm",
            Self::Modret => "modret",
            Self::Signal => "signal",
        };
        PathBuf::from(format!("{above}/{name}-{tier}"))
    }
}
