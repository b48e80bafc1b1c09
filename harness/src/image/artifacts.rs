//! The binaries that go into the guest, as they are read: from where [`super::build`] put them, or
//! brought along.
//!
//! In: a folder of binaries, or an agent by path. Out: [`Artifacts`], each program read once, so
//! that what is packed is what was hashed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use protocol::sabotage;
use serde::{Deserialize, Serialize};

use crate::digest;
use crate::outcome::Provenance;

/// The programs' names.
pub(super) const AGENT: &str = "aegisbpf";
pub(super) const SABOTAGED_AGENT: &str = "aegisbpf-sabotaged";
pub(super) const GUEST: &str = "guest";
/// What is written down beside the programs.
pub(super) const ORIGIN: &str = "origin.json";

/// A program that the guest can run, as it was when it was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Program {
    /// Where it was.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
    /// The content's SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl Program {
    /// Reads a program.
    ///
    /// # Errors
    /// It can't be read, isn't for x86-64, or asks for an interpreter that the guest hasn't got.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        if let Err(why) = static_x86_64(&bytes) {
            bail!("{}: {why}; the guest can't run it", path.display());
        }
        Ok(Self::of(path, bytes))
    }

    /// A program of these bytes, whatever they are.
    #[must_use]
    pub fn of(path: &Path, bytes: Vec<u8>) -> Self {
        Self {
            path: path.to_owned(),
            sha256: digest::of_bytes(&bytes),
            bytes,
        }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path.display(), self.sha256)
    }
}

/// The binaries for the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifacts {
    /// The agent that is put to the proofs.
    pub agent: Program,
    /// The agent's sabotaged build, which the proofs must catch; none beside an agent by path.
    pub sabotaged_agent: Option<Program>,
    /// An agent to measure the first one against.
    pub other_agent: Option<Program>,
    /// PID 1 and the proofs.
    pub guest: Program,
    /// The commit that they were built of, if it is known: with `-dirty` behind it where files differed
    /// from it.
    pub commit: Option<String>,
}

/// Which programs were built, and of what.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    /// As in [`Artifacts`].
    commit: Option<String>,
    /// The SHA-256 of each program, by its name.
    sha256: BTreeMap<String, String>,
}

impl Artifacts {
    /// Reads the binaries of a folder that [`super::build`] wrote.
    ///
    /// # Errors
    /// One is missing, can't run in the guest, or isn't the one that was built.
    pub fn in_folder(dir: &Path) -> Result<Self> {
        let path = dir.join(ORIGIN);
        let origin = || -> Result<Origin> { Ok(serde_json::from_slice(&fs::read(&path)?)?) };
        let origin = origin().with_context(|| {
            let path = path.display();
            format!("reading {path}, which `cargo xtask build` writes beside the programs")
        })?;
        let read = |name: &str| -> Result<Program> {
            let program = Program::read(&dir.join(name))?;
            ensure!(
                origin.sha256.get(name) == Some(&program.sha256),
                "{}: it isn't the one that was built ({} has another SHA-256); build them anew",
                program.path.display(),
                path.display()
            );
            Ok(program)
        };
        let artifacts = Self {
            agent: read(AGENT)?,
            sabotaged_agent: Some(read(SABOTAGED_AGENT)?),
            other_agent: None,
            guest: read(GUEST)?,
            commit: origin.commit.clone(),
        };
        check_keeps_promises(&artifacts.agent)?;
        Ok(artifacts)
    }

    /// What results are of that these give from now on.
    #[must_use]
    pub fn provenance(&self, now: Timestamp) -> Provenance {
        Provenance {
            agent_sha256: self.agent.sha256.clone(),
            guest_sha256: self.guest.sha256.clone(),
            commit: self.commit.clone(),
            // To the second: who reads it, reads it by eye.
            began_at: Timestamp::from_second(now.as_second()).unwrap_or(now),
        }
    }

    /// Replaces the agent by another with the same command line.
    #[must_use]
    pub fn with_agent(self, agent: Program) -> Self {
        Self {
            agent,
            // The sabotaged build is of our own agent and says nothing about another.
            sabotaged_agent: None,
            commit: None,
            ..self
        }
    }
}

/// Writes down which programs a folder has, and of which commit they are.
///
/// # Errors
/// One is missing or can't run in the guest; the folder can't be written.
pub fn note_origin(dir: &Path, commit: Option<String>) -> Result<()> {
    let digest = |name: &str| Ok((name.to_owned(), Program::read(&dir.join(name))?.sha256));
    let sha256 = [AGENT, SABOTAGED_AGENT, GUEST].into_iter().map(digest);
    let sha256 = sha256.collect::<Result<_>>()?;
    let origin = serde_json::to_vec(&Origin { commit, sha256 })?;
    let path = dir.join(ORIGIN);
    fs::write(&path, origin).with_context(|| format!("writing {}", path.display()))
}

/// Checks that an agent isn't a sabotaged build, which must never be shipped.
///
/// # Errors
/// It has the variable in it by which it would be told what to break.
pub fn check_keeps_promises(agent: &Program) -> Result<()> {
    let variable = sabotage::VARIABLE.as_bytes();
    let mut windows = agent.bytes.windows(variable.len());
    if windows.any(|bytes| bytes == variable) {
        bail!(
            "{}: it has {} in it: a sabotaged build in the place of the agent",
            agent.path.display(),
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
        for (content, is_good) in [("an agent", true), ("an\0AEGIS_SABOTAGE\0agent", false)] {
            let agent = Program::of(Path::new("agent"), content.into());
            assert_eq!(check_keeps_promises(&agent).is_ok(), is_good, "{content:?}");
        }
    }

    #[test]
    fn a_missing_agent_is_named() {
        let error = Program::read(Path::new("/nonexistent/agent")).expect_err("missing");
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
