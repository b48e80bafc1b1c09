//! What a proof works with: the ground, the agent of its configuration, and what it has seen.

use std::cell::RefCell;

use anyhow::Result;
use protocol::record::{Act, Observation, Phase};

use crate::acts::agent::{Agent, Ended, Running};
use crate::acts::arms::Ground;
use crate::acts::attempt;
use crate::acts::filesystems::Filesystems;
use crate::acts::many;
use crate::acts::ways::actors::Actors;

/// What a proof may use.
pub struct Lab<'a> {
    /// The denied file and its neighbour.
    pub ground: &'a Ground,
    /// The agent of this configuration, for its report and its other subcommands.
    pub agent: &'a Agent<'a>,
    /// Who goes the ways to a denied file, if a proof of this configuration needs them.
    pub actors: Option<&'a RefCell<Actors>>,
    /// The file systems beside the guest's own.
    pub filesystems: &'a Filesystems,
}

/// Observations without the agent's events as yet, each with its arm, in order.
pub type Unjoined = Vec<(String, Observation)>;

/// Who tells the host what is seen.
pub trait Teller {
    /// Tells what one arm saw, to which the agent's events are still to be joined.
    ///
    /// # Errors
    /// It can't be told.
    fn preliminary(&mut self, id: &str, arm: &str, observation: Observation) -> Result<()>;

    /// Tells what one arm saw.
    ///
    /// # Errors
    /// It can't be told.
    fn evidence(&mut self, id: &str, arm: &str, observation: Observation) -> Result<()>;
}

/// Takes what a proof's arms see in one phase, one observation an arm, and tells it at once: the
/// machine may not live to see the end of the phase.
///
/// What the agent may have events of is told twice, now without them and later with them: its
/// stream is complete only once it has ended. The guest joins them, so that each record of
/// evidence is complete, and the host only compares.
pub struct Seen<'a> {
    id: &'a str,
    phase: Phase,
    teller: &'a mut dyn Teller,
    unjoined: &'a mut Unjoined,
    sent: Result<()>,
}

impl<'a> Seen<'a> {
    /// Takes what the arms of the proof with this id see in a phase.
    pub fn new(
        id: &'a str,
        phase: Phase,
        teller: &'a mut dyn Teller,
        unjoined: &'a mut Unjoined,
    ) -> Self {
        let sent = Ok(());
        Self {
            id,
            phase,
            teller,
            unjoined,
            sent,
        }
    }

    /// Takes what an act came to.
    pub fn act(&mut self, arm: &str, act: Act) {
        self.other(arm, Observation::Act(act));
    }

    /// Takes any other observation.
    pub fn other(&mut self, arm: &str, observation: Observation) {
        if self.sent.is_err() {
            return;
        }
        if !awaits_events(self.phase, &observation) {
            self.sent = self.teller.evidence(self.id, arm, observation);
            return;
        }
        self.sent = self.teller.preliminary(self.id, arm, observation.clone());
        self.unjoined.push((arm.to_owned(), observation));
    }

    /// Whether all could be told.
    ///
    /// # Errors
    /// The result channel is broken.
    pub fn sent(self) -> Result<()> {
        self.sent
    }
}

/// Whether the agent's events are still to be joined to an observation. Of an act while no agent was
/// there it has none: one with the same pid would be of another process.
fn awaits_events(phase: Phase, observation: &Observation) -> bool {
    match observation {
        Observation::Act(_) | Observation::Race { .. } => phase != Phase::Before,
        Observation::Document { document } => attempt::awaits(document) || many::awaits(document),
        Observation::Exit { .. } | Observation::BpfLeft { .. } => false,
    }
}

/// The agent while the proofs are in *during*.
pub enum During<'a> {
    /// It is up.
    Running(&'a Running),
    /// It ended by itself, as this configuration wants it.
    Ended(&'a Ended),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_an_agent_may_tell_of_awaits_its_events() {
        let document = |document| Observation::Document { document };
        let acts = Observation::Race { acts: Vec::new() };
        let account = document(json!({"fate": "allowed", "events": null}));
        let many = document(json!({"fates": {}, "pids": [7]}));
        let report = document(json!({"runtime_state": "ENFORCE"}));
        let left = Observation::BpfLeft {
            objects: Vec::new(),
        };
        for (observation, before, later) in [
            (acts, false, true),
            // A plan looks for what is joined to a document, even if it is nothing.
            (account, true, true),
            (many, true, true),
            (report, false, false),
            (left, false, false),
        ] {
            assert_eq!(awaits_events(Phase::Before, &observation), before);
            for phase in [Phase::During, Phase::After] {
                assert_eq!(awaits_events(phase, &observation), later, "{observation:?}");
            }
        }
    }
}
