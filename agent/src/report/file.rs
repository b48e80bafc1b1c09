//! The report on disk: whose it is, replaced whole, removed at the end.
//!
//! In: a [`Report`] and a path. Out: one JSON document, which a reader sees whole or not at all.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context as _, Result};

use super::document::Report;

/// The variable that names the report's path.
pub const PATH_VARIABLE: &str = "AEGIS_CAPABILITIES_REPORT_PATH";

const DEFAULT_PATH: &str = "/var/lib/aegisbpf/capabilities.json";

/// Where the report goes.
pub fn path() -> PathBuf {
    env::var_os(PATH_VARIABLE).map_or_else(|| PathBuf::from(DEFAULT_PATH), PathBuf::from)
}

/// Claims the report at `path` for this process, for as long as the claim is kept.
///
/// # Errors
/// Another agent has it, or the lock beside it can't be made.
pub fn claim(path: &Path) -> Result<File> {
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    let lock = Path::new(&lock);
    if let Some(folder) = lock.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("failed to make {}", folder.display()))?;
    }
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(lock)
        .with_context(|| format!("failed to open {}", lock.display()))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => anyhow::bail!(
            "another agent reports to {}; stop it first, or give this one another report with \
             {PATH_VARIABLE}",
            path.display()
        ),
        Err(error) => Err(error).with_context(|| format!("failed to lock {}", lock.display())),
    }
}

/// Replaces the report at `path`: a reader sees the old one or the new one, whole.
pub fn write(report: &Report, path: &Path) -> Result<()> {
    let mut text = serde_json::to_string_pretty(report).context("failed to write the report")?;
    text.push('\n');
    replace(path, text.as_bytes())
        .with_context(|| format!("failed to write the report {}", path.display()))
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let temporary = folder.join(format!(".capabilities.{}.tmp", process::id()));
    let mut file = File::create(&temporary)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one worth telling.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(folder)?.sync_all()
}

/// Removes the report: no agent, no claim.
pub fn remove(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => crate::output::log::warn(format_args!(
            "failed to remove the report {}: {error}",
            path.display()
        )),
    }
}
