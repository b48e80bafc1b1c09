//! Makes a disk with an empty file system on it, by the file system's own tool and without
//! any privilege, and keeps what isn't zero of it.
//!
//! In: a [`DiskSpec`]. Out: a [`Disk`], a few hundred KiB for hundreds of MiB. Making one
//! takes some tens of milliseconds, so none is kept from one run to the next.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use anyhow::{Context as _, bail};
use rustix::fs::SeekFrom;

use super::spec::DiskSpec;
use crate::program;

/// What is looked at in one piece.
const BLOCK: usize = 4096;

/// A disk's content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// Its size in bytes.
    pub size: u64,
    /// What isn't zero: where it begins, and the bytes. Sorted; none touches the next.
    pub runs: Vec<(u64, Vec<u8>)>,
}

/// Makes the disk and reads it back.
pub fn make(spec: &DiskSpec) -> anyhow::Result<Disk> {
    let (name, arguments) = spec.mkfs.split_first().context("no program is named")?;
    let program = program::find(name).with_context(|| format!("{name} isn't installed"))?;
    let file = tempfile::NamedTempFile::new().context("cannot make a file for a disk")?;
    let size = u64::from(spec.size_mib) << 20;
    file.as_file()
        .set_len(size)
        .context("cannot make a file for a disk")?;
    let output = Command::new(program)
        .args(arguments)
        .arg(file.path())
        // What the tools that know it take for the time of making, so that the same input
        // gives the same disk.
        .env("SOURCE_DATE_EPOCH", "1")
        .env("E2FSPROGS_FAKE_TIME", "1")
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{name} made no file system: {}", said.trim());
    }
    read(file.as_file(), size).context("cannot read the disk back")
}

fn read(file: &File, size: u64) -> anyhow::Result<Disk> {
    let mut disk = Disk {
        size,
        ..Disk::default()
    };
    let mut from = 0;
    while let Some(data) = next_data(file, from)? {
        let end = rustix::fs::seek(file, SeekFrom::Hole(data))?.min(size);
        let mut at = data - data % BLOCK as u64;
        while at < end {
            let mut block = vec![0; BLOCK.min(usize::try_from(size - at)?)];
            file.read_exact_at(&mut block, at)?;
            if block.iter().any(|byte| *byte != 0) {
                disk.add(at, block);
            }
            at += BLOCK as u64;
        }
        from = end.max(at);
        if from >= size {
            break;
        }
    }
    Ok(disk)
}

/// Where the next bytes are that may not be zero.
fn next_data(file: &File, from: u64) -> anyhow::Result<Option<u64>> {
    match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(data) => Ok(Some(data)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Disk {
    fn add(&mut self, at: u64, block: Vec<u8>) {
        match self.runs.last_mut() {
            Some((start, bytes)) if *start + bytes.len() as u64 == at => bytes.extend(block),
            _ => self.runs.push((at, block)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_zero_is_kept_and_where_it_was() {
        let file = tempfile::tempfile().unwrap();
        let size = 5 * BLOCK as u64 * 1024 + 100;
        file.set_len(size).unwrap();
        let block = BLOCK as u64;
        file.write_all_at(&[7; 2 * BLOCK], 3 * block).unwrap();
        file.write_all_at(&[0; BLOCK], 9 * block).unwrap();
        file.write_all_at(&[8], 20 * block + 5).unwrap();
        file.write_all_at(&[9], size - 1).unwrap();
        let disk = read(&file, size).unwrap();
        assert_eq!(disk.size, size);
        let places: Vec<_> = disk.runs.iter().map(|(at, b)| (*at, b.len())).collect();
        let last = size - 100;
        assert_eq!(
            places,
            [(3 * block, 2 * BLOCK), (20 * block, BLOCK), (last, 100)]
        );
        assert_eq!(disk.runs[1].1[5], 8);
        assert_eq!(disk.runs[2].1[99], 9);
        assert_eq!(read(&tempfile::tempfile().unwrap(), 0).unwrap().runs, []);
    }

    #[test]
    fn a_tool_that_fails_or_is_not_there_is_named_with_what_it_said() {
        let disk = |mkfs: &[&str]| DiskSpec {
            size_mib: 1,
            mkfs: mkfs.iter().map(|word| (*word).to_owned()).collect(),
        };
        let error = make(&disk(&["sh", "-c", "echo too small >&2; exit 1"])).unwrap_err();
        assert_eq!(error.to_string(), "sh made no file system: too small");
        let error = make(&disk(&["mkfs.none"])).unwrap_err();
        assert_eq!(error.to_string(), "mkfs.none isn't installed");
        let made = make(&disk(&["sh", "-c", "printf x 1<>\"$0\""])).unwrap();
        assert_eq!(made.runs.len(), 1);
    }
}
