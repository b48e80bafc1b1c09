//! The gate: from what was asked and what was measured to what may be claimed.
//!
//! In: mode, opted-in fallbacks, gate mode, measurements per tier and class, rules.
//! Out: a [`Decision`]. No I/O, no clock: a function from data to data.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::posture::lsm_list::LsmList;
use crate::posture::{Action, Blocker, Class, GateMode, Mode, State, Tier};

/// What the operator asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Enforce or audit.
    pub mode: Mode,
    /// The weaker tiers that the operator opted in to.
    pub fallbacks: Vec<Tier>,
    /// What to do when no tier can enforce.
    pub gate_mode: GateMode,
    /// The signal that the signal tier sends.
    pub signal: i32,
}

/// What became of one tier's hooks for one class; the worst hook speaks for the tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Not tried: not listed, not opted in, or nothing to try it with.
    NotTried,
    /// The kernel took not every program, or attached not every one.
    Rejected,
    /// A canary didn't meet the expected fate, or the program didn't count it.
    CanaryFailed,
    /// Every hook's canary met its fate, and that hook's program counted it.
    Verified,
}

/// What was measured on this machine.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The effective LSM list.
    pub lsm_list: LsmList,
    /// Whether the kernel's BTF could be read.
    pub btf: bool,
    /// Whether a tier's hooks enforce. An absent entry is [`Verdict::NotTried`].
    pub enforcing: BTreeMap<(Tier, Class), Verdict>,
    /// Whether a tier's hooks report without enforcing.
    pub observing: BTreeMap<(Tier, Class), Verdict>,
}

impl Measured {
    /// Whether the tier was verified to enforce for the class. The LSM counts only where it
    /// is listed, whatever its programs do: the seam must be able to lower every claim.
    pub fn enforces(&self, tier: Tier, class: Class) -> bool {
        if tier == Tier::Lsm && !self.lsm_list.has_bpf() {
            return false;
        }
        self.enforcing.get(&(tier, class)) == Some(&Verdict::Verified)
    }

    /// The strongest tier that was verified to observe the class.
    pub fn observer(&self, class: Class) -> Option<Tier> {
        self.observing
            .iter()
            .filter(|((_, observed), verdict)| *observed == class && **verdict == Verdict::Verified)
            .map(|((tier, _), _)| *tier)
            .max()
    }
}

/// Why one tier can't enforce one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// In words, for the report.
    pub reason: String,
    /// Whether it passes by itself, as where the rule only has no target yet. Such a rule keeps no
    /// agent from starting, and takes no state away.
    pub pending: bool,
}

/// A rule, as far as the gate cares.
#[derive(Debug, Clone)]
pub struct RuleFacts {
    /// The rule's id.
    pub id: String,
    /// The class that it belongs to.
    pub class: Class,
    /// The tiers that can't enforce it, and why.
    pub obstacles: BTreeMap<Tier, Obstacle>,
}

/// A rule that isn't enforced, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unenforced {
    /// The rule's id.
    pub rule: String,
    /// In words.
    pub reason: String,
}

/// Why the gate refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No tier that was asked for was verified.
    NoTier,
    /// A rule is beyond what its tier can enforce.
    RuleBeyondTier,
}

/// What may be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The state; [`State::Refused`] means that the agent must not run.
    pub state: State,
    /// Why, if it refused.
    pub refusal: Option<Refusal>,
    /// Whether it only watches.
    pub audit_only: bool,
    /// Whether the BPF LSM was verified to enforce every class in use.
    pub enforce_capable: bool,
    /// Why it isn't.
    pub blockers: Vec<Blocker>,
    /// The tier that each class in use relies on: to enforce, or to watch if `audit_only`.
    pub tiers: BTreeMap<Class, Tier>,
    /// How many rules are enforced.
    pub enforced: usize,
    /// The others.
    pub unenforced: Vec<Unenforced>,
}

/// Decides at start.
pub fn decide(asked: &Asked, measured: &Measured, rules: &[RuleFacts]) -> Decision {
    let classes = classes_in_use(rules);
    let facts = Facts::new(measured, &classes, rules);
    if asked.mode == Mode::Audit {
        return facts.watch(State::Audit, observers(measured, &classes));
    }
    let tiers: Option<BTreeMap<Class, Tier>> = classes
        .iter()
        .map(|class| Some((*class, strongest(asked, measured, *class)?)))
        .collect();
    match (tiers, asked.gate_mode) {
        (Some(tiers), gate_mode) => facts.enforce(tiers, gate_mode),
        (None, GateMode::AuditFallback) => {
            facts.watch(State::AuditFallback, observers(measured, &classes))
        }
        (None, GateMode::FailClosed) => facts.refuse(Refusal::NoTier, &BTreeMap::new()),
    }
}

/// Decides again while running: `claimed` is the state that the agent took at start.
///
/// An enforcing agent whose evidence is lost is [`State::Degraded`] until it is back; it
/// never slides to another state by itself. A watching agent stays what it was asked to be.
pub fn recheck(
    asked: &Asked,
    claimed: State,
    measured: &Measured,
    rules: &[RuleFacts],
) -> Decision {
    if matches!(claimed, State::Audit | State::AuditFallback) {
        let classes = classes_in_use(rules);
        return Facts::new(measured, &classes, rules).watch(claimed, observers(measured, &classes));
    }
    let now = decide(asked, measured, rules);
    if now.state == claimed {
        return now;
    }
    degraded(now, rules)
}

/// What is left of a decision without the evidence that it rested on: no rule counts as
/// enforced, and no tier is relied on.
pub fn degraded(decision: Decision, rules: &[RuleFacts]) -> Decision {
    Decision {
        state: State::Degraded,
        refusal: None,
        audit_only: false,
        tiers: BTreeMap::new(),
        enforced: 0,
        unenforced: rules
            .iter()
            .map(|rule| Unenforced {
                rule: rule.id.clone(),
                reason: "the evidence that it is enforced is lost".to_owned(),
            })
            .collect(),
        ..decision
    }
}

/// What a rule does to whoever meets it, in a state that was taken at start.
pub fn action(claimed: State) -> Action {
    match claimed {
        State::Audit | State::AuditFallback => Action::Observe,
        _ => Action::Deny,
    }
}

/// The facts that every branch of the decision shares.
struct Facts<'a> {
    enforce_capable: bool,
    blockers: Vec<Blocker>,
    rules: &'a [RuleFacts],
}

impl<'a> Facts<'a> {
    fn new(measured: &Measured, classes: &[Class], rules: &'a [RuleFacts]) -> Self {
        let enforce_capable = classes
            .iter()
            .all(|class| measured.enforces(Tier::Lsm, *class));
        let blockers = if enforce_capable {
            Vec::new()
        } else {
            blockers(measured, classes)
        };
        Self {
            enforce_capable,
            blockers,
            rules,
        }
    }

    fn enforce(self, tiers: BTreeMap<Class, Tier>, gate_mode: GateMode) -> Decision {
        let limited: Vec<(&RuleFacts, &Obstacle)> = self
            .rules
            .iter()
            .filter_map(|rule| Some((rule, rule.obstacles.get(tiers.get(&rule.class)?)?)))
            .collect();
        if gate_mode == GateMode::FailClosed
            && limited.iter().any(|(_, obstacle)| !obstacle.pending)
        {
            return self.refuse(Refusal::RuleBeyondTier, &tiers);
        }
        let unenforced: Vec<Unenforced> = limited
            .into_iter()
            .map(|(rule, obstacle)| Unenforced {
                rule: rule.id.clone(),
                reason: obstacle.reason.clone(),
            })
            .collect();
        // The weakest tier speaks for all: a stronger one elsewhere must not shine over it.
        let Some(weakest) = tiers.values().min() else {
            return self.refuse(Refusal::NoTier, &tiers);
        };
        let state = weakest.state();
        Decision {
            state,
            refusal: None,
            audit_only: false,
            enforce_capable: self.enforce_capable,
            blockers: self.blockers,
            tiers,
            enforced: self.rules.len() - unenforced.len(),
            unenforced,
        }
    }

    fn watch(self, state: State, tiers: BTreeMap<Class, Tier>) -> Decision {
        let reason = |rule: &RuleFacts| match tiers.get(&rule.class) {
            None => "not even observed: no hook fires for its class".to_owned(),
            Some(tier) => match rule.obstacles.get(tier) {
                None => "observed only".to_owned(),
                Some(obstacle) => format!("not even observed: {}", obstacle.reason),
            },
        };
        let unenforced = self.rules.iter().map(|rule| Unenforced {
            rule: rule.id.clone(),
            reason: reason(rule),
        });
        let unenforced = unenforced.collect();
        Decision {
            state,
            refusal: None,
            audit_only: true,
            enforce_capable: self.enforce_capable,
            blockers: self.blockers,
            tiers,
            enforced: 0,
            unenforced,
        }
    }

    /// `tiers` are those that would have enforced, had every rule been within their obstacles.
    fn refuse(self, refusal: Refusal, tiers: &BTreeMap<Class, Tier>) -> Decision {
        let why = match refusal {
            Refusal::NoTier => "no tier that was asked for was verified here",
            Refusal::RuleBeyondTier => "another rule can't be enforced by its tier",
        };
        let unenforced = self
            .rules
            .iter()
            .map(|rule| {
                // A rule's own obstacle is what the operator must change, so it goes first.
                let tier = tiers.get(&rule.class);
                let own = tier.and_then(|tier| rule.obstacles.get(tier));
                Unenforced {
                    rule: rule.id.clone(),
                    reason: match own.filter(|obstacle| !obstacle.pending) {
                        Some(obstacle) => format!("the gate refused: {}", obstacle.reason),
                        None => format!("the gate refused: {why}"),
                    },
                }
            })
            .collect();
        Decision {
            state: State::Refused,
            refusal: Some(refusal),
            audit_only: false,
            enforce_capable: self.enforce_capable,
            blockers: self.blockers,
            tiers: BTreeMap::new(),
            enforced: 0,
            unenforced,
        }
    }
}

/// The classes that have rules; every class for a policy without any, so that its posture
/// still says what could be enforced.
fn classes_in_use(rules: &[RuleFacts]) -> Vec<Class> {
    if rules.is_empty() {
        return Class::ALL.to_vec();
    }
    Class::ALL
        .into_iter()
        .filter(|class| rules.iter().any(|rule| rule.class == *class))
        .collect()
}

/// The strongest tier that is allowed and verified for the class. The LSM needs no opt-in.
fn strongest(asked: &Asked, measured: &Measured, class: Class) -> Option<Tier> {
    asked
        .fallbacks
        .iter()
        .chain([&Tier::Lsm])
        .copied()
        .filter(|tier| measured.enforces(*tier, class))
        .max()
}

fn observers(measured: &Measured, classes: &[Class]) -> BTreeMap<Class, Tier> {
    classes
        .iter()
        .filter_map(|class| Some((*class, measured.observer(*class)?)))
        .collect()
}

/// Every measured cause, so that mending one doesn't only uncover the next.
fn blockers(measured: &Measured, classes: &[Class]) -> Vec<Blocker> {
    let mut found = Vec::new();
    match &measured.lsm_list {
        LsmList::Unreadable { .. } => found.push(Blocker::LsmListUnreadable),
        LsmList::Known(_) if !measured.lsm_list.has_bpf() => found.push(Blocker::BpfLsmDisabled),
        LsmList::Known(_) => {}
    }
    if !measured.btf {
        found.push(Blocker::BtfMissing);
    }
    for class in classes {
        let blocker = match measured.enforcing.get(&(Tier::Lsm, *class)) {
            Some(Verdict::Rejected) => Blocker::LsmProgramRejected,
            Some(Verdict::CanaryFailed) => Blocker::LsmCanaryFailed,
            Some(Verdict::NotTried | Verdict::Verified) | None => continue,
        };
        // Not listed explains the rest; a canary that fails there is no second cause.
        if measured.lsm_list.has_bpf() && !found.contains(&blocker) {
            found.push(blocker);
        }
    }
    found
}
