//! An agent that can't keep what was asked for, as the machine gives it too little, refuses and
//! says what would mend that.

use anyhow::{Result, bail};
use protocol::record::Observation;
use serde_json::{Value, json};

use super::Proof;
use crate::lab::{During, Lab, Seen};
use crate::tier::rule;

/// See the module.
pub struct SaysHowToMend {
    ids: &'static [&'static str],
    /// A path that the policy denies beside the others; none where it is empty.
    denied: &'static str,
    /// What may be said of the way out.
    phrases: &'static [&'static str],
}

/// Without securityfs: its mount before a weaker tier.
pub const SECURITYFS: SaysHowToMend = SaysHowToMend {
    ids: &["fails-closed-without-securityfs"],
    denied: "",
    phrases: &[
        "--enforce-fallback=modret,signal",
        "mount -t securityfs securityfs /sys/kernel/security",
    ],
};

/// Without tracefs: its mount, and nothing of kprobes.
pub const TRACEFS: SaysHowToMend = SaysHowToMend {
    ids: &["fails-closed-without-tracefs"],
    // Known by its path alone, for which the signal tier needs tracepoints.
    denied: "/srv/no/such/folder",
    phrases: &[
        "CONFIG_KPROBE",
        "mount -t tracefs tracefs /sys/kernel/tracing",
    ],
};

/// Without perf events: what they take, and the filter that may refuse them.
pub const PERF_EVENTS: SaysHowToMend = SaysHowToMend {
    ids: &["fails-closed-without-perf-events"],
    denied: "",
    phrases: &[
        "seccomp filter against perf_event_open(2) (there is one)",
        "CAP_PERFMON or CAP_SYS_ADMIN (here)",
    ],
};

impl Proof for SaysHowToMend {
    fn ids(&self) -> &'static [&'static str] {
        self.ids
    }

    fn rules(&self) -> Result<String> {
        match self.denied {
            "" => Ok(String::new()),
            path => Ok(rule("waiting", path, "read-write")),
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
        let document = json!({ "mentions": mentions(&ended.stderr, self.phrases) });
        seen.other("told", Observation::Document { document });
        Ok(())
    }

    fn watches_bpf_objects(&self) -> bool {
        true
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
