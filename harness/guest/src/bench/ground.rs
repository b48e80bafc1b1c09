//! The files that are opened while it is timed, and the policies that name others.
//!
//! Two file systems of one kind: `/srv`, of which rules name files and a folder, and `/tmp`, of
//! which they name nothing.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use protocol::bench::Case;

use proofs::acts::cgroup;

/// The folder of the files that rules name, and nothing else is in it.
const NAMED: &str = "/srv/named";

/// The folder of the folders that rules name.
const CLOSED: &str = "/srv/closed";

/// Nine folders down from the root of a file system.
const DEEP: &str = "1/2/3/4/5/6/7/8/9/file";

/// The files, made.
pub struct Ground;

impl Ground {
    /// Makes the cgroups, the files to open, and as many files and folders for rules to name.
    ///
    /// # Errors
    /// Any of them can't be made.
    pub fn make(named: usize, closed: usize) -> Result<Self> {
        cgroup::make_all()?;
        for folder in (0..closed).map(self::closed) {
            fs::create_dir_all(&folder).with_context(|| format!("making {folder}"))?;
        }
        let unnamed = [Case::Miss, Case::MissDeep, Case::MissOtherFs].map(place);
        for path in unnamed.into_iter().chain((0..named).map(self::named)) {
            make_file(&path).with_context(|| format!("making {}", path.display()))?;
        }
        Ok(Self)
    }

    /// What is opened in a case; nothing is for [`Case::Unrelated`], which has a path all the same.
    pub fn path(&self, case: Case) -> PathBuf {
        place(case)
    }

    /// A policy that names as many files, and folders.
    pub fn policy(&self, rules: usize, folder_rules: usize) -> String {
        let mut policy = format!("version = 1\nexempt_cgroups = [\"{}\"]\n", cgroup::EXEMPT);
        let folders = (0..folder_rules).map(closed);
        let files = (0..rules).map(|number| named(number).display().to_string());
        for path in files.chain(folders) {
            // Writing to a string can't fail.
            let _ = write!(policy, "\n[[deny.file]]\npath = \"{path}\"\n");
        }
        policy
    }
}

fn place(case: Case) -> PathBuf {
    match case {
        Case::Miss | Case::Unrelated => PathBuf::from("/srv/plain/file"),
        Case::MissDeep => Path::new("/srv").join(DEEP),
        Case::MissOtherFs => Path::new("/tmp").join(DEEP),
        Case::Hit => named(0),
    }
}

fn named(number: usize) -> PathBuf {
    PathBuf::from(format!("{NAMED}/{number}"))
}

/// With its slash, which makes a rule that names it one about a folder.
fn closed(number: usize) -> String {
    format!("{CLOSED}/{number}/")
}

fn make_file(path: &Path) -> Result<()> {
    let folder = path.parent().context("it has no folder")?;
    fs::create_dir_all(folder)?;
    fs::write(path, "content\n")?;
    Ok(())
}
