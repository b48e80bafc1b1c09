//! A file that was given the inode number of a denied file which is gone isn't taken for it,
//! not even before the agent has looked.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;

use crate::arms::read;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "knows-reused-inode",
    text: "A new file on ext4 that was given the inode number of a denied one that is gone isn't \
           denied, not even before the agent has looked.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    Proof::on_ext4(PROMISE.id, |tier| {
        (acts!(acts::KnowsReusedInode(tier)), arms(tier))
    })
}

fn arms(tier: Tier) -> Vec<PlannedArm> {
    vec![
        read("before"),
        tier.unread("during", "gone", "inode"),
        read("benign"),
    ]
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::PathBuf;

    use anyhow::{Context, Result, bail};
    use serde_json::json;

    use crate::acts::attempt::{Attempt, Verb, account};
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::paused::Paused;
    use crate::acts::{Acts, rule, running};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct KnowsReusedInode(pub Tier);

    /// How many files are made until one gets the number; the very first one does, mostly.
    const FILES: usize = 64;

    impl Acts for KnowsReusedInode {
        fn rules(&self) -> Result<String> {
            Ok(rule(
                "gone",
                &self.path("gone").display().to_string(),
                "read",
            ))
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            fs::create_dir(self.path("")).context("making the ground")?;
            fs::write(self.path("gone"), "gone").context("writing a file")?;
            self.read(lab, seen, "before", "gone")
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            self.read(lab, seen, "during", "gone")?;
            let number = fs::metadata(self.path("gone"))
                .context("asking for its number")?
                .ino();
            let paused = Paused::stop(running(agent)?.pid())?;
            fs::remove_file(self.path("gone")).context("deleting it")?;
            let heir = self.heir(number)?;
            self.read(lab, seen, "benign", &heir)?;
            drop(paused);
            Ok(())
        }
    }

    impl KnowsReusedInode {
        fn path(&self, name: &str) -> PathBuf {
            self.0.ground("/srv/ext4", "reuse").join(name)
        }

        /// The name of a new file with this number.
        fn heir(&self, number: u64) -> Result<String> {
            for file in 0..FILES {
                let name = format!("new-{file}");
                fs::write(self.path(&name), &name).context("writing a file")?;
                if fs::metadata(self.path(&name))
                    .context("asking for its number")?
                    .ino()
                    == number
                {
                    return Ok(name);
                }
            }
            bail!("none of {FILES} new files was given the number {number}")
        }

        fn read(&self, lab: &Lab, seen: &mut Seen, arm: &'static str, name: &str) -> Result<()> {
            let read = Attempt::on(Verb::Read, &self.path(name)).make(lab.ground.limit())?;
            seen.other(arm, account(read, json!({})));
            Ok(())
        }
    }
}
