//! What else holds on a machine with two processors, where a process that acts and the agent run
//! at the same time.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;

use super::{accounts_for_lost_events, denies_open, renews_evidence, shows_copies};
use crate::arms::denied_open;
use crate::boot::Boot;
use crate::claims::claims;
use crate::configuration::{Configuration, SMP_ENFORCE};
use crate::promise::ActsOf;
use crate::sabotage::{Mutant, Sweeps};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Processors,
    id: "holds-on-two-processors",
    text: "There too, `denies-open`, `renews-evidence` and `shows-copies` hold, and so does \
           `accounts-for-lost-events`, in `ENFORCE`, where the file is opened on both processors at \
           once.",
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
    let verifying = tier.smp_verifying();
    let denies = in_life(
        &denies_open::PROMISE,
        verifying,
        acts!(denies_open::acts::DeniesOpen),
        denied_open(&claims(tier), tier),
    );
    let renews = in_life(
        &renews_evidence::PROMISE,
        verifying,
        acts!(renews_evidence::acts::RenewsEvidence),
        renews_evidence::arms(tier),
    );
    let mut proofs = vec![denies.quick(), renews.swept(Sweeps::STOPS_ALONE)];
    // Events are counted by one code in all tiers.
    if tier == Tier::Lsm {
        let lost = acts!(accounts_for_lost_events::acts::AccountsForLostEvents {
            tier,
            at_once: true
        });
        let accounts = in_life(
            &accounts_for_lost_events::PROMISE,
            &SMP_ENFORCE,
            lost,
            accounts_for_lost_events::arms(tier),
        );
        proofs.push(
            accounts
                .swept(Sweeps::STOPS_ALONE)
                .catches(&[COUNTS_AS_ONE]),
        );
    }
    if tier == Tier::Modret {
        let copies = in_life(
            &shows_copies::PROMISE,
            verifying,
            acts!(shows_copies::acts::ShowsCopies),
            shows_copies::arms(),
        );
        proofs.push(copies.swept(Sweeps::REPORT));
    }
    proofs
}

const COUNTS_AS_ONE: Mutant = Mutant::new(
    "counts-two-as-one",
    "events that two processors lose at once are counted as one",
    "during",
    "/accounted: expected 832",
);
