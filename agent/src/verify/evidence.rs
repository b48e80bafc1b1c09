//! Measuring: which hooks attach here, and what they then do to a canary.
//!
//! In: hooks, and the action to try them with. Out: a [`Measurement`] of each, made of
//! evidence: attaching proves nothing, since a kernel without BPF LSM in its list attaches
//! the programs and never runs them.

use anyhow::{Context as _, Result};
use aya::maps::{MapData, RingBuf};
use jiff::Timestamp;
use serde::Serialize;

use crate::classes::file::decoys::Decoys;
use crate::daemon::timings::{self, Step};
use crate::host::cgroups::{FreshCgroup, Hierarchy};
use crate::host::facts;
use crate::kernel::abi::Action;
use crate::kernel::btf::KernelBtf;
use crate::kernel::hooks::{HOOKS, Hook, Role};
use crate::kernel::identity::Identify;
use crate::kernel::loader::{Programs, Shape};
use crate::kernel::maps::{Contents, Maps};
use crate::kernel::real_time::unpreempted;
use crate::kernel::refusal;
use crate::kernel::tally::Tally;
use crate::posture::gate::Verdict;
use crate::posture::{Class, Tier};
use crate::sabotage::{self, Mutant};
use crate::verify::canary::{Canary, Fate};
use crate::verify::unkept::Counts;

/// What one canary showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The canary's process id.
    pub pid: u32,
    /// Its cgroup's id.
    pub cgroup: u64,
    /// From its release to its end.
    pub duration_us: u64,
    /// The fate that the claim needs.
    pub expected: String,
    /// The fate that it met.
    pub observed: String,
    /// How often this very hook's program counted it.
    pub hits: u64,
}

/// What is known of one hook with one action.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// The outcome.
    pub verdict: Verdict,
    /// Whether the kernel took program and link when it was tried.
    pub attached: bool,
    /// When the evidence was last found good.
    pub verified_at: Option<Timestamp>,
    /// The last canary's.
    pub evidence: Option<Evidence>,
    /// Why it isn't verified.
    pub reason: Option<String>,
}

impl Measurement {
    fn not_tried() -> Self {
        Self {
            verdict: Verdict::NotTried,
            attached: false,
            verified_at: None,
            evidence: None,
            reason: None,
        }
    }
}

/// What is known of every hook, in the order of [`HOOKS`].
#[derive(Debug, Clone)]
pub struct Measurements {
    deny: Vec<Measurement>,
    observe: Vec<Measurement>,
}

impl Measurements {
    /// Nothing was tried yet.
    pub fn none() -> Self {
        let all = || HOOKS.iter().map(|_| Measurement::not_tried()).collect();
        Self {
            deny: all(),
            observe: all(),
        }
    }

    /// What is known of a hook with this action.
    pub fn of(&self, hook: &Hook, action: Action) -> &Measurement {
        let index = hook.number as usize;
        match action {
            Action::Deny => &self.deny[index],
            Action::Observe => &self.observe[index],
        }
    }

    /// Notes a new measurement.
    pub fn set(&mut self, hook: &Hook, action: Action, measurement: Measurement) {
        let index = hook.number as usize;
        match action {
            Action::Deny => self.deny[index] = measurement,
            Action::Observe => self.observe[index] = measurement,
        }
    }

    /// The verdict on a tier for a class: that of the worst hook that it can't do without.
    pub fn verdict(&self, tier: Tier, class: Class, action: Action) -> Verdict {
        HOOKS
            .iter()
            .filter(|hook| hook.tier == tier && hook.class == class && hook.role == Role::Core)
            .map(|hook| self.of(hook, action).verdict)
            .min()
            .unwrap_or(Verdict::NotTried)
    }
}

/// Everything that measuring takes: programs, maps, decoys and a place for the canary.
///
/// Dropping it detaches every program and removes the decoys.
pub struct Bench {
    programs: Programs,
    maps: Maps,
    tally: Tally,
    decoys: Decoys,
    hierarchy: Hierarchy,
    signal: i32,
}

/// A canary in a cgroup of its own, for one round of trials.
pub struct Round {
    /// Before the cgroup, so that it is dead before that is removed.
    canary: Canary,
    cgroup: FreshCgroup,
}

impl Bench {
    /// Sets up, with maps that hold the decoys' rules and nothing else.
    pub fn set_up(
        btf: KernelBtf,
        shape: Shape,
        hierarchy: Hierarchy,
    ) -> Result<(Self, RingBuf<MapData>)> {
        let mut decoys = Decoys::make()?;
        let shape = Shape {
            inodes: shape.inodes + Decoys::RULES,
            names: shape.names + Decoys::RULES,
            paths: shape.paths + Decoys::RULES,
            ..shape
        };
        let (mut programs, maps) = timings::measure(Step::Object, || Programs::open(btf, &shape))
            .map_err(|error| refusal::explain_map(error, facts::look))
            .context("the kernel refused BPF")?;
        let (maps, ring, tally) = Maps::take(maps)?;
        timings::measure(Step::Resolve, || decoys.identify(&mut programs))
            .map_err(|error| refusal::explain_program(error, facts::look))
            .context("the kernel doesn't tell what files are to its hooks")?;
        let mut bench = Self {
            programs,
            maps,
            tally,
            decoys,
            hierarchy,
            signal: shape.signal.cast_signed(),
        };
        bench.fill(Contents::new(Action::Observe))?;
        Ok((bench, ring))
    }

    /// Makes the maps hold the decoys' rules and `contents`.
    pub fn fill(&mut self, mut contents: Contents) -> Result<()> {
        self.decoys.add_rules(&mut contents);
        // Nothing else is kept from running by a call on a map.
        let by_signal = self.programs.runs_any_of(Tier::Signal);
        timings::measure(Step::Fill, || match by_signal {
            true => unpreempted(|| self.maps.set(contents)),
            false => self.maps.set(contents),
        })
    }

    /// Believes no more that the maps hold what was filled in; the next time they are read first.
    pub fn doubt_maps(&mut self) {
        self.maps.doubt();
    }

    /// What the kernel counted against a claim to enforce.
    ///
    /// # Errors
    /// The kernel's.
    pub fn counts(&self) -> Result<Counts> {
        Ok(Counts {
            passed_over: match sabotage::is(Mutant::OverlooksPassedOver) {
                true => Vec::new(),
                false => self.programs.passed_over()?,
            },
            signals_refused: self.signals_refused(),
        })
    }

    /// Whoever can say what files are to the hooks.
    pub fn kernel(&mut self) -> &mut dyn Identify {
        &mut self.programs
    }

    /// The decoys, for the names of their rules.
    pub fn decoys(&self) -> &Decoys {
        &self.decoys
    }

    /// How many signals were refused, but for canaries.
    pub fn signals_refused(&self) -> u64 {
        self.tally.signals_refused()
    }

    /// How many events found the ring full.
    pub fn events_lost(&self) -> u64 {
        self.tally.events_lost()
    }

    /// Starts a canary for a round of trials.
    pub fn round(&self) -> Result<Round> {
        timings::measure(Step::Canary, || {
            let cgroup = self.hierarchy.fresh("aegisbpf-canary-")?;
            let canary = Canary::start()?;
            cgroup.admit(canary.pid())?;
            Ok(Round { canary, cgroup })
        })
    }

    /// Attaches a hook's program and sends a canary through it.
    pub fn try_hook(
        &mut self,
        hook: &Hook,
        action: Action,
        round: &mut Result<Round>,
    ) -> Measurement {
        let mut measurement = Measurement {
            attached: true,
            ..Measurement::not_tried()
        };
        if let Err(refusal) = self.programs.attach(hook) {
            // A program may have loaded and only its link failed.
            self.programs.detach(hook);
            measurement.verdict = Verdict::Rejected;
            measurement.attached = false;
            measurement.reason = Some(refusal.explain(&facts::look()));
            return measurement;
        }
        self.verify(hook, action, round, &mut measurement);
        measurement
    }

    /// Sends a canary through an attached hook again. Where that shows that it doesn't work
    /// any more, the program is attached anew: whoever detached it must do it again, and the
    /// next round will tell.
    pub fn retry(
        &mut self,
        hook: &Hook,
        action: Action,
        round: &mut Result<Round>,
        measurement: &mut Measurement,
    ) {
        self.verify(hook, action, round, measurement);
        if measurement.verdict != Verdict::Verified && round.is_ok() {
            self.programs.detach(hook);
            if let Err(refusal) = self.programs.attach(hook) {
                let before = measurement.reason.take().unwrap_or_default();
                let why = refusal.explain(&facts::look());
                measurement.reason = Some(format!("{before}; attached anew: {why}"));
            }
        }
    }

    /// Detaches a hook's program.
    pub fn detach(&mut self, hook: &Hook) {
        self.programs.detach(hook);
    }

    fn verify(
        &mut self,
        hook: &Hook,
        action: Action,
        round: &mut Result<Round>,
        measurement: &mut Measurement,
    ) {
        if sabotage::is(Mutant::TrustsAttach)
            || sabotage::is(Mutant::RenewsWithoutCanary) && measurement.evidence.is_some()
        {
            measurement.verdict = Verdict::Verified;
            measurement.verified_at = Some(Timestamp::now());
            return;
        }
        measurement.verdict = Verdict::CanaryFailed;
        let evidence = match round {
            Ok(round) => timings::measure(Step::Canary, || self.send_canary(hook, action, round)),
            Err(error) => Err(anyhow::anyhow!("{error:#}")),
        };
        match evidence {
            Err(error) => {
                measurement.evidence = None;
                measurement.reason = Some(format!("no canary could be sent: {error:#}"));
            }
            Ok(evidence) => {
                // One act, one hit: more would mean that something else was counted.
                let good = evidence.observed == evidence.expected && evidence.hits == 1;
                measurement.reason = (!good).then(|| {
                    format!(
                        "the canary was to be {} with 1 hit, and was {} with {}",
                        evidence.expected, evidence.observed, evidence.hits
                    )
                });
                if good {
                    measurement.verdict = Verdict::Verified;
                    measurement.verified_at = Some(Timestamp::now());
                }
                measurement.evidence = Some(evidence);
            }
        }
    }

    fn send_canary(&mut self, hook: &Hook, action: Action, round: &mut Round) -> Result<Evidence> {
        let mut errand = self.decoys.errand(hook, action);
        let made_up = sabotage::is(Mutant::SendsNoCanary) && action == Action::Deny;
        if made_up {
            errand.decoy.clone_from(&errand.control);
        }
        let child = round.canary.prepare(&errand)?;
        let pid = child.pid;
        self.tally.arm(hook.number, pid);
        let outcome = child.release();
        let hits = self.tally.disarm();
        let (mut fate, duration) = outcome?;
        let expected = match (action, hook.tier) {
            (Action::Observe, _) => Fate::Allowed,
            (Action::Deny, Tier::Lsm | Tier::Modret) => Fate::Denied(libc::EPERM),
            (Action::Deny, Tier::Signal) => Fate::Killed(self.signal),
        };
        if made_up {
            fate = expected;
        }
        Ok(Evidence {
            pid,
            cgroup: round.cgroup.id,
            duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            expected: expected.to_string(),
            observed: fate.to_string(),
            hits,
        })
    }
}
