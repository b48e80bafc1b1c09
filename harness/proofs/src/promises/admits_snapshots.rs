//! On btrfs whoever owns a subvolume may make a snapshot of it, in which a denied file is another one, and
//! make a subvolume at a denied name: the report says so.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::{Filesystem, PlannedArm};
use serde_json::json;

use crate::arms::{account, all_allowed, contains, document, done, limited, read};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "admits-snapshots",
    text: "On btrfs a user who makes a snapshot of his own subvolume reads a denied file of it there, \
           and makes a subvolume at a denied name; the report has `snapshots_of_denied_files` among \
           the limits. The file itself stays denied, and so is what he made at the name.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let id = format!("{}-on-btrfs", PROMISE.id);
    let proof = |tier: Tier| {
        let acts = acts!(acts::AdmitsSnapshots(tier));
        Proof::of_tier(tier, &id, tier.identity(), acts, arms(tier)).on(Filesystem::Btrfs)
    };
    Tier::ALL.map(proof).into()
}

const LIMIT: &str = "snapshots_of_denied_files";

/// The rules.
const FILE: &str = "snapshot";
const NAME: &str = "subvolume";

fn arms(tier: Tier) -> Vec<PlannedArm> {
    let listed = tier.event(NAME, "name", "read");
    vec![
        all_allowed("before", &["read"]),
        document("report", &[contains("/classes/file/limits", LIMIT)]),
        tier.unread("during", FILE, "inode"),
        limited(LIMIT, done("snapshot", &[])),
        limited(LIMIT, read("copy")),
        limited(LIMIT, done("subvolume", &[])),
        account("list", tier.fate_word(), false, json!([listed]), &[]),
        read("benign"),
        all_allowed("after", &["read"]),
    ]
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;
    use std::os::unix::fs::chown;
    use std::path::PathBuf;

    use anyhow::{Context, Result, ensure};
    use protocol::record::Observation;
    use serde_json::json;

    use super::{FILE, NAME};
    use crate::acts::attempt::{Attempt, Verb, account};
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::paused::Paused;
    use crate::acts::{Acts, live_report, rule, running};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct AdmitsSnapshots(pub Tier);

    /// He whose subvolume it is.
    const USER: u32 = 1000;

    impl Acts for AdmitsSnapshots {
        fn rules(&self) -> Result<String> {
            let path = |name| self.path(name).display().to_string();
            Ok([
                rule(FILE, &path("his/file"), "read-write"),
                rule(NAME, &path("made"), "read-write"),
            ]
            .concat())
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            let ground = self.0.ground("/srv/btrfs", "snapshots");
            fs::create_dir(&ground).context("making the ground")?;
            chown(&ground, Some(USER), Some(USER)).context("giving him the ground")?;
            let his = self.path("his");
            let made = Attempt::on(Verb::Subvolume, &his).as_user(USER);
            let made = made.fate(lab.ground.limit())?;
            ensure!(made == "allowed", "making his subvolume: {made}");
            for file in ["his/file", "his/neighbour"] {
                fs::write(self.path(file), file).with_context(|| format!("writing {file}"))?;
            }
            seen.other("before", self.fate(lab)?);
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            seen.other("report", live_report(agent)?);
            let paused = Paused::stop(running(agent)?.pid())?;
            for (arm, verb, path, to) in [
                ("during", Verb::Read, "his/file", ""),
                ("snapshot", Verb::Snapshot, "his", "snapshot"),
                ("copy", Verb::Read, "snapshot/file", ""),
                ("subvolume", Verb::Subvolume, "made", ""),
                ("list", Verb::List, "made", ""),
                ("benign", Verb::Read, "his/neighbour", ""),
            ] {
                let (path, to) = (self.path(path), self.path(to));
                let act = Attempt::between(verb, &path, &to).as_user(USER);
                seen.other(arm, account(act.make(lab.ground.limit())?, json!({})));
            }
            drop(paused);
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.other("after", self.fate(lab)?);
            Ok(())
        }
    }

    impl AdmitsSnapshots {
        fn path(&self, name: &str) -> PathBuf {
            self.0.ground("/srv/btrfs", "snapshots").join(name)
        }

        fn fate(&self, lab: &Lab) -> Result<Observation> {
            let path = self.path("his/file");
            let read = Attempt::on(Verb::Read, &path).as_user(USER);
            let document = json!({"read": read.fate(lab.ground.limit())?});
            Ok(Observation::Document { document })
        }
    }
}
