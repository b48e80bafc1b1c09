//! The guest's records, sorted by the proof of which they speak.
//!
//! In: the plan and the lines after `hello`, in their order. Out: a [`Transcript`] for each
//! planned proof with every way in which it isn't whole, what the guest was about when the
//! records ended, and the faults that belong to no proof. Nothing is judged here except form:
//! what came, how often and in which order.

mod arms;

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::plan::BootPlan;
use protocol::record::{Observation, Outcome, Phase, Record};

pub use arms::defects as arm_defects;

use crate::vm::channel::{Channel, Line};

/// How many broken lines are named one by one; noise can have thousands.
const MAX_BROKEN_NAMED: usize = 3;

/// What the guest told of one planned proof.
#[derive(Debug, Default)]
pub struct Transcript<'a> {
    /// When it started.
    pub started: Option<Duration>,
    /// How it finished.
    pub finished: Option<Finish<'a>>,
    /// What its arms saw, in order of arrival.
    pub evidence: Vec<(&'a str, &'a Observation)>,
    /// What they saw before the agent's events were joined to it, in order of arrival. It judges
    /// nothing where the evidence of the same arm is there.
    pub preliminary: Vec<(&'a str, &'a Observation)>,
    /// The arms in the order in which they were first told of.
    pub told: Vec<&'a str>,
    /// Its phases after *before*, in order of arrival.
    pub phases: Vec<Phase>,
    /// In which ways the records aren't the planned ones.
    pub defects: Vec<String>,
}

/// A proof's last record.
#[derive(Debug)]
pub struct Finish<'a> {
    /// When it came.
    pub at: Duration,
    /// What the guest said.
    pub outcome: Outcome,
    /// Why it couldn't observe, if so.
    pub reason: Option<&'a str>,
    /// How long its own phases took, by the guest's clock.
    pub took: Duration,
    /// The taint flags known before this proof.
    pub tainted_before: u64,
    /// The taint flags after it.
    pub tainted: u64,
}

/// What the guest was about, by its last word on that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About<'a> {
    /// The configuration.
    pub configuration: &'a str,
    /// The proof, unless it was what all proofs of the configuration share.
    pub id: Option<&'a str>,
    /// The phase.
    pub phase: Phase,
}

/// All transcripts of one boot.
#[derive(Debug, Default)]
pub struct Transcripts<'a> {
    /// By proof; every planned proof has an entry.
    pub proofs: BTreeMap<&'a str, Transcript<'a>>,
    /// The proofs that had started and not finished when the records ended. Proofs of one
    /// configuration share a life of the agent, so several may be under way.
    pub running: Vec<&'a str>,
    /// What the guest was about when the records ended; none between two configurations.
    pub about: Option<About<'a>>,
    /// Whether `end` came.
    pub ended: bool,
    /// Whether the last thing on the channel was no whole record.
    pub cut: bool,
    /// What is wrong and belongs to no proof.
    pub faults: Vec<String>,
    order: Vec<&'a str>,
    furthest: usize,
    tainted: u64,
    broken: usize,
}

/// Sorts the lines that came after `hello`.
pub fn read<'a>(plan: &'a BootPlan, tainted: u64, channel: &'a Channel) -> Transcripts<'a> {
    let mut all = Transcripts {
        tainted,
        ..Transcripts::default()
    };
    for proof in &plan.proofs {
        all.order.push(&proof.id);
        let twice = all.proofs.insert(&proof.id, Transcript::default());
        if twice.is_some() {
            all.faults
                .push(format!("plan error: {} is planned twice", proof.id));
        }
    }
    let mut records = 1;
    for (number, (at, line)) in channel.lines().iter().enumerate().skip(1) {
        if all.ended {
            all.faults
                .push("something came on the result channel after `end`".to_string());
            break;
        }
        match line {
            Line::Broken { text, why } => all.broken_line(number + 1, text, why),
            Line::Record(record) => {
                all.record(*at, record, records, plan);
                records += 1;
            }
        }
    }
    let last_broken = matches!(channel.lines().last(), Some((_, Line::Broken { .. })));
    all.cut = last_broken || channel.has_partial_line();
    if channel.has_partial_line() {
        all.faults
            .push("incomplete: the last record is cut off".to_string());
    }
    if all.broken > MAX_BROKEN_NAMED {
        all.faults.push(format!(
            "incomplete: {} broken lines on the result channel in all",
            all.broken
        ));
    }
    all
}

impl<'a> Transcripts<'a> {
    fn broken_line(&mut self, number: usize, text: &str, why: &str) {
        self.broken += 1;
        if self.broken <= MAX_BROKEN_NAMED {
            self.faults.push(format!(
                "incomplete: line {number} of the result channel is no record ({why}): `{text}`"
            ));
        }
        // It may have been any record of this proof, so the proof isn't whole.
        for running in &self.running {
            if let Some(proof) = self.proofs.get_mut(running) {
                let defect = format!("a broken line came while it ran ({why})");
                proof.defects.push(defect);
            }
        }
    }

    fn record(&mut self, at: Duration, record: &'a Record, before: u64, plan: &'a BootPlan) {
        match record {
            Record::Hello(_) => self.faults.push("the guest said hello twice".to_string()),
            Record::ProofStarted { id, configuration } => {
                self.started(at, id, configuration, plan);
            }
            Record::Phase {
                configuration,
                id,
                phase,
            } => {
                let id = id.as_deref();
                self.about = Some(About {
                    configuration,
                    id,
                    phase: *phase,
                });
                if let Some(id) = id {
                    self.phase(id, *phase);
                }
            }
            Record::Preliminary {
                id,
                arm,
                observation,
            } => {
                if let Some(proof) = self.observed(id, arm) {
                    proof.saw(arm, observation);
                }
            }
            Record::Evidence {
                id,
                arm,
                observation,
            } => {
                if let Some(proof) = self.observed(id, arm) {
                    proof.showed(arm, observation);
                }
            }
            Record::ProofFinished {
                id,
                outcome,
                reason,
                took_us,
                tainted,
            } => {
                let finish = Finish {
                    at,
                    outcome: *outcome,
                    reason: reason.as_deref(),
                    took: Duration::from_micros(*took_us),
                    tainted_before: self.tainted,
                    tainted: *tainted,
                };
                self.tainted |= tainted;
                self.finished(id, finish);
            }
            // Whoever asked for lives reads them; there is no verdict on one.
            Record::Life(_) | Record::Log { .. } => {}
            Record::End { count } => {
                self.ended = true;
                if *count != before {
                    self.faults.push(format!(
                        "incomplete: the guest sent {count} records before `end`, {before} arrived"
                    ));
                }
            }
        }
    }

    fn started(&mut self, at: Duration, id: &'a str, configuration: &'a str, plan: &BootPlan) {
        self.about = Some(About {
            configuration,
            id: Some(id),
            phase: Phase::Before,
        });
        for running in &self.running {
            let shared = plan
                .proofs
                .iter()
                .any(|planned| planned.id == *running && planned.configuration == configuration);
            if let Some(proof) = self.proofs.get_mut(running).filter(|_| !shared) {
                let defect = format!("{id} started before this had finished");
                proof.defects.push(defect);
            }
        }
        let position = self.order.iter().position(|planned| *planned == id);
        let (Some(position), Some(proof)) = (position, self.proofs.get_mut(id)) else {
            self.faults
                .push(format!("the guest started {id}, which isn't planned"));
            return;
        };
        if position < self.furthest {
            proof
                .defects
                .push("started out of the plan's order".to_string());
        }
        self.furthest = self.furthest.max(position);
        let planned = &plan.proofs[position].configuration;
        if planned != configuration {
            proof.defects.push(format!(
                "ran in configuration {configuration}, planned was {planned}"
            ));
        }
        if proof.started.replace(at).is_some() {
            proof.defects.push("started twice".to_string());
        }
        self.running.push(self.order[position]);
    }

    fn phase(&mut self, id: &str, phase: Phase) {
        let running = self.running.contains(&id);
        let Some(proof) = self.proofs.get_mut(id) else {
            self.faults.push(format!(
                "the guest was in {}, {}, which isn't planned",
                id,
                phase.name()
            ));
            return;
        };
        if !running {
            let defect = format!("its phase {} came while it wasn't running", phase.name());
            proof.defects.push(defect);
        }
        let last = proof.phases.last().copied().unwrap_or(Phase::Before);
        if phase <= last {
            let defect = format!("its phase {} came after {}", phase.name(), last.name());
            proof.defects.push(defect);
        }
        proof.phases.push(phase);
    }

    /// The proof that an observation is of, which must be what the guest is about.
    fn observed(&mut self, id: &str, arm: &str) -> Option<&mut Transcript<'a>> {
        let running =
            self.running.contains(&id) && self.about.is_some_and(|about| about.id == Some(id));
        let Some(proof) = self.proofs.get_mut(id) else {
            self.faults.push(format!(
                "evidence came for {id} ({arm}), which isn't planned"
            ));
            return None;
        };
        if !running {
            proof
                .defects
                .push(format!("{arm}: evidence came while it wasn't running"));
        }
        Some(proof)
    }

    fn finished(&mut self, id: &str, finish: Finish<'a>) {
        let running = self.running.contains(&id);
        let Some(proof) = self.proofs.get_mut(id) else {
            self.faults
                .push(format!("the guest finished {id}, which isn't planned"));
            return;
        };
        if proof.finished.is_some() {
            proof.defects.push("finished twice".to_string());
        } else if !running {
            proof
                .defects
                .push("finished while it wasn't running".to_string());
        }
        proof.finished = Some(finish);
        self.running.retain(|other| *other != id);
        if self.about.is_some_and(|about| about.id == Some(id)) {
            self.about = None;
        }
    }
}

impl<'a> Transcript<'a> {
    fn saw(&mut self, arm: &'a str, observation: &'a Observation) {
        if self.told.contains(&arm) {
            let defect = format!("{arm}: it was observed once more after it had been told of");
            self.defects.push(defect);
        }
        self.told.push(arm);
        self.preliminary.push((arm, observation));
    }

    fn showed(&mut self, arm: &'a str, observation: &'a Observation) {
        if !self.told.contains(&arm) {
            self.told.push(arm);
        }
        self.evidence.push((arm, observation));
    }

    /// What was observed last of arms that have no evidence: nothing more came of them.
    pub fn left_preliminary(&self) -> impl Iterator<Item = (&'a str, &'a Observation)> {
        let shown = |arm: &str| self.evidence.iter().any(|(shown, _)| *shown == arm);
        let preliminary = self.preliminary.iter().copied();
        preliminary.filter(move |(arm, _)| !shown(arm))
    }
}
