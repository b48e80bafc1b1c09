//! Packs one kernel's initramfs.
//!
//! In: the guest and the agents, the plan, what `images/` asks for, the kernel's modules.
//! Out: the initramfs file, and what was put in or couldn't be. It isn't compressed: gzip
//! takes half a second a kernel, and the guest boots no sooner for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use protocol::{
    AGENT_PATH, DISK_SIZE, DISKS_DIR, MODULES_DIR, MODULES_OF_FILESYSTEMS, MODULES_ORDER,
    OTHER_AGENT_PATH, PLAN_PATH, SABOTAGED_AGENT_PATH,
    plan::{Filesystem, GuestPlan},
};

use super::{
    cpio::{Node, Tree},
    disk::Disk,
    modules::{self, Index, LoadOrder},
    spec::{FilesystemSpec, ImageSpec},
};
use crate::exit::{Failure, Result};
use crate::image::artifacts::Artifacts;

/// What goes into one kernel's initramfs.
#[derive(Debug, Clone, Copy)]
pub struct PackInput<'a> {
    /// The agents, and the guest, which becomes `/init`.
    pub artifacts: &'a Artifacts,
    /// Becomes [`protocol::PLAN_PATH`].
    pub plan: &'a GuestPlan,
    /// What `images/` asks for.
    pub image: &'a ImageSpec,
    /// The disks of the file systems that take one.
    pub disks: &'a BTreeMap<Filesystem, Disk>,
    /// The kernel's modules ([`crate::kernels::ReadyKernel::modules`]).
    pub modules: Option<&'a Path>,
}

/// A packed initramfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The modules that every boot loads, in load order, as they stand in `load-order`.
    pub modules: Vec<String>,
    /// Modules that `images/` asks for and this kernel doesn't have, by name. Where the
    /// kernel comes without a list of its modules, all that are asked for.
    pub missing_modules: Vec<String>,
}

/// Writes the initramfs to `out`, whole or not at all.
pub fn pack(input: &PackInput<'_>, out: &Path) -> Result<Packed> {
    let mut tree = input.image.tree.clone();
    let mut put = |path: &str, mode: u32, content: Vec<u8>| {
        tree.insert(path, Node::File { mode, content })
            .map_err(|error| {
                Failure::usage(error.context("images/ and the harness both want a path"))
            })
    };
    let artifacts = input.artifacts;
    let programs = [
        ("/init", Some(&artifacts.guest)),
        (AGENT_PATH, Some(&artifacts.agent)),
        (SABOTAGED_AGENT_PATH, artifacts.sabotaged_agent.as_ref()),
        (OTHER_AGENT_PATH, artifacts.other_agent.as_ref()),
    ];
    for (path, program) in programs {
        if let Some(program) = program {
            put(path, 0o755, program.bytes.clone())?;
        }
    }
    let plan = serde_json::to_vec(input.plan).context("cannot write the plan as JSON")?;
    put(PLAN_PATH, 0o644, plan)?;
    let mut modules = Modules::of(input)?;
    let loaded = modules.list(&[], &input.image.modules);
    put(MODULES_ORDER, 0o644, lines(&loaded))?;
    for (filesystem, spec) in planned(input) {
        let list = modules.list(&spec.modules_where_there, &spec.modules);
        let path = format!("{MODULES_OF_FILESYSTEMS}/{}", filesystem.name());
        put(&path, 0o644, lines(&list))?;
        let Some(disk) = input.disks.get(&filesystem) else {
            continue;
        };
        let folder = format!("{DISKS_DIR}/{}", filesystem.name());
        let size = disk.size.to_string().into_bytes();
        put(&format!("{folder}/{DISK_SIZE}"), 0o644, size)?;
        for (at, bytes) in &disk.runs {
            put(&format!("{folder}/{at}"), 0o644, bytes.clone())?;
        }
    }
    for file in &modules.files {
        let content = modules::read_module(file)?;
        put(&format!("{MODULES_DIR}/{}", ko(file)), 0o644, content)?;
    }
    let bytes = write(&tree, out).with_context(|| format!("cannot write {}", out.display()))?;
    Ok(Packed {
        path: out.to_owned(),
        bytes,
        modules: loaded,
        missing_modules: modules.missing.into_iter().collect(),
    })
}

/// The file systems that a proof of this plan takes place on, with what they take.
fn planned<'a>(
    input: &PackInput<'a>,
) -> impl Iterator<Item = (Filesystem, &'a FilesystemSpec)> + use<'a> {
    let proofs = input.plan.boots.iter().flat_map(|boot| &boot.proofs);
    let planned: BTreeSet<Filesystem> = proofs.filter_map(|proof| proof.filesystem).collect();
    let specs = input.image.filesystems.iter();
    let specs = specs.filter(move |(filesystem, _)| planned.contains(filesystem));
    specs.map(|(filesystem, spec)| (*filesystem, spec))
}

/// The modules of one kernel, as they come to be asked for.
struct Modules<'a> {
    folder: Option<&'a Path>,
    index: Index,
    /// Each file once, however many lists it stands in.
    files: BTreeSet<PathBuf>,
    missing: BTreeSet<String>,
}

impl<'a> Modules<'a> {
    fn of(input: &PackInput<'a>) -> Result<Self> {
        let mut filesystems = input.image.filesystems.values();
        let asked =
            !input.image.modules.is_empty() || filesystems.any(|spec| !spec.modules.is_empty());
        let folder = input.modules.filter(|_| asked);
        Ok(Self {
            folder,
            index: folder.map(Index::load).transpose()?.unwrap_or_default(),
            files: BTreeSet::new(),
            missing: BTreeSet::new(),
        })
    }

    /// The files to load for these names, dependencies first; what is missing is noted.
    fn list(&mut self, where_there: &[String], wanted: &[String]) -> Vec<String> {
        let LoadOrder { missing, .. } = self.index.load_order(where_there);
        let all: Vec<String> = where_there
            .iter()
            .filter(|name| !missing.contains(name))
            .chain(wanted)
            .cloned()
            .collect();
        let order = self.index.load_order(&all);
        self.missing.extend(order.missing);
        let folder = self.folder.unwrap_or(Path::new(""));
        let files: Vec<PathBuf> = order.files.iter().map(|file| folder.join(file)).collect();
        let names = files.iter().map(|file| ko(file)).collect();
        self.files.extend(files);
        names
    }
}

/// A module's file as it is called in the image.
fn ko(file: &Path) -> String {
    format!("{}.ko", modules::module_name(&file.to_string_lossy()))
}

fn lines(names: &[String]) -> Vec<u8> {
    let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
    lines.into_bytes()
}

fn write(tree: &Tree, out: &Path) -> anyhow::Result<u64> {
    let folder = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let file = tempfile::NamedTempFile::new_in(folder)?;
    let mut writer = BufWriter::new(&file);
    tree.write(&mut writer)?;
    writer.flush()?;
    drop(writer);
    let bytes = file.as_file().metadata()?.len();
    file.persist(out).map_err(|error| anyhow!(error.error))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
