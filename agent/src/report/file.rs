//! The report on disk: whose it is, replaced whole, removed at the end.
//!
//! In: a [`Report`] and a path. Out: one JSON document, which a reader sees whole or not at all. The
//! lock and what isn't whole yet are in a folder beside it that nobody else may enter.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fsync, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::document::Report;
use crate::exit::{Ending, Exit};
use crate::host::folder::{self, Weakness};
use crate::output::text;

/// The variable that names the report's path.
pub const PATH_VARIABLE: &str = "AEGIS_CAPABILITIES_REPORT_PATH";

const DEFAULT_PATH: &str = "/var/lib/aegisbpf/capabilities.json";

/// What is made in the closed folder isn't led elsewhere by what may be there, nor waits for it.
const CAREFUL: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// The report's place, which is this process's alone for as long as this is kept.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    name: OsString,
    folder: OwnedFd,
    /// In the folder, for names that are nobody else's business.
    closed: OwnedFd,
    _lock: File,
}

/// Where the report goes.
pub fn path() -> PathBuf {
    env::var_os(PATH_VARIABLE).map_or_else(|| PathBuf::from(DEFAULT_PATH), PathBuf::from)
}

/// Claims the report at `path` for this process.
///
/// # Errors
/// Another agent has it, or others than root could put something else in its place, or the lock
/// can't be made.
pub fn claim(path: &Path) -> Result<Claim> {
    let folder = folder_of(path);
    let opened = folder::open(folder).map_err(|error| refused(path, error))?;
    claim_in(opened, path)
}

/// Claims the report at `path`, whose folder this is.
///
/// # Errors
/// As [`claim`].
pub fn claim_in(folder: OwnedFd, path: &Path) -> Result<Claim> {
    let name = path.file_name();
    let name = name.with_context(|| format!("{} is no name for a report", path.display()))?;
    let closed = folder::closed(&folder, folder_of(path)).map_err(|error| refused(path, error))?;
    let flags = OFlags::CREATE | OFlags::RDWR | CAREFUL;
    let lock = openat(&closed, with(name, ".lock"), flags, Mode::RUSR | Mode::WUSR);
    let lock = lock.with_context(|| format!("failed to open the lock of {}", path.display()))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(taken(path)),
        Err(error) => {
            return Err(error).with_context(|| format!("failed to lock {}", path.display()));
        }
    }
    Ok(Claim {
        path: path.to_owned(),
        name: name.to_owned(),
        folder,
        closed,
        _lock: File::from(lock),
    })
}

/// What it is that another agent has the report.
pub fn taken(path: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "another agent reports to {}; stop it first, or give this one another report with \
         {PATH_VARIABLE}",
        path.display()
    )
}

/// The folder that a report is in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// With the way out, where somebody else has a say in the folder.
fn refused(path: &Path, error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Weakness>() {
        Ok(weakness) => Ending::error(
            Exit::Usage,
            format!(
                "nobody but root may have a say in where the report {} goes: {weakness}; name a \
                 place that is root's alone with {PATH_VARIABLE}, or make this one so (chown root, \
                 chmod go-w)",
                path.display()
            ),
        ),
        Err(error) => error.context(format!("the report {}", path.display())),
    }
}

fn with(name: &std::ffi::OsStr, end: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(end);
    name
}

/// Replaces the report: a reader sees the old one or the new one, whole.
pub fn write(report: &Report, claim: &Claim) -> Result<()> {
    let mut json = text::json_pretty(report).context("failed to write the report")?;
    json.push('\n');
    replace(claim, json.as_bytes())
        .with_context(|| format!("failed to write the report {}", claim.path.display()))
}

fn replace(claim: &Claim, bytes: &[u8]) -> io::Result<()> {
    let Claim {
        name,
        folder,
        closed,
        ..
    } = claim;
    let temporary = with(name, ".tmp");
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | CAREFUL;
    let mut file = File::from(openat(closed, &temporary, flags, Mode::from(0o644))?);
    // What is at the report's name is replaced, whatever it is, and never opened.
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| Ok(renameat(closed, &temporary, folder, name)?));
    if written.is_err() {
        // The first error is the one worth telling.
        let _ = unlinkat(closed, &temporary, AtFlags::empty());
    }
    written?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(fsync(openat(folder, ".", flags, Mode::empty())?)?)
}

/// Removes the report: no agent, no claim.
pub fn remove(claim: &Claim) {
    match unlinkat(&claim.folder, &claim.name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => crate::output::log::warn(format_args!(
            "failed to remove the report {}: {error}",
            claim.path.display()
        )),
    }
}

impl Claim {
    /// The report's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
