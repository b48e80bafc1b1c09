//! The proofs, one file a guarantee. Each observes; what it must show stands in the plan.

mod attach_is_not_enforcement;
mod audit_fallback_when_asked;
mod denies_open;
mod exits_when_degraded;
mod holds_many_rules;
mod holds_on;
mod no_pretend;
mod notices_lost_program;
mod promotes;
mod refuses;
mod renews_evidence;

use anyhow::{Result, bail};
use protocol::record::Observation;

use crate::agent::Running;
use crate::lab::{During, Lab, Seen};

/// One guarantee, put to the test in three phases.
pub trait Proof: Sync {
    /// The ids under which plans know it.
    fn ids(&self) -> &'static [&'static str];

    /// Makes what it needs, and gives the rules that the policy is to have for it.
    ///
    /// # Errors
    /// Something can't be made.
    fn rules(&self) -> Result<String> {
        Ok(String::new())
    }

    /// While the agent is absent.
    ///
    /// # Errors
    /// An arm couldn't be observed.
    fn before(&self, _lab: &Lab, _seen: &mut Seen) -> Result<()> {
        Ok(())
    }

    /// While it is up, or after it refused.
    ///
    /// # Errors
    /// An arm couldn't be observed.
    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()>;

    /// After it stopped.
    ///
    /// # Errors
    /// An arm couldn't be observed.
    fn after(&self, _lab: &Lab, _seen: &mut Seen) -> Result<()> {
        Ok(())
    }

    /// Whether the agent ends by itself during it; how, is for its arms to tell.
    fn ends_agent(&self) -> bool {
        false
    }

    /// Whether the arm `left-behind` is to be observed: BPF objects that outlive the agent.
    fn watches_bpf_objects(&self) -> bool {
        false
    }
}

const PROOFS: &[&dyn Proof] = &[
    &attach_is_not_enforcement::AttachIsNotEnforcement,
    &audit_fallback_when_asked::AuditFallbackWhenAsked,
    &denies_open::DeniesOpen,
    &exits_when_degraded::LSM,
    &exits_when_degraded::MODRET,
    &exits_when_degraded::SIGNAL,
    &holds_many_rules::HoldsManyRules,
    &holds_on::BTRFS,
    &holds_on::EXT4,
    &holds_on::OVERLAYFS,
    &holds_on::TMPFS,
    &holds_on::XFS,
    &no_pretend::NoPretend,
    &notices_lost_program::LSM,
    &notices_lost_program::MODRET,
    &notices_lost_program::SIGNAL,
    &promotes::Promotes,
    &refuses::Refuses,
    &renews_evidence::RenewsEvidence,
];

/// Finds a proof by the id that the plan gives.
///
/// # Errors
/// The plan names one that this guest doesn't know.
pub fn by_id(id: &str) -> Result<&'static dyn Proof> {
    match PROOFS.iter().find(|proof| proof.ids().contains(&id)) {
        Some(proof) => Ok(*proof),
        None => bail!("this guest knows no proof {id:?}"),
    }
}

/// The agent, which must be up.
///
/// # Errors
/// It isn't.
fn running<'a>(agent: &During<'a>) -> Result<&'a Running> {
    match agent {
        During::Running(running) => Ok(running),
        During::Ended(_) => bail!("the agent has ended"),
    }
}

/// The report of the agent, which must be up.
///
/// # Errors
/// The agent isn't up, or its report isn't its own.
fn live_report(agent: &During) -> Result<Observation> {
    match agent {
        During::Running(running) => Ok(Observation::Document {
            document: running.report()?,
        }),
        During::Ended(_) => bail!("there is no live report: the agent has ended"),
    }
}
