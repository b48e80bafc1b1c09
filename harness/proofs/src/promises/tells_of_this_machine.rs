//! The report is of this machine as it is now: the kernel, its list of LSMs, whether it lets BPF
//! programs read its memory, the time. Whose boot and whose process it names is looked at with
//! every report.

use crate::arms::{document, equals};
use crate::boot::Boot;
use crate::configuration::LOCKDOWN_ENFORCE;
use crate::promise::{Promise, Proof, Section, acts};
use crate::sabotage::{Mutant, Sweeps};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "tells-of-this-machine",
    text: "The report is of this machine as it is: its kernel and list of LSMs are those of the \
           kernel's own files, `features.kernel_memory_readable` is false exactly where the kernel \
           is locked down to `confidentiality`, and it was made since the agent started.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        // Held against the machine by the guest.
        let same = [
            equals("/kernel_version/same", true),
            equals("/lsm_enabled/same", true),
            equals("/kernel_memory_readable/same", true),
            equals("/generated_at/same", true),
        ];
        let arms = vec![document("report", &same)];
        let acts = acts!(acts::TellsOfThisMachine);
        Proof::of_tier(tier, PROMISE.id, tier.plain(), acts, arms).swept(Sweeps::REPORT)
    };
    let locked_down = Proof {
        id: format!("lockdown-enforce-{}", PROMISE.id),
        boot: Boot::Lockdown,
        configuration: &LOCKDOWN_ENFORCE,
        ..proof(Tier::Lsm)
    };
    vec![
        proof(Tier::Lsm).catches(&[Mutant::new(
            "names-other-kernel",
            "the report is of another kernel than the agent's",
            "report",
            "/kernel_version/same: expected true",
        )]),
        proof(Tier::Modret),
        proof(Tier::Signal),
        locked_down,
    ]
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;
    use std::time::{SystemTime, UNIX_EPOCH};

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use serde_json::{Value, json};

    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::lockdown;
    use crate::acts::reports::milliseconds;
    use crate::acts::{Acts, running};

    /// See the promise.
    #[derive(Debug)]
    pub struct TellsOfThisMachine;

    impl Acts for TellsOfThisMachine {
        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let report = running(agent)?.report()?;
            let release = rustix::system::uname();
            let release = json!(release.release().to_string_lossy());
            let lsm =
                fs::read_to_string("/sys/kernel/security/lsm").context("reading the LSM list")?;
            let lsm = lsm.trim_end().split(',').collect::<Vec<_>>().into();
            let level = lockdown()?;
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
}
