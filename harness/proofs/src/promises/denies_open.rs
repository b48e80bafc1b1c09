//! A denied open meets its fate, and nothing else does.
//!
//! The tiers differ only in the fate that the plan expects: `EPERM` under the BPF LSM and in
//! the tier that replaces return values, death by `SIGKILL` in the signal tier, which is proven
//! without and with the seam.

use crate::arms::denied_open;
use crate::boot::Boot;
use crate::claims::claims;
use crate::configuration::SEAM_SIGNAL;
use crate::promise::{Promise, Proof, Section, acts};
use crate::sabotage::{Mutant, Tried};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "denies-open",
    text: "A denied file is not opened; the exempt cgroup and its child cgroup are untouched, and \
           after the agent the open succeeds again. The report says so without blockers in \
           `ENFORCE`, and elsewhere that the BPF LSM is missing. The last line is the signal tier \
           through the seam, on a kernel that has the BPF LSM.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |id: &str, tier: Tier| {
        let arms = denied_open(&claims(tier), tier);
        let acts = acts!(acts::DeniesOpen);
        Proof::new(id, tier.boot(), tier.plain(), acts, arms).quick()
    };
    let through_seam = Proof {
        boot: Boot::BpfLsm,
        configuration: &SEAM_SIGNAL,
        ..proof("seam-kills-denied-open", Tier::Signal)
    };
    vec![
        proof("enforce-denies-open", Tier::Lsm).catches(LSM_MUTANTS),
        proof("modret-denies-open", Tier::Modret).catches(MODRET_MUTANTS),
        proof("kills-denied-open", Tier::Signal).catches(SIGNAL_MUTANTS),
        through_seam,
    ]
}

const NOT_DENIED: &str = "expected denied with EPERM, saw allowed";
const NOT_KILLED: &str = "expected killed by SIGKILL, saw allowed";
const KILLED: &str = "expected allowed, saw killed by SIGKILL";

const LSM_MUTANTS: &[Mutant] = &[
    Mutant::new(
        "denies-everything",
        "every file that is opened is denied",
        "benign",
        "expected allowed, saw denied with EPERM",
    ),
    Mutant::new(
        "denies-only-canaries",
        "nothing but the agent's own canary is denied, and the state is ENFORCE",
        "during",
        NOT_DENIED,
    ),
    Mutant::new(
        "ready-before-rules",
        "the agent is ready before its rules are in force",
        "during",
        NOT_DENIED,
    ),
    Mutant::new(
        "denies-with-eacces",
        "another error than the canary's",
        "during",
        "expected denied with EPERM, saw denied with EACCES",
    ),
    Mutant::new(
        "secret-missing",
        "the file that is to be denied isn't there",
        "before",
        "expected allowed, saw denied with ENOENT",
    ),
    Mutant::new(
        "arm-skipped",
        "the last act of a proof is told to nobody",
        "after",
        "no evidence came",
    )
    .incomplete(Tried::Shared),
    Mutant::new(
        "record-lost",
        "a record is lost on its way to the host",
        "benign",
        "no evidence came",
    )
    .incomplete(Tried::LostRecord),
    Mutant::new(
        "wrong-boot",
        "the guest woke up in the other boot",
        "not judged",
        "LSM list: expected `bpf`",
    )
    .incomplete(Tried::WrongBoot),
];

const MODRET_MUTANTS: &[Mutant] = &[Mutant::new(
    "denies-only-canaries",
    "nothing but the agent's own canary is denied, and the state is ENFORCE_MODRET",
    "during",
    NOT_DENIED,
)];

const SIGNAL_MUTANTS: &[Mutant] = &[
    Mutant::new(
        "never-signals",
        "no signal is sent, and a kill is told",
        "during",
        NOT_KILLED,
    ),
    Mutant::new(
        "signals-only-canaries",
        "only the agent's own canary is signalled",
        "during",
        NOT_KILLED,
    ),
    Mutant::new(
        "signals-sigterm",
        "SIGTERM is sent, which a process may ignore",
        "during",
        "saw killed by SIGTERM",
    ),
    Mutant::new(
        "denies-neighbours",
        "whoever opens a file beside a denied one is killed",
        "benign",
        KILLED,
    ),
    Mutant::new(
        "ignores-exemptions",
        "whoever is exempt is killed",
        "exempt",
        KILLED,
    ),
    Mutant::new(
        "ignores-exempt-descendants",
        "a child cgroup of an exempt one isn't exempt",
        "exempt-child",
        KILLED,
    ),
    Mutant::new(
        "tells-kill-as-denial",
        "a kill after the fact is told as a denial",
        "during",
        "expected outcome `killed`, saw `denied`",
    ),
    Mutant::new(
        "names-wrong-pid",
        "events name another process",
        "during",
        "expected the agent's event `killed`, saw none",
    ),
    Mutant::new(
        "ignores-helper-result",
        "the signal helper refuses, and a kill is told",
        "during",
        "expected signal result 0",
    ),
];

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::Result;

    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, live_report};

    /// See the promise.
    #[derive(Debug)]
    pub struct DeniesOpen;

    impl Acts for DeniesOpen {
        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("before", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            seen.other("report", live_report(agent)?);
            seen.act("during", lab.ground.open_secret(Place::Plain)?);
            seen.act("benign", lab.ground.open_benign()?);
            seen.act("exempt", lab.ground.open_secret(Place::Exempt)?);
            seen.act("exempt-child", lab.ground.open_secret(Place::ExemptChild)?);
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("after", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }
    }
}
