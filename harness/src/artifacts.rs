//! The binaries that go into the guest: built static from this checkout, or brought along.
//!
//! In: the checkout, or a folder of binaries, or an agent by path. Out: [`Artifacts`]. The
//! static link is asked for only here, with an explicit target: set globally it would break
//! proc-macros.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use protocol::sabotage;
use rustix::fs::{FlockOperation, flock};
use xshell::{Shell, cmd};

/// What the agent and the guest are built for.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const AGENT: &str = "aegisbpf";
const SABOTAGED_AGENT: &str = "aegisbpf-sabotaged";
const GUEST: &str = "guest";

/// The binaries for the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifacts {
    /// The agent that is put to the proofs.
    pub agent: PathBuf,
    /// The agent's sabotaged build, which the proofs must catch; none beside an agent by path.
    pub sabotaged_agent: Option<PathBuf>,
    /// An agent to measure the first one against.
    pub other_agent: Option<PathBuf>,
    /// PID 1 and the proofs.
    pub guest: PathBuf,
}

impl Artifacts {
    /// Names the binaries of a folder that [`build`] wrote.
    ///
    /// # Errors
    /// One is missing or can't run in the guest.
    pub fn in_folder(dir: &Path) -> Result<Self> {
        let artifacts = Self {
            agent: dir.join(AGENT),
            sabotaged_agent: Some(dir.join(SABOTAGED_AGENT)),
            other_agent: None,
            guest: dir.join(GUEST),
        };
        for path in [&artifacts.agent, &artifacts.guest]
            .into_iter()
            .chain(&artifacts.sabotaged_agent)
        {
            check_runs_in_guest(path)?;
        }
        check_keeps_promises(&artifacts.agent)?;
        Ok(artifacts)
    }

    /// Replaces the agent by another with the same command line.
    ///
    /// # Errors
    /// There is no such file, or it can't run in the guest.
    pub fn with_agent(self, agent: &Path) -> Result<Self> {
        check_runs_in_guest(agent)?;
        Ok(Self {
            agent: agent.to_owned(),
            // The sabotaged build is of our own agent and says nothing about another.
            sabotaged_agent: None,
            ..self
        })
    }
}

/// Builds agent, sabotaged agent and guest and puts them into a folder.
///
/// # Errors
/// A build fails; cargo has said why on standard error.
pub fn build(root: &Path, out: &Path) -> Result<Artifacts> {
    fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
    // Both builds of the agent have one name in cargo's folder: another run must not build
    // the one while this one takes the other.
    let target = target_dir(root);
    fs::create_dir_all(&target).with_context(|| format!("making {}", target.display()))?;
    let lock = target.join(".artifacts.lock");
    let claim = fs::File::create(&lock).with_context(|| format!("opening {}", lock.display()))?;
    flock(&claim, FlockOperation::LockExclusive)
        .with_context(|| format!("locking {}", lock.display()))?;
    // The sabotaged build goes first, so that the plain one is what stays in cargo's folder.
    cargo_build(root, &["--package", AGENT, "--features", "sabotage"])?;
    take(root, AGENT, &out.join(SABOTAGED_AGENT))?;
    cargo_build(root, &["--package", AGENT, "--package", GUEST])?;
    take(root, AGENT, &out.join(AGENT))?;
    take(root, GUEST, &out.join(GUEST))?;
    Artifacts::in_folder(out)
}

fn cargo_build(root: &Path, arguments: &[&str]) -> Result<()> {
    let shell = Shell::new().context("starting a build")?;
    shell.change_dir(root);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    cmd!(
        shell,
        "{cargo} build --quiet --locked --release --target {TARGET} {arguments...}"
    )
    .quiet()
    .env(
        "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
        // Aborting, since a panic in PID 1 or in the agent must end the process instead of
        // unwinding into a half-state. Not in the profile, which the tests share.
        "-C target-feature=+crt-static -C panic=abort",
    )
    // Either would silently take the place of the flags above.
    .env_remove("RUSTFLAGS")
    .env_remove("CARGO_ENCODED_RUSTFLAGS")
    .run()
    .context("building what goes into the guest")
}

fn target_dir(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

/// Copies a program out of cargo's folder, whole or not at all: another run may be reading it.
fn take(root: &Path, name: &str, to: &Path) -> Result<()> {
    let from = target_dir(root).join(TARGET).join("release").join(name);
    let copy = || -> Result<()> {
        let folder = to.parent().context("it has no folder")?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        std::io::copy(&mut fs::File::open(&from)?, &mut file)?;
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(0o755))?;
        file.persist(to)?;
        Ok(())
    };
    copy().with_context(|| format!("copying {} to {}", from.display(), to.display()))
}

/// Checks that a program is one that the guest can run.
///
/// # Errors
/// It can't be read, isn't for x86-64, or asks for an interpreter that the guest hasn't got.
pub fn check_runs_in_guest(path: &Path) -> Result<()> {
    let image = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    if let Err(why) = static_x86_64(&image) {
        bail!("{}: {why}; the guest can't run it", path.display());
    }
    Ok(())
}

/// Checks that an agent isn't a sabotaged build, which must never be shipped.
///
/// # Errors
/// It can't be read, or has the variable in it by which it would be told what to break.
pub fn check_keeps_promises(agent: &Path) -> Result<()> {
    let image = fs::read(agent).with_context(|| format!("reading {}", agent.display()))?;
    let variable = sabotage::VARIABLE.as_bytes();
    if image.windows(variable.len()).any(|bytes| bytes == variable) {
        bail!(
            "{}: it has {} in it: a sabotaged build in the place of the agent",
            agent.display(),
            sabotage::VARIABLE
        );
    }
    Ok(())
}

/// Whether an image is an x86-64 ELF program that asks for no interpreter. Pure.
///
/// Offsets and numbers are those of the ELF-64 specification.
fn static_x86_64(image: &[u8]) -> Result<(), &'static str> {
    const PT_INTERP: u64 = 3;
    const EM_X86_64: u64 = 62;
    let number = |offset: usize, bytes: usize| {
        let field = image.get(offset..offset.checked_add(bytes)?)?;
        Some(
            field
                .iter()
                .rev()
                .fold(0_u64, |value, byte| value << 8 | u64::from(*byte)),
        )
    };
    if !image.starts_with(b"\x7fELF\x02\x01") || number(18, 2) != Some(EM_X86_64) {
        return Err("not an x86-64 ELF program");
    }
    let cut = "an ELF program cut short";
    let headers = number(32, 8).ok_or(cut)?;
    let size = number(54, 2).ok_or(cut)?;
    let count = number(56, 2).ok_or(cut)?;
    for index in 0..count {
        let offset = headers.checked_add(index * size).ok_or(cut)?;
        let offset = usize::try_from(offset).map_err(|_| cut)?;
        if number(offset, 4).ok_or(cut)? == PT_INTERP {
            return Err("dynamically linked (build it with -C target-feature=+crt-static)");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_itself_is_dynamically_linked_and_said_to_be() {
        let image = fs::read("/proc/self/exe").expect("readable");
        let why = static_x86_64(&image).expect_err("tests aren't linked static");
        assert!(why.contains("dynamically linked"), "{why}");
    }

    #[test]
    fn a_sabotaged_agent_is_told_by_its_variable() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let agent = folder.path().join("agent");
        for (content, is_good) in [("an agent", true), ("an\0AEGIS_SABOTAGE\0agent", false)] {
            fs::write(&agent, content).expect("a writable folder");
            assert_eq!(check_keeps_promises(&agent).is_ok(), is_good, "{content:?}");
        }
    }

    #[test]
    fn a_missing_agent_is_named() {
        let error = check_runs_in_guest(Path::new("/nonexistent/agent")).expect_err("missing");
        assert!(format!("{error:#}").contains("/nonexistent/agent"));
    }

    #[test]
    fn a_shell_script_is_no_program_for_the_guest() {
        assert_eq!(
            static_x86_64(b"#!/bin/sh\n"),
            Err("not an x86-64 ELF program")
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_give_an_answer(mut tail in proptest::collection::vec(0_u8.., 0..256)) {
            let mut image = b"\x7fELF\x02\x01".to_vec();
            image.append(&mut tail);
            let _ = static_x86_64(&image);
        }
    }
}
