//! The report is of this machine as it is now: the kernel, its list of LSMs, whether it lets BPF
//! programs read its memory, the time. Whose boot and whose process it names is looked at with
//! every report.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use protocol::record::Observation;
use serde_json::{Value, json};

use super::Proof;
use crate::lab::{During, Lab, Seen};
use crate::machine;
use crate::reports::milliseconds;
use crate::tier::Tier;

/// See the module.
pub struct TellsOfThisMachine(pub Tier);

impl Proof for TellsOfThisMachine {
    fn ids(&self) -> &'static [&'static str] {
        self.0.any_of(&[
            &[
                "enforce-tells-of-this-machine",
                "lockdown-enforce-tells-of-this-machine",
            ],
            &["modret-tells-of-this-machine"],
            &["signal-tells-of-this-machine"],
        ])
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        let report = super::running(agent)?.report()?;
        let release = rustix::system::uname();
        let release = json!(release.release().to_string_lossy());
        let lsm = fs::read_to_string("/sys/kernel/security/lsm").context("reading the LSM list")?;
        let lsm = lsm.trim_end().split(',').collect::<Vec<_>>().into();
        let level = machine::lockdown()?;
        let readable = json!(level.as_deref() != Some(protocol::CONFIDENTIALITY));
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let age = i64::try_from(now)? - milliseconds(&report["generated_at"])?;
        // It was made since the agent started, which took no longer than that.
        let limit = i64::try_from(lab.ground.limit().as_millis())?;
        let document = json!({
            "kernel_version": compared(&report["kernel_version"], release),
            "lsm_enabled": compared(&report["lsm_enabled"], lsm),
            "kernel_memory_readable":
                compared(&report["features"]["kernel_memory_readable"], readable),
            "generated_at": {"age_ms": age, "same": (0..=limit).contains(&age)},
        });
        seen.other("report", Observation::Document { document });
        Ok(())
    }
}

fn compared(told: &Value, is: Value) -> Value {
    json!({"told": told, "same": *told == is, "is": is})
}
