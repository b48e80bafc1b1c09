//! `images/*.toml`: what people want in the guest's image.
//!
//! In: the folder. Out: one [`ImageSpec`] with every source read and every path checked, or an
//! error that names the file, the place in it, and the way out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use protocol::plan::Filesystem;
use serde::Deserialize;

use super::cpio::{Node, Tree};
use crate::exit::{Failure, Result};

/// What goes into every image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageSpec {
    /// Kernel modules that every boot loads, by name.
    pub modules: Vec<String>,
    /// What the proofs on a file system take.
    pub filesystems: BTreeMap<Filesystem, FilesystemSpec>,
    /// Everything else.
    pub tree: Tree,
}

/// What the proofs on a file system take; packed only where one is planned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesystemSpec {
    /// Kernel modules, by name.
    #[serde(default)]
    pub modules: Vec<String>,
    /// Kernel modules to load before those, on kernels that have them.
    #[serde(default)]
    pub modules_where_there: Vec<String>,
    /// The disk that it is on, where it takes one.
    pub disk: Option<DiskSpec>,
}

/// How a disk with a file system on it is made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskSpec {
    /// Its size.
    pub size_mib: u32,
    /// The program, and its arguments but for the disk's own path, which comes last.
    pub mkfs: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    modules: Vec<String>,
    #[serde(default)]
    filesystem: BTreeMap<Filesystem, FilesystemSpec>,
    #[serde(default)]
    dir: Vec<RawDir>,
    #[serde(default)]
    file: Vec<RawFile>,
    #[serde(default)]
    link: Vec<RawLink>,
    #[serde(default)]
    device: Vec<RawDevice>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDir {
    path: String,
    mode: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    path: String,
    mode: Option<u32>,
    source: Option<PathBuf>,
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLink {
    path: String,
    target: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDevice {
    path: String,
    major: u32,
    minor: u32,
    mode: Option<u32>,
}

impl ImageSpec {
    /// Reads every `.toml` file of the folder, in the order of their names.
    pub fn load(folder: &Path) -> Result<Self> {
        let list = || -> anyhow::Result<Vec<PathBuf>> {
            let mut files = Vec::new();
            for item in fs::read_dir(folder)? {
                let path = item?.path();
                if path
                    .extension()
                    .is_some_and(|extension| extension == "toml")
                {
                    files.push(path);
                }
            }
            files.sort();
            Ok(files)
        };
        let files = list()
            .with_context(|| format!("cannot list {}", folder.display()))
            .map_err(Failure::usage)?;
        let mut spec = Self::default();
        for file in files {
            spec.add(&file, folder)
                .with_context(|| format!("{}", file.display()))
                .map_err(Failure::usage)?;
        }
        Ok(spec)
    }

    /// Leaves out what no planned proof takes place on.
    pub fn keep(&mut self, planned: &BTreeSet<Filesystem>) {
        self.filesystems
            .retain(|filesystem, _| planned.contains(filesystem));
    }

    /// Whether any module is asked for.
    #[must_use]
    pub fn asks_for_modules(&self) -> bool {
        !self.modules.is_empty() || self.filesystems.values().any(|f| !f.modules.is_empty())
    }

    /// Whether any disk is asked for.
    #[must_use]
    pub fn asks_for_disks(&self) -> bool {
        self.filesystems.values().any(|f| f.disk.is_some())
    }

    fn add(&mut self, file: &Path, folder: &Path) -> anyhow::Result<()> {
        let text = fs::read_to_string(file).context("cannot be read")?;
        // toml's own message shows the line and what is wrong in it.
        let raw: Raw = toml::from_str(&text)?;
        for module in raw.modules {
            if !self.modules.contains(&module) {
                self.modules.push(module);
            }
        }
        for (filesystem, spec) in raw.filesystem {
            if spec.disk.as_ref().is_some_and(|disk| disk.mkfs.is_empty()) {
                let name = filesystem.name();
                return Err(anyhow!("{name}: `mkfs` names no program"));
            }
            if self.filesystems.insert(filesystem, spec).is_some() {
                return Err(anyhow!("{} is described twice", filesystem.name()));
            }
        }
        for RawDir { path, mode } in raw.dir {
            let mode = permissions(mode.unwrap_or(0o755))?;
            self.tree.insert(&path, Node::Dir { mode })?;
        }
        for RawFile {
            path,
            mode,
            source,
            text,
        } in raw.file
        {
            let content = match (source, text) {
                (Some(source), None) => fs::read(folder.join(&source))
                    .with_context(|| format!("cannot read {} for {path}", source.display()))?,
                (None, Some(text)) => text.into_bytes(),
                _ => return Err(anyhow!("{path} needs either `source` or `text`")),
            };
            let mode = permissions(mode.unwrap_or(0o644))?;
            self.tree.insert(&path, Node::File { mode, content })?;
        }
        for RawLink { path, target } in raw.link {
            self.tree.insert(&path, Node::Link { target })?;
        }
        for RawDevice {
            path,
            major,
            minor,
            mode,
        } in raw.device
        {
            let mode = permissions(mode.unwrap_or(0o600))?;
            self.tree
                .insert(&path, Node::Device { mode, major, minor })?;
        }
        Ok(())
    }
}

fn permissions(mode: u32) -> anyhow::Result<u32> {
    if mode > 0o7777 {
        return Err(anyhow!(
            "mode {mode:#o} has more than permission bits; write e.g. 0o755"
        ));
    }
    Ok(mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::ExitCode;

    fn load(text: &str) -> Result<ImageSpec> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.toml"), text).unwrap();
        fs::write(folder.path().join("notes.md"), "not read").unwrap();
        ImageSpec::load(folder.path())
    }

    #[test]
    fn the_repository_s_own_images_are_well_formed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../images");
        let spec = ImageSpec::load(&folder).unwrap();
        assert!(spec.modules.is_empty());
        assert_ne!(spec.tree, Tree::default());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_file() {
        let rows = [
            "module = []",
            "[[file]]\npath = \"/a\"",
            "[[file]]\npath = \"/a\"\nsource = \"gone\"",
            "[[dir]]\npath = \"relative\"",
            "[[dir]]\npath = \"/a\"\nmode = 0o100755",
            "[[file]]\npath = \"/a\"\ntext = \"\"\n[[link]]\npath = \"/a\"\ntarget = \"b\"",
        ];
        for text in rows {
            let failure = load(text).unwrap_err();
            assert_eq!(failure.code, ExitCode::Usage, "{text}");
            assert!(failure.to_string().contains("a.toml"), "{failure}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        assert!(ImageSpec::load(Path::new("/nonexistent/images")).is_err());
    }
}
