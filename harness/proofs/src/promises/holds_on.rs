//! A file rule holds on the file system that the file is on: ext4, xfs, btrfs (in a
//! subvolume), tmpfs, and an overlay of two folders.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::{Clause, Filesystem, PlannedArm};
use protocol::record::Fate;

use crate::arms::{act, allowed, contains, document, equals};
use crate::claims::{claims, leaves_no_rule_out};
use crate::tier::Tier;

mod copied_up;

pub(super) const EXT4: Promise = Promise {
    section: Section::Enforced,
    id: "holds-on-ext4",
    text: "It is so on ext4; the report says that every rule is enforced, and the event names the \
           rule's file.",
    proofs: || proofs_on(EXT4.id, Filesystem::Ext4),
    comparison: None,
};

pub(super) const XFS: Promise = Promise {
    section: Section::Enforced,
    id: "holds-on-xfs",
    text: "It is so on xfs.",
    proofs: || proofs_on(XFS.id, Filesystem::Xfs),
    comparison: None,
};

pub(super) const BTRFS: Promise = Promise {
    section: Section::Enforced,
    id: "holds-on-btrfs",
    text: "It is so on btrfs, for a file in a subvolume; a file of another subvolume with the same \
           number is untouched.",
    proofs: || proofs_on(BTRFS.id, Filesystem::Btrfs),
    comparison: None,
};

pub(super) const TMPFS: Promise = Promise {
    section: Section::Enforced,
    id: "holds-on-tmpfs",
    text: "It is so on tmpfs.",
    proofs: || proofs_on(TMPFS.id, Filesystem::Tmpfs),
    comparison: None,
};

pub(super) const OVERLAYFS: Promise = Promise {
    section: Section::Enforced,
    id: "holds-on-overlayfs",
    text: "It is so on overlayfs, each folder on a file system of its own: for a file that is only \
           in the lower folder, for one in the upper, and for one that the rule names in the lower \
           folder and that is opened through the overlay. One in the lower folder whose path in the \
           overlay is denied to readers stays so when it is copied up: by an exempt process that \
           writes to it or by any that changes its mode, with its folder, and when the kernel has forgotten what \
           it knew of it, even where it has another inode number then. One that the rule names in \
           the lower folder stays denied there, and no process that it is denied to has its content \
           copied up; what an exempt one had copied up isn't denied, and the report says \
           `copied_up_by_overlay`. A neighbour is untouched when it is copied up.",
    proofs: || proofs_on(OVERLAYFS.id, Filesystem::Overlayfs),
    comparison: None,
};

fn proofs_on(promise: &str, filesystem: Filesystem) -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::HoldsOn(filesystem));
        let configuration = tier.filesystems();
        Proof::of_tier(tier, promise, configuration, acts, arms(tier, filesystem)).on(filesystem)
    };
    Tier::ALL.map(proof).into()
}

/// What a fallback claims, with every rule among what it enforces.
fn claim(tier: Tier) -> Vec<Clause> {
    match tier {
        Tier::Lsm => claims(tier),
        Tier::Modret | Tier::Signal => vec![
            equals("/runtime_state", tier.state()),
            equals("/audit_only", false),
            equals("/enforce_capable", false),
            contains("/enforce_blockers", "BPF_LSM_DISABLED"),
            leaves_no_rule_out(),
        ],
    }
}

/// An overlay has more than one file to fight over: one that is in the lower folder only, one
/// in the upper, one where the rule names the file in the lower folder itself and the act goes
/// through the overlay, and those that are copied up meanwhile. A btrfs has an innocent twin of
/// its secret: a file of another subvolume with the same inode number, on the same device as the
/// kernel sees it; and a second secret in a third subvolume, with that number too, made later.
fn arms(tier: Tier, filesystem: Filesystem) -> Vec<PlannedArm> {
    let files: &[&str] = match filesystem {
        Filesystem::Overlayfs => &["-lower", "-upper", "-beneath"],
        Filesystem::Btrfs => &["", "-later"],
        _ => &[""],
    };
    let benign: &[&str] = match filesystem {
        Filesystem::Btrfs => &["benign", "benign-twin"],
        _ => &["benign"],
    };
    let on_each = |arm: &str, fate: Fate, event: Option<&str>| -> Vec<PlannedArm> {
        let name = |file: &&str| act(&format!("{arm}{file}"), fate, event);
        files.iter().map(name).collect()
    };
    let mut claim = claim(tier);
    if filesystem == Filesystem::Overlayfs {
        claim.push(contains("/classes/file/limits", copied_up::LIMIT));
    }
    let if_copied_up = |arms: Vec<PlannedArm>| match filesystem {
        Filesystem::Overlayfs => arms,
        _ => Vec::new(),
    };
    [
        on_each("before", Fate::Allowed, None),
        if_copied_up(vec![copied_up::before()]),
        vec![document("report", &claim)],
        on_each("during", tier.fate(), Some(tier.outcome())),
        benign.iter().map(|arm| allowed(arm)).collect(),
        if_copied_up(copied_up::during(tier)),
        on_each("after", Fate::Allowed, None),
        if_copied_up(vec![copied_up::after()]),
    ]
    .concat()
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use anyhow::Result;
    use protocol::plan::Filesystem;

    use super::copied_up::acts::CopiedUp;
    use crate::acts::cgroup::Place;
    use crate::acts::filesystems::Arms;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, live_report, running};

    /// See the promises.
    #[derive(Debug)]
    pub struct HoldsOn(pub Filesystem);

    impl Acts for HoldsOn {
        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            self.open_all(lab, seen, |arms| arms.before)?;
            self.copied_up(lab, |copies| copies.read_all("before-copied-up", seen))
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            seen.other("report", live_report(agent)?);
            self.open_all(lab, seen, |arms| arms.during)?;
            for (arm, path) in &lab.filesystems.ground(self.0)?.benign {
                seen.act(arm, lab.ground.open(Place::Plain, path)?);
            }
            let running = running(agent)?;
            self.copied_up(lab, |copies| copies.copy_up(running, seen))
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            self.open_all(lab, seen, |arms| arms.after)?;
            self.copied_up(lab, |copies| copies.read_all("after-copied-up", seen))
        }
    }

    impl HoldsOn {
        /// What else there is to see where files are copied up.
        fn copied_up(&self, lab: &Lab, see: impl FnOnce(CopiedUp) -> Result<()>) -> Result<()> {
            match &lab.filesystems.ground(self.0)?.layers {
                Some(layers) => see(CopiedUp { lab, layers }),
                None => Ok(()),
            }
        }

        fn open_all(
            &self,
            lab: &Lab,
            seen: &mut Seen,
            arm: impl Fn(&Arms) -> &'static str,
        ) -> Result<()> {
            for secret in &lab.filesystems.ground(self.0)?.secrets {
                let mut act = lab.ground.open(Place::Plain, &secret.opened)?;
                // What the agent is to name: the same file, which may have been opened by another
                // path than the rule's.
                act.target = secret.ruled.display().to_string();
                seen.act(arm(secret.arms), act);
            }
            Ok(())
        }
    }
}
