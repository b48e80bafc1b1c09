//! The edge to Debian's archive: a private apt root, fed by the machine's own configuration.
//!
//! In: the manifest's suites. Out: what they have, and .deb files. Proxy, credentials and
//! keys stay the machine's; source list, lists and cache are ours, so that suites which the
//! machine must never install from can be read, without root and without a trace in it.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use xshell::{Shell, cmd};

use super::{
    fetch::Archive,
    index::{self, Offer},
    lock::LockedPackage,
};
use crate::{
    exit::{Failure, Result},
    program::{Heard, listen},
    progress::Progress,
};

mod explain;
mod mirrors;

use mirrors::{Labelled, Mirrors, Target};

/// Debian's own keys, which its newest releases no longer put among the trusted ones.
const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Debian's archive, as this machine reaches it.
pub struct AptArchive<'a> {
    root: PathBuf,
    suites: &'a [String],
    path: OsString,
    progress: &'a dyn Progress,
}

impl<'a> AptArchive<'a> {
    /// An archive of these suites whose state lies in `root`. Does nothing yet.
    pub fn new(root: PathBuf, suites: &'a [String], progress: &'a dyn Progress) -> Self {
        Self {
            root,
            suites,
            path: std::env::var_os("PATH").unwrap_or_default(),
            progress,
        }
    }

    /// The same, with its tools looked up along another path.
    pub fn with_path(self, path: OsString) -> Self {
        Self { path, ..self }
    }

    fn shell(&self) -> anyhow::Result<Shell> {
        let shell = Shell::new()?;
        shell.set_var("PATH", &self.path);
        // What apt says is looked into, so it must speak the language we know.
        shell.set_var("LC_ALL", "C.UTF-8");
        Ok(shell)
    }

    /// Finds the mirror in the machine's configuration.
    fn mirrors(&self, shell: &Shell) -> Result<Mirrors> {
        let targets = machine_targets(shell, None)?;
        let mut labelled: Vec<_> = targets.into_iter().map(Target::labelled).collect();
        if mirrors::choose(&labelled).is_err() {
            labelled = self.probe(shell)?;
        }
        mirrors::choose(&labelled).map_err(|why| Failure::prerequisite(anyhow!("{why}")))
    }

    /// Asks the machine's sources who they are, where its own lists don't say: it may never
    /// have been updated. Only the Release files are fetched, and into a root of ours.
    fn probe(&self, shell: &Shell) -> Result<Vec<Labelled>> {
        self.progress
            .step("asking apt's sources who they are", None);
        let root = self.root.join("probe");
        let conf = write_root(&root, "")?;
        let update = cmd!(shell, "apt-get -c {conf} update")
            .args([
                "-o",
                "Acquire::IndexTargets::deb::Packages::DefaultEnabled=false",
            ])
            .args([
                "-o",
                "Acquire::IndexTargets::deb::Translations::DefaultEnabled=false",
            ]);
        let Heard { succeeded, said } = listen(update.into(), |_| {})?;
        let targets = machine_targets(shell, Some(&conf))?;
        let labelled: Vec<_> = targets.into_iter().map(Target::labelled).collect();
        // A third party's source may well be down; what counts is whether Debian's answered.
        if !succeeded && labelled.iter().all(|l| l.label.is_none()) && !labelled.is_empty() {
            return Err(Failure::infrastructure(anyhow!(
                "cannot ask apt's sources who they are: {}",
                explain::explain(&said)
            )));
        }
        Ok(labelled)
    }

    /// Writes the private root's configuration and returns its path.
    fn prepare(&self, shell: &Shell) -> Result<PathBuf> {
        let mirrors = self.mirrors(shell)?;
        let conf = write_root(&self.root, &private_sources(&self.root))?;
        let list = mirrors.source_list(self.suites);
        write(&self.root.join("sources.list"), &list)?;
        let trusted = cmd!(shell, "apt-config shell PARTS Dir::Etc::trustedparts/d")
            .quiet()
            .read()
            .context("cannot ask apt for its keys")?;
        let trusted = trusted
            .split('\'')
            .nth(1)
            .unwrap_or("/etc/apt/trusted.gpg.d");
        link_keys(
            &self.root.join("keys"),
            Path::new(trusted),
            &mirrors.keyrings,
        )?;
        Ok(conf)
    }
}

impl Archive for AptArchive<'_> {
    fn offers(&self) -> Result<Vec<Offer>> {
        let shell = self.shell()?;
        let conf = self.prepare(&shell)?;
        self.progress.step("reading Debian's package lists", None);
        let update = cmd!(shell, "apt-get -c {conf} update");
        let Heard { succeeded, said } = listen(update.into(), |_| {})?;
        if !succeeded {
            return Err(Failure::infrastructure(anyhow!(
                "cannot read Debian's package lists: {}",
                explain::explain(&said)
            )));
        }
        let format = "$(RELEASE)\t$(FILENAME)";
        let indexes = cmd!(shell, "apt-get -c {conf} indextargets --format {format}")
            .arg("Created-By: Packages")
            .quiet()
            .read()
            .context("cannot list Debian's package lists")?;
        let mut offers = Vec::new();
        for suite in self.suites {
            for line in indexes.lines() {
                if let Some((of, file)) = line.split_once('\t')
                    && of == suite
                {
                    let text = cmd!(shell, "/usr/lib/apt/apt-helper cat-file {file}")
                        .quiet()
                        .output()
                        .with_context(|| format!("cannot read the package list of {suite}"))?;
                    offers.extend(index::parse(&String::from_utf8_lossy(&text.stdout), suite));
                }
            }
        }
        Ok(offers)
    }

    fn download(&self, packages: &[&LockedPackage], into: &Path) -> Result {
        let shell = self.shell()?;
        shell.change_dir(into);
        let conf = self.root.join("apt.conf");
        let wanted = packages
            .iter()
            .map(|p| format!("{}={}", p.package, p.version));
        let total: u64 = packages.iter().map(|p| p.size).sum();
        let what = format!(
            "downloading {} packages, {} MB",
            packages.len(),
            total.div_ceil(1_000_000)
        );
        self.progress.step(&what, Some(0));
        let download = cmd!(shell, "apt-get -c {conf} -o APT::Status-Fd=1 download").args(wanted);
        let Heard { succeeded, said } = listen(download.into(), |line| {
            if let Some(percent) = explain::percent(line) {
                self.progress.step(&what, Some(percent));
            }
        })?;
        if succeeded {
            return Ok(());
        }
        Err(Failure::infrastructure(anyhow!(
            "cannot download {}: {}",
            packages
                .iter()
                .map(|p| p.package.as_str())
                .collect::<Vec<_>>()
                .join(", "),
            explain::explain(&said)
        )))
    }
}

/// The sources that the machine is configured with.
fn machine_targets(shell: &Shell, conf: Option<&Path>) -> Result<Vec<Target>> {
    let format = mirrors::FORMAT;
    let conf = conf.map(|conf| ["-c".into(), conf.as_os_str().to_owned()]);
    // With release info, apt leaves out every source whose lists it hasn't got.
    let output = cmd!(
        shell,
        "apt-get indextargets --no-release-info --format {format}"
    )
    .args(conf.into_iter().flatten())
    .quiet()
    .read()
    .map_err(|error| {
        Failure::prerequisite(anyhow!(error).context(
            "cannot ask apt for this machine's sources; a kernel of Debian's needs Debian's apt",
        ))
    })?;
    Ok(output.lines().filter_map(mirrors::parse_target).collect())
}

/// Settings of a root in `root`. Later settings win, so the machine's others stay.
fn write_root(root: &Path, sources: &str) -> Result<PathBuf> {
    for folder in ["lists/partial", "archives/partial", "empty"] {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    write(&root.join("status"), "")?;
    let at = root.display();
    // - Downloads run as the user we are: apt's own user can't enter a private cache. All that
    //   is fetched is checked against signed indexes before anything reads it.
    // - An archived suite's Release file has expired for good. Its signature is still checked.
    // - Without apt's two binary caches a run is hardly slower, and leaves 130 MB less behind.
    // - The machine's hooks and pins are about the machine, not about this root.
    let text = format!(
        r#"Dir::State "{at}";
Dir::State::lists "{at}/lists";
Dir::State::status "{at}/status";
Dir::Cache "{at}";
Dir::Cache::archives "{at}/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::preferences "{at}/empty/none";
Dir::Etc::preferencesparts "{at}/empty";
APT::Default-Release "";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Acquire::Retries "2";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
{sources}"#
    );
    let conf = root.join("apt.conf");
    write(&conf, &text)?;
    Ok(conf)
}

/// Settings that put our own list and keys in the place of the machine's.
fn private_sources(root: &Path) -> String {
    let at = root.display();
    format!(
        r#"Dir::Etc::sourcelist "{at}/sources.list";
Dir::Etc::sourceparts "{at}/empty";
Dir::Etc::trustedparts "{at}/keys";
"#
    )
}

/// The keys that the machine trusts for all its sources, those that it trusts for Debian's,
/// and Debian's own.
fn link_keys(folder: &Path, trusted: &Path, keyrings: &[PathBuf]) -> Result {
    let link = || -> io::Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let mut all: Vec<PathBuf> = vec![PathBuf::from(DEBIAN_KEYRING)];
        all.extend_from_slice(keyrings);
        if let Ok(parts) = fs::read_dir(trusted) {
            all.extend(parts.flatten().map(|part| part.path()));
        }
        for key in all {
            let extension = key.extension().and_then(|e| e.to_str());
            let known = matches!(extension, Some("gpg" | "asc"));
            if let Some(name) = key.file_name()
                && known
                && key.is_file()
                && !folder.join(name).exists()
            {
                symlink(&key, folder.join(name))?;
            }
        }
        Ok(())
    };
    link().with_context(|| format!("cannot link apt's keys into {}", folder.display()))?;
    Ok(())
}

fn write(path: &Path, text: &str) -> Result {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests;
