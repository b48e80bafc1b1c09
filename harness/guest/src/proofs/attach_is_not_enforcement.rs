//! An LSM program attaches without error where the BPF LSM isn't active, and never fires:
//! `capabilities` shows both, and `run` claims `ENFORCE` only where it fired.

use anyhow::{Result, bail};
use protocol::record::Observation;
use serde_json::Value;

use super::Proof;
use crate::lab::{During, Lab, NotHere, Seen};

/// See the module.
pub struct AttachIsNotEnforcement;

impl Proof for AttachIsNotEnforcement {
    fn ids(&self) -> &'static [&'static str] {
        &["attach-is-not-enforcement"]
    }

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
        seen.other("report", super::live_report(agent)?);
        Ok(())
    }
}
