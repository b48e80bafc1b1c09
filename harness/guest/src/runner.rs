//! Runs the planned proofs, one configuration of the agent after the other.
//!
//! The proofs of a configuration share one life of the agent: each goes through *before* (agent
//! absent), *during* and *after*. What is begun is told before it begins, and what is seen as soon
//! as it is seen, so that a machine that dies is put down to the one proof that ran, and what came
//! before isn't lost. Only the agent's events wait: once it has stopped, its stream is complete,
//! and a missing event is known to be missing without waiting for it.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use protocol::plan::{BootPlan, Expectation, PlannedProof};
use protocol::record::{Level, Observation, Outcome, Phase};
use protocol::sabotage::{self, World};

use proofs::Boot;
use proofs::acts::agent::{self, Agent, Ended, Start};
use proofs::acts::arms::Ground;
use proofs::acts::bpf_objects;
use proofs::acts::filesystems::{Filesystems, Made};
use proofs::acts::lab::{During, Lab, Teller};
use proofs::acts::ways::actors::Actors;
use proofs::acts::ways::trees;
use proofs::acts::worlds::Lost;
use proofs::configuration::{self, Configuration};

use crate::channel::Channel;
use crate::in_progress::{InProgress, Told, Unseen, broken_world};
use crate::stopwatch::Stopwatch;

/// The agent's exit code for "nothing could be measured here": a skip, which counts only
/// where it is declared.
const NOTHING_MEASURED: i32 = 77;

/// Runs every planned proof of the boot.
///
/// # Errors
/// Only a broken result channel; everything else is told through it.
pub fn run(boot: &BootPlan, limit: Duration, channel: &mut Channel) -> Result<()> {
    let mut filesystems = Filesystems::default();
    let kind = Boot::from_name(sabotage::split(&boot.boot).0);
    // Once: each call makes every proof anew.
    let known = kind.map(|kind| proofs::of_boot(kind, true));
    let known = known.unwrap_or_default();
    let mut names: Vec<&str> = Vec::new();
    for proof in &boot.proofs {
        if !names.contains(&proof.configuration.as_str()) {
            names.push(&proof.configuration);
        }
    }
    for name in names {
        let planned = boot.proofs.iter();
        let planned = planned.filter(|proof| proof.configuration == name);
        channel.phase(name, None, Phase::Preparing)?;
        let proofs: Result<Vec<InProgress>> = planned
            .clone()
            .map(|planned| InProgress::of(&known, planned))
            .collect();
        let mut proofs = match proofs {
            Ok(proofs) => proofs,
            Err(error) => {
                for proof in planned {
                    channel.started(&proof.id, name)?;
                    let why = Some(format!("{error:#}"));
                    channel.finished(&proof.id, Outcome::Error, why, Duration::ZERO)?;
                }
                continue;
            }
        };
        if let Err(why) = run_configuration(name, &mut proofs, limit, &mut filesystems, channel) {
            let left = proofs.iter_mut();
            for proof in left.filter(|proof| proof.told != Told::Finished) {
                if proof.told == Told::Nothing {
                    proof.announce(Phase::Before, channel)?;
                }
                let (outcome, why) = (Outcome::Error, anyhow!("{why:#}"));
                proof.unseen.get_or_insert(Unseen { outcome, why });
                proof.finish(channel)?;
            }
        }
    }
    Ok(())
}

/// Takes the proofs of one configuration through one life of the agent.
///
/// # Errors
/// The guest itself couldn't.
fn run_configuration(
    name: &str,
    proofs: &mut [InProgress],
    limit: Duration,
    filesystems: &mut Filesystems,
    channel: &mut Channel,
) -> Result<()> {
    let configuration = configuration::by_name(name);
    let configuration =
        &configuration.with_context(|| format!("this guest knows no configuration {name:?}"))?;
    let mut watch = Stopwatch::start();
    let ground = Ground::make(limit)?;
    let world = broken_world(name);
    if world == Some(World::SecretMissing) {
        ground.lose_secret()?;
    }
    // Until the configuration's end.
    let lost = Lost::of(world)?;
    let mut rules = String::new();
    let mut protected = Vec::new();
    if configuration.denies_trees {
        trees::lay()?;
        rules.push_str(&trees::rules());
    }
    for progress in &mut *proofs {
        let acts = &progress.proof.acts;
        rules.push_str(&acts.rules()?);
        rules.push_str(&acts.rules_on_reports(&agent::folder(configuration)));
        protected.extend_from_slice(acts.protected());
        progress.unseen = make_filesystem(progress.planned, filesystems, &mut rules, channel)?;
    }
    let policy = ground.policy(&protected, &rules);
    let agent = Agent::prepare(configuration, &policy, limit)?;
    let actors = match proofs.iter().any(|proof| proof.proof.acts.needs_actors()) {
        true => Some(RefCell::new(Actors::start(limit, lost.call())?)),
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
    for proof in &mut *proofs {
        proof.announce(Phase::Before, channel)?;
        proof.phase(Phase::Before, channel, |proof, seen| {
            proof.before(&lab, seen)
        })?;
    }
    watch.lap("before the agent");
    channel.phase(name, None, Phase::Starting)?;
    if let Some(actors) = &actors {
        actors.borrow_mut().lay_anew()?;
    }
    watch.lap("laying anew");
    let ended = match live(&lab, configuration, proofs, &mut watch, channel)? {
        Lived::Well(ended) => {
            if !ended.stderr.is_empty() {
                channel.log(Level::Info, &format!("{name}: {}", ended.stderr))?;
            }
            Some(ended)
        }
        Lived::Ill(Unseen { outcome, why }, ended) => {
            for proof in proofs.iter_mut() {
                let why = anyhow!("the agent: {why:#}");
                proof.unseen.get_or_insert(Unseen { outcome, why });
            }
            ended
        }
    };
    for proof in &mut *proofs {
        proof.announce(Phase::After, channel)?;
        proof.phase(Phase::After, channel, |proof, seen| proof.after(&lab, seen))?;
        if let Some(ended) = &ended {
            proof.join(ended, channel)?;
        }
        if !watches_bpf_objects(proof.planned) {
            proof.finish(channel)?;
        }
    }
    watch.lap("after the agent");
    channel.log(Level::Info, &format!("{name}: {}", watch.laps()))?;
    // Last of all, since the kernel frees some late.
    let left: Vec<String> = bpf_objects::all()?.difference(&objects).cloned().collect();
    for proof in proofs
        .iter_mut()
        .filter(|proof| proof.told != Told::Finished)
    {
        proof.announce(Phase::LeftBehind, channel)?;
        let objects = left.clone();
        let left = Observation::BpfLeft { objects };
        channel.evidence(&proof.planned.id, "left-behind", left)?;
        proof.finish(channel)?;
    }
    Ok(())
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

/// How an agent lived.
enum Lived {
    /// As its configuration wants it.
    Well(Ended),
    /// Otherwise, and for this reason no proof can go on; with its end, if that is known.
    Ill(Unseen, Option<Ended>),
}

/// The agent's life, with the proofs during it.
///
/// # Errors
/// Only a broken result channel.
fn live(
    lab: &Lab,
    configuration: &Configuration,
    proofs: &mut [InProgress],
    watch: &mut Stopwatch,
    channel: &mut Channel,
) -> Result<Lived> {
    let started = match lab.agent.start() {
        Ok(started) => started,
        Err(error) => return Ok(Lived::Ill(Unseen::of(Phase::Starting, error), None)),
    };
    watch.lap("starting the agent");
    Ok(match started {
        Start::Ready(running) => {
            during(lab, &During::Running(&running), proofs, channel)?;
            watch.lap("during");
            channel.phase(configuration.name, None, Phase::Stopping)?;
            let ended = match running.stop() {
                Ok(ended) => ended,
                Err(error) => return Ok(Lived::Ill(Unseen::of(Phase::Stopping, error), None)),
            };
            watch.lap("stopping the agent");
            let ends_itself = proofs.iter().any(|proof| proof.proof.acts.ends_agent());
            let trouble = if !configuration.becomes_ready {
                Some(anyhow!("it became ready, where it was to refuse"))
            } else if !ended.status.success() && !ends_itself {
                Some(ended.error("asked to stop, it"))
            } else {
                None
            };
            match trouble {
                Some(why) => Lived::Ill(Unseen::of(Phase::Stopping, why), Some(ended)),
                None => Lived::Well(ended),
            }
        }
        Start::Ended(ended) if ended.status.code() == Some(NOTHING_MEASURED) => {
            let why = ended.error("it found nothing to measure and");
            let outcome = Outcome::Skipped;
            Lived::Ill(Unseen { outcome, why }, Some(ended))
        }
        Start::Ended(ended) if configuration.becomes_ready => {
            let why = ended.error("before it was ready, it");
            Lived::Ill(Unseen::of(Phase::Starting, why), Some(ended))
        }
        Start::Ended(ended) => {
            during(lab, &During::Ended(&ended), proofs, channel)?;
            Lived::Well(ended)
        }
    })
}

fn during(
    lab: &Lab,
    agent: &During,
    proofs: &mut [InProgress],
    channel: &mut Channel,
) -> Result<()> {
    for proof in proofs.iter_mut().filter(|proof| proof.unseen.is_none()) {
        proof.announce(Phase::During, channel)?;
        proof.phase(Phase::During, channel, |proof, seen| {
            proof.during(lab, agent, seen)
        })?;
    }
    Ok(())
}
