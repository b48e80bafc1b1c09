//! The binaries that go into the guest: built static from this checkout, or brought along.
//!
//! In: the checkout, or a folder of binaries, or an agent by path. Out: [`Artifacts`], each program
//! read once, so that what is packed is what was hashed. The static link is asked for only here,
//! with an explicit target: set globally it would break proc-macros.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use protocol::sabotage;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use xshell::{Shell, cmd};

use crate::digest;
use crate::outcome::Provenance;

/// What the agent and the guest are built for.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const AGENT: &str = "aegisbpf";
const SABOTAGED_AGENT: &str = "aegisbpf-sabotaged";
const GUEST: &str = "guest";
/// What [`build`] writes down beside the programs.
const ORIGIN: &str = "origin.json";

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
    /// The commit that they were built of, if it is known: see [`commit`].
    pub commit: Option<String>,
}

/// What [`build`] made, and of what.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    /// As in [`Artifacts`].
    commit: Option<String>,
    /// The SHA-256 of each program, by its name.
    sha256: BTreeMap<String, String>,
}

impl Artifacts {
    /// Reads the binaries of a folder that [`build`] wrote.
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

/// Builds agent, sabotaged agent and guest and puts them into a folder.
///
/// # Errors
/// A build fails; cargo has said why on standard error.
pub fn build(root: &Path, out: &Path) -> Result<Artifacts> {
    fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
    // Both builds of the agent have one name in cargo's folder, wherever that is: another run must
    // not build the one while this one takes the other.
    let lock = root.join("target/.artifacts.lock");
    fs::create_dir_all(root.join("target")).context("making the folder target")?;
    let claim = fs::File::create(&lock).with_context(|| format!("opening {}", lock.display()))?;
    flock(&claim, FlockOperation::LockExclusive)
        .with_context(|| format!("locking {}", lock.display()))?;
    let take = |built: &BTreeMap<String, PathBuf>, name: &str, to: &str| -> Result<()> {
        let from = built.get(name);
        let from = from.with_context(|| format!("cargo says of no program {name} that it made it"));
        copy(from?, &out.join(to))
    };
    let commit = commit(root);
    // The sabotaged build goes first, so that the plain one is what stays in cargo's folder.
    let sabotaged = cargo_build(root, &["--package", AGENT, "--features", "sabotage"])?;
    take(&sabotaged, AGENT, SABOTAGED_AGENT)?;
    let built = cargo_build(root, &["--package", AGENT, "--package", GUEST])?;
    take(&built, AGENT, AGENT)?;
    take(&built, GUEST, GUEST)?;
    note_origin(out, commit)?;
    Artifacts::in_folder(out)
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

/// The checkout's commit, with `-dirty` behind it where files differ from it; none where git
/// doesn't tell.
fn commit(root: &Path) -> Option<String> {
    let shell = Shell::new().ok()?;
    shell.change_dir(root);
    let describe = cmd!(
        shell,
        "git describe --always --dirty --abbrev=40 --exclude=*"
    );
    let told = describe.quiet().ignore_stderr().read().ok()?;
    Some(told).filter(|told| !told.is_empty())
}

/// Builds with our flags alone, and gives each program that cargo says this build has made, or found
/// to be up to date: where cargo's folder is may stand in many places.
fn cargo_build(root: &Path, arguments: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    // Aborting, since a panic in PID 1 or in the agent must end the process instead of unwinding
    // into a half-state. Not in the profile, which the tests share.
    const FLAGS: [&str; 4] = ["-C", "target-feature=+crt-static", "-C", "panic=abort"];
    let shell = Shell::new().context("starting a build")?;
    shell.change_dir(root);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut build = cmd!(
        shell,
        "{cargo} build --quiet --locked --release --target {TARGET}
         --message-format=json-render-diagnostics {arguments...}"
    )
    .quiet()
    // Before this variable no other and no configuration counts: a user's `target-cpu=native`
    // would give programs that the guest's processor can't run.
    .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PROFILE_") {
            build = build.env_remove(name);
        }
    }
    let messages = build.read().context("building what goes into the guest")?;
    programs(&messages)
}

/// The programs in cargo's messages, by their names. Pure.
fn programs(messages: &str) -> Result<BTreeMap<String, PathBuf>> {
    #[derive(Deserialize)]
    struct Message {
        reason: String,
        target: Option<Target>,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    let mut programs = BTreeMap::new();
    for line in messages.lines() {
        let message: Message = serde_json::from_str(line)
            .with_context(|| format!("cargo said something else than a message: {line}"))?;
        if let (Some(target), Some(executable)) = (message.target, message.executable)
            && message.reason == "compiler-artifact"
        {
            programs.insert(target.name, executable);
        }
    }
    Ok(programs)
}

/// Copies a program out of cargo's folder, whole or not at all: another run may be reading it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let copy = || -> Result<()> {
        let folder = to.parent().context("it has no folder")?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        std::io::copy(&mut fs::File::open(from)?, &mut file)?;
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(0o755))?;
        file.persist(to)?;
        Ok(())
    };
    copy().with_context(|| format!("copying {} to {}", from.display(), to.display()))
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

    /// A checkout whose programs say which flags they were built with, and a configuration of the
    /// user's that asks for others and for another folder.
    fn checkout(root: &Path) {
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("it has a folder")).expect("writable");
            fs::write(path, text).expect("writable");
        };
        write(
            "Cargo.toml",
            "[workspace]\nmembers = [\"aegisbpf\", \"guest\"]\nresolver = \"3\"\n",
        );
        let mut lock = "version = 4\n".to_owned();
        for name in [AGENT, GUEST] {
            let package = format!("name = {name:?}\nversion = \"0.1.0\"\n");
            lock.push_str(&format!("\n[[package]]\n{package}"));
            let manifest =
                format!("[package]\n{package}edition = \"2024\"\n[features]\nsabotage = []\n");
            write(&format!("{name}/Cargo.toml"), &manifest);
            let build = r#"fn main() {
                let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap();
                println!("cargo::rustc-env=FLAGS={}", flags.replace('\u{1f}', " "));
            }"#;
            write(&format!("{name}/build.rs"), build);
            let main = r#"fn main() {
                let sabotage = if cfg!(feature = "sabotage") { "AEGIS_SABOTAGE" } else { "" };
                print!("{}{sabotage}", env!("FLAGS"));
            }"#;
            write(&format!("{name}/src/main.rs"), main);
        }
        write("Cargo.lock", &lock);
        let config = "[build]\ntarget-dir = \"elsewhere\"\nrustflags = [\"--cfg=of_the_user\"]\n\
                      [target.x86_64-unknown-linux-gnu]\nrustflags = [\"-Ctarget-cpu=native\"]\n";
        write(".cargo/config.toml", config);
    }

    /// What one of the programs that were built says.
    fn says(program: &Program) -> String {
        let output = std::process::Command::new(&program.path).output();
        String::from_utf8(output.expect("it runs").stdout).expect("text")
    }

    #[test]
    fn what_goes_into_the_guest_is_what_this_build_made_with_our_flags_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        checkout(root);
        // An earlier build's, where cargo would have put them without the user's configuration.
        let old = root.join("target").join(TARGET).join("release");
        fs::create_dir_all(&old).expect("writable");
        for name in [AGENT, GUEST] {
            fs::copy("/proc/self/exe", old.join(name)).expect("a program");
        }
        let out = root.join("out");
        let artifacts = build(root, &out).expect("it builds");
        let flags = "-C target-feature=+crt-static -C panic=abort";
        assert_eq!(says(&artifacts.agent), flags);
        assert_eq!(says(&artifacts.guest), flags);
        let sabotaged = artifacts.sabotaged_agent.as_ref().expect("it was built");
        assert_eq!(says(sabotaged), format!("{flags}AEGIS_SABOTAGE"));
        assert_eq!(Artifacts::in_folder(&out).expect("whole"), artifacts);

        // Whoever swaps a program between the build and the packing is found out.
        fs::copy(out.join(GUEST), out.join(AGENT)).expect("writable");
        let told = format!("{:#}", Artifacts::in_folder(&out).expect_err("swapped"));
        assert!(told.contains("isn't the one that was built"), "{told}");
        fs::remove_file(out.join(ORIGIN)).expect("writable");
        let told = format!(
            "{:#}",
            Artifacts::in_folder(&out).expect_err("of unknown origin")
        );
        assert!(told.contains("cargo xtask build"), "{told}");
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
