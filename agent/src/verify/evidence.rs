//! Evidence: which hooks attach here, and what they then do to a canary.
//!
//! In: hooks, and the action to try them with. Out: a [`Measurement`] of each, made of
//! [`Evidence`]: attaching proves nothing, since a kernel without BPF LSM in its list attaches
//! the programs and never runs them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aya::maps::{MapData, RingBuf};

use super::canary::{Canary, Fate};
use super::losses::Counts;
use super::measurement::{Evidence, Measurement};
use super::resend::until_shown;
use crate::classes::alterations::Alterations;
use crate::classes::hooks::{HOOKS, Hook, Role};
use crate::classes::{Contents, Decoys, Maps, Rules};
use crate::host::cgroups::{FreshCgroup, Hierarchy};
use crate::host::facts;
use crate::host::moment::Moment;
use crate::kernel::btf::KernelBtf;
use crate::kernel::identity::Identify;
use crate::kernel::loader::{self, Fit, Programs, Spent};
use crate::kernel::maps::{find, other_type};
use crate::kernel::real_time::unpreempted;
use crate::kernel::refusal;
use crate::kernel::tally::Tally;
use crate::posture::Action;
use crate::posture::Tier;
use crate::posture::gate::Verdict;
use crate::verify::measurement::judge;
/// Why nothing of the signal tier is tried where the kernel is locked down.
pub(super) const LOCKED_DOWN: &str = "lockdown: the kernel runs no kprobes and tracepoints, and no program that \
                           reads its memory; start it without lockdown=confidentiality, or rely on \
                           the BPF LSM or on modret";

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
    on_canaries: Duration,
}

/// A canary in a cgroup of its own, for one round of trials.
pub struct Round {
    /// Before the cgroup, so that it is dead before that is removed.
    canary: Canary,
    cgroup: FreshCgroup,
    /// How long canaries were sent again.
    sending_again: Duration,
}

impl Bench {
    /// Makes maps and decoys; nothing is attached yet.
    ///
    /// # Errors
    /// The kernel refuses maps, or there is no room for decoys.
    pub fn set_up(
        btf: KernelBtf,
        fit: &Fit,
        signal: i32,
        hierarchy: Hierarchy,
    ) -> Result<(Self, RingBuf<MapData>)> {
        let (mut programs, mut maps) = Programs::open(loader::object(), btf, fit)
            .map_err(|error| refusal::explain_map(error, facts::look))
            .context("the kernel refused BPF")?;
        let tally = Tally::map(loader::data(&find(&mut maps, "tally")?))?;
        let ring = RingBuf::try_from(find(&mut maps, "events")?);
        let ring = ring.with_context(|| other_type("events"))?;
        let maps = Maps::take(&mut maps, fit)?;
        let mut decoys = Decoys::make()?;
        decoys
            .identify(&mut programs)
            .map_err(|error| refusal::explain_program(error, facts::look))
            .context("the kernel doesn't tell what files are to its hooks")?;
        let mut bench = Self {
            programs,
            maps,
            tally,
            decoys,
            hierarchy,
            signal,
            on_canaries: Duration::ZERO,
        };
        // Decoys only.
        bench.fill(Rules::default().contents(Action::Observe))?;
        Ok((bench, ring))
    }

    /// Makes the maps hold the decoys' rules and `contents`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn fill(&mut self, mut contents: Contents) -> Result<()> {
        self.decoys.add_rules(&mut contents);
        match self.relies_on_signals() {
            true => unpreempted(|| self.maps.set(contents)),
            false => self.maps.set(contents),
        }
    }

    /// Reads the maps back, and adds to `found` what somebody altered in them, as far as it comes; the
    /// next filling puts it right.
    ///
    /// # Errors
    /// The kernel's.
    pub fn check_maps(&mut self, found: &mut Alterations) -> Result<()> {
        let exempted = self.programs.exempted()?;
        match self.relies_on_signals() {
            true => unpreempted(|| self.maps.check(&exempted, found)),
            false => self.maps.check(&exempted, found),
        }
    }

    /// Whether programs are attached that a preempted call on a map keeps from running.
    fn relies_on_signals(&self) -> bool {
        let mut hooks = HOOKS.iter().filter(|hook| hook.tier == Tier::Signal);
        hooks.any(|hook| self.programs.is_attached(hook.program))
    }

    /// What the kernel counted against a claim to enforce.
    ///
    /// # Errors
    /// The kernel's.
    pub fn counts(&self) -> Result<Counts> {
        let hooks = HOOKS.iter();
        let hooks = hooks.filter(|hook| hook.role == Role::Core && !hook.sees_path());
        let programs = hooks.map(|hook| hook.program);
        Ok(Counts {
            recursion_misses: self.programs.recursion_misses(programs)?,
            signals_refused: self.signals_refused(),
        })
    }

    /// Whoever can say what files are to the hooks.
    pub fn kernel(&mut self) -> &mut dyn Identify {
        &mut self.programs
    }

    /// Whether programs may read any of the kernel's memory, which lockdown forbids.
    pub fn memory_readable(&self) -> bool {
        self.programs.memory_readable()
    }

    /// Whether the kernel has the hook.
    pub fn has(&self, hook: &Hook) -> bool {
        self.programs.has(hook.attach)
    }

    /// Where the time went: in the loader, and on canaries.
    pub fn spent(&self) -> (Spent, Duration) {
        (self.programs.spent(), self.on_canaries)
    }

    /// The decoys, for the names of their rules.
    pub fn decoys(&self) -> &Decoys {
        &self.decoys
    }

    /// How many signals were refused, but for canaries.
    pub fn signals_refused(&self) -> u64 {
        self.tally.signals_refused()
    }

    /// How many acts weren't told of, being like too many before.
    pub fn events_repeated(&self) -> u64 {
        self.tally.events_repeated()
    }

    /// How many events found the ring full.
    pub fn events_lost(&self) -> u64 {
        self.tally.events_lost()
    }

    /// Starts a canary for a round of trials.
    ///
    /// # Errors
    /// There is no room for it, or for its cgroup.
    pub fn round(&mut self) -> Result<Round> {
        let started = Instant::now();
        let cgroup = self.hierarchy.fresh("aegisbpf-canary-")?;
        let canary = Canary::start()?;
        cgroup.admit(canary.pid())?;
        self.on_canaries += started.elapsed();
        Ok(Round {
            canary,
            cgroup,
            sending_again: Duration::ZERO,
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
        if hook.tier == Tier::Signal && !self.programs.memory_readable() {
            measurement.verdict = Verdict::Rejected;
            measurement.attached = false;
            measurement.reason = Some(LOCKED_DOWN.to_owned());
            return measurement;
        }
        if let Err(refusal) = self.programs.attach(hook.program, hook.attach) {
            // A program may have loaded and only its link failed.
            self.programs.detach(hook.program);
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
    /// next round will tell. Where it shows nothing, the program stays: else whoever has the kernel
    /// skip it for the canaries would have it gone for a moment.
    pub fn retry(
        &mut self,
        hook: &Hook,
        action: Action,
        round: &mut Result<Round>,
        measurement: &mut Measurement,
    ) {
        self.verify(hook, action, round, measurement);
        if measurement.is_broken() {
            self.programs.detach(hook.program);
            if let Err(refusal) = self.programs.attach(hook.program, hook.attach) {
                let before = measurement.reason.take().unwrap_or_default();
                let why = refusal.explain(&facts::look());
                measurement.reason = Some(format!("{before}; attached anew: {why}"));
            }
        }
    }

    /// Detaches a hook's program.
    pub fn detach(&mut self, hook: &Hook) {
        self.programs.detach(hook.program);
    }

    fn verify(
        &mut self,
        hook: &Hook,
        action: Action,
        round: &mut Result<Round>,
        measurement: &mut Measurement,
    ) {
        let started = Instant::now();
        // Evidence is as old as the look that it came of, not as the answer.
        let looked = Moment::now();
        let evidence = match round {
            Ok(round) => {
                let mut spent = round.sending_again;
                let send = || self.send_canary(hook, action, round);
                let shown = until_shown(&mut spent, Instant::now, send);
                round.sending_again = spent;
                shown
            }
            Err(error) => Err(anyhow::anyhow!("{error:#}")),
        };
        self.on_canaries += started.elapsed();
        judge(measurement, evidence, looked);
    }

    fn send_canary(&mut self, hook: &Hook, action: Action, round: &mut Round) -> Result<Evidence> {
        let errand = self.decoys.errand(hook, action);
        let child = round.canary.prepare(&errand)?;
        let pid = child.pid;
        let before = self.recursion_misses(hook)?;
        self.tally.arm(hook.number, pid);
        let outcome = child.release();
        let hits = self.tally.disarm();
        let (fate, duration) = outcome?;
        let after = self.recursion_misses(hook)?;
        let expected = match (action, hook.tier) {
            (Action::Observe, _) => Fate::Allowed,
            (Action::Deny, Tier::Lsm | Tier::Modret) => Fate::Denied(libc::EPERM),
            (Action::Deny, Tier::Signal) => Fate::Killed(self.signal),
        };
        Ok(Evidence {
            pid,
            cgroup: round.cgroup.id,
            duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            expected: expected.to_string(),
            observed: fate.to_string(),
            hits,
            recursion_misses: before..after,
            sent: 1,
        })
    }

    /// How often the kernel skipped a hook's program; 0 if it isn't attached.
    fn recursion_misses(&self, hook: &Hook) -> Result<u64> {
        let counts = self.programs.recursion_misses([hook.program].into_iter())?;
        Ok(counts.first().copied().unwrap_or(0))
    }
}
