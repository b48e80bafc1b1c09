//! Which kernel modules must be loaded, in which order, and their unpacked content.
//!
//! In: `modules.dep` and `modules.builtin` of a kernel, and the names wanted. Out: files,
//! dependencies first, and the names that this kernel doesn't have.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use anyhow::{Context as _, bail};

/// What a kernel's modules need of each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// By file, which files it depends on.
    depends: BTreeMap<String, Vec<String>>,
    /// By name, which file it is in.
    files: BTreeMap<String, String>,
    builtin: BTreeSet<String>,
}

/// What to load for the names wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadOrder {
    /// Files below the folder of `modules.dep`, dependencies first.
    pub files: Vec<String>,
    /// Names that the kernel has neither as a module nor built in.
    pub missing: Vec<String>,
}

impl Index {
    /// Reads `modules.dep` and `modules.builtin`.
    pub fn parse(dep: &str, builtin: &str) -> Self {
        let mut index = Self::default();
        for line in dep.lines() {
            if let Some((file, needs)) = line.split_once(':') {
                let needs = needs.split_whitespace().map(str::to_owned).collect();
                index.depends.insert(file.to_owned(), needs);
                index.files.insert(module_name(file), file.to_owned());
            }
        }
        index.builtin = builtin.lines().map(module_name).collect();
        index
    }

    /// Reads both files from a kernel's folder.
    pub fn load(folder: &Path) -> anyhow::Result<Self> {
        let dep = folder.join("modules.dep");
        let dep =
            fs::read_to_string(&dep).with_context(|| format!("cannot read {}", dep.display()))?;
        // A kernel built without any module of its own may come without this list.
        let builtin = fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
        Ok(Self::parse(&dep, &builtin))
    }

    /// What to load, in which order, so that these modules are there.
    pub fn load_order(&self, wanted: &[String]) -> LoadOrder {
        let mut order = LoadOrder::default();
        let mut seen = BTreeSet::new();
        for name in wanted {
            let module = module_name(name);
            match self.files.get(&module) {
                Some(file) => self.visit(file, &mut seen, &mut order),
                None if self.builtin.contains(&module) => {}
                None => order.missing.push(name.clone()),
            }
        }
        order
    }

    fn visit<'a>(&'a self, file: &'a str, seen: &mut BTreeSet<&'a str>, order: &mut LoadOrder) {
        // Also what keeps a circle in a damaged file from going on for ever.
        if !seen.insert(file) {
            return;
        }
        match self.depends.get(file) {
            Some(needs) => {
                for need in needs {
                    self.visit(need, seen, order);
                }
                order.files.push(file.to_owned());
            }
            None => order.missing.push(module_name(file)),
        }
    }
}

/// A module's name as the kernel writes it: `kernel/fs/a-b.ko.xz` is `a_b`.
pub fn module_name(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    let stem = base.split(".ko").next().unwrap_or(base);
    stem.trim().replace('-', "_")
}

/// A module's content, unpacked: the guest has no tools for that.
pub fn read_module(path: &Path) -> anyhow::Result<Vec<u8>> {
    let tool = match path.extension().and_then(|e| e.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        Some("ko") => {
            return fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        }
        _ => bail!("{} isn't a kernel module", path.display()),
    };
    let output = Command::new(tool)
        .args(["--decompress", "--stdout", "--quiet"])
        .arg(path)
        .output()
        .with_context(|| format!("cannot run {tool}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("cannot unpack {}: {tool}: {}", path.display(), said.trim());
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEP: &str = "\
kernel/fs/overlayfs/overlay.ko.xz:
kernel/drivers/net/virtio_net.ko.xz: kernel/net/core/failover.ko.xz kernel/drivers/net/net-failover.ko.xz
kernel/drivers/net/net-failover.ko.xz: kernel/net/core/failover.ko.xz
kernel/net/core/failover.ko.xz:
kernel/damaged.ko: kernel/gone.ko
kernel/a.ko: kernel/b.ko
kernel/b.ko: kernel/a.ko
";

    fn order(wanted: &[&str]) -> LoadOrder {
        let wanted: Vec<_> = wanted.iter().map(|name| (*name).to_owned()).collect();
        Index::parse(DEP, "kernel/fs/ext4/ext4.ko\n").load_order(&wanted)
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let order = order(&["virtio-net", "overlay", "failover"]);
        assert_eq!(
            order.files,
            [
                "kernel/net/core/failover.ko.xz",
                "kernel/drivers/net/net-failover.ko.xz",
                "kernel/drivers/net/virtio_net.ko.xz",
                "kernel/fs/overlayfs/overlay.ko.xz",
            ]
        );
        assert!(order.missing.is_empty());
    }

    #[test]
    fn what_is_built_in_needs_nothing_and_what_is_missing_is_named() {
        let order = order(&["ext4", "btrfs"]);
        assert!(order.files.is_empty());
        assert_eq!(order.missing, ["btrfs"]);
    }

    #[test]
    fn a_damaged_list_is_survived_and_told() {
        assert_eq!(order(&["damaged"]).missing, ["gone"]);
        assert_eq!(order(&["a"]).files, ["kernel/b.ko", "kernel/a.ko"]);
    }

    #[test]
    fn modules_are_unpacked_with_the_host_s_tools() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("m.ko");
        fs::write(&plain, b"module").unwrap();
        assert_eq!(read_module(&plain).unwrap(), b"module");
        let packed = Command::new("gzip").arg("--keep").arg(&plain).status();
        assert!(packed.unwrap().success());
        assert_eq!(
            read_module(&folder.path().join("m.ko.gz")).unwrap(),
            b"module"
        );
        fs::write(folder.path().join("n.ko.gz"), b"not gzip").unwrap();
        let error = read_module(&folder.path().join("n.ko.gz")).unwrap_err();
        assert!(error.to_string().contains("n.ko.gz"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(dep in "([a-z./:-]| |\n){0,200}", builtin in ".{0,40}", wanted in "[a-z.]{0,9}") {
            Index::parse(&dep, &builtin).load_order(&[wanted]);
        }
    }
}
