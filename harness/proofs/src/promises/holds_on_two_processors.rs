//! What else holds on a machine with two processors, where a process that acts and the agent run
//! at the same time.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;

use super::{accounts_for_lost_events, denies_open, renews_evidence, shows_copies};
use crate::arms::denied_open;
use crate::boot::Boot;
use crate::claims::claims;
use crate::configuration::Configuration;
use crate::promise::ActsOf;
use crate::sabotage::{Mutant, Sweeps};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Processors,
    id: "holds-on-two-processors",
    text: "There too, `denies-open`, `renews-evidence` and `shows-copies` hold, and so does \
           `accounts-for-lost-events` where the file is opened on both processors at once.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    Tier::ALL.into_iter().flat_map(of_tier).collect()
}

fn of_tier(tier: Tier) -> Vec<Proof> {
    let in_life = |of: &Promise,
                   configuration: &'static Configuration<'static>,
                   acts: ActsOf,
                   arms: Vec<PlannedArm>| {
        let id = format!("smp-{}-{}", tier.name(), of.id);
        Proof::new(id, Boot::Smp, configuration, acts, arms)
    };
    let lost = acts!(accounts_for_lost_events::acts::AccountsForLostEvents {
        tier,
        at_once: true
    });
    let accounts = in_life(
        &accounts_for_lost_events::PROMISE,
        tier.smp(),
        lost,
        accounts_for_lost_events::arms(tier),
    )
    .swept(Sweeps::STOPS_ALONE);
    let mut proofs = vec![
        in_life(
            &denies_open::PROMISE,
            tier.smp(),
            acts!(denies_open::acts::DeniesOpen),
            denied_open(&claims(tier), tier),
        )
        .quick(),
        match tier {
            Tier::Lsm => accounts.catches(&[COUNTS_AS_ONE]),
            Tier::Modret | Tier::Signal => accounts,
        },
    ];
    if tier == Tier::Modret {
        let copies = in_life(
            &shows_copies::PROMISE,
            tier.smp(),
            acts!(shows_copies::acts::ShowsCopies),
            shows_copies::arms(),
        );
        proofs.push(copies.swept(Sweeps::REPORT));
    }
    let renews = in_life(
        &renews_evidence::PROMISE,
        tier.smp_verifying(),
        acts!(renews_evidence::acts::RenewsEvidence),
        renews_evidence::arms(tier),
    );
    proofs.push(renews.swept(Sweeps::STOPS_ALONE));
    proofs
}

const COUNTS_AS_ONE: Mutant = Mutant::new(
    "counts-two-as-one",
    "events that two processors lose at once are counted as one",
    "during",
    "/accounted: expected 832",
);
