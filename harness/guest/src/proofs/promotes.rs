//! Without the BPF LSM, and with the operator's opt-in, the gate promotes to the tier
//! opted into and the report says so; the host also compares the real report with the seam's.

use anyhow::Result;

use super::Proof;
use crate::lab::{During, Lab, Seen};

/// See the module.
pub struct Promotes;

impl Proof for Promotes {
    fn ids(&self) -> &'static [&'static str] {
        &[
            "promotes-to-enforce-signal",
            "seam-promotes-to-enforce-signal",
            "promotes-to-enforce-modret",
        ]
    }

    fn during(&self, _lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        seen.other("report", super::live_report(agent)?);
        Ok(())
    }
}
