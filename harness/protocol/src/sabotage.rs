//! Proofs that are put to a mutant: an agent, or a world around it, that is broken on purpose.
//!
//! In a plan, `PROOF@MUTANT` in the configuration `CONFIGURATION@MUTANT` is that proof with
//! that mutant, so that one boot can put the same proof to many of them. A name without the
//! mark means the agent as shipped, and nothing is broken.

/// Between a name and its mutant.
const MARK: char = '@';

/// The variable by which the sabotaged build of the agent is told what to break.
pub const VARIABLE: &str = "AEGIS_SABOTAGE";

/// Stands for the sabotaged build with no mutant chosen: it must keep every promise, or a
/// mutant that breaks one shows nothing.
pub const CONTROL: &str = "control";

/// A proof or configuration, with a mutant.
#[must_use]
pub fn with(name: &str, mutant: &str) -> String {
    format!("{name}{MARK}{mutant}")
}

/// A name, and the mutant that it is with.
#[must_use]
pub fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once(MARK) {
        Some((name, mutant)) => (name, Some(mutant)),
        None => (name, None),
    }
}

/// What the guest itself breaks, with the agent as shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// The file that the policy denies isn't there.
    SecretMissing,
    /// The last act of a proof is told to nobody.
    ArmSkipped,
    /// There is no `io_uring_setup(2)`.
    NoIoUring,
    /// There is no `userfaultfd(2)`.
    NoUserfaultfd,
    /// There is no `fanotify_init(2)`.
    NoFanotify,
    /// There are no 32-bit system calls.
    NoIa32,
    /// There may be no user namespaces.
    NoUserNamespaces,
}

impl World {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SecretMissing,
        Self::ArmSkipped,
        Self::NoIoUring,
        Self::NoUserfaultfd,
        Self::NoFanotify,
        Self::NoIa32,
        Self::NoUserNamespaces,
    ];

    /// Its name as a mutant.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SecretMissing => "secret-missing",
            Self::ArmSkipped => "arm-skipped",
            Self::NoIoUring => "no-io-uring",
            Self::NoUserfaultfd => "no-userfaultfd",
            Self::NoFanotify => "no-fanotify",
            Self::NoIa32 => "no-ia32-emulation",
            Self::NoUserNamespaces => "no-user-namespaces",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|world| world.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_apart_as_it_was_put_together() {
        assert_eq!(
            split(&with("a-proof", "mutant")),
            ("a-proof", Some("mutant"))
        );
        assert_eq!(split("a-proof"), ("a-proof", None));
    }

    #[test]
    fn a_world_is_known_by_its_name() {
        for world in World::ALL {
            assert_eq!(World::from_name(world.name()), Some(world));
        }
        assert_eq!(World::from_name(CONTROL), None);
    }
}
