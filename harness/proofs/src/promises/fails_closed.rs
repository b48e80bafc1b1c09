//! Where enforcement was asked for and can't be proven, the agent refuses: it says why,
//! ends with the gate's exit code, and leaves no BPF program or link behind.

use crate::arms::refused;
use crate::boot::Boot;
use crate::claims::blocked_by;
use crate::configuration::FAIL_CLOSED;
use crate::promise::{Promise, Proof, Section, acts};
use crate::sabotage::{Mutant, Sweeps};

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "fails-closed",
    text: "Without the opt-in the agent fails closed: it reports `REFUSED` and the blocker, and \
           leaves no BPF program or link behind.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = Proof::new(
        "fails-closed-without-opt-in",
        Boot::NoBpfLsm,
        &FAIL_CLOSED,
        acts!(acts::Refuses),
        refused(&blocked_by("BPF_LSM_DISABLED")),
    );
    vec![proof.swept(Sweeps::REFUSAL).catches(&[NEVER_REFUSES])]
}

const NEVER_REFUSES: Mutant = Mutant::new(
    "never-refuses",
    "the gate lets the agent run where it must refuse",
    "exit",
    "expected exit code 3",
)
.breaking_off();

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::Result;
    use protocol::record::Observation;

    use crate::acts::Acts;
    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};

    /// See the promise.
    #[derive(Debug)]
    pub struct Refuses;

    impl Acts for Refuses {
        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let ended = match agent {
                During::Ended(ended) => ended,
                During::Running(_) => {
                    let stderr = "it became ready, where it was to refuse".to_owned();
                    let (code, signal) = (None, None);
                    let exit = Observation::Exit {
                        code,
                        signal,
                        stderr,
                    };
                    seen.other("exit", exit);
                    return Ok(());
                }
            };
            seen.other("exit", ended.observation());
            let document = lab.agent.report()?;
            seen.other("report", Observation::Document { document });
            seen.act("after", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }
    }
}
