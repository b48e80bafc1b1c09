//! One agent at work, without its clock and signals: decide, fill, report, recheck.
//!
//! In: what was asked, the policy, the machine. Out: a decision that the report on disk
//! repeats, and the event ring. [`crate::run`] drives it.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use aya::maps::{MapData, RingBuf};
use jiff::Timestamp;

use crate::abi::{Action, Rule};
use crate::event::RuleNames;
use crate::gate::{self, Asked, Decision, RuleFacts};
use crate::loader::Sizes;
use crate::log;
use crate::machine::Machine;
use crate::maps::Contents;
use crate::policy::Policy;
use crate::posture::{State, Tier};
use crate::report;
use crate::resolve::{self, ResolvedRule};
use crate::trials::Trials;

/// The agent at work.
pub struct Session {
    asked: Asked,
    policy: Policy,
    rules: Vec<ResolvedRule>,
    trials: Trials,
    decision: Decision,
    /// The state taken at start, and the tiers that it rests on.
    claimed: (State, Vec<Tier>),
    /// Exempt cgroups and protected executables that don't exist now, as told in the log.
    missing: Vec<String>,
    report_path: PathBuf,
}

impl Session {
    /// Measures and decides. Nothing but decoys is denied yet.
    pub fn start(
        asked: Asked,
        policy: Policy,
        machine: Machine,
        report_path: PathBuf,
    ) -> Result<(Self, Option<RingBuf<MapData>>)> {
        let rules = resolve::rules(&policy)?;
        let sizes = Sizes {
            inodes: rules.len(),
            // As written and canonical.
            paths: 2 * rules.len(),
            exempt: policy.exempt_cgroups.len(),
            protected: policy.protected_executables.len(),
        };
        let (mut trials, ring) = Trials::set_up(machine, Some(&asked), sizes)?;
        trials.run(&asked);
        let decision = gate::decide(&asked, &trials.measured(), &facts(&rules));
        let tiers: Vec<Tier> = decision.tiers.values().copied().collect();
        trials.keep_only(&tiers);
        let claimed = (decision.state, tiers);
        let session = Self {
            asked,
            policy,
            rules,
            trials,
            decision,
            claimed,
            missing: Vec::new(),
            report_path,
        };
        Ok((session, ring))
    }

    /// What may be claimed.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Puts the real rules into the maps.
    pub fn fill(&mut self) -> Result<()> {
        let action = match self.claimed.0 {
            State::Audit | State::AuditFallback => Action::Observe,
            _ => Action::Deny,
        };
        let present = resolve::present(&self.policy, &self.trials.machine().hierarchy)?;
        for line in &present.missing {
            // Told when it goes missing, not at every refresh.
            if !self.missing.contains(line) {
                log::warn(line);
            }
        }
        self.missing = present.missing;
        let mut contents = Contents {
            exempt: present.exempt,
            protected: present.protected,
            ..Contents::default()
        };
        for (number, rule) in (0..).zip(&self.rules) {
            let value = Rule {
                id: number,
                action: action as u32,
            };
            // Only for the tiers that are relied on; the other programs are detached.
            if self.claimed.1.contains(&Tier::Lsm)
                && let Ok(key) = rule.inode
            {
                contents.inodes.insert(key, value);
            }
            if self.claimed.1.contains(&Tier::Signal) {
                let keys = rule.paths.iter().flatten();
                contents.paths.extend(keys.map(|key| (*key, value)));
            }
        }
        self.trials
            .fill(contents)
            .context("failed to fill the maps")
    }

    /// Writes the report. `unprinted` events got out of the ring and nowhere else.
    pub fn report(&self, unprinted: u64) -> Result<()> {
        let report = self.trials.machine().frame.report(
            Timestamp::now(),
            &self.decision,
            self.trials.hooks(),
            self.trials.events_lost()? + unprinted,
        )?;
        report::write(&report, &self.report_path)
    }

    /// Verifies again what the claim rests on, looks at the rules' targets again, decides
    /// again, and fills the maps anew.
    pub fn refresh(&mut self) -> Result<()> {
        self.trials.repeat(&self.claimed.1);
        self.rules = resolve::rules(&self.policy)?;
        let before = self.decision.state;
        let measured = self.trials.measured();
        let now = gate::recheck(&self.asked, self.claimed.0, &measured, &facts(&self.rules));
        self.decision = now;
        match self.decision.state {
            now if now == before => {}
            State::Degraded => log::error("DEGRADED: the evidence for enforcement is lost"),
            now => log::info(format_args!("{}: the evidence is back", now.name())),
        }
        self.fill()
    }

    /// How many events found the ring full.
    pub fn events_lost(&self) -> Result<u64> {
        self.trials.events_lost()
    }

    /// Detaches every program; the ring can then be drained to its end.
    pub fn detach(&mut self) {
        self.trials.keep_only(&[]);
    }
}

impl RuleNames for Session {
    fn name(&self, number: u32) -> Option<(String, String)> {
        match self.rules.get(number as usize) {
            Some(rule) => Some((rule.id.clone(), rule.path.clone())),
            None => self.trials.decoy_name(number),
        }
    }
}

fn facts(rules: &[ResolvedRule]) -> Vec<RuleFacts> {
    rules.iter().map(ResolvedRule::facts).collect()
}
