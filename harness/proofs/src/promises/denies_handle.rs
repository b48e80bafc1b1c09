//! A file in a denied folder is denied to whoever opens it by a handle, even where the kernel
//! itself no longer knows what folder it is in.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;

use crate::arms::read;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "denies-handle",
    text: "A file in a denied folder on ext4 is denied to whoever opens it by a handle, even once \
           the kernel has forgotten what folder it is in; the event says `detached` then.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    Proof::on_ext4(PROMISE.id, |tier| {
        (acts!(acts::DeniesHandle(tier)), arms(tier))
    })
}

fn arms(tier: Tier) -> Vec<PlannedArm> {
    vec![
        read("before"),
        tier.unread("known", "vault", "folder"),
        tier.unread("forgotten", "folder rules", "detached"),
        read("benign"),
        read("after"),
    ]
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;
    use std::path::{Path, PathBuf};

    use anyhow::{Context, Result};
    use serde_json::json;

    use crate::acts::attempt::{Attempt, Verb, account};
    use crate::acts::handle::Handle;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, rule};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct DeniesHandle(pub Tier);

    const ROOT: &str = "/srv/ext4";

    impl Acts for DeniesHandle {
        fn rules(&self) -> Result<String> {
            let folder = self.path("").display().to_string();
            Ok(rule("vault", &folder, "read-write"))
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            fs::create_dir(self.path("")).context("making the ground")?;
            fs::write(self.path("file"), "file").context("writing a file")?;
            self.open(lab, seen, "before", true)
        }

        fn during(&self, lab: &Lab, _agent: &During, seen: &mut Seen) -> Result<()> {
            self.open(lab, seen, "known", false)?;
            self.open(lab, seen, "forgotten", true)?;
            let read = Attempt::on(Verb::Read, Path::new("/srv/ext4/benign"));
            let read = read.make(lab.ground.limit())?;
            seen.other("benign", account(read, json!({})));
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            self.open(lab, seen, "after", true)
        }
    }

    impl DeniesHandle {
        fn path(&self, name: &str) -> PathBuf {
            self.0.ground(ROOT, "vault").join(name)
        }

        /// Opens the file by its handle; with `forget`, once the kernel has forgotten the way to it.
        fn open(&self, lab: &Lab, seen: &mut Seen, arm: &'static str, forget: bool) -> Result<()> {
            let handle = Handle::of(&self.path("file"))?.to_string();
            if forget {
                rustix::fs::sync();
                fs::write("/proc/sys/vm/drop_caches", "2").context("dropping caches")?;
            }
            let open = Attempt::between(Verb::ReadByHandle, Path::new(ROOT), Path::new(&handle));
            let opened = open.make(lab.ground.limit())?;
            seen.other(arm, account(opened, json!({})));
            Ok(())
        }
    }
}
