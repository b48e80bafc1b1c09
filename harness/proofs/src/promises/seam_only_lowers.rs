//! The seam can only lower: a `bpf` that stands in its list alone doesn't count, nor does a
//! name in it that only has `bpf` in it.

use crate::promise::{Promise, Proof, Section, acts};
use serde_json::json;

use crate::arms::{act, document, equals, lacks};
use crate::boot::Boot;
use crate::configuration::SEAM_AUDIT_FALLBACK;
use crate::sabotage::{Mutant, Sweeps};
use protocol::record::Fate;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "seam-only-lowers",
    text: "The seam can only lower: a `bpf` that only the seam's list has doesn't count, in \
           `no-bpf-lsm`; nor does a name in that list which only has `bpf` in it, such as `notbpf`, \
           in `bpf-lsm`.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    vec![
        proof("seam-never-raises", Boot::NoBpfLsm).catches(&[Mutant::new(
            "lets-seam-raise",
            "the seam's list counts in place of the kernel's",
            "report",
            r#"/enforce_blockers: expected ["BPF_LSM_DISABLED"], saw ["LSM_"#,
        )]),
        proof("seam-takes-whole-names", Boot::BpfLsm).catches(&[Mutant::new(
            "matches-substring",
            "notbpf in the seam's list is taken for bpf",
            "report",
            r#"/runtime_state: expected "AUDIT_FALLBACK""#,
        )]),
    ]
}

/// Through a seam that lists what must not be taken for the kernel's `bpf`.
fn proof(id: &str, boot: Boot) -> Proof {
    let report = [
        equals("/runtime_state", "AUDIT_FALLBACK"),
        equals("/enforce_capable", false),
        equals("/enforce_blockers", json!(["BPF_LSM_DISABLED"])),
        lacks("/lsm_enabled", "bpf"),
        lacks("/lsm_enabled", "notbpf"),
    ];
    let arms = vec![
        document("report", &report),
        act("during", Fate::Allowed, Some("observed")),
    ];
    let acts = acts!(acts::SeamOnlyLowers);
    Proof::new(id, boot, &SEAM_AUDIT_FALLBACK, acts, arms).swept(Sweeps::REPORT)
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;

    use anyhow::{Context, Result};

    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, live_report};

    /// See the promise.
    #[derive(Debug)]
    pub struct SeamOnlyLowers;

    impl Acts for SeamOnlyLowers {
        fn before(&self, lab: &Lab, _seen: &mut Seen) -> Result<()> {
            let listed =
                fs::read_to_string("/sys/kernel/security/lsm").context("reading the list")?;
            lab.agent.list_through_seam(&misleading(&listed))
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            seen.other("report", live_report(agent)?);
            seen.act("during", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }
    }

    /// The kernel's list with what mustn't be taken for its `bpf`.
    fn misleading(listed: &str) -> String {
        let names: Vec<&str> = listed.trim().split(',').collect();
        match names.contains(&"bpf") {
            true => listed.trim().replace("bpf", "notbpf"),
            false => format!("{},bpf", listed.trim()),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_list_misleads_whoever_doesn_t_look_twice() {
            assert_eq!(misleading("lockdown,bpf\n"), "lockdown,notbpf");
            assert_eq!(misleading("lockdown,yama\n"), "lockdown,yama,bpf");
        }
    }
}
