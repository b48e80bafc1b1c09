//! A folder of pretended tools, for the only folder in PATH or the first of it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Pretended tools.
pub struct Tools {
    folder: TempDir,
}

impl Tools {
    /// All that the direct launcher asks set-up for, each doing nothing.
    pub fn all() -> Self {
        let tools = Self::none();
        let fetch = ["apt-get", "dpkg-deb"];
        let modules = ["depmod", "gzip", "xz", "zstd"];
        let disks = ["mkfs.btrfs", "mkfs.ext4", "mkfs.xfs"];
        for name in [&fetch[..], &modules, &disks, &["qemu-system-x86_64"]].concat() {
            tools.put(name, "");
        }
        tools
    }

    /// None at all.
    pub fn none() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder }
    }

    /// Adds or replaces one, as a shell script. `$HERE` is the tools' folder.
    pub fn put(&self, name: &str, script: &str) {
        let path = self.path(name);
        let text = format!(
            "#!/bin/sh\nHERE={}\n{script}\n",
            self.folder.path().display()
        );
        fs::write(&path, text).expect("a writable folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our own file");
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder, for a PATH of nothing else.
    pub fn only(&self) -> &Path {
        self.folder.path()
    }

    /// The folder before those of every Debian.
    pub fn first(&self) -> OsString {
        let mut path = self.folder.path().as_os_str().to_owned();
        path.push(":/usr/bin:/bin");
        path
    }
}
