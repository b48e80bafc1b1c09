//! What a way to a denied file comes to, in each tier.

use protocol::plan::Doer;
use protocol::record::{Effect, Fate};

#[cfg(feature = "acts")]
use crate::acts::ways::go::Go;
use crate::sabotage::Mutant;
use crate::tier::Tier;

/// One way to a file, or to what is in it, as a row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// As it stands in proofs' ids.
    pub name: &'static str,
    /// The way in words, for `GUARANTEES.md`.
    pub what: &'static str,
    /// What it comes to where nobody stops it.
    free: Free,
    /// Which tiers stop it.
    kept: Kept,
    /// Who carries it out.
    by: By,
    /// Whether it is a race, so that no single attempt shows how it ends.
    pub is_race: bool,
    /// Whether the machine's pid 1 goes it.
    pub is_pid_one: bool,
    /// Whether it goes by no open at all.
    is_without_open: bool,
    /// What its proofs find out, each in a tier.
    pub mutants: &'static [(Tier, Mutant)],
    /// How it is tried.
    #[cfg(feature = "acts")]
    pub go: Go,
}

/// How a way is tried; nothing where the acts aren't built.
#[cfg(feature = "acts")]
pub type GoOf = Go;
/// How a way is tried; nothing where the acts aren't built.
#[cfg(not(feature = "acts"))]
pub type GoOf = ();

/// What a way comes to where nobody stops it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Free {
    /// What is in the file comes out.
    Leaks,
    /// Nothing comes out, and this is left behind.
    Leaves(Effect),
    /// Nothing comes out, and nothing is left behind.
    Nothing,
}

/// Which tiers stop a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Those that deny do, and the signal tier as far as this says.
    Stopped(InSignal),
    /// None does, as this limit of the agent's report declares.
    Leaks(&'static str),
    /// None may: it is no way to a denied file.
    Spared,
}

/// What becomes of a way in the signal tier, by the limit that declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InSignal {
    /// Whoever goes it is killed, and nothing comes out.
    Killed,
    /// Whoever goes it is killed, after the effect.
    KilledAfter(&'static str),
    /// Nobody sees it: it opens nothing.
    Unseen(&'static str),
    /// It is told of, and nobody is killed.
    Observed(&'static str),
    /// Only the child that opens dies; who waits for it reads on.
    HelperKilled(&'static str),
}

/// Who carries a way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The process itself, on its first thread.
    Itself,
    /// A thread that the kernel makes on its behalf.
    Worker,
    /// Another process.
    Helper,
}

/// What an act comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct What {
    pub fate: Fate,
    pub leaks: bool,
    pub effects: Vec<Effect>,
    pub by: Doer,
    /// The outcome in the agent's event.
    pub event: Option<&'static str>,
    /// The limit that declares it.
    pub limit: Option<&'static str>,
}

impl Way {
    /// One that every tier stops, and by which the file's content comes out elsewhere.
    pub const fn new(name: &'static str, what: &'static str, go: GoOf) -> Self {
        #[cfg(not(feature = "acts"))]
        let () = go;
        Self {
            name,
            what,
            free: Free::Leaks,
            kept: Kept::Stopped(InSignal::Killed),
            by: By::Itself,
            is_race: false,
            is_pid_one: false,
            is_without_open: false,
            mutants: &[],
            #[cfg(feature = "acts")]
            go,
        }
    }

    /// The same, which comes to something else where nobody stops it.
    pub const fn free_to(self, free: Free) -> Self {
        Self { free, ..self }
    }

    /// The same, which the signal tier doesn't stop, or not in time.
    pub const fn in_signal(self, in_signal: InSignal) -> Self {
        let kept = Kept::Stopped(in_signal);
        Self { kept, ..self }
    }

    /// The same, which no tier stops, by this limit.
    pub const fn leaking(self, limit: &'static str) -> Self {
        let kept = Kept::Leaks(limit);
        Self { kept, ..self }
    }

    /// The same, which no tier may stop.
    pub const fn spared(self) -> Self {
        let kept = Kept::Spared;
        Self { kept, ..self }
    }

    /// The same, carried out by another.
    pub const fn carried_out_by(self, by: By) -> Self {
        Self { by, ..self }
    }

    /// The same, as a race.
    pub const fn race(self) -> Self {
        let is_race = true;
        Self { is_race, ..self }
    }

    /// The same, which opens nothing, at least while the agent is up.
    pub const fn without_open(self) -> Self {
        let is_without_open = true;
        Self {
            is_without_open,
            ..self
        }
    }

    /// The same, gone by the machine's pid 1.
    pub const fn by_pid_one(self) -> Self {
        let is_pid_one = true;
        Self { is_pid_one, ..self }
    }

    /// The same, whose proofs find these out.
    pub const fn catching(self, mutants: &'static [(Tier, Mutant)]) -> Self {
        Self { mutants, ..self }
    }

    /// Whether it is no way to a denied file, and so nothing that a rule may stop.
    pub fn is_neighbour(&self) -> bool {
        self.kept == Kept::Spared
    }

    /// Whether there is nothing in it that an open or a new name is, as far as this tier sees either.
    pub fn opens_nothing(&self, tier: Tier) -> bool {
        let unseen = matches!(self.kept, Kept::Stopped(InSignal::Unseen(_)));
        self.is_without_open || (unseen && tier == Tier::Signal)
    }

    /// What it comes to where nobody stops it.
    pub fn free(&self) -> What {
        let (leaks, effects) = match self.free {
            Free::Leaks => (true, Vec::new()),
            Free::Leaves(effect) => (false, vec![effect]),
            Free::Nothing => (false, Vec::new()),
        };
        What {
            fate: Fate::Allowed,
            leaks,
            effects,
            by: self.doer(Fate::Allowed),
            event: None,
            limit: None,
        }
    }

    /// What it comes to on a denied file in a tier.
    pub fn met(&self, tier: Tier) -> What {
        let free = self.free();
        let in_signal = match self.kept {
            Kept::Spared => return free,
            Kept::Leaks(limit) => {
                let limit = Some(limit);
                return What { limit, ..free };
            }
            Kept::Stopped(in_signal) => in_signal,
        };
        let stopped = What {
            fate: tier.fate(),
            leaks: false,
            effects: Vec::new(),
            by: self.doer(tier.fate()),
            event: Some(tier.outcome()),
            limit: None,
        };
        if tier.prevents() {
            return stopped;
        }
        let effects = free.effects.clone();
        match in_signal {
            InSignal::Killed => What { effects, ..stopped },
            InSignal::KilledAfter(limit) => What {
                effects,
                limit: Some(limit),
                ..stopped
            },
            InSignal::Unseen(limit) => What {
                limit: Some(limit),
                ..free
            },
            InSignal::Observed(limit) => What {
                event: Some("observed"),
                limit: Some(limit),
                ..free
            },
            InSignal::HelperKilled(limit) => What {
                fate: free.fate,
                leaks: free.leaks,
                limit: Some(limit),
                ..stopped
            },
        }
    }

    /// Who carries it out, where whoever does meets this fate.
    fn doer(&self, fate: Fate) -> Doer {
        match self.by {
            By::Itself => Doer::Itself,
            By::Worker => Doer::Worker,
            By::Helper => Doer::Helper { fate },
        }
    }
}
