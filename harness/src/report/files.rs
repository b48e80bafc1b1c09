//! The files under `--out`, and how they come to be.
//!
//! In: judged boots, and the folder of each boot with what its guest sent. Out: `junit.xml`,
//! `results.json`, and `records.jsonl` with every boot's records, each line wrapped with its
//! suite. Whole files only: a reader finds the last run's file or this one's, never a half.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use junit_report::OffsetDateTime;
use serde::Serialize;
use serde_json::Value;

use super::{json, junit};
use crate::bench::report::FILE as BENCH;
use crate::outcome::{BootResult, Cases, SuiteId};
use crate::run::saved::{PLAN, read_file};
use crate::sabotage::report::FILE as SABOTAGE;
use crate::sabotage::sweep::FILE as SWEEP;
use crate::vm::Files;

/// The JUnit report, in `--out`.
pub const JUNIT: &str = "junit.xml";
/// The results for programs, in `--out`.
pub const RESULTS: &str = "results.json";
/// The records of all boots, in `--out`.
pub const RECORDS: &str = "records.jsonl";

/// One line of the gathered `records.jsonl`.
#[derive(Serialize)]
struct Wrapped<'a> {
    kernel: &'a str,
    boot: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Value>,
    /// A line that isn't JSON, as text: it is the interesting one.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<&'a str>,
}

/// The folder of a boot, `KERNEL/BOOT` under `out`. Names come from a manifest, so what could
/// lead out of the folder is written as `%XX`.
pub fn boot_dir(out: &Path, suite: &SuiteId) -> PathBuf {
    out.join(component(&suite.kernel))
        .join(component(&suite.boot))
}

/// Removes the reports of an earlier run, so that none outlives a run that breaks off, and its plan,
/// which isn't that of the run that begins.
pub fn remove_all(out: &Path) -> Result<()> {
    remove_reports(out)?;
    remove(out, PLAN)
}

/// Removes the reports alone.
pub fn remove_reports(out: &Path) -> Result<()> {
    let names = [JUNIT, RESULTS, RECORDS, SABOTAGE, SWEEP, BENCH];
    names.into_iter().try_for_each(|name| remove(out, name))
}

fn remove(out: &Path, name: &str) -> Result<()> {
    let path = out.join(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove the old {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes every report of a run.
pub fn write_all(out: &Path, results: &[BootResult]) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("failed to create {}", out.display()))?;
    let xml = junit::render(results, OffsetDateTime::now_utc())?;
    write_whole(&out.join(JUNIT), &xml)?;
    write_whole(&out.join(RESULTS), json::render(results)?.as_bytes())?;
    write_whole(&out.join(RECORDS), &gather(results)?)
}

/// How many cases each suite of the JUnit report has, as it stands in the folder.
///
/// # Errors
/// It can't be read back.
pub fn cases(out: &Path) -> Result<Cases> {
    let path = out.join(JUNIT);
    let read = || -> Result<Cases> { junit::cases(&fs::read_to_string(&path)?) };
    read().with_context(|| format!("failed to read {} back", path.display()))
}

/// The same of reports that are written nowhere.
///
/// # Errors
/// They can't be composed.
pub fn cases_of(results: &[BootResult]) -> Result<Cases> {
    let xml = junit::render(results, OffsetDateTime::now_utc())?;
    junit::cases(&String::from_utf8(xml).context("a report is text")?)
}

/// Writes a file in such a way that nobody ever sees a part of it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> Result<()> {
        let dir = path.parent().context("it has no folder")?;
        let mut file = tempfile::Builder::new()
            // Temporary files are private by default; a report is for others to read, as far
            // as the umask allows.
            .permissions(fs::Permissions::from_mode(0o666))
            .prefix(".writing-")
            .tempfile_in(dir)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("failed to write {}", path.display()))
}

fn gather(results: &[BootResult]) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for result in results {
        let path = Files::of(&result.dir).records;
        let bytes = match read_file(&path) {
            Ok(bytes) => bytes,
            // A comparison of boots has no records, nor has a QEMU that never ran.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("failed to read {}", path.display()));
            }
        };
        wrap(&result.suite, &bytes, &mut all)?;
    }
    Ok(all)
}

fn wrap(suite: &SuiteId, bytes: &[u8], all: &mut Vec<u8>) -> Result<()> {
    for line in String::from_utf8_lossy(bytes).lines() {
        if line.trim().is_empty() {
            continue;
        }
        let record: Option<Value> = serde_json::from_str(line).ok();
        let wrapped = Wrapped {
            kernel: &suite.kernel,
            boot: &suite.boot,
            broken: record.is_none().then_some(line),
            record,
        };
        serde_json::to_writer(&mut *all, &wrapped).context("failed to wrap a record")?;
        all.push(b'\n');
    }
    Ok(())
}

fn component(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+~".contains(&byte);
    let mut text = String::new();
    for (at, byte) in name.bytes().enumerate() {
        // A leading dot could make `.` or `..`, or hide the folder.
        if plain(byte) || (byte == b'.' && at > 0) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    if text.is_empty() {
        text.push('%');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn a_boot_has_its_own_folder_and_no_name_leads_out_of_it() {
        let dir = |kernel, boot| boot_dir(Path::new("out"), &samples::suite(kernel, boot));
        assert_eq!(dir("6.1", "bpf-lsm"), Path::new("out/6.1/bpf-lsm"));
        assert_eq!(dir("..", "bpf-lsm"), Path::new("out/%2E./bpf-lsm"));
        assert_eq!(dir("/etc", ""), Path::new("out/%2Fetc/%"));
        assert_ne!(dir("a/b", "c"), dir("a", "b/c"));
    }

    #[test]
    fn all_reports_of_a_run_are_written_and_nothing_else_is_left() {
        let out = tempfile::tempdir().unwrap();
        let mut results = samples::results();
        for result in &mut results {
            result.dir = boot_dir(out.path(), &result.suite);
        }
        let sent = b"{\"record\":\"end\",\"count\":0}\r\n\n{\"record\":\"e\xff";
        fs::create_dir_all(&results[0].dir).unwrap();
        fs::write(Files::of(&results[0].dir).records, sent).unwrap();
        write_all(out.path(), &results).unwrap();
        write_all(out.path(), &results).unwrap();

        let records = fs::read_to_string(out.path().join(RECORDS)).unwrap();
        let lines: Vec<Value> = records
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["kernel"], "6.12");
        assert_eq!(lines[0]["boot"], "no-bpf-lsm");
        assert_eq!(lines[0]["record"]["count"], 0);
        assert_eq!(lines[1]["broken"], "{\"record\":\"e\u{fffd}");

        let read = fs::read_to_string(out.path().join(RESULTS)).unwrap();
        assert_eq!(json::parse(&read).unwrap(), results);
        let mut names: Vec<String> = fs::read_dir(out.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["6.12", JUNIT, RECORDS, RESULTS]);
        let mode = fs::metadata(out.path().join(JUNIT)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o400, 0o400);
    }

    #[test]
    fn every_report_of_an_earlier_run_is_removed_and_nothing_else_is() {
        let out = tempfile::tempdir().unwrap();
        remove_all(out.path()).expect("there is nothing to remove");
        write_all(out.path(), &samples::results()).unwrap();
        for name in [SABOTAGE, PLAN, "of-the-user"] {
            fs::write(out.path().join(name), "").unwrap();
        }
        let left = || {
            let entries = fs::read_dir(out.path()).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name());
            names.collect::<std::collections::BTreeSet<_>>()
        };
        remove_reports(out.path()).unwrap();
        assert_eq!(left(), ["of-the-user".into(), PLAN.into()].into());
        remove_all(out.path()).unwrap();
        assert_eq!(left(), ["of-the-user".into()].into());
    }

    #[test]
    fn a_file_that_can_not_be_written_is_named() {
        let error = write_whole(Path::new("/proc/nothing/junit.xml"), b"").unwrap_err();
        assert_eq!(error.to_string(), "failed to write /proc/nothing/junit.xml");
    }
}
