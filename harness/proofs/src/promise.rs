//! What a promise is made of.

use protocol::plan::{Filesystem, PlannedArm, PlannedProof};

use crate::boot::Boot;
use crate::configuration::Configuration;
use crate::sabotage::{Mutant, Sweeps};
use crate::tier::Tier;

#[cfg(feature = "acts")]
use crate::acts::Acts;

/// One promise of `GUARANTEES.md`.
#[derive(Debug)]
pub struct Promise {
    /// Where it stands there.
    pub section: Section,
    /// Its heading there, in lower case with hyphens.
    pub id: &'static str,
    /// What it says, as Markdown; [`crate::contract`] breaks its lines.
    pub text: &'static str,
    /// Its proofs, in the order in which they run and are listed.
    pub proofs: fn() -> Vec<Proof>,
    /// The proof that holds one boot's records against another's, if it has one.
    pub comparison: Option<Comparison>,
}

/// A part of `GUARANTEES.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// What is enforced.
    Enforced,
    /// What is claimed.
    Claimed,
    /// On two processors.
    Processors,
    /// Under lockdown.
    Lockdown,
    /// Every way to a denied file.
    Ways,
}

/// A proof that takes place on the host: it compares what two boots showed.
#[derive(Debug)]
pub struct Comparison {
    /// Its id.
    pub id: &'static str,
    /// The agent's state in both boots.
    pub state: &'static str,
    /// What it shows, in the words of `GUARANTEES.md`.
    pub fate: &'static str,
}

/// One proof: what the guest does in one configuration of the agent, and what must come of it.
#[derive(Debug)]
pub struct Proof {
    /// Named after the promise. Another boot may have a proof of the same id.
    pub id: String,
    /// Where it runs.
    pub boot: Boot,
    /// How the agent is started for it, once for all proofs of that configuration.
    pub configuration: &'static Configuration<'static>,
    /// The file system that it takes place on, where it isn't the guest's own ground.
    pub filesystem: Option<Filesystem>,
    /// What it must show.
    pub arms: Vec<PlannedArm>,
    /// Its results for agents that break all promises of a kind.
    pub sweeps: Sweeps,
    /// The mutants that it must catch.
    pub mutants: Vec<Mutant>,
    /// Whether it waits for nothing. Then it also runs on each mutant of its configuration, at
    /// little cost, and shows what else the mutant breaks.
    pub is_quick: bool,
    /// What the guest does for it.
    #[cfg(feature = "acts")]
    pub acts: Box<dyn Acts>,
}

/// What the guest does for a proof; nothing where the acts aren't built.
#[cfg(feature = "acts")]
pub(crate) type ActsOf = Box<dyn Acts>;
/// What the guest does for a proof; nothing where the acts aren't built.
#[cfg(not(feature = "acts"))]
pub(crate) type ActsOf = ();

/// What the guest does for a proof: a value that implements `Acts`, or nothing where the acts
/// aren't built, so that only one place knows of the feature.
#[cfg(feature = "acts")]
macro_rules! acts {
    ($acts:expr) => {
        Box::new($acts)
    };
}
#[cfg(not(feature = "acts"))]
macro_rules! acts {
    ($acts:expr) => {
        ()
    };
}
pub(crate) use acts;

impl Proof {
    /// One that is red in both null sweeps, and lists no mutants.
    pub(crate) fn new(
        id: impl Into<String>,
        boot: Boot,
        configuration: &'static Configuration<'static>,
        acts: ActsOf,
        arms: Vec<PlannedArm>,
    ) -> Self {
        #[cfg(not(feature = "acts"))]
        let () = acts;
        Self {
            id: id.into(),
            boot,
            configuration,
            filesystem: None,
            arms,
            sweeps: Sweeps::RED,
            mutants: Vec::new(),
            is_quick: false,
            #[cfg(feature = "acts")]
            acts,
        }
    }

    /// One of a tier, `TIER-PROMISE`, in the boot where that tier is the real one.
    pub(crate) fn of_tier(
        tier: Tier,
        promise: &str,
        configuration: &'static Configuration<'static>,
        acts: ActsOf,
        arms: Vec<PlannedArm>,
    ) -> Self {
        let id = format!("{}-{promise}", tier.name());
        Self::new(id, tier.boot(), configuration, acts, arms)
    }

    /// One a tier that takes place on ext4, `TIER-PROMISE-on-ext4`, with what the guest does for it
    /// and what it must show.
    pub(crate) fn on_ext4(
        promise: &str,
        of_tier: impl Fn(Tier) -> (ActsOf, Vec<PlannedArm>),
    ) -> Vec<Self> {
        let id = format!("{promise}-on-ext4");
        let proof = |tier: Tier| {
            let (acts, arms) = of_tier(tier);
            Self::of_tier(tier, &id, tier.identity(), acts, arms).on(Filesystem::Ext4)
        };
        Tier::ALL.map(proof).into()
    }

    /// The same, on a file system.
    pub(crate) fn on(self, filesystem: Filesystem) -> Self {
        let filesystem = Some(filesystem);
        Self { filesystem, ..self }
    }

    /// The same, with what the null sweeps make of it.
    pub(crate) fn swept(self, sweeps: Sweeps) -> Self {
        Self { sweeps, ..self }
    }

    /// The same, with the mutants that it finds out.
    pub(crate) fn catches(self, mutants: &[Mutant]) -> Self {
        let mutants = mutants.to_vec();
        Self { mutants, ..self }
    }

    /// The same, which waits for nothing.
    pub(crate) fn quick(self) -> Self {
        let is_quick = true;
        Self { is_quick, ..self }
    }

    /// As it stands in a plan.
    #[must_use]
    pub fn planned(&self) -> PlannedProof {
        PlannedProof {
            id: self.id.clone(),
            configuration: self.configuration.name.to_owned(),
            filesystem: self.filesystem,
            arms: self.arms.clone(),
        }
    }
}
