//! Compiles the kernel side in `bpf/` to one BPF object for the agent to embed.
//!
//! In: `bpf/*.c`, `bpf/*.h`, clang (the variable `CLANG` names another one) and libbpf's
//! headers. Out: `$OUT_DIR/aegisbpf.bpf.o` and its SHA-256 in `AEGISBPF_OBJECT_SHA256`. With the
//! feature `sabotage` each `bpf/mutants/NAME.bpf.c` too, and in `$OUT_DIR/mutants.rs` a table of
//! their objects by name; without it, that folder isn't looked at.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

const SOURCE: &str = "aegisbpf.bpf.c";
const MUTANTS: &str = "mutants";

fn main() -> Result<()> {
    let bpf_dir = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../bpf");
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    let object = out_dir.join("aegisbpf.bpf.o");
    let sabotage = env::var_os("CARGO_FEATURE_SABOTAGE").is_some();
    println!("cargo::rerun-if-env-changed=CLANG");
    // Not the folder itself, beneath which the mutants are: cargo looks at all that is there.
    for name in names_in(&bpf_dir)? {
        if sabotage || name != MUTANTS {
            println!("cargo::rerun-if-changed={}", bpf_dir.join(name).display());
        }
    }
    compile(&bpf_dir, SOURCE, &object)?;
    let bytes = fs::read(&object).context("failed to read the compiled BPF object")?;
    let mut digest = String::new();
    for byte in Sha256::digest(&bytes) {
        write!(digest, "{byte:02x}")?;
    }
    println!("cargo::rustc-env=AEGISBPF_OBJECT_SHA256={digest}");
    if sabotage {
        compile_mutants(&bpf_dir, &out_dir)?;
    }
    Ok(())
}

fn names_in(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("failed to list {}", dir.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Compiles every mutant, as many at once as there are processors, and writes the table.
fn compile_mutants(bpf_dir: &Path, out_dir: &Path) -> Result<()> {
    let names = names_in(&bpf_dir.join(MUTANTS))?;
    let names: Vec<&str> = names
        .iter()
        .filter_map(|n| n.strip_suffix(".bpf.c"))
        .collect();
    let folder = out_dir.join(MUTANTS);
    fs::create_dir_all(&folder).context("failed to make the folder of the mutants' objects")?;
    let object = |name: &str| folder.join(format!("{name}.bpf.o"));
    let compile_some = |names: &[&str]| -> Result<()> {
        let mut names = names.iter();
        names.try_for_each(|name| {
            compile(bpf_dir, &format!("{MUTANTS}/{name}.bpf.c"), &object(name))
        })
    };
    let at_once = thread::available_parallelism()?.get();
    thread::scope(|scope| {
        let parts = names.chunks(names.len().div_ceil(at_once).max(1));
        let workers: Vec<_> = parts
            .map(|names| scope.spawn(|| compile_some(names)))
            .collect();
        workers.into_iter().try_for_each(|worker| {
            let done = worker.join();
            done.unwrap_or_else(|_| bail!("compiling a mutant panicked"))
        })
    })?;
    let mut table = String::from("&[\n");
    for name in &names {
        let object = object(name);
        writeln!(
            table,
            "    ({name:?}, aya::include_bytes_aligned!({object:?})),"
        )?;
    }
    table.push_str("]\n");
    fs::write(out_dir.join("mutants.rs"), table).context("failed to write the table of mutants")
}

fn compile(bpf_dir: &Path, source: &str, object: &Path) -> Result<()> {
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    let output = Command::new(&clang)
        // Compiled in its own folder and with that folder's name mapped away, so that the
        // object, and with it its digest in the reports, doesn't depend on where it was built.
        .current_dir(bpf_dir)
        .args(["-target", "bpf", "-O2", "-g", "-Wall", "-Werror"])
        .arg("-D__TARGET_ARCH_x86")
        .arg("-fdebug-compilation-dir=.")
        .args(["-c", source, "-o"])
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
    bail!("{clang} failed on bpf/{source}:\n{stderr}")
}
