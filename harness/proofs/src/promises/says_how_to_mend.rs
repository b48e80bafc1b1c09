//! An agent that can't keep what was asked for, as the machine gives it too little, refuses and
//! says what would mend that.

use protocol::plan::Expectation;
use serde_json::json;

use crate::arms::{arm, contains, document, equals};
use crate::configuration::{
    Configuration, REFUSED_PERF_EVENTS, UNMOUNTED_SECURITYFS, UNMOUNTED_TRACEFS,
};
use crate::promise::{Promise, Proof, Section, acts};
use crate::sabotage::Sweeps;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "says-how-to-mend",
    text: "Where the machine gives too little for what was asked, the refusal says what would mend \
           it. Without securityfs mounted, in the boot `bpf-lsm`, it has the command that mounts it, \
           and only behind that the advice to opt in to a weaker tier; without tracefs, where a rule \
           is known by its path alone and so needs a tracepoint, the command that mounts that, and \
           nothing of kprobes, which work; with a seccomp filter that refuses perf events, what they \
           take and what of it is there.",
    proofs,
    comparison: None,
};

/// What may be said of the way out, in the order in which it must be.
type Words = &'static [&'static str];

/// The mount before a weaker tier.
const SECURITYFS: Words = &[
    "mount -t securityfs securityfs /sys/kernel/security",
    "--enforce-fallback=modret,signal",
];

/// The mount alone.
const TRACEFS: Words = &["mount -t tracefs tracefs /sys/kernel/tracing"];

/// What may be said without tracefs, where kprobes work.
#[cfg(feature = "acts")]
const OF_KPROBES: &str = "CONFIG_KPROBE";

/// What they take, and the filter that may refuse them.
const PERF_EVENTS: Words = &[
    "CAP_PERFMON or CAP_SYS_ADMIN (here)",
    "seccomp filter against perf_event_open(2) (there is one)",
];

fn proofs() -> Vec<Proof> {
    let proof = |without: &str,
                 configuration: &'static Configuration<'static>,
                 blocker: &str,
                 words: Words| {
        let report = [
            equals("/runtime_state", "REFUSED"),
            equals("/enforce_capable", false),
            contains("/enforce_blockers", blocker),
            equals("/rules/enforced", 0),
        ];
        let arms = vec![
            arm("exit", Expectation::Exit { code: 3 }),
            document("report", &report),
            document("told", &[equals("/mentions", json!(words))]),
            arm("left-behind", Expectation::NoBpfLeft),
        ];
        let boot = configuration.tier.boot();
        let id = format!("fails-closed-without-{without}");
        let acts = acts!(acts::SaysHowToMend(words));
        Proof::new(id, boot, configuration, acts, arms).swept(Sweeps::REFUSAL)
    };
    vec![
        proof(
            "securityfs",
            &UNMOUNTED_SECURITYFS,
            "LSM_LIST_UNREADABLE",
            SECURITYFS,
        ),
        proof("tracefs", &UNMOUNTED_TRACEFS, "BPF_LSM_DISABLED", TRACEFS),
        proof(
            "perf-events",
            &REFUSED_PERF_EVENTS,
            "BPF_LSM_DISABLED",
            PERF_EVENTS,
        ),
    ]
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::{Result, bail};
    use protocol::record::Observation;
    use serde_json::{Value, json};

    use super::{OF_KPROBES, TRACEFS, Words};
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, rule};

    /// By the words that are to be said.
    #[derive(Debug)]
    pub struct SaysHowToMend(pub Words);

    impl Acts for SaysHowToMend {
        fn rules(&self) -> Result<String> {
            match self.0 == TRACEFS {
                // Known by its path alone, for which the signal tier needs tracepoints.
                true => Ok(rule("waiting", "/srv/no/such/folder", "read-write")),
                false => Ok(String::new()),
            }
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let ended = match agent {
                During::Ended(ended) => ended,
                During::Running(_) => bail!("it became ready, where it was to refuse"),
            };
            seen.other("exit", ended.observation());
            let document = lab.agent.report()?;
            seen.other("report", Observation::Document { document });
            let all = [self.0, &[OF_KPROBES]].concat();
            let document = json!({ "mentions": mentions(&ended.stderr, &all) });
            seen.other("told", Observation::Document { document });
            Ok(())
        }
    }

    /// Which of the phrases a text has, in the order in which it has them first.
    fn mentions(text: &str, phrases: &[&str]) -> Value {
        let mut found: Vec<(usize, &str)> = phrases
            .iter()
            .filter_map(|phrase| Some((text.find(phrase)?, *phrase)))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, phrase)| phrase).collect()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn phrases_are_found_in_the_order_of_the_text() {
            let phrases = ["weaker", "mount", "other"];
            assert_eq!(
                mentions("mount it, or be weaker; mount", &phrases),
                json!(["mount", "weaker"])
            );
            assert_eq!(
                mentions("be weaker, or mount it", &phrases),
                json!(["weaker", "mount"])
            );
            assert_eq!(mentions("", &phrases), json!([]));
        }
    }
}
