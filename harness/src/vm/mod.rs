//! Boots one machine: composes QEMU's command, runs it, and hands on what its result channel
//! carries while it comes in.
//!
//! In: a [`Machine`]. Out: bytes of the result channel as they arrive, and an
//! [`Ending`](crate::outcome::Ending).
//! Nothing here judges. The two launchers differ only in who composes the command.

pub mod accel;
pub mod channel;
mod ending;
mod guard;
pub mod interrupt;
mod monitor;
pub mod pace;
mod process;
pub mod qemu;
mod quote;
pub mod virtme;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

pub use pace::Pace;
pub use process::{boot, command_text};

/// Who composes QEMU's command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Launcher {
    /// virtme-ng's dry run.
    VirtmeNg,
    /// The harness itself.
    Qemu,
}

impl Launcher {
    /// As on the command line and in every report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::VirtmeNg => "virtme-ng",
            Self::Qemu => "qemu",
        }
    }
}

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The host's processor.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl Accelerator {
    /// As on the command line and in every report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// One machine to boot.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The bzImage.
    pub vmlinuz: PathBuf,
    /// The packed image.
    pub initramfs: PathBuf,
    /// Our part of the kernel's command line.
    pub cmdline: String,
    /// The guest's memory in MiB.
    pub memory_mib: u32,
    /// Its processors.
    pub processors: usize,
    /// What runs it.
    pub accelerator: Accelerator,
    /// How long it may take as a whole.
    pub limit: Duration,
    /// The folder for its files; see [`Files`].
    pub dir: PathBuf,
}

/// The files of one boot.
#[derive(Debug, Clone)]
pub struct Files {
    /// The first serial port: the kernel's console.
    pub console: PathBuf,
    /// The second serial port: the records, as they came.
    pub records: PathBuf,
    /// What QEMU itself said.
    pub qemu: PathBuf,
    /// The lines to run again.
    pub command: PathBuf,
    /// How QEMU ended, and when the records came.
    pub ending: PathBuf,
}

impl Files {
    /// The files in a boot's folder.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        Self {
            console: dir.join("console.log"),
            records: dir.join("records.jsonl"),
            qemu: dir.join("qemu.log"),
            command: dir.join("command.txt"),
            ending: dir.join("ending.json"),
        }
    }

    /// What came over the boot's channel. One that never started has no file.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn read_records(&self) -> Result<Vec<u8>> {
        match std::fs::read(&self.records) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            read => read.with_context(|| format!("reading {}", self.records.display())),
        }
    }
}

/// A composed command.
#[derive(Debug, Clone)]
pub struct Composed {
    /// QEMU and its arguments.
    pub argv: Vec<OsString>,
    /// The command that composed it, where another program did.
    pub composer: Option<Vec<OsString>>,
    /// Whether the first serial port is QEMU's standard output instead of a file.
    pub console_on_stdout: bool,
}

/// Composes the commands of a run.
#[derive(Debug)]
pub enum Composer {
    /// virtme-ng's dry run does.
    VirtmeNg(Box<virtme::Virtme>),
    /// The harness itself does.
    Qemu,
}

impl Composer {
    /// The launcher's; `vng` is virtme-ng's program, for the launcher of that name.
    ///
    /// # Errors
    /// The folder that virtme-ng is asked in can't be made.
    pub fn new(launcher: Launcher, vng: PathBuf) -> Result<Self> {
        Ok(match launcher {
            Launcher::VirtmeNg => Self::VirtmeNg(Box::new(virtme::Virtme::new(vng)?)),
            Launcher::Qemu => Self::Qemu,
        })
    }

    /// Whose it is.
    #[must_use]
    pub fn launcher(&self) -> Launcher {
        match self {
            Self::VirtmeNg(_) => Launcher::VirtmeNg,
            Self::Qemu => Launcher::Qemu,
        }
    }

    /// Composes the command for a machine.
    ///
    /// # Errors
    /// The composing program can't be run, or composes something else than was asked for.
    pub fn compose(&self, machine: &Machine) -> Result<Composed> {
        match self {
            Self::VirtmeNg(virtme) => virtme.compose(machine),
            Self::Qemu => Ok(qemu::compose(machine)),
        }
    }
}
