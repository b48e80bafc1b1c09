//! Takes kernels and modules out of Debian packages.
//!
//! In: .deb files that have been verified. Out: an entry's folder, filled and described. The
//! package format's own tools do the reading: `dpkg-deb` unpacks and `depmod` writes
//! `modules.dep`, which packages leave to the machine that installs them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, anyhow, bail};
use xshell::{Shell, cmd};

use super::{
    bzimage,
    cache::{self, KernelEntry},
    lock::LockedKernel,
};

/// Fills `folder` with the kernel of a package and what it says about itself.
pub fn kernel(deb: &Path, locked: &LockedKernel, folder: &Path) -> anyhow::Result<()> {
    let vmlinuz = folder.join("vmlinuz");
    let release = &locked.release;
    // Under boot/ up to 7.1, then with the modules, which are under usr/ since trixie.
    let places = [
        PathBuf::from(format!("boot/vmlinuz-{release}")),
        PathBuf::from(format!("lib/modules/{release}/vmlinuz")),
        PathBuf::from(format!("usr/lib/modules/{release}/vmlinuz")),
    ];
    let mut found = false;
    for_each_file(deb, |path, content| {
        if places.iter().any(|place| place == path) {
            let mut file = fs::File::create(&vmlinuz)?;
            io::copy(content, &mut file)?;
            found = true;
        }
        Ok(!found)
    })?;
    if !found {
        bail!("no vmlinuz for {release} in the package");
    }
    let head = fs::read(&vmlinuz).context("cannot read back the kernel")?;
    let version_word = identify(&head, locked)?;
    let sum = crate::digest::of_file(&vmlinuz).context("cannot read back the kernel")?;
    let entry = KernelEntry::new(release.clone(), version_word, sum);
    cache::write_entry(folder, &entry).map_err(|failure| failure.error)
}

/// Holds what the kernel says of itself against what the package promised.
fn identify(image: &[u8], locked: &LockedKernel) -> anyhow::Result<String> {
    let head = &image[..image.len().min(bzimage::HEAD)];
    let header = bzimage::parse(head).map_err(|why| anyhow!("the package's vmlinuz is {why}"))?;
    if header.release != locked.release {
        bail!(
            "the package's vmlinuz calls itself {}, not {}",
            header.release,
            locked.release
        );
    }
    match header.debian_version() {
        Some(word) if word == locked.version => Ok(word.to_owned()),
        other => bail!(
            "the package's vmlinuz is of version {}, not {}",
            other.unwrap_or("unknown"),
            locked.version
        ),
    }
}

/// Fills `folder` with the modules of packages, `modules.dep` among them.
pub fn modules(debs: &[PathBuf], locked: &LockedKernel, folder: &Path) -> anyhow::Result<()> {
    // depmod wants the tree as it is on a machine.
    let below = Path::new("lib/modules").join(&locked.release);
    let root = folder.join("root");
    let tree = root.join(&below);
    fs::create_dir_all(&tree).context("cannot make a folder for modules")?;
    for deb in debs {
        for_each_file(deb, |path, content| {
            let path = path.strip_prefix("usr").unwrap_or(path);
            if let Ok(name) = path.strip_prefix(&below)
                && name.file_name().is_some_and(|name| name != "vmlinuz")
            {
                let target = tree.join(name);
                if let Some(parent) = target.parent() {
                    fs::create_dir_all(parent)?;
                }
                io::copy(content, &mut fs::File::create(&target)?)?;
            }
            Ok(true)
        })?;
    }
    let depmod = crate::program::find("depmod")
        .context("depmod isn't installed; it comes with the package kmod")?;
    let release = &locked.release;
    let shell = Shell::new()?;
    cmd!(shell, "{depmod} --basedir {root} {release}")
        .quiet()
        .ignore_stdout()
        .run()?;
    for item in fs::read_dir(&tree)? {
        let item = item?;
        fs::rename(item.path(), folder.join(item.file_name()))?;
    }
    fs::remove_dir_all(&root)?;
    cache::seal_modules(folder).map_err(|failure| failure.error)
}

/// Shows each regular file of a package until the visitor has seen enough. Paths come
/// without a leading `./`, and none of them leads out of the package.
fn for_each_file(
    deb: &Path,
    mut visit: impl FnMut(&Path, &mut dyn io::Read) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let mut child = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .stdout(Stdio::piped())
        // It complains there when its reader has seen enough.
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run dpkg-deb")?;
    let output = child.stdout.take().context("dpkg-deb has no output")?;
    let mut archive = tar::Archive::new(io::BufReader::with_capacity(1 << 16, output));
    let mut more = true;
    let mut read = || -> anyhow::Result<()> {
        for file in archive.entries()? {
            let mut file = file?;
            if !file.header().entry_type().is_file() {
                continue;
            }
            let path = file.path()?.into_owned();
            let path = path.strip_prefix("./").unwrap_or(&path).to_owned();
            let leads_out = path
                .components()
                .any(|part| !matches!(part, std::path::Component::Normal(_)));
            if leads_out {
                bail!("a file in the package is called {}", path.display());
            }
            more = visit(&path, &mut file)?;
            if !more {
                break;
            }
        }
        Ok(())
    };
    let result = read();
    let mut rest = archive.into_inner();
    if more {
        // The padding at the end; unread, it would look as if dpkg-deb had failed.
        let _ = io::copy(&mut rest, &mut io::sink());
    }
    // Closes the pipe, so that a child with more to say ends.
    drop(rest);
    let status = child.wait().context("cannot wait for dpkg-deb")?;
    result.with_context(|| format!("cannot unpack {}", deb.display()))?;
    if more && !status.success() {
        bail!("cannot unpack {}: dpkg-deb: {status}", deb.display());
    }
    Ok(())
}
