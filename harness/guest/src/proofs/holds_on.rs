//! A file rule holds on the file system that the file is on: ext4, xfs, btrfs (in a
//! subvolume), tmpfs, and an overlay of two folders.

use anyhow::Result;
use protocol::plan::Filesystem;

use super::Proof;
use super::copied_up::CopiedUp;
use crate::cgroup::Place;
use crate::filesystems::Arms;
use crate::lab::{During, Lab, Seen};

/// See the module.
pub struct HoldsOn {
    filesystem: Filesystem,
    ids: &'static [&'static str],
}

/// One for each file system, in each tier.
pub const EXT4: HoldsOn = HoldsOn {
    filesystem: Filesystem::Ext4,
    ids: &[
        "enforce-holds-on-ext4",
        "modret-holds-on-ext4",
        "signal-holds-on-ext4",
    ],
};
/// See [`EXT4`].
pub const XFS: HoldsOn = HoldsOn {
    filesystem: Filesystem::Xfs,
    ids: &[
        "enforce-holds-on-xfs",
        "modret-holds-on-xfs",
        "signal-holds-on-xfs",
    ],
};
/// See [`EXT4`].
pub const BTRFS: HoldsOn = HoldsOn {
    filesystem: Filesystem::Btrfs,
    ids: &[
        "enforce-holds-on-btrfs",
        "modret-holds-on-btrfs",
        "signal-holds-on-btrfs",
    ],
};
/// See [`EXT4`].
pub const TMPFS: HoldsOn = HoldsOn {
    filesystem: Filesystem::Tmpfs,
    ids: &[
        "enforce-holds-on-tmpfs",
        "modret-holds-on-tmpfs",
        "signal-holds-on-tmpfs",
    ],
};
/// See [`EXT4`].
pub const OVERLAYFS: HoldsOn = HoldsOn {
    filesystem: Filesystem::Overlayfs,
    ids: &[
        "enforce-holds-on-overlayfs",
        "modret-holds-on-overlayfs",
        "signal-holds-on-overlayfs",
    ],
};

impl Proof for HoldsOn {
    fn ids(&self) -> &'static [&'static str] {
        self.ids
    }

    fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
        self.open_all(lab, seen, |arms| arms.before)?;
        self.copied_up(lab, |copies| copies.read_all("before-copied-up", seen))
    }

    fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        seen.other("report", super::live_report(agent)?);
        self.open_all(lab, seen, |arms| arms.during)?;
        for (arm, path) in &lab.filesystems.ground(self.filesystem)?.benign {
            seen.act(arm, lab.ground.open(Place::Plain, path)?);
        }
        let running = super::running(agent)?;
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
        match &lab.filesystems.ground(self.filesystem)?.layers {
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
        for secret in &lab.filesystems.ground(self.filesystem)?.secrets {
            let mut act = lab.ground.open(Place::Plain, &secret.opened)?;
            // What the agent is to name: the same file, which may have been opened by another
            // path than the rule's.
            act.target = secret.ruled.display().to_string();
            seen.act(arm(secret.arms), act);
        }
        Ok(())
    }
}
