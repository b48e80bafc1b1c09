//! Compiles the kernel side in `bpf/` to one BPF object for the agent to embed.
//!
//! In: `bpf/*.c`, `bpf/*.h`, clang (the variable `CLANG` names another one) and libbpf's
//! headers. Out: `$OUT_DIR/aegisbpf.bpf.o` and its SHA-256 in `AEGISBPF_OBJECT_SHA256`.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

const SOURCE: &str = "aegisbpf.bpf.c";

fn main() -> Result<()> {
    let bpf_dir = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../bpf");
    let object = PathBuf::from(env::var("OUT_DIR")?).join("aegisbpf.bpf.o");
    println!("cargo::rerun-if-env-changed=CLANG");
    println!("cargo::rerun-if-changed={}", bpf_dir.display());
    for entry in fs::read_dir(&bpf_dir).context("failed to list bpf/")? {
        println!("cargo::rerun-if-changed={}", entry?.path().display());
    }
    compile(&bpf_dir, &object)?;
    let bytes = fs::read(&object).context("failed to read the compiled BPF object")?;
    let mut digest = String::new();
    for byte in Sha256::digest(&bytes) {
        write!(digest, "{byte:02x}")?;
    }
    println!("cargo::rustc-env=AEGISBPF_OBJECT_SHA256={digest}");
    Ok(())
}

fn compile(bpf_dir: &Path, object: &Path) -> Result<()> {
    let sabotage = env::var_os("CARGO_FEATURE_SABOTAGE").map(|_| "-DSABOTAGE");
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    let output = Command::new(&clang)
        // Compiled in its own folder and with that folder's name mapped away, so that the
        // object, and with it its digest in the reports, doesn't depend on where it was built.
        .current_dir(bpf_dir)
        .args(["-target", "bpf", "-O2", "-g", "-Wall", "-Werror"])
        .arg("-D__TARGET_ARCH_x86")
        .arg("-fdebug-compilation-dir=.")
        .args(sabotage)
        .args(["-c", SOURCE, "-o"])
        .arg(object)
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "no compiler {clang:?} for the kernel side in bpf/; install Debian's package clang, \
             or name another clang in the variable CLANG"
        ),
        Err(error) => return Err(error).with_context(|| format!("failed to run {clang}")),
    };
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.contains("'bpf/bpf_helpers.h' file not found") {
        bail!("libbpf's headers are missing; install Debian's package libbpf-dev\n{stderr}");
    }
    bail!("{clang} failed on bpf/{SOURCE}:\n{stderr}")
}
