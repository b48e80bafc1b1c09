//! Nobody but the agent's own user can write its report: what a reader takes for the agent's words
//! is the agent's.

use crate::arms::{document, equals};
use crate::promise::{Promise, Proof, Section, acts};
use crate::sabotage::Sweeps;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "keeps-its-report",
    text: "The report is root's: its file belongs to root, everybody may read it, and nobody but \
           root may write to it.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let file = [
            equals("/user", 0),
            equals("/others_may_read", true),
            equals("/others_may_write", false),
        ];
        let arms = vec![document("report-file", &file)];
        let acts = acts!(acts::KeepsItsReport);
        Proof::of_tier(tier, PROMISE.id, tier.plain(), acts, arms).swept(Sweeps::REPORT)
    };
    Tier::ALL.map(proof).into()
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use serde_json::json;

    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, running};

    /// See the promise.
    #[derive(Debug)]
    pub struct KeepsItsReport;

    impl Acts for KeepsItsReport {
        fn during(&self, _lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            const VARIABLE: &str = "AEGIS_CAPABILITIES_REPORT_PATH=";
            let environment = format!("/proc/{}/environ", running(agent)?.pid());
            let environment = fs::read_to_string(&environment)
                .with_context(|| format!("reading {environment}"))?;
            let mut variables = environment.split('\0');
            let path = variables.find_map(|variable| variable.strip_prefix(VARIABLE));
            let path = path.context("the agent wasn't told where its report goes")?;
            let file = fs::metadata(path).with_context(|| format!("looking at {path}"))?;
            let document = json!({
                "user": file.uid(),
                "others_may_read": file.mode() & 0o004 != 0,
                "others_may_write": file.mode() & 0o022 != 0,
            });
            seen.other("report-file", Observation::Document { document });
            Ok(())
        }
    }
}
