//! One agent at work, without its clock and signals: decide, fill, report, recheck.
//!
//! In: what was asked, the policy, the machine. Out: a decision that the report on disk
//! repeats, and the event ring. [`super::run`] drives it.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::maps::{MapData, RingBuf};
use jiff::SignedDuration;

use super::timings::{Step, Timings};
use crate::classes::alterations::Alterations;
use crate::classes::hooks::Hook;
use crate::classes::{Rules, spared};
use crate::follow::{Affected, Changed};
use crate::host;
use crate::host::machine::Machine;
use crate::host::moment::Moment;
use crate::output::event::RuleNames;
use crate::output::log;
use crate::output::notice::Notice;
use crate::policy::Policy;
use crate::posture::gate::{self, Asked, Decision};
use crate::posture::limits::{self, Circumstances};
use crate::posture::lsm_list::LsmList;
use crate::posture::{Class, Limit, State};
use crate::report::document::{self, Status};
use crate::report::file::{self, Claim};
use crate::report::hooks;
use crate::verify::losses::Losses;
use crate::verify::trials::{self, Claims, Trials};

/// Of how many rules at once the log tells that what is mounted beneath them can be had by another
/// mount.
const LOOSE_TOLD: usize = 20;

/// The agent at work.
pub struct Session {
    asked: Asked,
    policy: Policy,
    rules: Rules,
    trials: Trials,
    decision: Decision,
    /// The state taken at start, and the tier that each class rests on.
    claimed: (State, Claims),
    /// Exempt cgroups and protected executables that don't exist now, as told in the log.
    missing: Vec<String>,
    /// What is mounted beneath rules' folders and can be had by another mount, as told in the log.
    loose: HashSet<String>,
    /// What got past a rule since the last verification.
    losses: Losses,
    /// What the last verification found altered in the maps.
    altered: Alterations,
    /// What was found of that and is told of by no verification yet, since it broke off.
    found: Alterations,
    /// The oldest evidence when the last verification was done. One that broke off renews no claim,
    /// though its canaries came first.
    evidence: Moment,
    report: Reporting,
    /// The decision that the report on disk repeats; `None` where there is none.
    reported: Option<Decision>,
    /// Why the last report couldn't be written, if it couldn't.
    unreported: Option<String>,
}

/// Where reports go, and how long they hold.
#[derive(Debug)]
pub struct Reporting {
    /// The report's place.
    pub claim: Rc<Claim>,
    /// How long a report may be believed from its oldest evidence on.
    pub validity: SignedDuration,
    /// Whether the kernel won't kill the agent when memory runs out.
    pub outlives_used_up_memory: bool,
}

impl Session {
    /// Measures and decides. Nothing but decoys is denied yet.
    ///
    /// # Errors
    /// Nothing can be measured here.
    pub fn start(
        asked: Asked,
        mut policy: Policy,
        machine: Machine,
        report: Reporting,
        timings: &mut Timings,
    ) -> Result<(Self, Option<RingBuf<MapData>>)> {
        timings.add(Step::Btf, machine.btf_took);
        let mut rules = Rules::take(&mut policy);
        let fit = rules.fit(&policy, asked.signal.cast_unsigned());
        let set_up = timings.measure(Step::Object, || Trials::set_up(machine, Some(&asked), &fit));
        let (mut trials, ring) = set_up?;
        timings.without(Step::Object, spent_on_programs(&trials));
        let before = trials.spent().0;
        timings.measure(Step::Resolve, || {
            resolve(&mut rules, &mut trials, &|_| true)
        })?;
        timings.without(Step::Resolve, trials.spent().0.load - before.load);
        trials.run(&asked, trials::needs(&rules));
        let facts = rules.facts(trials.memory_readable());
        let decision = gate::decide(&asked, &trials.measured(), &facts);
        trials.keep_only(&decision.tiers);
        let (loader, canaries) = trials.spent();
        timings.add(Step::Load, loader.load);
        timings.add(Step::Attach, loader.attach);
        timings.add(Step::Detach, loader.detach);
        timings.add(Step::Canary, canaries);
        let claimed = (decision.state, decision.tiers.clone());
        let evidence = trials.oldest_evidence(&claimed.1);
        let session = Self {
            asked,
            policy,
            rules,
            trials,
            decision,
            claimed,
            missing: Vec::new(),
            loose: HashSet::new(),
            losses: Losses::default(),
            altered: Alterations::default(),
            found: Alterations::default(),
            evidence,
            report,
            reported: None,
            unreported: None,
        };
        Ok((session, ring))
    }

    /// What may be claimed.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The paths whose meaning may change.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let protected = self.policy.protected_executables.iter().map(Path::new);
        self.rules.paths().chain(protected)
    }

    /// The list of LSMs, as far as it could be read.
    pub fn lsm_list(&self) -> &LsmList {
        &self.trials.machine().lsm_list
    }

    /// Puts the real rules into the maps.
    ///
    /// # Errors
    /// The kernel's.
    pub fn fill(&mut self) -> Result<()> {
        let action = gate::action(self.claimed.0);
        let hierarchy = self.trials.machine().hierarchy.clone();
        let looked = spared::look(&self.policy, &hierarchy, self.trials.kernel());
        let (spared, missing) = looked?;
        for line in &missing {
            // Told when it goes missing, not at every refresh.
            if !self.missing.contains(line) {
                log::warn(line);
            }
        }
        self.missing = missing;
        self.tell_loose();
        let mut contents = self.rules.contents(action);
        contents.spared = spared;
        self.trials
            .fill(contents)
            .context("failed to fill the maps")?;
        // No map knows an inode by its address any more that isn't among these.
        let kept = self.rules.kept();
        if let Some(kernel) = self.trials.kernel() {
            kernel.release_all_but(&kept);
        }
        Ok(())
    }

    /// Tells the log what can be had by another mount, when it comes to be so.
    fn tell_loose(&mut self) {
        let loose: HashSet<String> = self.rules.loose_mounts().collect();
        let mut new: Vec<&String> = loose.difference(&self.loose).collect();
        new.sort_unstable();
        for line in new.iter().take(LOOSE_TOLD) {
            log::warn(line);
        }
        if let Some(rest @ 1..) = new.len().checked_sub(LOOSE_TOLD) {
            log::warn(format_args!("so it is with {rest} more rules"));
        }
        self.loose = loose;
    }

    /// Writes the report, whose validity runs from the oldest evidence and not from now. `unprinted`
    /// events were taken out of the ring but not printed.
    ///
    /// # Errors
    /// It can't be written.
    pub fn report(&mut self, unprinted: u64) -> Result<()> {
        let untried = |hook: &Hook| self.trials.untried(hook);
        let status = Status {
            hooks: hooks::hooks(self.trials.known(), untried),
            limits: self.limits(),
            events_lost: self.trials.events_lost() + unprinted,
            events_repeated: self.trials.events_repeated(),
            evidence: self.evidence,
            validity: self.report.validity,
        };
        let facts = &self.trials.machine().facts;
        let report = document::compose(facts, Moment::now(), &self.decision, status)?;
        file::write(&report, &self.report.claim)?;
        self.reported = Some(self.decision.clone());
        Ok(())
    }

    /// Renews the report. A failure, such as a full disk, must not end enforcement: the report
    /// that is there is left to expire, or, where it no longer says what holds, removed at once,
    /// which takes no room. Says when reports begin to fail, and when one is written again.
    pub fn renew_report(&mut self, unprinted: u64) -> Option<Notice> {
        let failed = self.report(unprinted).err();
        let reason = failed.map(|error| format!("{error:#}"));
        let known = std::mem::replace(&mut self.unreported, reason.clone());
        match (&reason, known) {
            (Some(reason), known) => {
                let holds = self.reported.as_ref() == Some(&self.decision);
                if !holds && self.reported.take().is_some() {
                    file::remove(&self.report.claim);
                }
                if known.as_ref() == Some(reason) {
                    return None;
                }
                log::error(format_args!(
                    "{reason}; the claim expires unless there is room before it does; rules are \
                     enforced all the same"
                ));
            }
            (None, None) => return None,
            (None, Some(_)) => log::info("the report can be written again"),
        }
        let written = reason.is_none();
        Some(Notice::Report { written, reason })
    }

    /// Verifies again what the claim rests on, reads the maps back, looks at the rules' targets
    /// again, decides again, and fills the maps anew. Says what was altered, and if the state is
    /// another one.
    ///
    /// # Errors
    /// The kernel's.
    pub fn refresh(&mut self) -> Result<Vec<Notice>> {
        self.trials.repeat(&self.claimed.1);
        // Before anything is filled in, which would put it right.
        let checked = self.trials.check_maps(&mut self.found);
        self.altered = self.found.clone();
        checked?;
        resolve(&mut self.rules, &mut self.trials, &|_| true)?;
        self.extend();
        self.losses.verified(self.trials.counts()?);
        let changed = self.decide_again();
        self.fill()?;
        self.evidence = self.trials.oldest_evidence(&self.claimed.1);
        let found = std::mem::take(&mut self.found);
        let altered = found.maps().iter().map(|altered| {
            log::error(&altered.reason);
            Notice::Altered {
                map: altered.map.to_owned(),
                reason: altered.reason.clone(),
            }
        });
        Ok(altered.chain(changed).collect())
    }

    /// Looks again at the targets on the way to which something changed, and fills the maps
    /// anew. Says which rules lead elsewhere now.
    ///
    /// # Errors
    /// The kernel's.
    pub fn resolve_again(&mut self, changed: &Changed) -> Result<Vec<Notice>> {
        let concerned = |path: &Path| match &changed.paths {
            Affected::All => true,
            Affected::Paths(paths) => paths.contains(path),
        };
        let moved = resolve(&mut self.rules, &mut self.trials, &concerned)?;
        self.extend();
        self.fill()?;
        let delay_us = u64::try_from(changed.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        let resolved = moved.into_iter().map(|moved| Notice::Resolved {
            rule: moved.rule,
            path: moved.path,
            present: moved.present,
            delay_us,
        });
        let mut notices: Vec<Notice> = resolved.collect();
        notices.extend(self.decide_again());
        Ok(notices)
    }

    /// An event tells that a rule wasn't kept: whoever broke it should have been signalled, and
    /// wasn't. Evidence against the claim, until the next verification has new evidence for it.
    pub fn missed(&mut self, why: &str) -> Option<Notice> {
        self.losses.told(why, self.trials.signals_refused());
        self.decide_again()
    }

    /// How many events found the ring full.
    pub fn events_lost(&self) -> u64 {
        self.trials.events_lost()
    }

    /// Detaches every program; the ring can then be drained to its end.
    pub fn detach(&mut self) {
        self.trials.keep_only(&Claims::new());
    }

    /// Attaches what the rules have come to need.
    fn extend(&mut self) {
        let (needs, action) = (trials::needs(&self.rules), gate::action(self.claimed.0));
        self.trials.extend(&self.claimed.1, &needs, action);
    }

    fn decide_again(&mut self) -> Option<Notice> {
        let measured = self.trials.measured();
        let mut facts = self.rules.facts(self.trials.memory_readable());
        self.altered.obstruct(&mut facts);
        let now = gate::recheck(&self.asked, self.claimed.0, &measured, &facts);
        let (now, why) = match (now.state, self.losses.why()) {
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
        if self.decision.audit_only {
            return BTreeMap::new();
        }
        let limits = |(&class, &tier): (&Class, &_)| {
            let circumstances = Circumstances {
                of_class: self.rules.limits(class, tier),
                catchable_signal: self.asked.signal != libc::SIGKILL,
                missing_guards: self.trials.missing_guards(tier, class),
                killed_for_memory: !self.report.outlives_used_up_memory,
            };
            (class, limits::of(tier, &circumstances))
        };
        self.decision.tiers.iter().map(limits).collect()
    }
}

impl RuleNames for Session {
    fn name(&self, number: u32) -> Option<(String, String)> {
        let rule = self.rules.name(number);
        rule.or_else(|| self.trials.decoy_name(number))
    }
}

/// Looks at the targets of the rules on these paths, if anything can say what files are.
fn resolve(
    rules: &mut Rules,
    trials: &mut Trials,
    concerned: &dyn Fn(&Path) -> bool,
) -> Result<Vec<crate::classes::Moved>> {
    match trials.kernel() {
        Some(kernel) => rules.resolve(concerned, &host::mounts, kernel),
        None => Ok(Vec::new()),
    }
}

fn spent_on_programs(trials: &Trials) -> Duration {
    let (loader, canaries) = trials.spent();
    loader.load + loader.attach + loader.detach + canaries
}
