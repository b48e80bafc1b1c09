//! What a proof works with: the ground, the agent of its configuration, and what it has seen.

use std::cell::RefCell;
use std::error::Error;
use std::fmt::{Display, Formatter};

use protocol::record::{Act, Observation};

use crate::acts::agent::{Agent, Ended, Running};
use crate::acts::arms::Ground;
use crate::acts::filesystems::Filesystems;
use crate::acts::ways::actors::Actors;

/// What a proof may use.
pub struct Lab<'a> {
    /// The files to fight over.
    pub ground: &'a Ground,
    /// The agent of this configuration, for its report and its other subcommands.
    pub agent: &'a Agent<'a>,
    /// Who goes the ways to a denied file, if a proof of this configuration needs them.
    pub actors: Option<&'a RefCell<Actors>>,
    /// The file systems beside the guest's own.
    pub filesystems: &'a Filesystems,
}

/// This kernel can't have what a proof is about, for this reason. As the cause of an arm's
/// failure it makes the proof a skip, which counts only where it is declared.
#[derive(Debug)]
pub struct NotHere(pub String);

impl Display for NotHere {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for NotHere {}

/// What a proof has seen so far: one observation an arm.
#[derive(Default)]
pub struct Seen {
    /// In the order in which they came.
    pub arms: Vec<(String, Observation)>,
}

impl Seen {
    /// Keeps what an act came to; the agent's event is joined when its stream is complete.
    pub fn act(&mut self, arm: &str, act: Act) {
        self.arms.push((arm.to_owned(), Observation::Act(act)));
    }

    /// Keeps any other observation.
    pub fn other(&mut self, arm: &str, observation: Observation) {
        self.arms.push((arm.to_owned(), observation));
    }
}

/// The agent while the proofs are in *during*.
pub enum During<'a> {
    /// It is up.
    Running(&'a Running),
    /// It ended by itself, as this configuration wants it.
    Ended(&'a Ended),
}
