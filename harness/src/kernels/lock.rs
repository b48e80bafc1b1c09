//! `kernels.lock`: what each Debian kernel of the manifest resolved to, pinned by hash.
//!
//! In and out: the file's text and a [`Lock`]. The file is committed, written only by the
//! harness, and always replaced whole, so that a reader never sees half of it.

use std::{fs, io, path::Path};

use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Serialize};

use crate::exit::{Failure, Result};

/// Version of the file's format.
pub const VERSION: u32 = 1;

const HEADER: &str = "\
# Written by `cargo xtask kernels`; commit it, and don't edit it.
# `modules = false`: no suite has this kernel's modules any more. It boots all the same.
";

/// The contents of `kernels.lock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// [`VERSION`].
    pub version: u32,
    /// In the manifest's order.
    #[serde(default, rename = "kernel")]
    pub kernels: Vec<LockedKernel>,
}

/// What one kernel resolved to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedKernel {
    /// Its name in the manifest.
    pub name: String,
    /// The series that was asked for.
    pub series: String,
    /// The flavour that was asked for.
    pub flavour: String,
    /// What `uname -r` says in it.
    pub release: String,
    /// The version of its packages.
    pub version: String,
    /// Whether its modules were on offer.
    pub modules: bool,
    /// The packages that it is made of.
    #[serde(rename = "package")]
    pub packages: Vec<LockedPackage>,
}

/// One pinned package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// Its name.
    pub package: String,
    /// Its version.
    pub version: String,
    /// What is taken from it.
    pub role: Role,
    /// The suite that it was found in.
    pub suite: String,
    /// Of the .deb file, in hexadecimal.
    pub sha256: String,
    /// Of the .deb file, in bytes.
    pub size: u64,
    /// The .deb file's path below the mirror's base.
    pub filename: String,
}

/// What a package holds of its kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The kernel and its modules: up to 6.18.
    Image,
    /// The kernel alone.
    Binary,
    /// The modules alone.
    Modules,
    /// The list of modules that are built in.
    Base,
}

impl LockedKernel {
    /// The package that holds the kernel itself.
    pub fn binary(&self) -> Option<&LockedPackage> {
        let holds = |p: &&LockedPackage| matches!(p.role, Role::Image | Role::Binary);
        self.packages.iter().find(holds)
    }

    /// The packages that hold its modules and what is known about them.
    pub fn module_packages(&self) -> impl Iterator<Item = &LockedPackage> {
        let wanted = self.modules;
        let holds = move |p: &&LockedPackage| wanted && p.role != Role::Binary;
        self.packages.iter().filter(holds)
    }
}

impl Lock {
    /// A lock that pins these kernels.
    pub fn new(kernels: Vec<LockedKernel>) -> Self {
        Self {
            version: VERSION,
            kernels,
        }
    }

    /// What is pinned for a kernel of the manifest.
    pub fn find(&self, name: &str) -> Option<&LockedKernel> {
        self.kernels.iter().find(|kernel| kernel.name == name)
    }

    /// Reads the file; one that isn't there pins nothing.
    pub fn load(path: &Path) -> Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|why| {
                Failure::usage(anyhow!(
                    "{}: {why}; restore it from git, or delete it to have it written again",
                    path.display()
                ))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::new(Vec::new())),
            Err(error) => Err(anyhow!(error)
                .context(format!("cannot read {}", path.display()))
                .into()),
        }
    }

    /// Reads the file's text; the error is a fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        /// Read first: another version's other fields mustn't be what the error is about.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let versioned: Versioned =
            toml::from_str(text).map_err(|e| format!("not a lock: {}", e.message()))?;
        if versioned.version != VERSION {
            return Err(format!(
                "its format is version {}, and this harness knows version {VERSION}",
                versioned.version
            ));
        }
        let lock: Self =
            toml::from_str(text).map_err(|e| format!("not a lock: {}", e.message()))?;
        match lock.kernels.iter().find(|kernel| kernel.binary().is_none()) {
            Some(kernel) => Err(format!("kernel {:?} has no kernel package", kernel.name)),
            None => Ok(lock),
        }
    }

    /// The file's text.
    pub fn render(&self) -> Result<String> {
        let body = toml::to_string(self).context("cannot write kernels.lock as TOML")?;
        Ok(format!("{HEADER}{body}"))
    }

    /// Replaces the file.
    pub fn store(&self, path: &Path) -> Result {
        let text = self.render()?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        let write = || -> io::Result<()> {
            let file = tempfile::Builder::new()
                .prefix(".kernels.lock.")
                .tempfile_in(folder.unwrap_or(Path::new(".")))?;
            fs::write(file.path(), &text)?;
            // A temporary file is private; this one belongs to the repository.
            let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            fs::set_permissions(file.path(), readable)?;
            file.persist(path)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> Lock {
        Lock::new(vec![LockedKernel {
            name: "6.19".into(),
            series: "6.19".into(),
            flavour: "cloud-amd64".into(),
            release: "6.19.14+deb13-cloud-amd64".into(),
            version: "6.19.14-1~bpo13+1".into(),
            modules: false,
            packages: vec![LockedPackage {
                package: "linux-binary-6.19.14+deb13-cloud-amd64".into(),
                version: "6.19.14-1~bpo13+1".into(),
                role: Role::Binary,
                suite: "trixie-backports".into(),
                sha256: "ab".repeat(32),
                size: 13_030_208,
                filename: "pool/main/l/linux-signed-amd64/x.deb".into(),
            }],
        }])
    }

    #[test]
    fn the_file_says_so_when_a_kernel_has_no_modules() {
        insta::assert_snapshot!(lock().render().unwrap());
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Lock::parse(&lock().render().unwrap()).unwrap(), lock());
    }

    #[test]
    fn storing_replaces_the_file_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kernels.lock");
        assert_eq!(Lock::load(&path).unwrap(), Lock::new(Vec::new()));
        lock().store(&path).unwrap();
        lock().store(&path).unwrap();
        assert_eq!(Lock::load(&path).unwrap(), lock());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_lock_of_another_version_or_shape_is_refused() {
        let other = "version = 2\nelse = 1\n";
        insta::assert_snapshot!(Lock::parse(other).unwrap_err(), @"its format is version 2, and this harness knows version 1");
        assert!(Lock::parse("version = 1\nelse = 1\n").is_err());
        let mut without = lock();
        without.kernels[0].packages.clear();
        let text = "version = 1\n[[kernel]]\nname='a'\nseries='1.1'\nflavour='amd64'\nrelease='r'\nversion='v'\nmodules=false\npackage=[]\n";
        insta::assert_snapshot!(Lock::parse(text).unwrap_err(), @r#"kernel "a" has no kernel package"#);
    }
}
