//! virtme-ng in a Python environment of our own, in the cache.
//!
//! In: the cache's folder. Out: whether it is there and whole, told from files alone, and how
//! to make it. The version is pinned: what virtme-ng composes is part of every verdict.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::kernels::cache::Cache;

/// What pip is asked for.
pub const VIRTME_NG: &str = "virtme-ng==1.42";

/// pip writes this last, so a half-made environment doesn't have it.
const RECORD: &str = "site-packages/virtme_ng-1.42.dist-info/RECORD";

/// A Python environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Venv {
    folder: PathBuf,
}

impl Venv {
    /// The one in this cache.
    pub fn in_cache(cache: &Cache) -> Self {
        Self {
            folder: cache.root().join("virtme-ng-1.42"),
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder with its programs. `vng` finds its own helpers along PATH, so this must
    /// stand first there.
    pub fn programs(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// One of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }

    /// Whether virtme-ng is in it, for the Python that is on the machine now: an upgrade of
    /// Debian leaves an environment behind that its own interpreter can't read.
    pub fn is_whole(&self) -> bool {
        let Ok(python) = fs::canonicalize(self.program("python3")) else {
            return false;
        };
        let version = python.file_name().unwrap_or_default();
        let record = self.folder.join("lib").join(version).join(RECORD);
        record.is_file() && self.program("vng").is_file()
    }

    /// What a person would type to make it.
    pub fn commands(&self) -> String {
        format!(
            "/usr/bin/python3 -m venv --clear {} && {} install {VIRTME_NG}",
            self.folder.display(),
            self.program("pip").display()
        )
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_an_environment_of_the_machine_s_python_is_whole() {
        let root = tempfile::tempdir().unwrap();
        let venv = Venv::in_cache(&Cache::at(root.path().to_owned()));
        assert!(!venv.is_whole());

        let python = root.path().join("python3.11");
        fs::write(&python, "").unwrap();
        fs::create_dir_all(venv.folder().join("bin")).unwrap();
        symlink(&python, venv.program("python3")).unwrap();
        fs::write(venv.program("vng"), "").unwrap();
        assert!(!venv.is_whole(), "pip didn't come to its end");

        let record = venv.folder().join("lib/python3.11").join(RECORD);
        fs::create_dir_all(record.parent().unwrap()).unwrap();
        fs::write(&record, "").unwrap();
        assert!(venv.is_whole());

        let newer = root.path().join("python3.13");
        fs::rename(&python, &newer).unwrap();
        assert!(!venv.is_whole(), "its interpreter is gone");
        symlink(&newer, &python).unwrap();
        assert!(!venv.is_whole(), "its interpreter is another one");
    }
}
