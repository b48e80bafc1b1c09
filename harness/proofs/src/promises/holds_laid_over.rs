//! A rule on a folder holds for what an overlay shows of it: the files of a layer are beneath the
//! folder, by whatever path the overlay shows them.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::{Filesystem, PlannedArm};

use crate::arms::{all_allowed, read};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "holds-laid-over",
    text: "A rule on a folder holds for its files in an overlay that has been laid over it, as from \
           5.11 on any user lays one in namespaces of his own: in the folder, in a subfolder, and on \
           a file system that is mounted in it and laid over by itself. What the overlay has of \
           another folder is untouched.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let id = format!("{}-on-overlayfs", PROMISE.id);
    let proof = |tier: Tier| {
        let acts = acts!(acts::HoldsLaidOver(tier));
        let proof = Proof::of_tier(tier, &id, tier.identity(), acts, arms(tier));
        proof.on(Filesystem::Overlayfs)
    };
    Tier::ALL.map(proof).into()
}

const STOPPED: [&str; 3] = ["laid-over", "laid-over-deep", "laid-over-mounted"];

fn arms(tier: Tier) -> Vec<PlannedArm> {
    let all = [&STOPPED[..], &["benign"]].concat();
    let mut arms = vec![all_allowed("before", &all)];
    arms.extend(STOPPED.map(|arm| tier.unread(arm, "laid-over", "folder")));
    arms.extend([read("benign"), read("exempt"), all_allowed("after", &all)]);
    arms
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::ffi::CString;
    use std::fs;
    use std::path::{Path, PathBuf};

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use rustix::io::Errno;
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    use serde_json::{Map, Value, json};

    use crate::acts::attempt::{Attempt, Verb, account};
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, rule};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct HoldsLaidOver(pub Tier);

    /// Who reads.
    const USER: u32 = 1000;

    /// Each arm with its file.
    const ACTS: [(&str, &str); 4] = [
        ("laid-over", "merged/file"),
        ("laid-over-deep", "merged/a/b/deep"),
        ("laid-over-mounted", "merged-mounted/file"),
        ("benign", "merged/other"),
    ];

    impl Acts for HoldsLaidOver {
        fn rules(&self) -> Result<String> {
            let folder = self.path("folder").display().to_string();
            Ok(rule("laid-over", &format!("{folder}/"), "read-write"))
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            self.lay().context("making the ground")?;
            seen.other("before", self.fates(lab)?);
            Ok(())
        }

        fn during(&self, lab: &Lab, _: &During, seen: &mut Seen) -> Result<()> {
            for (arm, file) in ACTS {
                let path = self.path(file);
                let read = Attempt::on(Verb::Read, &path).as_user(USER);
                seen.other(arm, account(read.make(lab.ground.limit())?, json!({})));
            }
            let path = self.path(ACTS[0].1);
            let read = Attempt::on(Verb::Read, &path).exempt();
            seen.other("exempt", account(read.make(lab.ground.limit())?, json!({})));
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.other("after", self.fates(lab)?);
            self.take_up()
        }
    }

    impl HoldsLaidOver {
        fn path(&self, name: &str) -> PathBuf {
            self.0.ground("/srv", "laid-over").join(name)
        }

        /// Takes up what this proof laid before, if it did.
        fn take_up(&self) -> Result<()> {
            for name in ["merged", "merged-mounted", "folder/mounted"] {
                match unmount(self.path(name), UnmountFlags::DETACH) {
                    // Not mounted, or not even there.
                    Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
                    Err(error) => return Err(error).with_context(|| format!("unmounting {name}")),
                }
            }
            let ground = self.path("");
            match ground.exists() {
                true => fs::remove_dir_all(&ground).context("clearing the ground"),
                false => Ok(()),
            }
        }

        /// Overlays of two folders each, which nobody changes.
        fn lay(&self) -> Result<()> {
            self.take_up()?;
            for file in ["folder/file", "folder/a/b/deep", "beside/other"] {
                self.write(file)?;
            }
            for name in ["merged", "merged-mounted", "folder/mounted"] {
                fs::create_dir(self.path(name)).with_context(|| format!("making {name}"))?;
            }
            let mounted = self.path("folder/mounted");
            mount("tmpfs", mounted, "tmpfs", MountFlags::empty(), None)?;
            self.write("folder/mounted/file")?;
            self.lay_over("folder", "merged")?;
            self.lay_over("folder/mounted", "merged-mounted")
        }

        fn lay_over(&self, folder: &str, place: &str) -> Result<()> {
            let [lower, beside] = [folder, "beside"].map(|name| self.path(name));
            let options = format!("lowerdir={}:{}", lower.display(), beside.display());
            let options = CString::new(options).context("options with a NUL")?;
            let flags = MountFlags::empty();
            mount(
                "overlay",
                self.path(place),
                "overlay",
                flags,
                Some(options.as_c_str()),
            )
            .with_context(|| format!("laying an overlay over {folder}"))
        }

        fn write(&self, name: &str) -> Result<()> {
            let path = self.path(name);
            let folder = path.parent().context("it has a folder")?;
            fs::create_dir_all(folder).with_context(|| format!("making the folder of {name}"))?;
            fs::write(path, name).with_context(|| format!("writing {name}"))
        }

        /// What comes of each act while no agent is there.
        fn fates(&self, lab: &Lab) -> Result<Observation> {
            let mut document = Map::new();
            for (arm, file) in ACTS {
                let path: &Path = &self.path(file);
                let read = Attempt::on(Verb::Read, path).as_user(USER);
                document.insert(arm.to_owned(), read.fate(lab.ground.limit())?);
            }
            let document = Value::Object(document);
            Ok(Observation::Document { document })
        }
    }
}
