//! Packs one kernel's initramfs.
//!
//! In: the guest and agent binaries, the plan, what `images/` asks for, the kernel's modules.
//! Out: the initramfs file, and what was put in or couldn't be. It isn't compressed: gzip
//! takes half a second a kernel, and the guest boots no sooner for it.

use std::{
    fs,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use protocol::{
    AGENT_PATH, MODULES_DIR, MODULES_ORDER, PLAN_PATH, SABOTAGED_AGENT_PATH, plan::GuestPlan,
};

use super::{
    cpio::{Node, Tree},
    modules::{self, Index, LoadOrder},
    spec::ImageSpec,
};
use crate::exit::{Failure, Result};

/// What goes into one kernel's initramfs.
#[derive(Debug, Clone, Copy)]
pub struct PackInput<'a> {
    /// The static guest binary; becomes `/init`.
    pub guest: &'a Path,
    /// The static agent binary; becomes [`protocol::AGENT_PATH`].
    pub agent: &'a Path,
    /// Its sabotaged build; becomes [`protocol::SABOTAGED_AGENT_PATH`].
    pub sabotaged_agent: Option<&'a Path>,
    /// Becomes [`protocol::PLAN_PATH`].
    pub plan: &'a GuestPlan,
    /// What `images/` asks for.
    pub image: &'a ImageSpec,
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
    /// The modules in it, in load order, as they stand in `load-order`.
    pub modules: Vec<String>,
    /// Modules that `images/` asks for and this kernel doesn't have, by name. Where the
    /// kernel comes without a list of its modules, all that are asked for.
    pub missing_modules: Vec<String>,
}

/// Writes the initramfs to `out`, whole or not at all.
pub fn pack(input: &PackInput<'_>, out: &Path) -> Result<Packed> {
    let read = |what: &str, path: &Path| {
        let bytes = fs::read(path);
        bytes.with_context(|| format!("cannot read the {what} {}", path.display()))
    };
    let order = load_order(input)?;
    let mut tree = input.image.tree.clone();
    let mut put = |path: &str, mode: u32, content: Vec<u8>| {
        tree.insert(path, Node::File { mode, content })
            .map_err(|error| {
                Failure::usage(error.context("images/ and the harness both want a path"))
            })
    };
    put("/init", 0o755, read("guest", input.guest)?)?;
    let agent = read("agent", input.agent).map_err(Failure::usage)?;
    put(AGENT_PATH, 0o755, agent)?;
    if let Some(sabotaged) = input.sabotaged_agent {
        put(
            SABOTAGED_AGENT_PATH,
            0o755,
            read("sabotaged agent", sabotaged)?,
        )?;
    }
    let plan = serde_json::to_vec(input.plan).context("cannot write the plan as JSON")?;
    put(PLAN_PATH, 0o644, plan)?;
    let mut loaded = Vec::new();
    if let Some(folder) = input.modules {
        for file in &order.files {
            let name = format!("{}.ko", modules::module_name(file));
            let content = modules::read_module(&folder.join(file))?;
            put(&format!("{MODULES_DIR}/{name}"), 0o644, content)?;
            loaded.push(name);
        }
    }
    let lines: String = loaded.iter().map(|name| format!("{name}\n")).collect();
    put(MODULES_ORDER, 0o644, lines.into_bytes())?;
    let bytes = write(&tree, out).with_context(|| format!("cannot write {}", out.display()))?;
    Ok(Packed {
        path: out.to_owned(),
        bytes,
        modules: loaded,
        missing_modules: order.missing,
    })
}

fn load_order(input: &PackInput<'_>) -> Result<LoadOrder> {
    let wanted = &input.image.modules;
    Ok(match input.modules {
        _ if wanted.is_empty() => LoadOrder::default(),
        Some(folder) => Index::load(folder)?.load_order(wanted),
        None => LoadOrder {
            missing: wanted.clone(),
            ..LoadOrder::default()
        },
    })
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
