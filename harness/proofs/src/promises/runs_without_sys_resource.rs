//! An agent that may not raise `RLIMIT_MEMLOCK` enforces all the same where the kernel doesn't
//! charge BPF to that limit.

use crate::promise::{Promise, Proof, Section, acts};
use serde_json::json;

use crate::arms::{allowed, contains, document, equals, stopped};
use crate::configuration::ENFORCE_WITHOUT_SYS_RESOURCE;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "runs-without-sys-resource",
    text: "Root without `CAP_SYS_RESOURCE` and with an `RLIMIT_MEMLOCK` of 64 KiB, as in a \
           container, can run the agent: it enforces as ever, with no blocker, and the report \
           has `ends_when_out_of_memory` among the limits. Skipped before 5.11, \
           where the kernel charges the memory of BPF to that limit, and the agent says so.",
    proofs,
    comparison: None,
};

/// Where the kernel charges BPF to no limit of the process, the agent needs no privilege to raise
/// one.
fn proofs() -> Vec<Proof> {
    let tier = Tier::Lsm;
    let deprived = [
        equals("/sys_resource", false),
        equals("/memlock_is_low", json!([true, true])),
    ];
    let report = [
        equals("/runtime_state", "ENFORCE"),
        equals("/enforce_capable", true),
        equals("/enforce_blockers", json!([])),
        equals("/rules/unenforced", json!([])),
        // It may not lower its score either.
        contains("/classes/file/limits", "ends_when_out_of_memory"),
    ];
    let arms = vec![
        allowed("before"),
        document("deprived", &deprived),
        document("report", &report),
        stopped("during", tier),
        allowed("benign"),
        allowed("after"),
    ];
    let acts = acts!(acts::RunsWithoutSysResource);
    let configuration = &ENFORCE_WITHOUT_SYS_RESOURCE;
    vec![Proof::of_tier(tier, PROMISE.id, configuration, acts, arms)]
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use serde_json::{Value, json};

    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, live_report, running};
    use crate::configuration::Privation;

    /// See the promise.
    #[derive(Debug)]
    pub struct RunsWithoutSysResource;

    impl Acts for RunsWithoutSysResource {
        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("before", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let pid = running(agent)?.pid();
            let read = |file: &str| {
                let path = format!("/proc/{pid}/{file}");
                fs::read_to_string(&path).with_context(|| format!("reading {path}"))
            };
            let document = deprived(&read("status")?, &read("limits")?)?;
            seen.other("deprived", Observation::Document { document });
            seen.other("report", live_report(agent)?);
            seen.act("during", lab.ground.open_secret(Place::Plain)?);
            seen.act("benign", lab.ground.open_benign()?);
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("after", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }
    }

    /// What a process has of what it is to be without.
    fn deprived(status: &str, limits: &str) -> Result<Value> {
        /// Its number.
        const CAP_SYS_RESOURCE: u32 = 24;
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let effective = effective.context("no CapEff")?.trim();
        let effective = u64::from_str_radix(effective, 16).context("CapEff")?;
        let memlock = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max locked memory"))
            .context("no limit")?;
        let mut memlock = memlock.split_whitespace().map(|word| word.parse::<u64>());
        let mut is_low = || {
            memlock
                .next()
                .is_some_and(|limit| limit == Ok(Privation::MEMLOCK))
        };
        Ok(json!({
            "sys_resource": effective >> CAP_SYS_RESOURCE & 1 == 1,
            "memlock_is_low": [is_low(), is_low()],
        }))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_is_still_there_is_seen() {
            let limits = |memlock: &str| {
                format!(
                    "Limit      Soft Limit  Hard Limit  Units\nMax locked memory {memlock} bytes\n"
                )
            };
            let without = "CapEff:\t000001fffeffffff\n";
            let seen =
                |status: &str, memlock: &str| deprived(status, &limits(memlock)).expect("both");
            let low = json!({"sys_resource": false, "memlock_is_low": [true, true]});
            assert_eq!(seen(without, "65536 65536"), low);
            let high = json!({"sys_resource": true, "memlock_is_low": [true, false]});
            assert_eq!(seen("CapEff:\t000001ffffffffff\n", "65536 unlimited"), high);
        }
    }
}
