//! Builds the binaries that go into the guest, static, from this checkout.
//!
//! In: the checkout. Out: a folder of binaries, and the [`Artifacts`] in it. The static link is
//! asked for only here, with an explicit target: set globally it would break proc-macros.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use serde::Deserialize;
use xshell::{Shell, cmd};

use super::artifacts::{AGENT, Artifacts, GUEST, SABOTAGED_AGENT, note_origin};

/// What the agent and the guest are built for.
const TARGET: &str = "x86_64-unknown-linux-gnu";

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::artifacts::{ORIGIN, Program};

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
}
