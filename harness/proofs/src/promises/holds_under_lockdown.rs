//! What holds where the kernel is locked down to confidentiality. It lets no BPF program read its
//! memory there except through pointers of a known type, and lets nobody use kprobes or
//! tracepoints.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::{Clause, PlannedArm};

use super::{
    denies_open, follows_identity, guards_names, holds_folder, holds_mounted, notices_altered_rule,
    renews_evidence,
};
use crate::arms::{denied_open, equals};
use crate::boot::Boot;
use crate::claims::{claims_enforce, claims_modret};
use crate::configuration::{LOCKDOWN_ENFORCE, LOCKDOWN_ENFORCE_VERIFYING, LOCKDOWN_MODRET};
use crate::promise::ActsOf;
use crate::sabotage::Sweeps;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Lockdown,
    id: "holds-under-lockdown",
    text: "There too, `denies-open`, `follows-identity`, `guards-names` and `holds-folder` hold, and \
           in `ENFORCE` `holds-what-is-mounted`, `renews-evidence` and `notices-altered-rule`; those \
           on folders but for what is mounted in one and is shown elsewhere too, with which the rule \
           isn't enforced. What is mounted while the agent is up is held from when it has looked, and \
           by nothing until then; what a mount namespace other than the agent's has mounted there \
           isn't held, and no report can say so. The lines of `ENFORCE_MODRET` are through the seam.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    [
        of_tier(Tier::Lsm, &claims_enforce()),
        of_tier(Tier::Modret, &claims_modret()),
    ]
    .into_iter()
    .flatten()
    .chain([holds_mounted::under_lockdown()])
    .chain(while_verifying())
    .collect()
}

/// What only a verification shows: that the maps can be read back there too.
fn while_verifying() -> [Proof; 2] {
    let tier = Tier::Lsm;
    let proof = |promise: &Promise, acts: ActsOf, arms: Vec<PlannedArm>| {
        let id = format!("lockdown-{}-{}", tier.name(), promise.id);
        let configuration = &LOCKDOWN_ENFORCE_VERIFYING;
        Proof::new(id, Boot::Lockdown, configuration, acts, arms)
    };
    [
        proof(
            &renews_evidence::PROMISE,
            acts!(renews_evidence::acts::RenewsEvidence),
            renews_evidence::arms(tier),
        )
        .swept(Sweeps::STOPS_ALONE),
        proof(
            &notices_altered_rule::PROMISE,
            acts!(notices_altered_rule::acts::NoticesAlteredRule),
            notices_altered_rule::arms(tier),
        ),
    ]
}

fn of_tier(tier: Tier, claim: &[Clause]) -> [Proof; 4] {
    let configuration = match tier {
        Tier::Lsm => &LOCKDOWN_ENFORCE,
        Tier::Modret | Tier::Signal => &LOCKDOWN_MODRET,
    };
    let claim = [
        claim,
        &[
            unreadable_memory(),
            // Four rules have no file yet: three of follows-identity, one of guards-names.
            equals("/rules/total", 9),
            equals("/rules/enforced", 5),
        ],
    ];
    let proof = |promise: &Promise, acts: ActsOf, arms: Vec<PlannedArm>| {
        let id = format!("{}-{}", configuration.name, promise.id);
        Proof::new(id, Boot::Lockdown, configuration, acts, arms)
    };
    // No program can read there on what a file system is mounted.
    let across_mounts = false;
    [
        proof(
            &denies_open::PROMISE,
            acts!(denies_open::acts::DeniesOpen),
            denied_open(&claim.concat(), tier),
        ),
        proof(
            &follows_identity::PROMISE,
            acts!(follows_identity::acts::FollowsIdentity(tier)),
            follows_identity::arms(tier),
        ),
        proof(
            &guards_names::PROMISE,
            acts!(guards_names::acts::GuardsNames(tier)),
            guards_names::arms(tier),
        ),
        proof(
            &holds_folder::PROMISE,
            acts!(holds_folder::acts::HoldsFolder {
                tier,
                across_mounts
            }),
            holds_folder::arms(tier, across_mounts),
        ),
    ]
}

/// What the report says of such a kernel.
pub(super) fn unreadable_memory() -> Clause {
    equals("/features/kernel_memory_readable", false)
}
