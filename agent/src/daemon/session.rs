//! One agent at work, without its clock and signals: decide, fill, report, recheck.
//!
//! In: what was asked, the policy, the machine. Out: a decision that the report on disk
//! repeats, and the event ring. [`crate::daemon::run`] drives it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use aya::maps::{MapData, RingBuf};
use jiff::{SignedDuration, Timestamp};

use crate::classes::file::contents;
use crate::classes::file::resolve::{self, ResolvedRule};
use crate::daemon::timings::{self, Step};
use crate::follow::{Affected, Changed};
use crate::host::machine::Machine;
use crate::kernel::abi::Action;
use crate::kernel::loader::Shape;
use crate::kernel::maps::Contents;
use crate::output::event::RuleNames;
use crate::output::log;
use crate::output::notice::Notice;
use crate::policy::{FileRule, Policy};
use crate::posture::gate::{self, Asked, Decision, RuleFacts};
use crate::posture::limits::{self, Circumstances};
use crate::posture::lsm_list::LsmList;
use crate::posture::{Class, Limit, State, Tier};
use crate::report::{self, Telling};
use crate::sabotage::{self, Mutant};
use crate::verify::trials::Trials;
use crate::verify::unkept::Unkept;

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
    /// What got by a rule since the last verification.
    unkept: Unkept,
    report: Reporting,
}

/// Where reports go, and how long they hold.
#[derive(Debug)]
pub struct Reporting {
    /// The report's path.
    pub path: PathBuf,
    /// How long a report may be believed.
    pub validity: SignedDuration,
}

impl Session {
    /// Measures and decides. Nothing but decoys is denied yet.
    pub fn start(
        asked: Asked,
        policy: Policy,
        machine: Machine,
        report: Reporting,
    ) -> Result<(Self, Option<RingBuf<MapData>>)> {
        let shape = shape(&asked, &policy);
        let (mut trials, ring) = Trials::set_up(machine, Some(&asked), shape)?;
        trials.run(&asked);
        let mut rules = timings::measure(Step::Resolve, || {
            resolve::rules(policy.files.iter(), trials.kernel())
        })?;
        resolve::mark_twins(&mut rules);
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
            unkept: Unkept::default(),
            report,
        };
        Ok((session, ring))
    }

    /// What may be claimed.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The list of LSMs, as far as it could be read.
    pub fn lsm_list(&self) -> &LsmList {
        &self.trials.machine().lsm_list
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Puts the real rules into the maps.
    pub fn fill(&mut self) -> Result<()> {
        let action = match self.claimed.0 {
            _ if sabotage::is(Mutant::EnforcesWhenAuditing) => Action::Deny,
            State::Audit | State::AuditFallback => Action::Observe,
            _ => Action::Deny,
        };
        let hierarchy = self.trials.machine().hierarchy.clone();
        let present = resolve::present(&self.policy, &hierarchy, self.trials.kernel())?;
        for line in &present.missing {
            // Told when it goes missing, not at every refresh.
            if !self.missing.contains(line) {
                log::warn(line);
            }
        }
        self.missing = present.missing;
        let mut contents = contents::of(&self.rules, action);
        contents.exempt = present.exempt;
        contents.protected = present.protected;
        self.trials
            .fill(contents)
            .context("failed to fill the maps")
    }

    /// Takes every rule out of the maps, which only sabotage does.
    pub fn idle(&mut self) -> Result<()> {
        self.trials.fill(Contents::new(Action::Deny))
    }

    /// Writes the report. `unprinted` events got out of the ring and nowhere else.
    pub fn report(&self, unprinted: u64) -> Result<()> {
        if sabotage::is(Mutant::ReportsOnce) && self.report.path.exists() {
            return Ok(());
        }
        let telling = Telling {
            hooks: self.trials.hooks(),
            limits: self.limits(),
            events_lost: match sabotage::is(Mutant::HidesLostEvents) {
                true => 0,
                false => self.trials.events_lost() + unprinted,
            },
            validity: self.report.validity,
        };
        let frame = &self.trials.machine().frame;
        let report = frame.report(Timestamp::now(), &self.decision, telling)?;
        timings::measure(Step::Report, || report::write(&report, &self.report.path))
    }

    /// Verifies again what the claim rests on, looks at the rules' targets again, decides
    /// again, and fills the maps anew. Says if that changed the state.
    pub fn refresh(&mut self) -> Result<Option<Notice>> {
        if sabotage::is(Mutant::RestsWhileVerifying) {
            self.idle()?;
        }
        self.trials.repeat(&self.claimed.1);
        let rules = resolve::rules(self.policy.files.iter(), self.trials.kernel())?;
        let before = std::mem::take(&mut self.rules).into_iter();
        self.rules = rules
            .into_iter()
            .zip(before)
            .map(|(now, before)| now.after(before))
            .collect();
        resolve::mark_twins(&mut self.rules);
        self.unkept.verified(self.trials.counts()?);
        let changed = self.decide_again();
        // Part of the evidence: what the hooks go by is what was written.
        self.trials.doubt_maps();
        match sabotage::is(Mutant::ForgetsRules) {
            true => self.idle()?,
            false => self.fill()?,
        }
        Ok(changed)
    }

    /// Looks again at the targets on the way to which something changed, and fills the maps
    /// anew. Says which rules lead elsewhere now.
    pub fn resolve_again(&mut self, changed: &Changed) -> Result<Vec<Notice>> {
        let concerned = |rule: &FileRule| match &changed.paths {
            Affected::All => true,
            Affected::Paths(paths) => paths.contains(Path::new(&rule.path)),
        };
        let numbers: Vec<usize> = (0..self.rules.len())
            .filter(|number| concerned(&self.rules[*number].rule))
            .collect();
        let rules = numbers.iter().map(|number| &self.policy.files[*number]);
        let resolved = resolve::rules(rules, self.trials.kernel())?;
        let mut moved = Vec::new();
        for (number, now) in numbers.into_iter().zip(resolved) {
            if self.rules[number].identity() != now.identity() {
                moved.push(number);
            }
            let rule = now.rule.clone();
            let placeholder = ResolvedRule::unknown(rule);
            let before = std::mem::replace(&mut self.rules[number], placeholder);
            self.rules[number] = now.after(before);
        }
        resolve::mark_twins(&mut self.rules);
        self.fill()?;
        let delay_us = u64::try_from(changed.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        let resolved = moved.into_iter().map(|number| {
            let now = &self.rules[number];
            Notice::Resolved {
                rule: now.rule.id.clone(),
                path: now.rule.path.clone(),
                present: now.target.is_ok(),
                delay_us,
            }
        });
        let mut notices: Vec<Notice> = resolved.collect();
        notices.extend(self.decide_again());
        Ok(notices)
    }

    /// An event tells that a rule wasn't kept: whoever broke it should have been signalled, and
    /// wasn't. Evidence against the claim, until the next verification has new evidence for it.
    pub fn missed(&mut self, why: &str) -> Option<Notice> {
        self.unkept.told(why, self.trials.signals_refused());
        self.decide_again()
    }

    /// How many events found the ring full.
    pub fn events_lost(&self) -> u64 {
        self.trials.events_lost()
    }

    /// Detaches every program; the ring can then be drained to its end.
    pub fn detach(&mut self) {
        self.trials.keep_only(&[]);
    }

    fn decide_again(&mut self) -> Option<Notice> {
        let measured = self.trials.measured();
        let facts = facts(&self.rules);
        let now = gate::recheck(&self.asked, self.claimed.0, &measured, &facts);
        let (now, why) = match (now.state, self.unkept.why()) {
            (State::Degraded, _) => (now, self.trials.doubts(&self.claimed.1)),
            // Whoever only watches has no such claim to lose.
            (_, Some(why)) if !now.audit_only => (gate::degraded(now, &facts), why.to_owned()),
            _ => {
                let why = "every hook that the claim rests on met its fate";
                (now, why.to_owned())
            }
        };
        self.adopt(now, &why)
    }

    fn adopt(&mut self, decision: Decision, why: &str) -> Option<Notice> {
        let (from, to) = (self.decision.state, decision.state);
        self.decision = decision;
        if from == to {
            return None;
        }
        match to {
            State::Degraded => log::error(format_args!("DEGRADED: {why}")),
            _ => log::info(format_args!("{}: the evidence is back", to.name())),
        }
        let reason = why.to_owned();
        Some(Notice::State { from, to, reason })
    }

    fn limits(&self) -> BTreeMap<Class, Vec<Limit>> {
        if self.decision.audit_only || sabotage::is(Mutant::HidesLimits) {
            return BTreeMap::new();
        }
        let limits = |tier: Tier| {
            let circumstances = Circumstances {
                catchable_signal: self.asked.signal != libc::SIGKILL,
                folder_rules: self.policy.files.iter().any(|rule| rule.folder),
                missing_guards: self.trials.missing_guards(tier),
            };
            limits::of(tier, &circumstances)
        };
        let tiers = self.decision.tiers.iter();
        tiers.map(|(class, tier)| (*class, limits(*tier))).collect()
    }
}

impl RuleNames for Session {
    fn name(&self, number: u32) -> Option<(String, String)> {
        match self.rules.get(number as usize) {
            Some(resolved) => Some((resolved.rule.id.clone(), resolved.rule.path.clone())),
            None => self.trials.decoy_name(number),
        }
    }
}

fn facts(rules: &[ResolvedRule]) -> Vec<RuleFacts> {
    rules.iter().map(ResolvedRule::facts).collect()
}

/// How large the maps must be for the policy, whatever its paths come to lead to.
fn shape(asked: &Asked, policy: &Policy) -> Shape {
    let rules = policy.files.len();
    Shape {
        // The target and the former one, and the folders that it is in as written and canonical.
        inodes: 4 * rules,
        folders: 2 * policy.files.iter().filter(|rule| rule.folder).count(),
        names: 2 * rules,
        paths: rules,
        exempt: policy.exempt_cgroups.len(),
        protected: policy.protected_executables.len(),
        folder_rules: policy.files.iter().any(|rule| rule.folder),
        signal: match sabotage::is(Mutant::SignalsSigterm) {
            true => libc::SIGTERM.cast_unsigned(),
            false => asked.signal.cast_unsigned(),
        },
    }
}
