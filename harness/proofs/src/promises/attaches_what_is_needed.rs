//! The tracepoints of system calls, which cost every process, are attached only once a rule is
//! known by its path alone, and then kept. What the kernel holds shows it, beside the report.

use crate::promise::{Promise, Proof, Section, acts};
use serde_json::{Value, json};

use crate::arms::{account, document, equals};
use crate::claims::tracepoints;
use crate::configuration::SIGNAL_NEEDS;
use crate::sabotage::Mutant;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "attaches-what-is-needed",
    text: "Nothing is attached to a system call or hook that no rule of the policy needs, since it \
           would cost every process: in `ENFORCE_SIGNAL` the tracepoints of the system calls that \
           open files are attached and verified once a rule is known by its path alone, as its \
           folder isn't there, and then kept; until then the kernel holds the kprobe's program only.",
    proofs,
    comparison: None,
};

/// The tracepoints of system calls: not attached, attached once a rule needs them, and kept.
fn proofs() -> Vec<Proof> {
    let tier = Tier::Signal;
    let one = json!(["sig_file_open"]);
    let all = json!([
        "sig_creat",
        "sig_file_open",
        "sig_open",
        "sig_openat",
        "sig_openat2"
    ]);
    let programs =
        |arm: &str, programs: &Value| document(arm, &[equals("/programs", programs.clone())]);
    let allowed = |arm: &str| document(arm, &[equals("/fate", "allowed")]);
    let claims = equals("/runtime_state", tier.state());
    let report = |arm: &str, attached: bool| {
        let mut clauses = vec![claims.clone()];
        clauses.extend(tracepoints(attached));
        document(arm, &clauses)
    };
    let hook = "tracepoint/syscalls/sys_enter_openat";
    let event = tier.event_of(hook, "wandering", "path", "read");
    let arms = vec![
        allowed("before"),
        programs("at-start", &one),
        report("report-at-start", false),
        programs("once-needed", &all),
        report("report-once-needed", true),
        account("by-path", tier.fate_word(), false, json!([event]), &[]),
        programs("kept", &all),
        allowed("after"),
    ];
    let acts = acts!(acts::AttachesWhatIsNeeded);
    vec![
        Proof::of_tier(tier, PROMISE.id, &SIGNAL_NEEDS, acts, arms).catches(&[
            Mutant::new(
                "attaches-needlessly",
                "tracepoints are attached that no rule needs",
                "at-start",
                r#"/programs: expected ["sig_file_open"], saw ["sig_creat""#,
            ),
            Mutant::new(
                "forgets-path-rules",
                "no tracepoint is attached for a rule that is known by its path alone",
                "by-path",
                r#"/fate: expected "SIGKILL", saw "allowed""#,
            ),
        ]),
    ]
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;
    use std::io::ErrorKind;
    use std::path::PathBuf;

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use serde_json::json;

    use crate::acts::agent::Running;
    use crate::acts::attempt::{Attempt, Verb, account};
    use crate::acts::bpf_objects;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::paused::Paused;
    use crate::acts::{Acts, live_report, rule, running};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct AttachesWhatIsNeeded;

    /// The programs of the signal tier are called so.
    const OURS: &str = "sig_";

    impl Acts for AttachesWhatIsNeeded {
        fn rules(&self) -> Result<String> {
            let file = folder().join("file");
            Ok(rule("wandering", &file.display().to_string(), "read-write"))
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            // An earlier life of the agent in this boot may have had it too.
            match fs::remove_dir_all(ground()) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).context("removing the ground of before");
                }
                _ => make()?,
            }
            self.fate(lab, seen, "before")
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            programs(seen, "at-start")?;
            seen.other("report-at-start", live_report(agent)?);

            let mut heard = running.listen();
            // At once with all that is in it.
            fs::rename(folder(), folder().with_extension("away"))
                .context("renaming the folder of a rule")?;
            heard.hear("a rule that leads nowhere", |line| {
                line["event"] == "resolved" && line["present"] == false
            })?;
            programs(seen, "once-needed")?;
            seen.other("report-once-needed", live_report(agent)?);
            by_path(lab, running, seen)?;
            heard.hear("a rule that leads somewhere", |line| {
                line["event"] == "resolved" && line["present"] == true
            })?;
            programs(seen, "kept")
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            self.fate(lab, seen, "after")
        }
    }

    impl AttachesWhatIsNeeded {
        /// What comes of reading the file without the agent.
        fn fate(&self, lab: &Lab, seen: &mut Seen, arm: &str) -> Result<()> {
            let file = folder().join("file");
            let read = Attempt::on(Verb::Read, &file);
            let document = json!({ "fate": read.fate(lab.ground.limit())? });
            seen.other(arm, Observation::Document { document });
            Ok(())
        }
    }

    /// While the agent stands still, so that it can't have looked at what is there now.
    fn by_path(lab: &Lab, running: &Running, seen: &mut Seen) -> Result<()> {
        let paused = Paused::stop(running.pid())?;
        make()?;
        let read = Attempt::on(Verb::Read, &folder().join("file")).make(lab.ground.limit())?;
        seen.other("by-path", account(read, json!({})));
        drop(paused);
        Ok(())
    }

    fn ground() -> PathBuf {
        Tier::Signal.ground("/srv", "needs")
    }

    fn folder() -> PathBuf {
        ground().join("wandering")
    }

    fn make() -> Result<()> {
        fs::create_dir_all(folder()).context("making the folder of a rule")?;
        fs::write(folder().join("file"), "secret\n").context("making the file of a rule")
    }

    /// Which of the agent's programs the kernel holds, by the names that it has for them.
    fn programs(seen: &mut Seen, arm: &str) -> Result<()> {
        let names = bpf_objects::program_names()?;
        let names: Vec<&String> = names.iter().filter(|name| name.starts_with(OURS)).collect();
        let document = json!({ "programs": names });
        seen.other(arm, Observation::Document { document });
        Ok(())
    }
}
