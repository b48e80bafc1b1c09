//! One proof in progress: what was seen of it, and what the host was told.
//!
//! In: the planned proof, and its acts phase by phase. Out: its records.

use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};
use protocol::plan::PlannedProof;
use protocol::record::{Observation, Outcome, Phase};
use protocol::sabotage::{self, World};

use proofs::Proof;
use proofs::acts::agent::Ended;
use proofs::acts::lab::{Seen, Teller, Unjoined};
use proofs::acts::{Acts, attempt, cause, many};

use crate::channel::Channel;

/// One planned proof, from its first phase to its last.
pub struct InProgress<'a> {
    /// As the host wants it.
    pub planned: &'a PlannedProof,
    /// As this guest knows it.
    pub proof: &'a Proof,
    /// What was seen and waits for the agent's events.
    unjoined: Unjoined,
    /// Why it can't go on, if it can't.
    pub unseen: Option<Unseen>,
    took: Duration,
    /// How much of it was told.
    pub told: Told,
}

/// How much of a proof the host knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nothing.
    Nothing,
    /// That it has begun.
    Started,
    /// What came of it.
    Finished,
}

/// Why a proof's arms couldn't all be observed.
pub struct Unseen {
    /// What that makes of the proof.
    pub outcome: Outcome,
    /// In words.
    pub why: Error,
}

impl Unseen {
    /// An error in a phase.
    pub fn of(phase: Phase, why: Error) -> Self {
        let outcome = cause::of(phase, &why);
        Self { outcome, why }
    }
}

impl<'a> InProgress<'a> {
    /// The proof that is planned, of which nothing was told yet.
    ///
    /// # Errors
    /// This guest doesn't know it.
    pub fn of(known: &'a [Proof], planned: &'a PlannedProof) -> Result<Self> {
        let (id, _) = sabotage::split(&planned.id);
        let proof = known.iter().find(|proof| proof.id == id);
        Ok(Self {
            planned,
            proof: proof
                .with_context(|| format!("this guest knows no proof {id:?} of its boot"))?,
            unjoined: Vec::new(),
            unseen: None,
            took: Duration::ZERO,
            told: Told::Nothing,
        })
    }

    /// Says that the guest is about this proof from here on.
    ///
    /// # Errors
    /// As [`Self::phase`].
    pub fn announce(&mut self, phase: Phase, channel: &mut Channel) -> Result<()> {
        let PlannedProof {
            id, configuration, ..
        } = self.planned;
        match self.told {
            Told::Nothing => {
                self.told = Told::Started;
                channel.started(id, configuration)
            }
            Told::Started | Told::Finished => channel.phase(configuration, Some(id), phase),
        }
    }

    /// Goes through one phase, unless an earlier one broke: one proof's trouble is its own.
    ///
    /// # Errors
    /// Only a broken result channel.
    pub fn phase(
        &mut self,
        phase: Phase,
        channel: &mut Channel,
        go: impl FnOnce(&dyn Acts, &mut Seen) -> Result<()>,
    ) -> Result<()> {
        if self.unseen.is_some() {
            return Ok(());
        }
        let began = Instant::now();
        let mut seen = Seen::new(&self.planned.id, phase, channel, &mut self.unjoined);
        let went = go(&*self.proof.acts, &mut seen);
        seen.sent()?;
        self.took += began.elapsed();
        let named = |error: Error| error.context(phase.name());
        self.unseen = went.err().map(|error| Unseen::of(phase, named(error)));
        Ok(())
    }

    /// Joins the agent's events to what was seen, and tells it.
    ///
    /// # Errors
    /// As [`Self::phase`].
    pub fn join(&mut self, ended: &Ended, channel: &mut Channel) -> Result<()> {
        if broken_world(&self.planned.id) == Some(World::ArmSkipped) {
            self.unjoined.pop();
        }
        if let Err(error) = join_events(ended, &mut self.unjoined) {
            let error = error.context("joining its events");
            let unseen = Unseen::of(Phase::After, error);
            self.unseen.get_or_insert(unseen);
            return Ok(());
        }
        for (arm, observation) in std::mem::take(&mut self.unjoined) {
            channel.evidence(&self.planned.id, &arm, observation)?;
        }
        Ok(())
    }

    /// Tells what came of it.
    ///
    /// # Errors
    /// As [`Self::phase`].
    pub fn finish(&mut self, channel: &mut Channel) -> Result<()> {
        self.told = Told::Finished;
        let (outcome, why) = match &self.unseen {
            None => (Outcome::Observed, None),
            Some(Unseen { outcome, why }) => (*outcome, Some(format!("{why:#}"))),
        };
        channel.finished(&self.planned.id, outcome, why, self.took)
    }
}

/// What is broken around the agent in a proof or configuration of this name.
pub fn broken_world(name: &str) -> Option<World> {
    World::from_name(sabotage::split(name).1?)
}

fn join_events(ended: &Ended, unjoined: &mut Unjoined) -> Result<()> {
    for (_, observation) in &mut *unjoined {
        let acts = match observation {
            Observation::Act(act) => std::slice::from_mut(act),
            Observation::Race { acts } => acts,
            _ => continue,
        };
        for act in acts {
            let mut pids = vec![act.pid];
            pids.extend(act.helper.map(|helper| helper.pid));
            act.events = ended.events_of(&pids)?;
        }
    }
    let observations = unjoined.iter_mut().map(|(_, observation)| observation);
    attempt::join(&ended.events, observations);
    let observations = unjoined.iter_mut().map(|(_, observation)| observation);
    many::join(&ended.events, observations);
    Ok(())
}
