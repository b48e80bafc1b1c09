//! Measuring: which hooks attach here, and what they then do to a canary.
//!
//! In: hooks, and the action to try them with. Out: a [`Measurement`] of each, made of
//! evidence: attaching proves nothing, since a kernel without BPF LSM in its list attaches
//! the programs and never runs them.

use anyhow::{Context as _, Result};
use aya::Btf;
use aya::maps::{MapData, RingBuf};
use jiff::Timestamp;
use serde::Serialize;

use crate::abi::{Action, CanaryKey};
use crate::canary::{Canary, Errand, Fate};
use crate::cgroups::Hierarchy;
use crate::decoys::Decoys;
use crate::gate::Verdict;
use crate::hooks::{HOOKS, Hook};
use crate::loader::{Programs, Sizes};
use crate::maps::{Contents, Maps};
use crate::posture::{Class, Tier};

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

    /// The verdict on a tier for a class: that of its worst hook.
    pub fn verdict(&self, tier: Tier, class: Class, action: Action) -> Verdict {
        HOOKS
            .iter()
            .filter(|hook| hook.tier == tier && hook.class == class)
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
    decoys: Decoys,
    hierarchy: Hierarchy,
}

impl Bench {
    /// Sets up, with maps that hold the decoys' rules and nothing else.
    pub fn set_up(
        btf: Btf,
        sizes: Sizes,
        hierarchy: Hierarchy,
    ) -> Result<(Self, RingBuf<MapData>)> {
        let decoys = Decoys::make()?;
        let sizes = Sizes {
            inodes: sizes.inodes + Decoys::RULES,
            paths: sizes.paths + Decoys::RULES,
            ..sizes
        };
        let mut programs = Programs::open(btf, &sizes).context("the kernel refused BPF")?;
        let (maps, ring) = Maps::take(programs.maps())?;
        let mut bench = Self {
            programs,
            maps,
            decoys,
            hierarchy,
        };
        bench.fill(Contents::default())?;
        Ok((bench, ring))
    }

    /// Makes the maps hold the decoys' rules and `contents`.
    pub fn fill(&mut self, mut contents: Contents) -> Result<()> {
        self.decoys.add_rules(&mut contents)?;
        self.maps.set(&contents)
    }

    /// The decoys, for the names of their rules.
    pub fn decoys(&self) -> &Decoys {
        &self.decoys
    }

    /// How many events found the ring full.
    pub fn events_lost(&self) -> Result<u64> {
        self.maps.events_lost()
    }

    /// Tries a hook: attaches it unless that was done, then sends a canary through it.
    pub fn try_hook(&mut self, hook: &Hook, action: Action, known: &mut Measurements) {
        let attached = [Action::Deny, Action::Observe]
            .iter()
            .any(|action| known.of(hook, *action).attached);
        let mut measurement = Measurement {
            attached: true,
            ..Measurement::not_tried()
        };
        if !attached && let Err(reason) = self.programs.attach(hook) {
            // A program may have loaded and only its link failed.
            self.programs.detach(hook);
            measurement.verdict = Verdict::Rejected;
            measurement.attached = false;
            measurement.reason = Some(reason);
            known.set(hook, action, measurement);
            return;
        }
        self.verify(hook, action, &mut measurement);
        known.set(hook, action, measurement);
    }

    /// Tries an attached hook again.
    pub fn retry(&mut self, hook: &Hook, action: Action, known: &mut Measurements) {
        let mut measurement = known.of(hook, action).clone();
        self.verify(hook, action, &mut measurement);
        known.set(hook, action, measurement);
    }

    /// Detaches a hook's program.
    pub fn detach(&mut self, hook: &Hook) {
        self.programs.detach(hook);
    }

    fn verify(&mut self, hook: &Hook, action: Action, measurement: &mut Measurement) {
        measurement.verdict = Verdict::CanaryFailed;
        match self.send_canary(hook, action) {
            Err(error) => {
                measurement.evidence = None;
                measurement.reason = Some(format!("no canary could be sent: {error:#}"));
            }
            Ok(evidence) => {
                // One open, one hit: more would mean that something else was counted.
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

    fn send_canary(&mut self, hook: &Hook, action: Action) -> Result<Evidence> {
        let cgroup = self.hierarchy.fresh("aegisbpf-canary-")?;
        // Declared after the cgroup, so that it is dead before the cgroup is removed.
        let canary = Canary::start(&Errand {
            syscall: hook.syscall,
            control: self.decoys.control(),
            decoy: self.decoys.decoy(hook.tier, action),
        })?;
        let pid = canary.pid();
        cgroup.admit(pid)?;
        let key = CanaryKey {
            hook: hook.number,
            tgid: pid,
        };
        self.maps.arm(key)?;
        let outcome = canary.release();
        let hits = self.maps.disarm(key)?;
        let (fate, duration) = outcome?;
        Ok(Evidence {
            pid,
            cgroup: cgroup.id,
            duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            expected: expected(hook.tier, action).to_string(),
            observed: fate.to_string(),
            hits,
        })
    }
}

/// The fate that a canary must meet for a tier to be verified.
fn expected(tier: Tier, action: Action) -> Fate {
    match (action, tier) {
        (Action::Observe, _) => Fate::Allowed,
        (Action::Deny, Tier::Lsm) => Fate::Denied(libc::EPERM),
        (Action::Deny, Tier::Signal) => Fate::Killed(libc::SIGKILL),
    }
}
