//! An LSM program attaches without error where the BPF LSM isn't active, and never fires:
//! `capabilities` shows both, and `run` claims `ENFORCE` only where it fired.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::Clause;
use serde_json::json;

use crate::arms::{contains, differs, document, equals};
use crate::sabotage::{Mutant, Sweeps};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "attach-is-not-enforcement",
    text: "Attaching is not enforcing. Without `bpf` in the list the LSM program attaches without \
           error and never fires; `capabilities` shows both, and `run` doesn't say `ENFORCE`. With \
           it, the same program is seen to fire.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier, fires: bool, claim: Clause| {
        let hook = Tier::Lsm.open_hook();
        let capabilities = [contains(
            "/hooks",
            json!({"hook": hook, "tier": "lsm", "attached": true, "fired": fires}),
        )];
        let arms = vec![
            document("capabilities", &capabilities),
            document("report", &[claim]),
        ];
        let acts = acts!(acts::AttachIsNotEnforcement);
        let proof = Proof::new(PROMISE.id, tier.boot(), tier.plain(), acts, arms);
        proof.swept(Sweeps::REPORT)
    };
    vec![
        proof(Tier::Lsm, true, equals("/runtime_state", "ENFORCE")),
        proof(Tier::Signal, false, differs("/runtime_state", "ENFORCE")).catches(&[Mutant::new(
            "trusts-attach",
            "a hook that attached counts as verified",
            "capabilities",
            // What it saw: fired, with nothing to show for it.
            r#""evidence":null,"fired":true,"hook":"lsm/file_open""#,
        )]),
    ]
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::{Result, bail};
    use protocol::record::Observation;
    use serde_json::Value;

    use crate::acts::cause::NotHere;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, live_report};

    /// See the promise.
    #[derive(Debug)]
    pub struct AttachIsNotEnforcement;

    impl Acts for AttachIsNotEnforcement {
        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            let document = lab.agent.capabilities()?;
            if document.pointer("/features/bpf_lsm_types") == Some(&Value::Bool(false)) {
                bail!(NotHere(
                    "the kernel was built without CONFIG_BPF_LSM, and has nothing to attach to"
                        .to_owned()
                ));
            }
            seen.other("capabilities", Observation::Document { document });
            Ok(())
        }

        fn during(&self, _lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            seen.other("report", live_report(agent)?);
            Ok(())
        }
    }
}
