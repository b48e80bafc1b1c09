//! A checkout of its own for each test, and one run of the harness in it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use harness::outcome::{BootResult, ProofResult};
use harness::report::json;
use tempfile::TempDir;

/// This repository's root.
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the crate is a folder of the repository")
        .into()
}

/// The first bytes that make a file a kernel for whoever doesn't boot it.
pub fn kernel_s_head() -> Vec<u8> {
    let mut head = vec![0; 0x400];
    head[0x202..0x206].copy_from_slice(b"HdrS");
    head[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
    head[0x300..0x30c].copy_from_slice(b"6.1.0-test #");
    head
}

/// A root with the repository's lock, with its images unless a test writes others.
pub struct Checkout {
    folder: TempDir,
}

impl Checkout {
    /// With the repository's own kernels.
    pub fn new() -> Self {
        let manifest = fs::read_to_string(repository().join("kernels.toml"));
        Self::with_manifest(&manifest.expect("the repository has a manifest"))
    }

    /// With this `kernels.toml`.
    pub fn with_manifest(manifest: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let lock = repository().join("kernels.lock");
        fs::copy(lock, folder.path().join("kernels.lock")).expect("the repository has a lock");
        symlink(repository().join("images"), folder.path().join("images")).expect("a link");
        fs::write(folder.path().join("kernels.toml"), manifest).expect("a writable folder");
        Self { folder }
    }

    /// With a kernel of the user's own, named `mine`, and more lines about it.
    pub fn with_kernel(vmlinuz: &Path, more: &str) -> Self {
        Self::with_manifest(&format!(
            "[[kernel]]\nname = \"mine\"\npath = \"{}\"\n{more}",
            vmlinuz.display()
        ))
    }

    /// Puts a file in the place of the linked `images/`.
    pub fn replace_images(&self, text: &str) {
        let images = self.path("images");
        fs::remove_file(&images).expect("it is a link");
        fs::create_dir(&images).expect("a writable folder");
        fs::write(images.join("guest.toml"), text).expect("a writable folder");
    }

    /// A path below the root.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The harness in this root, with a subcommand of one word or more.
    pub fn harness(&self, subcommand: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        let words = subcommand.split(' ');
        command.args(words).current_dir(self.folder.path());
        command.stdin(Stdio::null()).env("NO_COLOR", "1");
        command
    }

    /// `matrix` on the direct launcher; see [`Checkout::matrix_by`].
    pub fn matrix(&self) -> Command {
        self.matrix_by("qemu")
    }

    /// `matrix` with its results in `out`, that fetches nothing and installs nothing.
    pub fn matrix_by(&self, launcher: &str) -> Command {
        self.booting("matrix", launcher)
    }

    /// A subcommand that boots machines, with its results in `out`, that fetches nothing and
    /// installs nothing.
    pub fn booting(&self, subcommand: &str, launcher: &str) -> Command {
        let mut command = self.harness(subcommand);
        command.args(["--launcher", launcher, "--accel", "tcg"]);
        command.args(["--offline", "--no-setup", "--out"]);
        command.arg(self.path("out"));
        command
    }

    /// A file that the run left in `--out`.
    pub fn out(&self, name: &str) -> String {
        let path = self.path("out").join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The run's results, as a program reads them.
    pub fn results(&self) -> Vec<BootResult> {
        json::parse(&self.out("results.json")).expect("results of this version")
    }

    /// The one boot of a run that had just one.
    pub fn boot(&self) -> BootResult {
        let mut results = self.results();
        assert_eq!(results.len(), 1, "{results:?}");
        results.remove(0)
    }

    /// The one proof of a run that had just one, without a fault of the boot around it.
    pub fn proof(&self) -> ProofResult {
        let mut boot = self.boot();
        assert_eq!(boot.proofs.len(), 1, "{boot:?}");
        boot.proofs.remove(0)
    }
}

/// What a run of the harness came to.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its results.
    pub stdout: String,
    /// Its progress and errors.
    pub stderr: String,
}

impl Ran {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the harness was built");
        Self::from(output)
    }

    /// Checks the exit code, and that standard error has each of these texts.
    #[track_caller]
    pub fn expect(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} isn't in {self:#?}");
        }
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
