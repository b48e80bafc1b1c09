//! The proofs, one file a guarantee. Each observes; what it must show stands in the plan.

mod attach_is_not_enforcement;
mod audit_fallback_when_asked;
mod denies_open;
mod goes_every_way;
mod holds_on;
mod no_pretend;
mod promotes;
mod refuses;

use anyhow::{Result, bail};
use protocol::plan::PlannedProof;
use protocol::record::Observation;

use crate::lab::{During, Lab, Seen};

/// One guarantee, put to the test in three phases.
pub trait Proof: Sync {
    /// The ids under which plans know it.
    fn ids(&self) -> &'static [&'static str];

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

    /// Whether the arm `left-behind` is to be observed: BPF objects that outlive the agent.
    fn watches_bpf_objects(&self) -> bool {
        false
    }
}

const PROOFS: &[&dyn Proof] = &[
    &attach_is_not_enforcement::AttachIsNotEnforcement,
    &audit_fallback_when_asked::AuditFallbackWhenAsked,
    &denies_open::DeniesOpen,
    &holds_on::BTRFS,
    &holds_on::EXT4,
    &holds_on::OVERLAYFS,
    &holds_on::TMPFS,
    &holds_on::XFS,
    &no_pretend::NoPretend,
    &promotes::Promotes,
    &refuses::Refuses,
];

/// What a planned proof does: goes the way that the plan names, or what its id stands for.
///
/// # Errors
/// The plan names one that this guest doesn't know.
pub fn of(planned: &PlannedProof) -> Result<Box<dyn Proof + '_>> {
    if let Some(way) = planned.bypass {
        return Ok(Box::new(goes_every_way::GoesAWay { way, planned }));
    }
    let id = planned.id.as_str();
    match PROOFS.iter().find(|proof| proof.ids().contains(&id)) {
        Some(proof) => Ok(Box::new(*proof)),
        None => bail!("this guest knows no proof {id:?}"),
    }
}

impl<P: Proof + ?Sized> Proof for &P {
    fn ids(&self) -> &'static [&'static str] {
        (**self).ids()
    }

    fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        (**self).before(lab, seen)
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        (**self).during(lab, agent, seen)
    }

    fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        (**self).after(lab, seen)
    }

    fn watches_bpf_objects(&self) -> bool {
        (**self).watches_bpf_objects()
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
