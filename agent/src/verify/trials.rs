//! Trials: which tiers are tried for which class, in which order, and what is known of each since.
//!
//! In: the machine, what was asked for, what the rules need. Out: [`Measured`] for the gate and the
//! measurements for the report. Dropping [`Trials`] detaches every program.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use aya::maps::{MapData, RingBuf};

use super::evidence::{Bench, LOCKED_DOWN, Round};
use super::losses::Counts;
use super::measurement::{Measurement, Measurements};
use crate::classes::alterations::Alterations;
use crate::classes::hooks::{HOOKS, Hook, Role};
use crate::classes::need::Need;
use crate::classes::{Contents, Rules};
use crate::exit::{Ending, Exit};
use crate::host::machine::Machine;
use crate::host::moment::Moment;
use crate::kernel::identity::Identify;
use crate::kernel::loader::{Fit, Spent};
use crate::output::log;
use crate::posture::Action;
use crate::posture::gate::{Asked, Measured, Verdict};
use crate::posture::{Class, GateMode, Limit, Mode, Tier};

/// The hooks that matter: for each class in use, which needs its rules have.
pub type Needs = BTreeMap<Class, BTreeSet<Need>>;

/// The tier that each class relies on.
pub type Claims = BTreeMap<Class, Tier>;

/// The machine under trial.
pub struct Trials {
    machine: Machine,
    /// `None` where nothing is to be tried, or there is no BTF to try it with.
    bench: Option<Bench>,
    needs: Needs,
    known: Measurements,
    /// When it was last begun to try all that is relied on.
    looked: Moment,
}

/// What the rules need.
pub fn needs(rules: &Rules) -> Needs {
    let classes = rules.classes().into_iter();
    classes.map(|class| (class, rules.needs(class))).collect()
}

/// Every hook there is.
pub fn all_needs() -> Needs {
    let all = BTreeSet::from([Need::Always, Need::Writing, Need::PathOnly]);
    Class::ALL
        .into_iter()
        .map(|class| (class, all.clone()))
        .collect()
}

impl Trials {
    /// Sets up for what was asked for; `None` asks for every hook.
    ///
    /// # Errors
    /// Nothing can be measured here.
    pub fn set_up(
        mut machine: Machine,
        asked: Option<&Asked>,
        fit: &Fit,
    ) -> Result<(Self, Option<RingBuf<MapData>>)> {
        let wanted = asked.is_none_or(|asked| wants_programs(asked, &machine));
        let signal = asked.map_or(libc::SIGKILL, |asked| asked.signal);
        let (bench, ring) = match machine.btf.take() {
            Some(btf) if wanted => {
                let (bench, ring) = Bench::set_up(btf, fit, signal, machine.hierarchy.clone())
                    .map_err(|error| {
                        let why = format!("nothing can be measured: {error:#}");
                        Ending::error(Exit::Unmeasurable, why)
                    })?;
                let features = &mut machine.facts.features;
                features.insert("kernel_memory_readable", bench.memory_readable());
                (Some(bench), Some(ring))
            }
            _ => (None, None),
        };
        let trials = Self {
            machine,
            bench,
            needs: Needs::new(),
            known: Measurements::none(),
            looked: Moment::now(),
        };
        Ok((trials, ring))
    }

    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Tries for each class the tiers that were asked for, the strongest first, until one is
    /// verified.
    pub fn run(&mut self, asked: &Asked, needs: Needs) {
        self.looked = Moment::now();
        self.needs = needs;
        for class in self.needs.keys().copied().collect::<Vec<_>>() {
            self.run_class(asked, class);
        }
    }

    fn run_class(&mut self, asked: &Asked, class: Class) {
        let auditing = asked.mode == Mode::Audit;
        let listed = self.machine.lsm_list.has_bpf();
        let lsm = listed && self.try_tier(Tier::Lsm, class, Action::Deny);
        if !auditing {
            let mut fallbacks = asked.fallbacks.clone();
            fallbacks.sort_by_key(|tier| std::cmp::Reverse(*tier));
            let mut enforces = lsm;
            for tier in fallbacks {
                enforces = enforces || self.try_tier(tier, class, Action::Deny);
            }
            if enforces || asked.gate_mode == GateMode::FailClosed {
                return;
            }
        }
        // Only to watch from here on: nobody who didn't ask for it is denied or killed.
        let _ = listed && self.try_tier(Tier::Lsm, class, Action::Observe)
            || self.try_tier(Tier::Signal, class, Action::Observe);
    }

    /// Tries every hook, whatever the LSM list says. One tier after the other: with two at
    /// once, the one that comes first would keep the canary from the other.
    pub fn run_all(&mut self) {
        self.needs = all_needs();
        for tier in Tier::ALL {
            for class in Class::ALL {
                self.try_tier(tier, class, Action::Deny);
                self.keep_only(&Claims::new());
            }
        }
    }

    /// Attaches and tries the hooks that rules have come to need. Once needed they are kept.
    pub fn extend(&mut self, claims: &Claims, needs: &Needs, action: Action) {
        let before = self.needs.clone();
        for (class, needs) in needs {
            self.needs.entry(*class).or_default().extend(needs);
        }
        let new = |hook: &&Hook| {
            let had = before.get(&hook.class);
            is_claimed(claims, hook)
                && self.is_needed(hook)
                && !had.is_some_and(|had| had.contains(&hook.need))
        };
        let new: Vec<&Hook> = HOOKS.iter().filter(new).collect();
        let Some(bench) = self.bench.as_mut().filter(|_| !new.is_empty()) else {
            return;
        };
        let mut round = bench.round();
        for hook in new {
            try_hook(bench, &mut self.known, hook, action, &mut round);
        }
    }

    /// The limits of a class's tier that come from guard hooks that aren't verified.
    pub fn missing_guards(&self, tier: Tier, class: Class) -> Vec<Limit> {
        let hooks = HOOKS.iter().filter(|hook| hook.is_of(tier, class));
        hooks
            .filter(|hook| self.is_needed(hook))
            .filter(|hook| self.known.of(hook, Action::Deny).verdict != Verdict::Verified)
            .filter_map(|hook| match hook.role {
                Role::Core => None,
                Role::Guard(limit) | Role::GuardWhereThere(limit) => Some(limit),
            })
            .collect()
    }

    /// Whoever can say what files are to the hooks; `None` if nothing was to be tried.
    pub fn kernel(&mut self) -> Option<&mut dyn Identify> {
        self.bench.as_mut().map(Bench::kernel)
    }

    /// Whether programs may read any of the kernel's memory, which lockdown forbids.
    pub fn memory_readable(&self) -> bool {
        self.bench.as_ref().is_none_or(Bench::memory_readable)
    }

    /// Where the time went: in the loader, and on canaries.
    pub fn spent(&self) -> (Spent, Duration) {
        self.bench.as_ref().map(Bench::spent).unwrap_or_default()
    }

    /// Tries the hooks that are relied on again, each in every way in which it was tried before.
    pub fn repeat(&mut self, claims: &Claims) {
        self.looked = Moment::now();
        let Some(bench) = &mut self.bench else {
            return;
        };
        let mut round = bench.round();
        for hook in HOOKS.iter().filter(|hook| is_claimed(claims, hook)) {
            for action in [Action::Deny, Action::Observe] {
                let known = self.known.of(hook, action);
                if known.attached {
                    let mut measurement = known.clone();
                    bench.retry(hook, action, &mut round, &mut measurement);
                    note(&mut self.known, hook, action, measurement);
                }
            }
        }
    }

    /// Detaches every hook that no class relies on: a program that no claim rests on must not act.
    pub fn keep_only(&mut self, claims: &Claims) {
        let Some(bench) = &mut self.bench else {
            return;
        };
        for hook in HOOKS.iter().filter(|hook| !is_claimed(claims, hook)) {
            bench.detach(hook);
        }
    }

    /// Why the evidence for these claims isn't good, in words.
    pub fn doubts(&self, claims: &Claims) -> String {
        let reasons: Vec<String> = HOOKS
            .iter()
            .filter(|hook| is_claimed(claims, hook) && hook.role == Role::Core)
            .filter_map(|hook| {
                let reason = self.known.of(hook, Action::Deny).reason.as_ref()?;
                Some(format!("{}: {reason}", hook.name))
            })
            .collect();
        if reasons.is_empty() {
            return "a rule came to be beyond the tier".to_owned();
        }
        reasons.join("; ")
    }

    /// What the gate decides on.
    pub fn measured(&self) -> Measured {
        let verdicts = |action| {
            Tier::ALL
                .into_iter()
                .flat_map(|tier| Class::ALL.map(|class| (tier, class)))
                .map(|(tier, class)| ((tier, class), self.verdict(tier, class, action)))
                .collect()
        };
        Measured {
            lsm_list: self.machine.lsm_list.clone(),
            btf: self.machine.has_btf(),
            enforcing: verdicts(Action::Deny),
            observing: verdicts(Action::Observe),
        }
    }

    /// When the oldest evidence was taken that these claims rest on: of each of their hooks that is
    /// verified. Where none is, what is claimed, that nothing is enforced, rests on the last look.
    pub fn oldest_evidence(&self, claims: &Claims) -> Moment {
        let hooks = HOOKS.iter().filter(|hook| is_claimed(claims, hook));
        let known = hooks.flat_map(|hook| {
            [Action::Deny, Action::Observe].map(|action| self.known.of(hook, action))
        });
        known
            .filter(|known| known.verdict == Verdict::Verified)
            .filter_map(|known| known.verified_at)
            .reduce(Moment::older)
            .unwrap_or(self.looked)
    }

    /// What is known of every hook.
    pub fn known(&self) -> &Measurements {
        &self.known
    }

    /// Why a hook wasn't tried.
    pub fn untried(&self, hook: &Hook) -> String {
        let listed = self.machine.lsm_list.has_bpf();
        let why = match hook.tier {
            _ if !self.machine.has_btf() => "the kernel has no BTF",
            Tier::Lsm if !listed => "the LSM list doesn't have bpf",
            Tier::Signal if !self.memory_readable() => LOCKED_DOWN,
            _ if !is_needed(&self.needs, hook) => "no rule of the policy needs it",
            _ if !self.is_needed(hook) => {
                "the kernel has no such hook, and sends its acts through another"
            }
            Tier::Lsm | Tier::Modret | Tier::Signal => "nothing that was asked for rests on it",
        };
        format!("not tried: {why}")
    }

    /// Makes the maps hold the decoys' rules and `contents`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn fill(&mut self, contents: Contents) -> Result<()> {
        match &mut self.bench {
            Some(bench) => bench.fill(contents),
            None => Ok(()),
        }
    }

    /// Reads the maps back, and says what somebody altered in them; the next filling puts it right.
    ///
    /// # Errors
    /// The kernel's.
    pub fn check_maps(&mut self, found: &mut Alterations) -> Result<()> {
        let bench = self.bench.as_mut();
        bench.map_or(Ok(()), |bench| bench.check_maps(found))
    }

    /// What the kernel counted against a claim to enforce.
    ///
    /// # Errors
    /// The kernel's.
    pub fn counts(&self) -> Result<Counts> {
        let bench = self.bench.as_ref();
        bench.map_or(Ok(Counts::default()), Bench::counts)
    }

    /// How many signals were refused, but for canaries; `None` if nothing was to be tried.
    pub fn signals_refused(&self) -> Option<u64> {
        self.bench.as_ref().map(Bench::signals_refused)
    }

    /// How many acts weren't told of, being like too many before.
    pub fn events_repeated(&self) -> u64 {
        self.bench.as_ref().map_or(0, Bench::events_repeated)
    }

    /// How many events found the ring full.
    pub fn events_lost(&self) -> u64 {
        self.bench.as_ref().map_or(0, Bench::events_lost)
    }

    /// The id and path of a decoy's rule, for events.
    pub fn decoy_name(&self, rule: u32) -> Option<(String, String)> {
        let (id, path) = self.bench.as_ref()?.decoys().rule_name(rule)?;
        Some((id.to_owned(), path.display().to_string()))
    }

    /// Tries every needed hook of a tier for a class; whether all that it can't do without were
    /// verified. If not, it is detached again, so that it doesn't stand in the way of the next one.
    fn try_tier(&mut self, tier: Tier, class: Class, action: Action) -> bool {
        let hooks = HOOKS.iter().filter(|hook| hook.is_of(tier, class));
        let hooks: Vec<&Hook> = hooks.filter(|hook| self.is_needed(hook)).collect();
        let Some(bench) = &mut self.bench else {
            return false;
        };
        let mut round = bench.round();
        for hook in &hooks {
            try_hook(bench, &mut self.known, hook, action, &mut round);
        }
        let verified = self.verdict(tier, class, action) == Verdict::Verified;
        if let (false, Some(bench)) = (verified, &mut self.bench) {
            hooks.iter().for_each(|hook| bench.detach(hook));
        }
        verified
    }

    /// Whether a rule needs the hook, and the kernel has it or should.
    fn is_needed(&self, hook: &Hook) -> bool {
        let bench = self.bench.as_ref();
        let there = bench.is_none_or(|bench| bench.has(hook));
        is_needed(&self.needs, hook) && (there || !matches!(hook.role, Role::GuardWhereThere(_)))
    }

    fn verdict(&self, tier: Tier, class: Class, action: Action) -> Verdict {
        let needs = self.needs.get(&class);
        let needed = |need: Need| needs.is_some_and(|needs| needs.contains(&need));
        self.known.verdict(tier, class, action, needed)
    }
}

fn is_needed(needs: &Needs, hook: &Hook) -> bool {
    let needs = needs.get(&hook.class);
    needs.is_some_and(|needs| needs.contains(&hook.need))
}

fn is_claimed(claims: &Claims, hook: &Hook) -> bool {
    claims.get(&hook.class) == Some(&hook.tier)
}

fn try_hook(
    bench: &mut Bench,
    known: &mut Measurements,
    hook: &Hook,
    action: Action,
    round: &mut Result<Round>,
) {
    let measurement = bench.try_hook(hook, action, round);
    note(known, hook, action, measurement);
}

/// Notes what was measured, and tells the log if it isn't as it should be.
fn note(known: &mut Measurements, hook: &Hook, action: Action, measurement: Measurement) {
    let evidence = measurement.evidence.as_ref();
    if let Some(skipped) = evidence.map(|evidence| evidence.sent.saturating_sub(1))
        && skipped > 0
        && measurement.verdict == Verdict::Verified
    {
        log::info(format_args!(
            "{}: the kernel skipped {} for {skipped} canaries, and the next met its fate",
            hook.name, hook.program
        ));
    }
    if let Some(reason) = &measurement.reason {
        log::warn(format_args!("{}: {reason}", hook.name));
    }
    known.set(hook, action, measurement);
}

/// Whether anything is to be attached at all.
fn wants_programs(asked: &Asked, machine: &Machine) -> bool {
    machine.lsm_list.has_bpf()
        || asked.mode == Mode::Audit
        || !asked.fallbacks.is_empty()
        || asked.gate_mode == GateMode::AuditFallback
}
