//! A claim is as old as its oldest evidence: a report that is written anew, since a rule's path leads
//! somewhere now, is valid no longer than the one before, until the agent has verified again.

use protocol::plan::PlannedArm;

use crate::arms::{document, equals};
use crate::promise::{Promise, Proof, Section, acts};
use crate::sabotage::{Mutant, Sweeps};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "evidence-dates-the-claim",
    text: "A claim is as old as its oldest evidence. `valid_until` is the oldest `verified_at` of the \
           hooks that the claim rests on, plus the time that a report is valid: a report that is \
           written anew between two verifications, since a pending path appeared, say, is valid no \
           longer for that, and one after the next verification is.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::EvidenceDatesTheClaim(tier));
        let proof =
            Proof::of_tier(tier, PROMISE.id, tier.verifying(), acts, arms()).swept(Sweeps::REPORT);
        match tier {
            Tier::Lsm => proof.catches(MUTANTS),
            Tier::Modret | Tier::Signal => proof,
        }
    };
    Tier::ALL.map(proof).into()
}

fn arms() -> Vec<PlannedArm> {
    // The shortest validity, as the interval is shorter than half of it.
    let whole = equals("/valid_for_ms", 10_000);
    let rewritten = [
        equals("/moved_ms", 0),
        equals("/later_by_time_of_day", false),
        whole.clone(),
    ];
    let verified = [equals("/later", true), whole];
    vec![
        document("rewritten", &rewritten),
        document("verified", &verified),
    ]
}

const MUTANTS: &[Mutant] = &[Mutant::new(
    "dates-by-writing",
    "a report is valid from when it was written",
    "rewritten",
    "/moved_ms: expected 0",
)];

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::Result;
    use protocol::record::Observation;
    use serde_json::json;

    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::reports::{Reports, boot_ms, milliseconds, oldest_evidence, valid_for_ms};
    use crate::acts::rewritten::Pending;
    use crate::acts::{Acts, running};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct EvidenceDatesTheClaim(pub Tier);

    impl EvidenceDatesTheClaim {
        fn pending(&self) -> Pending {
            Pending::on("dated", self.0.ground("/srv", "dated"))
        }
    }

    impl Acts for EvidenceDatesTheClaim {
        fn rules(&self) -> Result<String> {
            Ok(self.pending().rule())
        }

        fn before(&self, _lab: &Lab, _seen: &mut Seen) -> Result<()> {
            self.pending().lay()
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            let mut reports = Reports::watch(running)?;
            let (before, after) =
                self.pending()
                    .rewrite(&mut reports, lab.ground.limit(), || Ok(()))?;
            let until = |report| boot_ms(report, "valid_until_boot_ms");
            let time_of_day = |report: &serde_json::Value| milliseconds(&report["valid_until"]);
            let document = json!({
                "moved_ms": until(&after)? - until(&before)?,
                "later_by_time_of_day": time_of_day(&after)? > time_of_day(&before)?,
                "valid_for_ms": valid_for_ms(&after)?,
            });
            seen.other("rewritten", Observation::Document { document });
            let evidence = oldest_evidence(&after)?;
            let newer = reports.next("a report after another verification", |report| {
                oldest_evidence(report).is_ok_and(|newer| newer > evidence)
            })?;
            let document = json!({
                "later": until(&newer)? > until(&after)?,
                "valid_for_ms": valid_for_ms(&newer)?,
            });
            seen.other("verified", Observation::Document { document });
            self.pending().settle(&mut reports)
        }
    }
}
