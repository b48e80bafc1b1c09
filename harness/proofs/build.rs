//! Gives the crate a digest of its own sources, by which host and guest see that they were built
//! of the same promises.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

fn main() {
    let root = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let root = Path::new(&root);
    let mut hasher = Sha256::new();
    for folder in ["src", "../protocol/src"] {
        println!("cargo::rerun-if-changed={folder}");
        let files = WalkDir::new(root.join(folder)).sort_by_file_name();
        for entry in files {
            let entry = entry.expect("the sources can be listed");
            if entry.file_type().is_file() {
                let name = entry.path().strip_prefix(root.join(folder));
                let name = name.expect("it is beneath").display().to_string();
                let text = fs::read(entry.path()).expect("the sources can be read");
                // With both lengths, no other files come to the same digest.
                hasher.update(format!("{folder}/{name} {}\n", text.len()));
                hasher.update(text);
            }
        }
    }
    let mut digest = String::new();
    for byte in hasher.finalize() {
        write!(digest, "{byte:02x}").expect("a String takes all");
    }
    println!("cargo::rustc-env=PROOFS_SOURCE_SHA256={digest}");
}
