//! Runs the planned proofs, one configuration of the agent after the other.
//!
//! The proofs of a configuration share one life of the agent. All are announced before it,
//! so that a kernel that dies in it is blamed on them; each goes through *before* (agent
//! absent), *during* and *after*. Acts are told at the end, joined with the agent's own
//! events: once the agent has stopped, its stream is complete, and a missing event is known
//! to be missing without waiting for it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use protocol::plan::{BootPlan, GuestPlan, PlannedProof};
use protocol::record::{Act, Level, Observation, Outcome};

use crate::agent::{Agent, Ended, Running, Start};
use crate::arms::Ground;
use crate::bpf_objects;
use crate::channel::Channel;
use crate::configuration::{self, Configuration};
use crate::proofs::{self, Proof};

/// What a proof may use.
pub struct Lab<'a> {
    /// The files to fight over.
    pub ground: &'a Ground,
    /// The agent of this configuration, for its report and its other subcommands.
    pub agent: &'a Agent<'a>,
}

/// What a proof has seen so far: one observation an arm.
#[derive(Default)]
pub struct Seen {
    arms: Vec<(&'static str, Observation)>,
}

impl Seen {
    /// Keeps what an act came to; the agent's event is joined when its stream is complete.
    pub fn act(&mut self, arm: &'static str, act: Act) {
        self.arms.push((arm, Observation::Act(act)));
    }

    /// Keeps any other observation.
    pub fn other(&mut self, arm: &'static str, observation: Observation) {
        self.arms.push((arm, observation));
    }
}

/// The agent while the proofs are in *during*.
pub enum During<'a> {
    /// It is up.
    Running(&'a Running),
    /// It ended by itself, as this configuration wants it.
    Ended(&'a Ended),
}

struct InProgress<'a> {
    planned: &'a PlannedProof,
    proof: &'static dyn Proof,
    seen: Seen,
}

/// Runs every planned proof of the boot.
///
/// # Errors
/// Only a broken result channel; everything else is told through it.
pub fn run(plan: &GuestPlan, boot: &BootPlan, channel: &mut Channel) -> Result<()> {
    let limit = Duration::from_millis(plan.wait_ms);
    let mut names: Vec<&str> = Vec::new();
    for proof in &boot.proofs {
        if !names.contains(&proof.configuration.as_str()) {
            names.push(&proof.configuration);
        }
    }
    for name in names {
        let planned: Vec<&PlannedProof> = boot
            .proofs
            .iter()
            .filter(|proof| proof.configuration == name)
            .collect();
        for proof in &planned {
            channel.started(&proof.id, name)?;
        }
        let (outcome, reason, done) = match run_configuration(name, &planned, limit, channel) {
            Ok((done, None)) => (Outcome::Observed, None, done),
            Ok((done, Some(broken))) => (Outcome::Broken, Some(format!("{broken:#}")), done),
            Err(error) => (Outcome::Error, Some(format!("{error:#}")), Vec::new()),
        };
        for proof in done {
            for (arm, observation) in proof.seen.arms {
                channel.evidence(&proof.planned.id, arm, observation)?;
            }
        }
        for proof in &planned {
            channel.finished(&proof.id, outcome, reason.clone())?;
        }
    }
    Ok(())
}

/// Takes the proofs of one configuration through one life of the agent.
///
/// Gives what they saw and, where the agent broke off, why: then the rest went unseen.
///
/// # Errors
/// The guest itself couldn't.
fn run_configuration<'a>(
    name: &str,
    planned: &[&'a PlannedProof],
    limit: Duration,
    channel: &mut Channel,
) -> Result<(Vec<InProgress<'a>>, Option<anyhow::Error>)> {
    let configuration = configuration::by_name(name)?;
    let ground = Ground::make(limit)?;
    let agent = Agent::prepare(configuration, &ground.policy(), limit)?;
    let lab = Lab {
        ground: &ground,
        agent: &agent,
    };
    let objects = bpf_objects::all()?;
    let mut proofs = Vec::new();
    for &planned in planned {
        let proof = proofs::by_id(&planned.id)?;
        proofs.push(InProgress {
            planned,
            proof,
            seen: Seen::default(),
        });
    }
    let broken = live(&lab, configuration, &mut proofs, channel).err();
    let left: Vec<String> = bpf_objects::all()?.difference(&objects).cloned().collect();
    for proof in &mut proofs {
        if proof.proof.watches_bpf_objects() {
            let objects = left.clone();
            proof
                .seen
                .other("left-behind", Observation::BpfLeft { objects });
        }
    }
    Ok((proofs, broken))
}

/// One life of the agent, with the proofs before, during and after it.
fn live(
    lab: &Lab,
    configuration: &Configuration,
    proofs: &mut [InProgress],
    channel: &mut Channel,
) -> Result<()> {
    for proof in proofs.iter_mut() {
        proof
            .proof
            .before(lab, &mut proof.seen)
            .context("before the agent")?;
    }
    let ended = match lab.agent.start()? {
        Start::Ready(running) => {
            let went = if configuration.becomes_ready {
                during(lab, &During::Running(&running), proofs)
            } else {
                Err(anyhow::anyhow!("the agent became ready; it was to refuse"))
            };
            let ended = running.stop()?;
            went?;
            if !ended.status.success() {
                bail!("the agent ended with {}: {}", ended.status, ended.stderr);
            }
            ended
        }
        Start::Ended(ended) => {
            if configuration.becomes_ready {
                bail!(
                    "the agent ended with {} before it was ready: {}",
                    ended.status,
                    ended.stderr
                );
            }
            during(lab, &During::Ended(&ended), proofs)?;
            ended
        }
    };
    if !ended.stderr.is_empty() {
        channel.log(
            Level::Info,
            &format!("{}: {}", configuration.name, ended.stderr),
        )?;
    }
    for proof in proofs.iter_mut() {
        proof
            .proof
            .after(lab, &mut proof.seen)
            .context("after the agent")?;
        for (_, observation) in &mut proof.seen.arms {
            if let Observation::Act(act) = observation {
                act.event = ended.event_of(act.pid)?;
            }
        }
    }
    Ok(())
}

fn during(lab: &Lab, agent: &During, proofs: &mut [InProgress]) -> Result<()> {
    for proof in proofs {
        let id = &proof.planned.id;
        proof
            .proof
            .during(lab, agent, &mut proof.seen)
            .with_context(|| format!("{id}, during"))?;
    }
    Ok(())
}
