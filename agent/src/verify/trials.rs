//! Trials: which tiers are tried, in which order, and what is known of each since.
//!
//! In: the machine, what was asked for. Out: [`Measured`] for the gate and the hooks' rows
//! for the report. Dropping [`Trials`] detaches every program.

use anyhow::Result;
use aya::maps::{MapData, RingBuf};

use crate::exit::{Ending, Exit};
use crate::host::machine::Machine;
use crate::kernel::abi::Action;
use crate::kernel::hooks::{HOOKS, Hook, Role, of_tier};
use crate::kernel::identity::Identify;
use crate::kernel::loader::Shape;
use crate::kernel::maps::Contents;
use crate::output::log;
use crate::posture::gate::{Asked, Measured, Verdict};
use crate::posture::{Class, GateMode, Limit, Mode, Tier};
use crate::report::{self, HookReport};
use crate::verify::evidence::{Bench, Measurements};
use crate::verify::unkept::Counts;

/// The machine under trial.
pub struct Trials {
    machine: Machine,
    /// `None` where nothing is to be tried, or there is no BTF to try it with.
    bench: Option<Bench>,
    known: Measurements,
}

impl Trials {
    /// Sets up for what was asked for; `None` asks for every hook.
    pub fn set_up(
        mut machine: Machine,
        asked: Option<&Asked>,
        shape: Shape,
    ) -> Result<(Self, Option<RingBuf<MapData>>)> {
        let wanted = asked.is_none_or(|asked| wants_programs(asked, &machine));
        let (bench, ring) = match machine.btf.take() {
            Some(btf) if wanted => {
                let (bench, ring) =
                    Bench::set_up(btf, shape, machine.hierarchy.clone()).map_err(|error| {
                        let why = format!("nothing can be measured: {error:#}");
                        Ending::error(Exit::Unmeasurable, why)
                    })?;
                (Some(bench), Some(ring))
            }
            _ => (None, None),
        };
        let known = Measurements::none();
        let trials = Self {
            machine,
            bench,
            known,
        };
        Ok((trials, ring))
    }

    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Tries the tiers that were asked for, the strongest first, until one is verified.
    pub fn run(&mut self, asked: &Asked) {
        let auditing = asked.mode == Mode::Audit;
        let listed = self.machine.lsm_list.has_bpf();
        let lsm = listed && self.try_tier(Tier::Lsm, Action::Deny);
        if !auditing {
            let mut fallbacks = asked.fallbacks.clone();
            fallbacks.sort_by_key(|tier| std::cmp::Reverse(*tier));
            let mut enforces = lsm;
            for tier in fallbacks {
                enforces = enforces || self.try_tier(tier, Action::Deny);
            }
            if enforces || asked.gate_mode == GateMode::FailClosed {
                return;
            }
        }
        // Only to watch from here on: nobody who didn't ask for it is denied or killed.
        let _ = listed && self.try_tier(Tier::Lsm, Action::Observe)
            || self.try_tier(Tier::Signal, Action::Observe);
    }

    /// Tries every hook, whatever the LSM list says. One tier after the other: with two at
    /// once, the one that comes first would keep the canary from the other.
    pub fn run_all(&mut self) {
        for tier in Tier::ALL {
            self.try_tier(tier, Action::Deny);
            self.keep_only(&[]);
        }
    }

    /// What a tier that is relied on doesn't stop because one of its hooks isn't verified.
    pub fn missing_guards(&self, tier: Tier) -> Vec<Limit> {
        of_tier(tier)
            .filter(|hook| self.known.of(hook, Action::Deny).verdict != Verdict::Verified)
            .filter_map(|hook| match hook.role {
                Role::Core => None,
                Role::Guard(limit) => Some(limit),
            })
            .collect()
    }

    /// Whoever can say what files are to the hooks; `None` if nothing was to be tried.
    pub fn kernel(&mut self) -> Option<&mut dyn Identify> {
        self.bench.as_mut().map(Bench::kernel)
    }

    /// Tries the hooks of these tiers again, each in every way in which it was tried before.
    pub fn repeat(&mut self, tiers: &[Tier]) {
        let Some(bench) = &mut self.bench else {
            return;
        };
        let mut round = bench.round();
        for hook in HOOKS.iter().filter(|hook| tiers.contains(&hook.tier)) {
            for action in [Action::Deny, Action::Observe] {
                let known = self.known.of(hook, action);
                if known.attached {
                    let mut measurement = known.clone();
                    bench.retry(hook, action, &mut round, &mut measurement);
                    self.known.set(hook, action, measurement);
                    warn(hook, action, &self.known);
                }
            }
        }
    }

    /// Detaches the hooks of every other tier: a program that no claim rests on must not act.
    pub fn keep_only(&mut self, tiers: &[Tier]) {
        let Some(bench) = &mut self.bench else {
            return;
        };
        for hook in HOOKS.iter().filter(|hook| !tiers.contains(&hook.tier)) {
            bench.detach(hook);
        }
    }

    /// Why the evidence for these tiers isn't good, in words.
    pub fn doubts(&self, tiers: &[Tier]) -> String {
        let reasons: Vec<String> = HOOKS
            .iter()
            .filter(|hook| tiers.contains(&hook.tier) && hook.role == Role::Core)
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
                .map(|(tier, class)| ((tier, class), self.known.verdict(tier, class, action)))
                .collect()
        };
        Measured {
            lsm_list: self.machine.lsm_list.clone(),
            btf: self.machine.has_btf(),
            enforcing: verdicts(Action::Deny),
            observing: verdicts(Action::Observe),
        }
    }

    /// The hooks as reports show them.
    pub fn hooks(&self) -> Vec<HookReport> {
        report::hooks(&self.known, |hook| self.machine.untried(hook))
    }

    /// Makes the maps hold the decoys' rules and `contents`.
    pub fn fill(&mut self, contents: Contents) -> Result<()> {
        match &mut self.bench {
            Some(bench) => bench.fill(contents),
            None => Ok(()),
        }
    }

    /// Believes no more that the maps hold what was filled in; the next time they are read first.
    pub fn doubt_maps(&mut self) {
        if let Some(bench) = &mut self.bench {
            bench.doubt_maps();
        }
    }

    /// What the kernel counted against a claim to enforce.
    pub fn counts(&self) -> Result<Counts> {
        let bench = self.bench.as_ref();
        bench.map_or(Ok(Counts::default()), Bench::counts)
    }

    /// How many signals were refused, but for canaries; `None` if nothing was to be tried.
    pub fn signals_refused(&self) -> Option<u64> {
        self.bench.as_ref().map(Bench::signals_refused)
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

    /// Tries every hook of a tier; whether all that it can't do without were verified. If
    /// not, it is detached again, so that it doesn't stand in the way of the next one.
    fn try_tier(&mut self, tier: Tier, action: Action) -> bool {
        let Some(bench) = &mut self.bench else {
            return false;
        };
        let mut round = bench.round();
        for hook in of_tier(tier) {
            let measurement = bench.try_hook(hook, action, &mut round);
            self.known.set(hook, action, measurement);
            warn(hook, action, &self.known);
        }
        let verified = Class::ALL
            .iter()
            .all(|class| self.known.verdict(tier, *class, action) == Verdict::Verified);
        if !verified {
            of_tier(tier).for_each(|hook| bench.detach(hook));
        }
        verified
    }
}

fn warn(hook: &Hook, action: Action, known: &Measurements) {
    if let Some(reason) = &known.of(hook, action).reason {
        log::warn(format_args!("{}: {reason}", hook.name));
    }
}

/// Whether anything is to be attached at all.
fn wants_programs(asked: &Asked, machine: &Machine) -> bool {
    machine.lsm_list.has_bpf()
        || asked.mode == Mode::Audit
        || !asked.fallbacks.is_empty()
        || asked.gate_mode == GateMode::AuditFallback
}
