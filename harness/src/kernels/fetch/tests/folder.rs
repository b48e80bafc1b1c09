//! An archive that is a folder of packages.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    exit::Result,
    kernels::{fetch::Archive, index::Offer, lock::LockedPackage},
};

/// A vmlinuz with nothing in it but its name.
pub fn vmlinuz(release: &str, version: &str) -> Vec<u8> {
    let text = format!("{release} (builder@example.org) #1 SMP Debian {version} (now)");
    let mut image = vec![0; 0x400];
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
    image[0x300..0x300 + text.len()].copy_from_slice(text.as_bytes());
    image
}

/// An archive with packages that `dpkg-deb` built.
pub struct Folder {
    folder: tempfile::TempDir,
    packages: Mutex<BTreeMap<String, (Offer, PathBuf)>>,
    asked: AtomicUsize,
    downloaded: AtomicUsize,
    /// Whether downloads break off.
    pub cut: bool,
    /// A package that can't be downloaded.
    pub broken: Option<&'static str>,
}

impl Folder {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            packages: Mutex::default(),
            asked: AtomicUsize::new(0),
            downloaded: AtomicUsize::new(0),
            cut: false,
            broken: None,
        }
    }

    /// Adds a build of a kernel whose image says that it is of `inside`.
    pub fn add(&self, release: &str, version: &str, inside: &str) {
        let package = format!("linux-image-{release}");
        let root = self.folder.path().join(format!("{package}_{version}"));
        let control = format!(
            "Package: {package}\nVersion: {version}\nArchitecture: amd64\nMaintainer: nobody <nobody@example.org>\nDescription: test\n"
        );
        let files = [
            ("DEBIAN/control".to_owned(), control.into_bytes()),
            (format!("boot/vmlinuz-{release}"), vmlinuz(release, inside)),
            (
                format!("lib/modules/{release}/modules.builtin"),
                b"kernel/b.ko\n".to_vec(),
            ),
            (format!("lib/modules/{release}/modules.order"), b"".to_vec()),
        ];
        for (name, content) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let deb = root.with_extension("deb");
        let built = Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Znone", "--build"])
            .args([&root, &deb])
            .output()
            .unwrap();
        assert!(built.status.success(), "{built:?}");
        let offer = Offer {
            package: package.clone(),
            version: version.to_owned(),
            suite: "bookworm".to_owned(),
            sha256: crate::digest::of_file(&deb).unwrap(),
            size: deb.metadata().unwrap().len(),
            filename: format!("pool/{package}.deb"),
            depends: Vec::new(),
        };
        let key = format!("{package}={version}");
        self.packages.lock().unwrap().insert(key, (offer, deb));
    }

    pub fn remove(&self, release: &str, version: &str) {
        let key = format!("linux-image-{release}={version}");
        self.packages.lock().unwrap().remove(&key).unwrap();
    }

    pub fn counts(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        (count(&self.asked), count(&self.downloaded))
    }
}

impl Archive for Folder {
    fn offers(&self) -> Result<Vec<Offer>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let packages = self.packages.lock().unwrap();
        Ok(packages.values().map(|(offer, _)| offer.clone()).collect())
    }

    fn download(&self, wanted: &[&LockedPackage], into: &Path) -> Result {
        for package in wanted {
            if self.broken == Some(package.package.as_str()) {
                return Err(anyhow::anyhow!("404 Not Found").into());
            }
            self.downloaded.fetch_add(1, Ordering::SeqCst);
            let key = format!("{}={}", package.package, package.version);
            let packages = self.packages.lock().unwrap();
            let mut bytes = fs::read(&packages[&key].1).unwrap();
            if self.cut {
                bytes.truncate(100);
            }
            fs::write(into.join(format!("{}.deb", package.package)), bytes).unwrap();
        }
        Ok(())
    }
}
