//! What shows that a proof can fail: mutants, and the null sweeps.

use serde::Serialize;

/// Something that is broken on purpose, which the proof that lists it must find out.
#[derive(Debug, Clone, Copy)]
pub struct Mutant {
    /// Its name, as the agent or the guest knows it.
    pub name: &'static str,
    /// What it breaks, in words.
    pub breaks: &'static str,
    /// The arm in which it must show.
    pub arm: &'static str,
    /// What the reason must say, so that it is about this promise and no other.
    pub says: &'static str,
    /// How it must show.
    pub shows_as: ShowsAs,
    /// How it is tried.
    pub tried: Tried,
    /// Whether it ends the agent where a proof needs it up, or keeps it up where it must end: then
    /// the rest can't be observed. With any other mutant that counts as a crash.
    pub breaks_off: bool,
}

/// How the reason begins where a proof was skipped and `kernels.toml` declares no skip of it. It
/// names no arm.
pub const UNDECLARED_SKIP: &str = "skipped, which nobody declared; the guest";

/// What a mutant makes of its proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShowsAs {
    /// It fails.
    Failed,
    /// A limit that is declared isn't there.
    UnexpectedPass,
    /// It is skipped where no skip is declared: only where the kernel is made to lack something.
    UndeclaredSkip,
    /// It couldn't be found out: only where something around the agent is broken.
    Incomplete,
}

/// How a mutant is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// In one boot with others.
    Shared,
    /// In a boot of its own, which it spoils for others.
    Alone,
    /// Under another boot's kernel command line.
    WrongBoot,
    /// In no boot: of the control's records, this arm's is lost before they are judged.
    LostRecord,
}

impl Mutant {
    /// One that fails its proof, and is tried with others.
    pub(crate) const fn new(
        name: &'static str,
        breaks: &'static str,
        arm: &'static str,
        says: &'static str,
    ) -> Self {
        Self {
            name,
            breaks,
            arm,
            says,
            shows_as: ShowsAs::Failed,
            tried: Tried::Shared,
            breaks_off: false,
        }
    }

    /// The same, where what it breaks is that the agent ends or doesn't end.
    pub(crate) const fn breaking_off(self) -> Self {
        Self {
            breaks_off: true,
            ..self
        }
    }

    /// The same, tried in a boot of its own.
    pub(crate) const fn alone(self) -> Self {
        Self {
            tried: Tried::Alone,
            ..self
        }
    }

    /// The same, around the agent, so that the proof is left incomplete.
    pub(crate) const fn incomplete(self, tried: Tried) -> Self {
        Self {
            shows_as: ShowsAs::Incomplete,
            tried,
            ..self
        }
    }

    /// A kernel that lacks what a proof needs, which mustn't be taken for a denial or a broken
    /// promise.
    pub(crate) const fn lacking(
        name: &'static str,
        breaks: &'static str,
        says: &'static str,
    ) -> Self {
        Self {
            shows_as: ShowsAs::UndeclaredSkip,
            ..Self::new(name, breaks, UNDECLARED_SKIP, says)
        }
    }

    /// The same, but it stops a declared leak.
    pub(crate) const fn unexpected_pass(self) -> Self {
        Self {
            shows_as: ShowsAs::UnexpectedPass,
            ..self
        }
    }
}

/// A proof's result in each null sweep: every proof of a kernel is run on an agent that breaks all
/// promises of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweeps {
    /// Over the agent that tells everything and stops nobody but its own canaries.
    pub stops_nobody: Swept,
    /// Over the agent that denies every open and every new name that isn't exempt.
    pub denies_all: Swept,
}

/// What a proof comes to over one such agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// It fails, as the agent breaks its promise.
    Red,
    /// It passes, and its arms bear out why.
    Green(Green),
}

/// Why a proof passes over an agent of a null sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Green {
    /// It promises that something gets by, as the agent declares.
    Leak,
    /// It promises that the agent ends, or leaves nothing behind.
    Refusal,
    /// It promises what the agent says.
    Report,
    /// It promises only stops: the agent that denies all breaks no arm of it.
    Stop,
}

impl Green {
    /// What such a proof promises, behind "that promises".
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Leak => "a leak",
            Self::Refusal => "a refusal",
            Self::Report => "a report",
            Self::Stop => "a stop",
        }
    }
}

impl Sweeps {
    /// Red in both: it promises stops, and that something isn't stopped.
    pub const RED: Self = Self {
        stops_nobody: Swept::Red,
        denies_all: Swept::Red,
    };

    /// Red only over the agent that stops nobody: what must be allowed happens without an agent, or
    /// is spared by the agent that denies all.
    pub const STOPS_ALONE: Self = Self {
        stops_nobody: Swept::Red,
        denies_all: Swept::Green(Green::Stop),
    };

    /// The same, of a proof in which a leak is declared that such an agent doesn't stop either.
    pub const LEAKS_ALL_THE_SAME: Self = Self {
        stops_nobody: Swept::Red,
        denies_all: Swept::Green(Green::Leak),
    };

    /// Green in both: it promises what the agent says, and no act.
    pub const REPORT: Self = Self {
        stops_nobody: Swept::Green(Green::Report),
        denies_all: Swept::Green(Green::Report),
    };

    /// Green in both: it promises that the agent ends or leaves nothing, and no stop.
    pub const REFUSAL: Self = Self {
        stops_nobody: Swept::Green(Green::Refusal),
        denies_all: Swept::Green(Green::Refusal),
    };
}

/// The mutant that is the agent of [`Sweeps::stops_nobody`].
pub const STOPS_NOBODY: &str = "enforces-only-canaries";

/// The mutant that is the agent of [`Sweeps::denies_all`].
pub const DENIES_ALL: &str = "denies-all";

#[cfg(test)]
mod tests {
    use protocol::plan::{Clause, Doer, Expectation};
    use protocol::record::Fate;
    use serde_json::Value;

    use super::*;
    use crate::promise::Proof;
    use crate::{Boot, of_boot};

    /// Whether somebody is stopped where this is as expected.
    fn stops(expect: &Expectation) -> bool {
        match expect {
            Expectation::Act { fate, by, .. } => {
                let helper = match by {
                    Doer::Helper { fate } => *fate,
                    Doer::Itself | Doer::Worker => Fate::Allowed,
                };
                [*fate, helper].iter().any(|fate| *fate != Fate::Allowed)
            }
            Expectation::Race { each, .. } => stops(each),
            Expectation::Exit { .. } | Expectation::NoBpfLeft => false,
            Expectation::Document { clauses, .. } => clauses.iter().any(|clause| match clause {
                Clause::Equals { value, .. } | Clause::Contains { value, .. } => {
                    names_a_stop(value)
                }
                Clause::Differs { .. } | Clause::Lacks { .. } | Clause::Reasons { .. } => false,
            }),
        }
    }

    /// Whether a fate that isn't `allowed` stands in a document, as a value or as what is counted.
    fn names_a_stop(value: &Value) -> bool {
        let is_stop = |text: &str| ["EPERM", "SIGKILL", "SIGTERM"].contains(&text);
        match value {
            Value::String(text) => is_stop(text),
            Value::Array(values) => values.iter().any(names_a_stop),
            Value::Object(members) => members
                .iter()
                .any(|(name, value)| is_stop(name) || names_a_stop(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    fn declares_a_leak(expect: &Expectation) -> bool {
        match expect {
            Expectation::Act { limit, .. } | Expectation::Document { limit, .. } => limit.is_some(),
            Expectation::Race { each, .. } => declares_a_leak(each),
            Expectation::Exit { .. } | Expectation::NoBpfLeft => false,
        }
    }

    fn ends(expect: &Expectation) -> bool {
        matches!(expect, Expectation::Exit { .. } | Expectation::NoBpfLeft)
    }

    /// Whether the proof's arms bear out that it is green for this reason.
    fn bears_out(proof: &Proof, green: Green) -> bool {
        let mut arms = proof.arms.iter().map(|arm| &arm.expect);
        match green {
            Green::Leak => arms.any(declares_a_leak),
            Green::Refusal => arms.any(ends),
            Green::Stop => arms.any(stops),
            Green::Report => arms.any(|arm| !declares_a_leak(arm) && !ends(arm) && !stops(arm)),
        }
    }

    fn all() -> impl Iterator<Item = Proof> {
        Boot::ALL.into_iter().flat_map(|boot| of_boot(boot, true))
    }

    #[test]
    fn a_proof_of_a_stop_is_red_over_an_agent_that_stops_nobody_and_no_other_is() {
        for proof in all() {
            let stops = proof.arms.iter().any(|arm| stops(&arm.expect));
            let red = proof.sweeps.stops_nobody == Swept::Red;
            assert_eq!(stops, red, "{} in {}", proof.id, proof.boot.name());
        }
    }

    #[test]
    fn what_is_green_is_so_for_a_reason_that_its_arms_bear_out() {
        for proof in all() {
            for swept in [proof.sweeps.stops_nobody, proof.sweeps.denies_all] {
                if let Swept::Green(green) = swept {
                    assert!(bears_out(&proof, green), "{}: {green:?}", proof.id);
                }
            }
        }
    }

    #[test]
    fn a_proof_that_is_green_over_both_agents_is_about_no_stop() {
        for proof in all() {
            let both = [proof.sweeps.stops_nobody, proof.sweeps.denies_all];
            if let [Swept::Green(_), Swept::Green(green)] = both {
                assert_ne!(green, Green::Stop, "{}", proof.id);
            }
        }
    }
}
