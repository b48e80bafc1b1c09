//! A protected executable that root runs is never signalled, nor is the agent itself, whatever a rule
//! says; the tiers that deny deny it all the same.

use crate::promise::{Promise, Proof, Section, acts};
use serde_json::{Value, json};

use crate::arms::{account, contains, document, equals, lacks, read};
use crate::sabotage::{Mutant, Sweeps};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "spares-protected",
    text: "In `ENFORCE_SIGNAL` a process of an executable that the policy protects is never \
           signalled as long as all its user ids are root's in the initial user namespace: it reads \
           the denied file, and the agent tells `observed` and why. A process of another executable \
           is killed, and so is a user's of the same one, be it only by its real id. Nor is the agent itself, which a rule on its report's \
           folder would end before it was ready. The report has `spared_processes` among the limits. \
           In `ENFORCE` and `ENFORCE_MODRET` there is no such limit: protected executables are \
           denied all the same.",
    proofs,
    comparison: None,
};

/// The rule on the secret, which has no name of its own.
const SECRET: &str = "file[0]";

fn proofs() -> Vec<Proof> {
    let mut proofs: Vec<Proof> = [Tier::Lsm, Tier::Modret].map(denies).into();
    proofs.push(spares());
    proofs
}

fn denies(tier: Tier) -> Proof {
    let arms = vec![
        read("before"),
        tier.report(&[], &["spared_processes"]),
        tier.unread("during", SECRET, "inode"),
        tier.unread("protected", SECRET, "inode"),
    ];
    let acts = acts!(acts::Protects(tier));
    let proof = Proof::of_tier(tier, "denies-protected", tier.verifying(), acts, arms);
    proof.swept(Sweeps::STOPS_ALONE)
}

/// By a signal: the agent itself opens a file that a rule denies each time that it reports, first
/// of all before it is ready.
fn spares() -> Proof {
    let tier = Tier::Signal;
    let spared = |mut event: Value, why: &str| {
        event["outcome"] = "observed".into();
        event["spared"] = why.into();
        event
    };
    let program = spared(tier.event(SECRET, "inode", "read"), "protected_executable");
    let agent = spared(tier.event("reports", "folder", "write"), "agent");
    let arms = vec![
        read("before"),
        read("before-user"),
        read("before-for-user"),
        tier.report(&["spared_processes"], &[]),
        tier.unread("during", SECRET, "inode"),
        account("protected", "allowed", true, json!([program]), &[]),
        tier.unread("user", SECRET, "inode"),
        tier.unread("for-user", SECRET, "inode"),
        document(
            "agent",
            &[
                equals("/up", true),
                contains("/events", agent),
                lacks("/events", json!({"outcome": "killed"})),
            ],
        ),
    ];
    let acts = acts!(acts::Protects(tier));
    let proof = Proof::of_tier(tier, PROMISE.id, tier.verifying(), acts, arms);
    proof.swept(Sweeps::STOPS_ALONE).catches(&[
        Mutant::new(
            "kills-protected",
            "protected executables are signalled too",
            "protected",
            r#"/fate: expected "allowed", saw "SIGKILL""#,
        ),
        Mutant::new(
            "spares-users-executable",
            "protected executables are spared whoever runs them",
            "user",
            r#"/fate: expected "SIGKILL", saw "allowed""#,
        ),
        Mutant::new(
            "kills-agent",
            "the agent is signalled too",
            "agent",
            "/up: expected true",
        )
        .breaking_off(),
    ])
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;
    use std::path::Path;

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use serde_json::json;

    use crate::acts::attempt::{Attempt, Verb, account};
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::reports::Reports;
    use crate::acts::{Acts, live_report, rule, running};
    use crate::tier::Tier;

    /// A copy of this program, and so a file of its own.
    const PROGRAM: &str = "/srv/protected-program";

    /// See the promise.
    #[derive(Debug)]
    pub struct Protects(pub Tier);

    impl Acts for Protects {
        fn rules(&self) -> Result<String> {
            fs::copy("/proc/self/exe", PROGRAM).with_context(|| format!("copying to {PROGRAM}"))?;
            Ok(String::new())
        }

        fn rules_on_reports(&self, folder: &Path) -> String {
            match self.0 {
                // It would have nothing to report to.
                Tier::Lsm | Tier::Modret => String::new(),
                Tier::Signal => rule("reports", &format!("{}/", folder.display()), "write"),
            }
        }

        fn protected(&self) -> &'static [&'static str] {
            &[PROGRAM]
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            self.read(lab, seen, ("before", Verb::Read), Some(PROGRAM))?;
            self.read_by_user(lab, seen, ["before-user", "before-for-user"])
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            seen.other("report", live_report(agent)?);
            self.read(lab, seen, ("during", Verb::Read), None)?;
            self.read(lab, seen, ("protected", Verb::Read), Some(PROGRAM))?;
            self.read_by_user(lab, seen, ["user", "for-user"])?;
            if self.0 == Tier::Signal {
                // To report again it opens a file in the denied folder.
                let up = Reports::watch(running)?.renewed_before_end()?;
                let document = json!({"up": up, "pid": running.pid(), "events": null});
                seen.other("agent", Observation::Document { document });
            }
            Ok(())
        }
    }

    impl Protects {
        /// By the protected program. Only where it is spared does it matter by whom.
        fn read_by_user(&self, lab: &Lab, seen: &mut Seen, arms: [&'static str; 2]) -> Result<()> {
            if self.0 != Tier::Signal {
                return Ok(());
            }
            for (arm, verb) in arms.into_iter().zip([Verb::ReadAsUser, Verb::ReadForUser]) {
                self.read(lab, seen, (arm, verb), Some(PROGRAM))?;
            }
            Ok(())
        }

        fn read(
            &self,
            lab: &Lab,
            seen: &mut Seen,
            (arm, verb): (&'static str, Verb),
            program: Option<&str>,
        ) -> Result<()> {
            let attempt = Attempt::on(verb, lab.ground.secret());
            let attempt = match program {
                Some(program) => attempt.by(Path::new(program)),
                None => attempt,
            };
            let read = attempt.make(lab.ground.limit())?;
            seen.other(arm, account(read, json!({})));
            Ok(())
        }
    }
}
