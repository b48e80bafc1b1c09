//! The cgroup v2 hierarchy: where it is mounted, which cgroups are exempt, and a fresh one
//! for the canary.
//!
//! In: the mount table and cgroup paths from the policy. Out: cgroup ids, and a
//! [`FreshCgroup`] that is removed when dropped.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context as _, Result, bail};

use crate::host;
use crate::kernel::identity;
use crate::kernel::maps::Cgroup;

/// The mount point of the cgroup v2 hierarchy.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    root: PathBuf,
}

impl Hierarchy {
    /// Finds the hierarchy in the mount table; `None` where it isn't mounted.
    pub fn find() -> Result<Option<Self>> {
        let root = host::mounts()?
            .into_iter()
            .find(|mount| mount.fs_type == "cgroup2" && mount.root == Path::new("/"))
            .map(|mount| mount.point);
        Ok(root.map(|root| Self { root }))
    }

    /// A folder in its place.
    #[cfg(test)]
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// The cgroup that a policy names by its absolute path within the hierarchy.
    ///
    /// # Errors
    /// There is none, or it is the root.
    pub fn open(&self, cgroup: &str) -> Result<Cgroup> {
        let path = self.root.join(cgroup.trim_start_matches('/'));
        let folder = identity::open(&path).with_context(|| path.display().to_string())?;
        let metadata = folder.metadata()?;
        if !metadata.is_dir() {
            bail!("{} is a file of a cgroup, not a cgroup", path.display());
        }
        if metadata.ino() == fs::metadata(&self.root)?.ino() {
            bail!("it is the root of the hierarchy, so no rule would apply to anybody");
        }
        Ok(Cgroup {
            id: metadata.ino(),
            folder: folder.into(),
        })
    }

    /// Makes a new cgroup directly below the root, where no policy can have exempted it. Its
    /// name is `prefix` and our pid; empty ones that dead agents left are removed.
    pub fn fresh(&self, prefix: &str) -> Result<FreshCgroup> {
        for leftover in host::leftovers(&self.root, prefix) {
            // If it is in our way, the creation below says so.
            let _ = fs::remove_dir(&leftover);
        }
        let path = self.root.join(format!("{prefix}{}", process::id()));
        fs::create_dir(&path).with_context(|| format!("mkdir {}", path.display()))?;
        let id = fs::metadata(&path)?.ino();
        Ok(FreshCgroup { path, id })
    }
}

/// A cgroup of our own, removed when dropped.
#[derive(Debug)]
pub struct FreshCgroup {
    path: PathBuf,
    /// Its id, as the kernel side sees it.
    pub id: u64,
}

impl FreshCgroup {
    /// Moves a process into it.
    pub fn admit(&self, pid: u32) -> Result<()> {
        let procs = self.path.join("cgroup.procs");
        fs::write(&procs, pid.to_string())
            .with_context(|| format!("failed to write {pid} to {}", procs.display()))
    }
}

impl Drop for FreshCgroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.path) {
            crate::output::log::warn(format_args!(
                "failed to remove the canary's cgroup {}: {error}",
                self.path.display()
            ));
        }
    }
}
