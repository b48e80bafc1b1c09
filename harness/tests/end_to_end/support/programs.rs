//! Guests and agents that misbehave: C, since libc6-dev brings the static library, and small
//! enough to be compiled in the test.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Which program, and how it misbehaves.
#[derive(Debug, Clone, Copy)]
pub enum Scene {
    /// A guest, by the name in `guest.c`.
    Guest(&'static str),
    /// An agent, by the name in `agent.c`.
    Agent(&'static str),
}

/// Compiles it into a folder.
pub fn compile(scene: Scene, folder: &Path) -> PathBuf {
    let (source, scene) = match scene {
        Scene::Guest(scene) => ("guest.c", scene),
        Scene::Agent(scene) => ("agent.c", scene),
    };
    let program = folder.join(format!("{source}-{scene}"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/end_to_end/support")
        .join(source);
    let output = Command::new("cc")
        .args(["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-D"])
        .arg(format!("SCENE={scene}"))
        .arg(format!("-DPROMISES=\"{}\"", proofs::SOURCE_SHA256))
        .arg("-o")
        .arg(&program)
        .arg(source)
        .output()
        .expect("Rust itself links with cc");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    program
}
