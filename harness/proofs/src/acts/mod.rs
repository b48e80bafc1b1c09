//! What the guest does for a proof: the trait [`Acts`], and what its implementations use.

pub mod act;
pub mod agent;
pub(crate) mod agents_maps;
pub(crate) mod anew;
pub mod arms;
pub mod at_once;
pub mod attempt;
pub mod bpf_objects;
pub mod cause;
pub mod cgroup;
pub mod filesystems;
pub mod flood;
pub(crate) mod handle;
pub mod hog;
pub(crate) mod ioctl;
pub mod lab;
pub mod locks;
pub mod many;
pub mod map_caller;
pub(crate) mod outsider;
pub(crate) mod paused;
pub mod privation;
pub(crate) mod reports;
pub(crate) mod rewritten;
pub(crate) mod rule;
pub(crate) mod running_kernel;
pub(crate) mod told;
pub(crate) mod tracer;
pub mod wait;
pub mod ways;
pub mod worlds;

use std::fmt::Debug;
use std::path::Path;

use anyhow::{Result, bail};
use protocol::record::Observation;

pub(crate) use self::rule::rule;
pub use self::running_kernel::{load_listed, lockdown};
use crate::acts::agent::Running;
use crate::acts::lab::{During, Lab, Seen};

/// What is done for one proof, in three phases. It observes; what it must show stands in the plan.
pub trait Acts: Debug + Sync {
    /// Makes what it needs, and gives the rules that the policy is to have for it.
    ///
    /// # Errors
    /// Something can't be made.
    fn rules(&self) -> Result<String> {
        Ok(String::new())
    }

    /// The rules on the folder of the agent's report that the policy is to have for it.
    fn rules_on_reports(&self, _folder: &Path) -> String {
        String::new()
    }

    /// The executables that the policy is to protect for it.
    fn protected(&self) -> &'static [&'static str] {
        &[]
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

    /// Whether it needs [`ways::actors`].
    fn needs_actors(&self) -> bool {
        false
    }

    /// Whether the agent ends during it without being asked to stop; how, is for its arms to
    /// tell. Of the proofs of a configuration that is the last one.
    fn ends_agent(&self) -> bool {
        false
    }
}

/// What is done for a proof that rests on the agent's report alone.
#[derive(Debug)]
pub(crate) struct ReadsReport;

impl Acts for ReadsReport {
    fn during(&self, _lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        seen.other("report", live_report(agent)?);
        Ok(())
    }
}

/// The agent, which must be up.
///
/// # Errors
/// It isn't.
pub(crate) fn running<'a>(agent: &During<'a>) -> Result<&'a Running> {
    match agent {
        During::Running(running) => Ok(running),
        During::Ended(_) => bail!("the agent has ended"),
    }
}

/// The report of the agent, which must be up.
///
/// # Errors
/// The agent isn't up, or its report isn't its own.
pub(crate) fn live_report(agent: &During) -> Result<Observation> {
    match agent {
        During::Running(running) => Ok(Observation::Document {
            document: running.report()?,
        }),
        During::Ended(_) => bail!("there is no live report: the agent has ended"),
    }
}
