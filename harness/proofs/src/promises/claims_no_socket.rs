//! A socket at a rule's path is opened by nobody, and who connects to it is stopped by no rule on files:
//! such a rule isn't among those that are enforced.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;
use serde_json::json;

use crate::arms::{all_allowed, document, done, equals, lacks, read, reasons};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "claims-no-socket",
    text: "A rule at whose path a socket is doesn't keep anybody from connecting to it, and the report \
           lists it as unenforced for that reason; it keeps no agent from starting. A file that takes \
           the socket's place is denied, and the rule isn't listed any more.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::ClaimsNoSocket(tier));
        Proof::of_tier(tier, PROMISE.id, tier.identity(), acts, arms(tier))
    };
    Tier::ALL.map(proof).into()
}

const RULE: &str = "socket";
const UNENFORCED: &str = "/rules/unenforced";

fn arms(tier: Tier) -> Vec<PlannedArm> {
    let state = || equals("/runtime_state", tier.state());
    vec![
        all_allowed("before", &["connect"]),
        document(
            "report",
            &[
                state(),
                reasons(UNENFORCED, json!({"rule": RULE}), "socket"),
            ],
        ),
        done("connect", &[]),
        tier.unread("during", RULE, "inode"),
        document(
            "report-on-file",
            &[state(), lacks(UNENFORCED, json!({"rule": RULE}))],
        ),
        read("benign"),
        all_allowed("after", &["read"]),
    ]
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;
    use std::os::fd::IntoRawFd as _;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use serde_json::json;

    use super::RULE;
    use crate::acts::attempt::{Attempt, Verb, account};
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, rule, running};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct ClaimsNoSocket(pub Tier);

    impl Acts for ClaimsNoSocket {
        fn rules(&self) -> Result<String> {
            let path = self.path("socket").display().to_string();
            Ok(rule(RULE, &path, "read"))
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            let ground = self.0.ground("/srv", "socket");
            if ground.exists() {
                fs::remove_dir_all(&ground).context("clearing the ground")?;
            }
            fs::create_dir(&ground).context("making the ground")?;
            fs::write(self.path("neighbour"), "neighbour").context("writing the neighbour")?;
            let listener = UnixListener::bind(self.path("socket")).context("making a socket")?;
            // It listens until the boot ends.
            let _ = listener.into_raw_fd();
            let path = self.path("socket");
            let connect = Attempt::on(Verb::Connect, &path).fate(lab.ground.limit())?;
            let document = json!({"connect": connect});
            seen.other("before", Observation::Document { document });
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            let mut heard = running.listen();
            let document = running.report()?;
            seen.other("report", Observation::Document { document });
            self.act(lab, seen, "connect", Verb::Connect, "socket")?;
            fs::remove_file(self.path("socket")).context("removing the socket")?;
            fs::write(self.path("socket"), "secret").context("writing a file in its place")?;
            heard.hear("the file in the socket's place", |line| {
                line["event"] == "resolved" && line["rule"] == RULE && line["present"] == true
            })?;
            self.act(lab, seen, "during", Verb::Read, "socket")?;
            let document = running.report()?;
            seen.other("report-on-file", Observation::Document { document });
            self.act(lab, seen, "benign", Verb::Read, "neighbour")
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            let path = self.path("socket");
            let read = Attempt::on(Verb::Read, &path).fate(lab.ground.limit())?;
            let document = json!({"read": read});
            seen.other("after", Observation::Document { document });
            Ok(())
        }
    }

    impl ClaimsNoSocket {
        fn path(&self, name: &str) -> PathBuf {
            self.0.ground("/srv", "socket").join(name)
        }

        fn act(
            &self,
            lab: &Lab,
            seen: &mut Seen,
            arm: &'static str,
            verb: Verb,
            name: &str,
        ) -> Result<()> {
            let act = Attempt::on(verb, &self.path(name)).make(lab.ground.limit())?;
            seen.other(arm, account(act, json!({})));
            Ok(())
        }
    }
}
