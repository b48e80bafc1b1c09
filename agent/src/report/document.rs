//! `capabilities.json`: the posture with its evidence, for whoever must know what this node
//! enforces.
//!
//! In: a decision, measurements, facts about the machine. Out: one JSON document, replaced
//! atomically. A reader treats a report past `valid_until`, of another boot, or of a dead
//! pid as *unknown*. How long it is valid goes by the oldest evidence for it, whenever it was
//! written, and is told by the boot clock too: the time of day can be set. Between two starts on
//! the same machine only times, pids, cgroups and durations differ, so reports can be compared.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::hooks::HookReport;
use super::time::time;
use crate::host::machine::{Agent, Facts, Seam};
use crate::host::moment::Moment;
use crate::posture::gate::{Decision, Unenforced};
use crate::posture::{Blocker, Class, Limit, State, Tier};

/// Raised whenever a field changes its meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// The whole report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// When it was written.
    #[serde(serialize_with = "time")]
    pub generated_at: Timestamp,
    /// The same by the boot clock, milliseconds since the boot.
    pub generated_at_boot_ms: i64,
    /// Until when it may be believed.
    #[serde(serialize_with = "time")]
    pub valid_until: Timestamp,
    /// The same by the boot clock, which is the one that a reader on this machine goes by.
    pub valid_until_boot_ms: i64,
    /// The boot that it speaks of.
    pub boot_id: String,
    /// `uname -r`.
    pub kernel_version: String,
    /// What the agent is.
    pub runtime_state: State,
    /// Whether it only watches.
    pub audit_only: bool,
    /// Whether the BPF LSM was verified to enforce.
    pub enforce_capable: bool,
    /// Why it wasn't.
    pub enforce_blockers: Vec<Blocker>,
    /// The effective list of active LSMs; null if it couldn't be read.
    pub lsm_enabled: Option<Vec<String>>,
    /// What this machine has.
    pub features: BTreeMap<&'static str, bool>,
    /// Every hook with its evidence.
    pub hooks: Vec<HookReport>,
    /// How many rules are enforced, and which aren't.
    pub rules: Rules,
    /// The tier that each class in use relies on.
    pub classes: BTreeMap<Class, ClassReport>,
    /// How many events nobody was told of: the ring was full, or stdout failed.
    pub events_lost: u64,
    /// How many acts nobody was told of one by one, being like too many before.
    pub events_repeated: u64,
    /// The seams in use, which make the agent claim less than it could.
    pub test_seams: Vec<Seam>,
    /// What holds once the agent is dead.
    pub survives_agent_death: Survival,
    /// Who speaks.
    pub agent: Agent,
}

/// The rules.
#[derive(Debug, Serialize)]
pub struct Rules {
    /// `enforced` and the `unenforced` together.
    pub total: usize,
    /// How many are enforced.
    pub enforced: usize,
    /// The others, each with why.
    pub unenforced: Vec<Unenforced>,
}

/// One class.
#[derive(Debug, Serialize)]
pub struct ClassReport {
    /// The tier that it relies on: to enforce, or to watch if `audit_only`.
    pub tier: Tier,
    /// What that tier doesn't stop here. Empty where nothing is enforced.
    pub limits: Vec<Limit>,
}

/// What holds once the agent is dead.
#[derive(Debug, Serialize)]
pub struct Survival {
    /// Whether links are pinned.
    pub links_pinned: bool,
    /// How long they hold without the agent.
    pub deadman_ms: Option<u64>,
}

/// What a report has beside the decision, as of now.
#[derive(Debug)]
pub struct Status {
    /// Every hook.
    pub hooks: Vec<HookReport>,
    /// What the tier of each class doesn't stop.
    pub limits: BTreeMap<Class, Vec<Limit>>,
    /// How many events nobody was told of.
    pub events_lost: u64,
    /// How many acts nobody was told of one by one, being like too many before.
    pub events_repeated: u64,
    /// When the oldest evidence was taken that the decision rests on.
    pub evidence: Moment,
    /// How long that may be believed.
    pub validity: SignedDuration,
}

/// The report on a decision, as of `now`.
///
/// # Errors
/// The time is beyond what can be written.
pub fn compose(facts: &Facts, now: Moment, decision: &Decision, status: Status) -> Result<Report> {
    let mut limits = status.limits;
    let class = |(class, tier): (&Class, &Tier)| {
        let (tier, limits) = (*tier, limits.remove(class).unwrap_or_default());
        (*class, ClassReport { tier, limits })
    };
    let until = status.evidence.valid_until(status.validity, now)?;
    let facts = facts.clone();
    Ok(Report {
        schema_version: SCHEMA_VERSION,
        generated_at: now.time,
        generated_at_boot_ms: now.boot_ms(),
        valid_until: until.time,
        valid_until_boot_ms: until.boot_ms(),
        boot_id: facts.boot_id,
        kernel_version: facts.kernel_version,
        runtime_state: decision.state,
        audit_only: decision.audit_only,
        enforce_capable: decision.enforce_capable,
        enforce_blockers: decision.blockers.clone(),
        lsm_enabled: facts.lsm_enabled,
        features: facts.features,
        hooks: status.hooks,
        rules: Rules {
            total: decision.enforced + decision.unenforced.len(),
            enforced: decision.enforced,
            unenforced: decision.unenforced.clone(),
        },
        classes: decision.tiers.iter().map(class).collect(),
        events_lost: status.events_lost,
        events_repeated: status.events_repeated,
        test_seams: facts.test_seams,
        survives_agent_death: Survival {
            links_pinned: false,
            deadman_ms: None,
        },
        agent: facts.agent,
    })
}
