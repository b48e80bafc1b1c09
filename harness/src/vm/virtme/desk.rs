//! The folder that virtme-ng is asked in, the words that it is asked with, and what stands in them for
//! the paths and the command line of a machine.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::{Kind, accelerator_word, memory_word};
use crate::vm::{Accelerator, Files, Machine, qemu};

pub(super) const HOME: &str = "home";
pub(super) const KERNEL: &str = "kernel";
pub(super) const INITRAMFS: &str = "initramfs";
pub(super) const RECORDS: &str = "records";
pub(super) const ROOT: &str = "root";
/// Stands in for our part of the command line. As long as that at its longest, since virtme-ng
/// looks at the length of the whole.
pub(super) const CMDLINE: &str = "aegisbpf.stands_in_for_the_command_line=\
    0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000";

/// The folder that virtme-ng is asked in. Its path, and every name in it, means the same to a shell
/// as to everyone else, and to QEMU within an option.
#[derive(Debug)]
pub(super) struct Desk {
    folder: TempDir,
}

impl Desk {
    /// Makes it, with settings of ours and an empty root.
    ///
    /// # Errors
    /// It can't be made.
    pub(super) fn new() -> Result<Self> {
        // Not where the user's TMPDIR says, which may be any name.
        let folder = tempfile::Builder::new()
            .prefix("aegisbpf-virtme-ng-")
            .tempdir_in("/tmp");
        let desk = Self {
            folder: folder.context("making a folder in /tmp to ask virtme-ng in")?,
        };
        // The first place where virtme-ng looks for settings, and the last, as it is there.
        let settings = desk.path(HOME).join(".config/virtme-ng");
        let made = fs::create_dir_all(&settings)
            .and_then(|()| fs::write(settings.join("virtme-ng.conf"), "{}"))
            .and_then(|()| fs::create_dir(desk.path(ROOT)));
        made.with_context(|| format!("filling {}", desk.folder.path().display()))?;
        Ok(desk)
    }

    /// Where virtme-ng is to be run.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A place in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a kernel in its place, for virtme-ng to look at.
    ///
    /// # Errors
    /// It can't be linked.
    pub(super) fn put_kernel(&self, vmlinuz: &Path) -> Result<()> {
        let link = self.path(KERNEL);
        match fs::remove_file(&link) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => symlink(std::path::absolute(vmlinuz)?, &link),
        }
        .with_context(|| format!("linking {} to {}", link.display(), vmlinuz.display()))
    }

    /// virtme-ng's command line for a kind of machine. Pure.
    pub(super) fn dry_run(&self, vng: &Path, kind: Kind) -> Vec<OsString> {
        let path = |name: &str| self.path(name).display().to_string();
        let mut extra = vec![
            "-initrd".to_owned(),
            path(INITRAMFS),
            "-serial".to_owned(),
            format!("file:{}", path(RECORDS)),
            "-no-reboot".to_owned(),
            // virtme-ng asks for `kvm:tcg`, so QEMU could replace the accelerator of the reports in
            // silence. The last word counts.
            "-machine".to_owned(),
            accelerator_word(kind.accelerator),
        ];
        if kind.accelerator == Accelerator::Tcg {
            // The last one counts. virtme-ng's own choice, `max`, makes TCG a tenth slower.
            extra.extend(["-cpu", qemu::TCG_CPU].map(str::to_owned));
        }
        let mut argv = vec![vng.as_os_str().to_owned()];
        let mut put = |word: String| argv.push(OsString::from(word));
        for word in [
            "--dry-run",
            "--verbose",
            "--disable-monitor",
            "--force-9p",
            "--disable-microvm",
        ] {
            put(word.to_owned());
        }
        if kind.accelerator == Accelerator::Tcg {
            put("--disable-kvm".to_owned());
        }
        for (option, value) in [
            ("--cpus", kind.processors.to_string()),
            ("--memory", memory_word(kind.memory_mib)),
            ("--root", path(ROOT)),
            ("--append", CMDLINE.to_owned()),
        ] {
            put(option.to_owned());
            put(value);
        }
        put(format!("--qemu-opts={}", extra.join(" ")));
        put("--run".to_owned());
        put(path(KERNEL));
        argv
    }

    /// Puts what a machine is made of into the places of the stand-ins. Pure.
    ///
    /// # Errors
    /// One doesn't stand exactly where it must.
    pub(super) fn fill(
        &self,
        words: &[String],
        machine: &Machine,
        root: &Path,
    ) -> Result<Vec<OsString>> {
        let [kernel, initramfs, records, empty] =
            [KERNEL, INITRAMFS, RECORDS, ROOT].map(|name| self.path(name).display().to_string());
        let records_file = Files::of(&machine.dir).records;
        let mut file = OsString::from("file:");
        file.push(&records_file);
        // Within one of QEMU's options a comma is doubled.
        let root = root.display().to_string().replace(',', ",,");
        let whole = [
            (kernel, machine.vmlinuz.clone().into_os_string()),
            (initramfs, machine.initramfs.clone().into_os_string()),
            (format!("file:{records}"), file),
        ];
        let parts = [
            (CMDLINE.to_owned(), machine.cmdline.clone()),
            (format!("path={empty},"), format!("path={root},")),
        ];
        for stand_in in whole
            .iter()
            .map(|it| &it.0)
            .chain(parts.iter().map(|it| &it.0))
        {
            let times = words
                .iter()
                .map(|word| word.matches(stand_in.as_str()).count());
            let times: usize = times.sum();
            ensure!(
                times == 1,
                "virtme-ng composed a command with {stand_in:?} {times} times in it, not once"
            );
        }
        let filled = words.iter().map(|word| {
            if let Some((_, own)) = whole.iter().find(|(stand_in, _)| stand_in == word) {
                return own.clone();
            }
            let filled = parts.iter().fold(word.clone(), |word, (stand_in, own)| {
                word.replace(stand_in, own)
            });
            OsString::from(filled)
        });
        Ok(filled.collect())
    }
}
