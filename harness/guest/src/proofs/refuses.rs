//! Where enforcement was asked for and can't be proven, the agent refuses: it says why,
//! ends with the gate's exit code, and leaves no BPF object behind.

use anyhow::Result;
use protocol::record::Observation;

use super::Proof;
use crate::cgroup::Place;
use crate::lab::{During, Lab, Seen};

/// See the module.
pub struct Refuses;

impl Proof for Refuses {
    fn ids(&self) -> &'static [&'static str] {
        &[
            "fails-closed-without-opt-in",
            "refuses-hook-that-returns-zero",
            "lockdown-refuses-signal",
        ]
    }

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

    fn watches_bpf_objects(&self) -> bool {
        true
    }
}
