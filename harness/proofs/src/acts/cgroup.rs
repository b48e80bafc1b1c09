//! The cgroups in which the proofs act.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const ROOT: &str = "/sys/fs/cgroup";

/// The exempt cgroup as a policy names it: absolute within the hierarchy.
pub const EXEMPT: &str = "/exempt";

/// Where an act takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A cgroup that no policy exempts.
    Plain,
    /// The exempt cgroup itself.
    Exempt,
    /// A child of the exempt cgroup.
    ExemptChild,
}

impl Place {
    /// The cgroup's folder.
    pub fn dir(self) -> PathBuf {
        let inside = match self {
            Self::Plain => "/plain",
            Self::Exempt => EXEMPT,
            Self::ExemptChild => "/exempt/child",
        };
        PathBuf::from(format!("{ROOT}{inside}"))
    }
}

/// Makes all places.
///
/// # Errors
/// A cgroup that can't be made: no proof can run without.
pub fn make_all() -> Result<()> {
    for place in [Place::Plain, Place::Exempt, Place::ExemptChild] {
        let dir = place.dir();
        fs::create_dir_all(&dir).with_context(|| format!("making the cgroup {}", dir.display()))?;
    }
    Ok(())
}

/// Moves the calling process into a cgroup.
///
/// # Errors
/// The kernel refuses, e.g. since the cgroup doesn't exist.
pub fn join(dir: &Path) -> Result<()> {
    let procs = dir.join("cgroup.procs");
    fs::write(&procs, "0").with_context(|| format!("joining through {}", procs.display()))
}
