//! Runs the planned proofs, one configuration of the agent after the other.
//!
//! The proofs of a configuration share one life of the agent. All are announced before it,
//! so that a kernel that dies in it is blamed on them; each goes through *before* (agent
//! absent), *during* and *after*. Acts are told at the end, joined with the agent's own
//! events: once the agent has stopped, its stream is complete, and a missing event is known
//! to be missing without waiting for it.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow};
use protocol::plan::{BootPlan, Expectation, PlannedProof};
use protocol::record::{Level, Observation, Outcome};
use protocol::sabotage::{self, World};

use proofs::acts::Acts;
use proofs::acts::agent::{self, Agent, Ended, Start};
use proofs::acts::arms::Ground;
use proofs::acts::filesystems::{Filesystems, Made};
use proofs::acts::lab::{During, Lab, NotHere, Seen};
use proofs::acts::ways::actors::Actors;
use proofs::acts::ways::trees;
use proofs::acts::{attempt, bpf_objects, many};
use proofs::configuration::{self, Configuration};
use proofs::{Boot, Proof};

use crate::channel::Channel;
use crate::stopwatch::Stopwatch;

struct InProgress<'a> {
    planned: &'a PlannedProof,
    proof: Proof,
    seen: Seen,
    unseen: Option<Unseen>,
}

/// Why a proof's arms couldn't all be observed.
struct Unseen {
    outcome: Outcome,
    why: Error,
}

impl From<Error> for Unseen {
    fn from(why: Error) -> Self {
        let outcome = match why.is::<NotHere>() {
            true => Outcome::Skipped,
            false => Outcome::Broken,
        };
        Self { outcome, why }
    }
}

/// The agent's exit code for "nothing could be measured here": a skip, which counts only
/// where it is declared.
const NOTHING_MEASURED: i32 = 77;

impl InProgress<'_> {
    /// Goes through one phase, unless an earlier one broke: one proof's trouble is its own.
    fn phase(&mut self, name: &str, phase: impl FnOnce(&dyn Acts, &mut Seen) -> Result<()>) {
        if self.unseen.is_none() {
            let went = phase(&*self.proof.acts, &mut self.seen);
            self.unseen = went
                .err()
                .map(|error| error.context(name.to_owned()).into());
        }
    }
}

/// Runs every planned proof of the boot.
///
/// # Errors
/// Only a broken result channel; everything else is told through it.
pub fn run(boot: &BootPlan, limit: Duration, channel: &mut Channel) -> Result<()> {
    let mut filesystems = Filesystems::default();
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
        match run_configuration(&boot.boot, name, &planned, limit, &mut filesystems, channel) {
            Ok(proofs) => proofs
                .into_iter()
                .try_for_each(|proof| tell(proof, channel))?,
            Err(error) => {
                let reason = format!("{error:#}");
                for proof in &planned {
                    channel.finished(&proof.id, Outcome::Error, Some(reason.clone()))?;
                }
            }
        }
    }
    Ok(())
}

fn tell(mut proof: InProgress, channel: &mut Channel) -> Result<()> {
    let id = &proof.planned.id;
    if broken_world(id) == Some(World::ArmSkipped) {
        proof.seen.arms.pop();
    }
    for (arm, observation) in proof.seen.arms {
        channel.evidence(id, &arm, observation)?;
    }
    match proof.unseen {
        None => channel.finished(id, Outcome::Observed, None),
        Some(Unseen { outcome, why }) => channel.finished(id, outcome, Some(format!("{why:#}"))),
    }
}

/// What is broken around the agent in a proof or configuration of this name.
fn broken_world(name: &str) -> Option<World> {
    World::from_name(sabotage::split(name).1?)
}

/// Takes the proofs of one configuration through one life of the agent.
///
/// # Errors
/// The guest itself couldn't.
fn run_configuration<'a>(
    boot: &str,
    name: &str,
    planned: &[&'a PlannedProof],
    limit: Duration,
    filesystems: &mut Filesystems,
    channel: &mut Channel,
) -> Result<Vec<InProgress<'a>>> {
    let configuration = configuration::by_name(name);
    let configuration =
        &configuration.with_context(|| format!("this guest knows no configuration {name:?}"))?;
    let mut watch = Stopwatch::start();
    let ground = Ground::make(limit)?;
    if broken_world(name) == Some(World::SecretMissing) {
        ground.lose_secret()?;
    }
    let mut rules = String::new();
    let mut protected = Vec::new();
    if configuration.denies_trees {
        trees::lay()?;
        rules.push_str(&trees::rules());
    }
    let mut proofs = Vec::new();
    for &planned in planned {
        let proof = known(boot, planned)?;
        rules.push_str(&proof.acts.rules()?);
        rules.push_str(&proof.acts.rules_on_reports(&agent::folder(configuration)));
        protected.extend_from_slice(proof.acts.protected());
        proofs.push(InProgress {
            planned,
            proof,
            seen: Seen::default(),
            unseen: make_filesystem(planned, filesystems, &mut rules, channel)?,
        });
    }
    let policy = ground.policy(&protected, &rules);
    let agent = Agent::prepare(configuration, &policy, limit)?;
    let actors = match proofs.iter().any(|proof| proof.proof.acts.needs_actors()) {
        true => Some(RefCell::new(Actors::start(limit)?)),
        false => None,
    };
    let lab = Lab {
        ground: &ground,
        agent: &agent,
        filesystems,
        actors: actors.as_ref(),
    };
    let objects = bpf_objects::all()?;
    watch.lap("preparing");
    for proof in &mut proofs {
        proof.phase("before the agent", |proof, seen| proof.before(&lab, seen));
    }
    watch.lap("before the agent");
    if let Some(actors) = &actors {
        actors.borrow_mut().lay_anew()?;
    }
    watch.lap("laying anew");
    match live(&lab, configuration, &mut proofs, &mut watch) {
        Ok(ended) => {
            if !ended.stderr.is_empty() {
                channel.log(Level::Info, &format!("{name}: {}", ended.stderr))?;
            }
            for proof in &mut proofs {
                proof.phase("after the agent", |proof, seen| proof.after(&lab, seen));
                proof.phase("joining its events", |_, seen| join_events(&ended, seen));
            }
        }
        Err(Unseen { outcome, why }) => {
            for proof in proofs.iter_mut().filter(|proof| proof.unseen.is_none()) {
                let why = anyhow!("the agent: {why:#}");
                proof.unseen = Some(Unseen { outcome, why });
            }
        }
    }
    watch.lap("after the agent");
    channel.log(Level::Info, &format!("{name}: {}", watch.laps()))?;
    let left: Vec<String> = bpf_objects::all()?.difference(&objects).cloned().collect();
    for proof in proofs
        .iter_mut()
        .filter(|proof| watches_bpf_objects(proof.planned))
    {
        let objects = left.clone();
        proof
            .seen
            .other("left-behind", Observation::BpfLeft { objects });
    }
    Ok(proofs)
}

/// The proof of that id in this boot.
///
/// # Errors
/// This guest has none.
fn known(boot: &str, planned: &PlannedProof) -> Result<Proof> {
    let (id, _) = sabotage::split(&planned.id);
    let of_boot = Boot::from_name(sabotage::split(boot).0).map(|boot| proofs::of_boot(boot, true));
    let mut proofs = of_boot.unwrap_or_default().into_iter();
    let found = proofs.find(|proof| proof.id == id);
    found.with_context(|| format!("this guest knows no proof {id:?} of the boot {boot:?}"))
}

/// Whether the arm `left-behind` is to be observed: BPF objects that outlive the agent.
fn watches_bpf_objects(planned: &PlannedProof) -> bool {
    let mut arms = planned.arms.iter();
    arms.any(|arm| arm.expect == Expectation::NoBpfLeft)
}

/// Makes the file system that a proof takes place on, and adds its rules to the others; or
/// tells why the proof can't be put to the test.
///
/// # Errors
/// Only a broken result channel.
fn make_filesystem(
    planned: &PlannedProof,
    filesystems: &mut Filesystems,
    rules: &mut String,
    channel: &mut Channel,
) -> Result<Option<Unseen>> {
    let Some(filesystem) = planned.filesystem else {
        return Ok(None);
    };
    match filesystems.make(filesystem) {
        Ok(Some(took)) => channel.log(Level::Info, &took)?,
        Ok(None) => {}
        Err(why) => {
            let outcome = Outcome::Error;
            return Ok(Some(Unseen { outcome, why }));
        }
    }
    Ok(match filesystems.get(filesystem)? {
        Made::Here(ground) => {
            let new = ground.rules();
            // Another proof may take place on it too.
            if !rules.contains(&new) {
                rules.push_str(&new);
            }
            None
        }
        Made::Missing(why) => Some(Unseen {
            outcome: Outcome::Skipped,
            why: anyhow!("{why}"),
        }),
    })
}

/// The agent's life, with the proofs during it.
///
/// # Errors
/// The agent didn't live as its configuration wants it.
fn live(
    lab: &Lab,
    configuration: &Configuration,
    proofs: &mut [InProgress],
    watch: &mut Stopwatch,
) -> Result<Ended, Unseen> {
    let started = lab.agent.start()?;
    watch.lap("starting the agent");
    match started {
        Start::Ready(running) => {
            during(lab, &During::Running(&running), proofs);
            watch.lap("during");
            let ended = running.stop()?;
            watch.lap("stopping the agent");
            if !configuration.becomes_ready {
                return Err(anyhow!("it became ready, where it was to refuse").into());
            }
            let ends_itself = proofs.iter().any(|proof| proof.proof.acts.ends_agent());
            if !ended.status.success() && !ends_itself {
                return Err(ended.error("asked to stop, it").into());
            }
            Ok(ended)
        }
        Start::Ended(ended) if ended.status.code() == Some(NOTHING_MEASURED) => Err(Unseen {
            outcome: Outcome::Skipped,
            why: ended.error("it found nothing to measure and"),
        }),
        Start::Ended(ended) if configuration.becomes_ready => {
            Err(ended.error("before it was ready, it").into())
        }
        Start::Ended(ended) => {
            during(lab, &During::Ended(&ended), proofs);
            Ok(ended)
        }
    }
}

fn during(lab: &Lab, agent: &During, proofs: &mut [InProgress]) {
    for proof in proofs {
        proof.phase("during", |proof, seen| proof.during(lab, agent, seen));
    }
}

fn join_events(ended: &Ended, seen: &mut Seen) -> Result<()> {
    for (_, observation) in &mut seen.arms {
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
    let observations = seen.arms.iter_mut().map(|(_, observation)| observation);
    attempt::join(&ended.events, observations);
    let observations = seen.arms.iter_mut().map(|(_, observation)| observation);
    many::join(&ended.events, observations);
    Ok(())
}
