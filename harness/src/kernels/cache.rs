//! The cache of fetched kernels, shared by all runs of a user.
//!
//! In: pins from the lock. Out: files whose content has just been checked, or nothing. What
//! goes in is written to a temporary folder and renamed, under a lock that other runs wait
//! for, so that a run never sees half an entry:
//!
//! ```text
//! lock               held while anything is added     debs/SHA256.deb          as downloaded
//! apt/               the private apt root             kernels/SHA256/vmlinuz   with entry.json
//! tmp/               emptied by each holder           modules/SHA256/…         with entry.json
//! ```

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::lock::{LockedKernel, LockedPackage};
use crate::{
    digest,
    exit::{Failure, Result},
    progress::Progress,
};

/// Raised when entries change their shape; older ones are made anew.
const ENTRY_VERSION: u32 = 1;

/// The folder, which may not exist yet.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// What was found out about a kernel when it was taken out of its package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelEntry {
    version: u32,
    /// What it calls itself.
    pub release: String,
    /// Debian's version in its version text.
    pub version_word: String,
    sha256: String,
}

impl KernelEntry {
    /// An entry of the current version.
    pub fn new(release: String, version_word: String, sha256: String) -> Self {
        Self {
            version: ENTRY_VERSION,
            release,
            version_word,
            sha256,
        }
    }
}

/// The files of one kernel's modules, by their path below the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModulesEntry {
    version: u32,
    files: BTreeMap<PathBuf, String>,
}

/// What the cache has of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<T> {
    /// It is there and unchanged.
    Good(T),
    /// It was never put there.
    Missing,
    /// It isn't what was put there.
    Altered,
}

/// Held while the cache is changed. Ends with the process at the latest.
pub struct Guard {
    _file: fs::File,
}

impl Cache {
    /// `${XDG_CACHE_HOME:-~/.cache}/aegisbpf`.
    pub fn of_user() -> Result<Self> {
        // The specification has relative paths ignored.
        let absolute = |name| {
            let path = env::var_os(name).map(PathBuf::from)?;
            path.is_absolute().then_some(path)
        };
        let base = absolute("XDG_CACHE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
            .ok_or_else(|| {
                Failure::usage(anyhow!(
                    "no folder for the cache; set HOME or XDG_CACHE_HOME to an absolute path"
                ))
            })?;
        Ok(Self::at(base.join("aegisbpf")))
    }

    /// A cache in this folder.
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Keeps other runs from changing the cache, after waiting for one that does.
    pub fn lock(&self, progress: &dyn Progress) -> Result<Guard> {
        let guard = self.exclusive("lock", "the kernels", progress)?;
        let tmp = self.root.join("tmp");
        if tmp.exists() {
            // Only its holder fills it: what is there was left by a run that was killed.
            fs::remove_dir_all(&tmp).with_context(|| format!("cannot empty {}", tmp.display()))?;
        }
        Ok(guard)
    }

    /// Waits for a lock file of the cache, saying for what and for whom.
    pub fn exclusive(&self, name: &str, what: &str, progress: &dyn Progress) -> Result<Guard> {
        let path = self.root.join(name);
        let open = || -> io::Result<fs::File> {
            fs::create_dir_all(&self.root)?;
            let mut options = fs::OpenOptions::new();
            options.create(true).truncate(false).read(true).write(true);
            options.open(&path)
        };
        let mut file = open().with_context(|| format!("cannot open {}", path.display()))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            // Told for convenience only: the text may be cut or of an earlier holder.
            let _ = file.read_to_string(&mut holder);
            progress.line(&format!(
                "waiting for another run that sets up {what} (pid {})",
                holder.trim()
            ));
            rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))
                .with_context(|| format!("cannot lock {}", path.display()))?;
        }
        let sign = |file: &mut fs::File| -> io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        sign(&mut file).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Guard { _file: file })
    }

    /// A folder for what isn't whole yet. Only for holders of the lock.
    pub fn staging(&self) -> Result<TempDir> {
        let tmp = self.root.join("tmp");
        let make = || {
            fs::create_dir_all(&tmp)?;
            tempfile::tempdir_in(&tmp)
        };
        Ok(make().with_context(|| format!("cannot make a folder in {}", tmp.display()))?)
    }

    /// Moves something whole to its place, over what was there. Only for holders of the lock.
    pub fn place(&self, from: &Path, to: &Path) -> Result {
        let place = || -> io::Result<()> {
            if to.is_dir() {
                fs::remove_dir_all(to)?;
            }
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::rename(from, to)
        };
        place().with_context(|| format!("cannot put {} in place", to.display()))?;
        Ok(())
    }

    /// Where a package's file belongs.
    pub fn deb_path(&self, package: &LockedPackage) -> PathBuf {
        let name = format!("{}.deb", package.sha256);
        self.root.join("debs").join(name)
    }

    /// A package's file.
    pub fn deb(&self, package: &LockedPackage) -> Found<PathBuf> {
        let path = self.deb_path(package);
        match digest::of_file(&path) {
            Err(_) => Found::Missing,
            Ok(sum) if sum == package.sha256 => Found::Good(path),
            Ok(_) => Found::Altered,
        }
    }

    /// Where a kernel taken out of its package belongs.
    pub fn kernel_path(&self, package: &LockedPackage) -> PathBuf {
        self.root.join("kernels").join(&package.sha256)
    }

    /// A kernel's file, with what is known about it.
    pub fn kernel(&self, locked: &LockedKernel) -> Found<(PathBuf, KernelEntry)> {
        let Some(package) = locked.binary() else {
            return Found::Missing;
        };
        let folder = self.kernel_path(package);
        if !folder.exists() {
            return Found::Missing;
        }
        let vmlinuz = folder.join("vmlinuz");
        match read_entry::<KernelEntry>(&folder) {
            Some(entry)
                if entry.version == ENTRY_VERSION
                    && entry.release == locked.release
                    && digest::of_file(&vmlinuz).is_ok_and(|sum| sum == entry.sha256) =>
            {
                Found::Good((vmlinuz, entry))
            }
            _ => Found::Altered,
        }
    }

    /// Where a kernel's unpacked modules belong.
    pub fn modules_path(&self, package: &LockedPackage) -> PathBuf {
        self.root.join("modules").join(&package.sha256)
    }

    /// The folder with a kernel's unpacked modules.
    pub fn modules(&self, locked: &LockedKernel) -> Found<PathBuf> {
        let Some(package) = locked.module_packages().next() else {
            return Found::Missing;
        };
        let folder = self.modules_path(package);
        if !folder.exists() {
            return Found::Missing;
        }
        let unchanged = |entry: &ModulesEntry| {
            let same = |(file, sum): (&PathBuf, &String)| {
                digest::of_file(&folder.join(file)).is_ok_and(|now| now == *sum)
            };
            entry.version == ENTRY_VERSION && entry.files.iter().all(same)
        };
        match read_entry::<ModulesEntry>(&folder) {
            Some(entry) if unchanged(&entry) => Found::Good(folder),
            _ => Found::Altered,
        }
    }
}

/// Notes what a folder of modules holds, so that a change shows.
pub fn seal_modules(folder: &Path) -> Result {
    let mut files = BTreeMap::new();
    for item in walkdir::WalkDir::new(folder) {
        let item = item.context("cannot list unpacked modules")?;
        if item.file_type().is_file()
            && let Ok(name) = item.path().strip_prefix(folder)
        {
            let sum = digest::of_file(item.path())
                .with_context(|| format!("cannot read {}", item.path().display()))?;
            files.insert(name.to_owned(), sum);
        }
    }
    let version = ENTRY_VERSION;
    write_entry(folder, &ModulesEntry { version, files })
}

/// Writes what is known about the contents of an entry's folder.
pub fn write_entry(folder: &Path, entry: &impl Serialize) -> Result {
    let path = folder.join("entry.json");
    let text = serde_json::to_vec(entry).context("cannot write an entry as JSON")?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// An entry that can't be read is one that isn't good.
fn read_entry<T: for<'de> Deserialize<'de>>(folder: &Path) -> Option<T> {
    let text = fs::read(folder.join("entry.json")).ok()?;
    serde_json::from_slice(&text).ok()
}
