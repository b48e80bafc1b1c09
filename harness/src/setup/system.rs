//! The edge of set-up: a machine that can be looked at and installed on.
//!
//! In: what to look for or to install. Out: whether it is there; the machine changed.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use super::{Probe, VIRTME_NG, Venv, file_below};
use crate::program::{self, Heard, listen};
use crate::progress::Progress;

/// What Debian's ca-certificates collects.
const MACHINE_CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A machine, as set-up sees it.
pub trait System {
    /// Whether something is there.
    fn has(&self, probe: &Probe) -> bool;
    /// Whether virtme-ng is in its environment.
    fn has_venv(&self, venv: &Venv) -> bool;
    /// Whether we are root.
    fn is_root(&self) -> bool;
    /// Whether sudo lets us without asking.
    fn sudo_works(&self) -> bool;
    /// Asks a person, where there is one; otherwise the answer is yes.
    fn confirm(&self, question: &str) -> anyhow::Result<bool>;
    /// Installs Debian packages.
    fn install(&self, packages: &[&str], progress: &dyn Progress) -> anyhow::Result<()>;
    /// Makes the environment with virtme-ng in it.
    fn make_venv(&self, venv: &Venv, progress: &dyn Progress) -> anyhow::Result<()>;
}

/// The machine that we run on.
pub struct Machine;

impl System for Machine {
    fn has(&self, probe: &Probe) -> bool {
        match probe {
            Probe::Program(name) => program::find(name).is_some(),
            Probe::File(path) => Path::new(path).is_file(),
            Probe::FileBelow {
                folder,
                prefix,
                file,
            } => file_below(Path::new(folder), prefix, file),
        }
    }

    fn has_venv(&self, venv: &Venv) -> bool {
        venv.is_whole()
    }

    fn is_root(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    fn sudo_works(&self) -> bool {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "true"]);
        sudo.stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        sudo.status().is_ok_and(|status| status.success())
    }

    fn confirm(&self, question: &str) -> anyhow::Result<bool> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(true);
        }
        eprint!("{question}");
        io::stderr().flush()?;
        let mut answer = String::new();
        let read = io::stdin()
            .read_line(&mut answer)
            .context("cannot read the answer")?;
        // The end of input isn't an agreement.
        Ok(read > 0
            && matches!(
                answer.trim().to_ascii_lowercase().as_str(),
                "" | "y" | "yes"
            ))
    }

    fn install(&self, packages: &[&str], progress: &dyn Progress) -> anyhow::Result<()> {
        let mut install = vec!["install", "--no-install-recommends", "--yes"];
        install.extend_from_slice(packages);
        // The machine's lists may be missing or old; reading them anew takes long, so only
        // when it turns out to be needed.
        if self.apt_get(&install, progress)?.succeeded {
            return Ok(());
        }
        let update = self.apt_get(&["update"], progress)?;
        let install = self.apt_get(&install, progress)?;
        if install.succeeded {
            return Ok(());
        }
        let said = if update.succeeded {
            install.said
        } else {
            update.said
        };
        let errors = said.lines().filter(|line| line.starts_with("E:"));
        bail!("{}", errors.collect::<Vec<_>>().join(" "));
    }

    fn make_venv(&self, venv: &Venv, progress: &dyn Progress) -> anyhow::Result<()> {
        progress.step("setting up: making a Python environment", None);
        let mut make = Command::new("/usr/bin/python3");
        make.args(["-m", "venv", "--clear"]).arg(venv.folder());
        // What a version manager exports for its own Python would lead this one astray.
        make.env_remove("PYTHONHOME").env_remove("PYTHONPATH");
        check(make)?;
        progress.step(&format!("setting up: installing {VIRTME_NG}"), None);
        let mut pip = Command::new(venv.program("pip"));
        pip.args([
            "install",
            "--disable-pip-version-check",
            "--no-input",
            VIRTME_NG,
        ]);
        pip.env_remove("PYTHONHOME").env_remove("PYTHONPATH");
        // pip trusts a bundle of its own, which lacks what this machine was told to trust
        // besides, such as a proxy's certificate.
        if Path::new(MACHINE_CERTIFICATES).is_file() && !pip_has_certificates(venv) {
            pip.env("PIP_CERT", MACHINE_CERTIFICATES);
        }
        check(pip)
    }
}

impl Machine {
    fn apt_get(&self, args: &[&str], progress: &dyn Progress) -> anyhow::Result<Heard> {
        let mut command = if self.is_root() {
            Command::new("env")
        } else {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "env"]);
            sudo
        };
        command.args([
            "DEBIAN_FRONTEND=noninteractive",
            "LC_ALL=C.UTF-8",
            "apt-get",
        ]);
        // Somebody else's installation is waited for, and there is no terminal to draw on.
        command.args(["-o", "DPkg::Lock::Timeout=600", "-o", "Dpkg::Use-Pty=0"]);
        command.args(args);
        listen(command, |line| {
            let words = [
                "Get:",
                "Unpacking ",
                "Setting up ",
                "Waiting for cache lock",
            ];
            if words.iter().any(|word| line.starts_with(word)) {
                progress.step("setting up: apt-get is at work", None);
            }
        })
    }
}

/// Whether the user's configuration already tells pip which certificates to trust.
fn pip_has_certificates(venv: &Venv) -> bool {
    if ["PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
    {
        return true;
    }
    let mut list = Command::new(venv.program("pip"));
    list.args(["--disable-pip-version-check", "config", "list"]);
    let listed = listen(list, |_| {});
    // Each line is `SECTION.KEY='VALUE'`.
    listed.is_ok_and(|heard| heard.said.lines().any(|line| line.contains(".cert=")))
}

fn check(command: Command) -> anyhow::Result<()> {
    let heard = listen(command, |_| {})?;
    if heard.succeeded {
        return Ok(());
    }
    let lines: Vec<_> = heard
        .said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = &lines[lines.len().saturating_sub(3)..];
    bail!("{}", last.join(" "));
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_found_below_a_folder_of_any_version() {
        let folder = tempfile::tempdir().unwrap();
        let below = |prefix| file_below(folder.path(), prefix, "ensurepip/__init__.py");
        assert!(!below("python3."));
        let module = folder.path().join("python3.11/ensurepip");
        fs::create_dir_all(&module).unwrap();
        fs::write(module.join("__init__.py"), "").unwrap();
        assert!(below("python3."));
        assert!(!below("python4."));
    }
}
