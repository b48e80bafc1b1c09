//! The proofs, one file a guarantee. Each observes; what it must show stands in the plan.

mod accounts_for_lost_events;
mod admits_passed_over;
mod admits_refused_signal;
mod admits_unread_refusal;
mod attach_is_not_enforcement;
mod attaches_what_is_needed;
mod audit_fallback_when_asked;
mod copied_up;
mod denies_handle;
mod denies_open;
mod ends_at_hangup;
mod ends_with_its_agent;
mod exits_when_degraded;
mod follows_identity;
mod goes_every_way;
mod guards_names;
mod holds_folder;
mod holds_many_rules;
mod holds_on;
mod holds_out;
mod knows_reused_inode;
mod leaves_nothing_behind;
mod no_pretend;
mod notices_lost_program;
mod promotes;
mod protects;
mod refuses;
mod renews_evidence;
mod runs_without_sys_resource;
mod says_how_to_mend;
mod seam_only_lowers;
mod shows_copies;
mod splits_access;
mod stays_up;
mod tells_of_this_machine;
mod term_can_be_ignored;
mod unreadable_rules;

use std::path::Path;

use anyhow::{Result, bail};
use protocol::plan::PlannedProof;
use protocol::record::Observation;
use protocol::sabotage;

use crate::agent::Running;
use crate::lab::{During, Lab, Seen};
use crate::tier::Tier;

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

    /// Whether the agent ends during it without being asked to stop; how, is for its arms to
    /// tell. Of the proofs of a configuration that is the last one.
    fn ends_agent(&self) -> bool {
        false
    }

    /// Whether the arm `left-behind` is to be observed: BPF objects that outlive the agent.
    fn watches_bpf_objects(&self) -> bool {
        false
    }
}

const PROOFS: &[&dyn Proof] = &[
    &accounts_for_lost_events::AccountsForLostEvents(Tier::Lsm),
    &accounts_for_lost_events::AccountsForLostEvents(Tier::Modret),
    &accounts_for_lost_events::AccountsForLostEvents(Tier::Signal),
    &admits_passed_over::AdmitsPassedOver,
    &admits_refused_signal::AdmitsRefusedSignal,
    &admits_unread_refusal::AdmitsUnreadRefusal,
    &attach_is_not_enforcement::AttachIsNotEnforcement,
    &attaches_what_is_needed::AttachesWhatIsNeeded,
    &audit_fallback_when_asked::AuditFallbackWhenAsked,
    &denies_open::DeniesOpen,
    &denies_handle::DeniesHandle(Tier::Lsm),
    &denies_handle::DeniesHandle(Tier::Modret),
    &denies_handle::DeniesHandle(Tier::Signal),
    &follows_identity::FollowsIdentity(Tier::Lsm),
    &follows_identity::FollowsIdentity(Tier::Modret),
    &follows_identity::FollowsIdentity(Tier::Signal),
    &guards_names::GuardsNames(Tier::Lsm),
    &guards_names::GuardsNames(Tier::Modret),
    &guards_names::GuardsNames(Tier::Signal),
    &holds_folder::LSM,
    &holds_folder::MODRET,
    &holds_folder::SIGNAL,
    &holds_folder::LSM_LOCKED_DOWN,
    &holds_folder::MODRET_LOCKED_DOWN,
    &ends_at_hangup::EndsAtHangup,
    &ends_with_its_agent::EndsWithItsAgent(Tier::Lsm),
    &ends_with_its_agent::EndsWithItsAgent(Tier::Modret),
    &ends_with_its_agent::EndsWithItsAgent(Tier::Signal),
    &exits_when_degraded::LSM,
    &exits_when_degraded::MODRET,
    &exits_when_degraded::SIGNAL,
    &holds_many_rules::HoldsManyRules,
    &holds_on::BTRFS,
    &holds_on::EXT4,
    &holds_on::OVERLAYFS,
    &holds_on::TMPFS,
    &holds_on::XFS,
    &holds_out::HoldsOut(Tier::Lsm),
    &holds_out::HoldsOut(Tier::Modret),
    &holds_out::HoldsOut(Tier::Signal),
    &knows_reused_inode::KnowsReusedInode(Tier::Lsm),
    &knows_reused_inode::KnowsReusedInode(Tier::Modret),
    &knows_reused_inode::KnowsReusedInode(Tier::Signal),
    &leaves_nothing_behind::LeavesNothingBehind(Tier::Lsm),
    &leaves_nothing_behind::LeavesNothingBehind(Tier::Modret),
    &leaves_nothing_behind::LeavesNothingBehind(Tier::Signal),
    &no_pretend::NoPretend,
    &notices_lost_program::LSM,
    &notices_lost_program::MODRET,
    &notices_lost_program::SIGNAL,
    &promotes::Promotes,
    &protects::Protects(Tier::Lsm),
    &protects::Protects(Tier::Modret),
    &protects::Protects(Tier::Signal),
    &refuses::Refuses,
    &runs_without_sys_resource::RunsWithoutSysResource,
    &says_how_to_mend::SECURITYFS,
    &says_how_to_mend::TRACEFS,
    &says_how_to_mend::PERF_EVENTS,
    &seam_only_lowers::SeamOnlyLowers,
    &shows_copies::ShowsCopies,
    &splits_access::SplitsAccess(Tier::Lsm),
    &splits_access::SplitsAccess(Tier::Modret),
    &splits_access::SplitsAccess(Tier::Signal),
    &stays_up::StaysUp(Tier::Lsm),
    &stays_up::StaysUp(Tier::Modret),
    &stays_up::StaysUp(Tier::Signal),
    &tells_of_this_machine::TellsOfThisMachine(Tier::Lsm),
    &tells_of_this_machine::TellsOfThisMachine(Tier::Modret),
    &tells_of_this_machine::TellsOfThisMachine(Tier::Signal),
    &term_can_be_ignored::TermCanBeIgnored,
    &unreadable_rules::AdmitsUnreadableRules,
    &unreadable_rules::RefusesUnreadableRules,
    &renews_evidence::RenewsEvidence,
];

/// What a planned proof does: goes the way that the plan names, or what its id stands for.
///
/// # Errors
/// The plan names one that this guest doesn't know.
pub fn of(planned: &PlannedProof) -> Result<Box<dyn Proof + '_>> {
    if let Some(way) = planned.bypass {
        return Ok(Box::new(goes_every_way::GoesAWay { way, planned }));
    }
    let (id, _) = sabotage::split(&planned.id);
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

    fn ends_agent(&self) -> bool {
        (**self).ends_agent()
    }

    fn watches_bpf_objects(&self) -> bool {
        (**self).watches_bpf_objects()
    }

    fn rules(&self) -> Result<String> {
        (**self).rules()
    }

    fn rules_on_reports(&self, folder: &Path) -> String {
        (**self).rules_on_reports(folder)
    }

    fn protected(&self) -> &'static [&'static str] {
        (**self).protected()
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
