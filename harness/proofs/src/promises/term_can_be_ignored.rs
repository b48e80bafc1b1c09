//! With another signal than SIGKILL a process that doesn't ignore it dies, and one that does
//! reads the file: the operator's choice, which the report has among its limits.

use crate::promise::{Promise, Proof, Section, acts};
use serde_json::json;

use crate::arms::{account, limited, read};
use crate::configuration::SIGNAL_TERM;
use crate::sabotage::Mutant;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "term-can-be-ignored",
    text: "With `--enforce-signal=TERM` a process dies of `SIGTERM`; one that ignores that reads the \
           file, and the report has `catchable_signal` among the limits.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let tier = Tier::Signal;
    let event = tier.event("term", "inode", "read");
    let arms = vec![
        read("before"),
        tier.report(&["catchable_signal"], &[]),
        account("during", "SIGTERM", false, json!([event]), &[]),
        limited(
            "catchable_signal",
            account("ignoring", "allowed", true, json!([event]), &[]),
        ),
        read("benign"),
        read("after"),
    ];
    let acts = acts!(acts::TermCanBeIgnored);
    let proof = Proof::of_tier(tier, PROMISE.id, &SIGNAL_TERM, acts, arms);
    vec![proof.catches(&[Mutant::new(
        "hides-limits",
        "the report tells of nothing that the tier doesn't stop",
        "report",
        r#"/classes/file/limits: expected an element "catchable_signal", saw an empty list"#,
    )])]
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::Result;
    use serde_json::json;
    use std::fs;
    use std::path::Path;

    use anyhow::Context as _;

    use crate::acts::attempt::{Attempt, Verb, account};
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, live_report, rule};

    /// See the promise.
    #[derive(Debug)]
    pub struct TermCanBeIgnored;

    const SECRET: &str = "/srv/term-secret";
    const NEIGHBOUR: &str = "/srv/term-neighbour";

    impl Acts for TermCanBeIgnored {
        fn rules(&self) -> Result<String> {
            Ok(rule("term", SECRET, "read-write"))
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            for path in [SECRET, NEIGHBOUR] {
                fs::write(path, path).with_context(|| format!("writing {path}"))?;
            }
            read(lab, seen, "before", Verb::Read, SECRET)
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            seen.other("report", live_report(agent)?);
            read(lab, seen, "during", Verb::Read, SECRET)?;
            read(lab, seen, "ignoring", Verb::ReadIgnoringTerm, SECRET)?;
            read(lab, seen, "benign", Verb::Read, NEIGHBOUR)
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            read(lab, seen, "after", Verb::Read, SECRET)
        }
    }

    fn read(lab: &Lab, seen: &mut Seen, arm: &'static str, verb: Verb, path: &str) -> Result<()> {
        let read = Attempt::on(verb, Path::new(path)).make(lab.ground.limit())?;
        seen.other(arm, account(read, json!({})));
        Ok(())
    }
}
