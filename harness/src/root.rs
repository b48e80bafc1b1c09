//! Finds the checkout in which a command was called.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::exit::{Failure, Result};

/// The file that marks the top of a checkout.
const MARK: &str = "kernels.toml";

/// The nearest folder, from the working folder upwards, that holds `kernels.toml`.
///
/// # Errors
/// There is none.
pub fn find() -> Result<PathBuf> {
    let here = std::env::current_dir().context("finding the working folder")?;
    above(&here).ok_or_else(|| {
        Failure::usage(anyhow!(
            "neither {} nor a folder above it has a {MARK}; call this inside the checkout",
            here.display()
        ))
    })
}

fn above(here: &Path) -> Option<PathBuf> {
    here.ancestors()
        .find(|folder| folder.join(MARK).is_file())
        .map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_below_the_top_finds_it_and_one_beside_does_not() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let deep = dir.path().join("checkout/harness/src");
        std::fs::create_dir_all(&deep).expect("a writable folder");
        let top = dir.path().join("checkout");
        std::fs::write(top.join(MARK), "").expect("a writable folder");
        assert_eq!(above(&deep), Some(top));
        assert_eq!(above(dir.path()), None);
    }
}
