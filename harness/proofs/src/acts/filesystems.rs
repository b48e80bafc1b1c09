//! The file systems beside the guest's own that proofs take place on: their modules, disks,
//! mounts, and the files to fight over.
//!
//! Made when the first proof on one comes, and kept until the boot ends; but an [`overlay`] is
//! made anew each time. A kernel that can't
//! have one says so by itself: the type isn't in `/proc/filesystems` after all modules that
//! the image has for it are loaded, or there are no loop devices to put a disk on.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use protocol::plan::Filesystem;
use rustix::mount::{MountFlags, mount};

use self::overlay::Layers;
use crate::acts::{ioctl, running_kernel};

pub mod overlay;

/// Where they are mounted, each in a folder named after it.
const MOUNTS: &str = "/srv";
/// Where the disks' files are: memory, and as large as what isn't zero in them.
const DISKS: &str = "/run/disks";

/// The file systems of this boot that were asked for so far.
#[derive(Default)]
pub struct Filesystems(BTreeMap<Filesystem, Made>);

/// What became of one.
pub enum Made {
    /// It is mounted, and its files are written.
    Here(Ground),
    /// This kernel can't have it, for this reason.
    Missing(String),
}

/// The files of one file system.
pub struct Ground {
    /// Those that the policy forbids; never empty.
    pub secrets: Vec<Secret>,
    /// Those that it doesn't, with the arms that open them; never empty.
    pub benign: Vec<(&'static str, PathBuf)>,
    /// Its folders, if it is an overlay.
    pub layers: Option<Layers>,
}

/// A file that the policy forbids.
pub struct Secret {
    /// The path that is opened.
    pub opened: PathBuf,
    /// The path that the policy names.
    pub ruled: PathBuf,
    /// The names of the arms that open it.
    pub arms: &'static Arms,
}

/// The arms of one file.
pub struct Arms {
    /// While the agent is absent.
    pub before: &'static str,
    /// While it is up.
    pub during: &'static str,
    /// After it stopped.
    pub after: &'static str,
}

const ONLY: Arms = Arms {
    before: "before",
    during: "during",
    after: "after",
};
const LATER: Arms = Arms {
    before: "before-later",
    during: "during-later",
    after: "after-later",
};

impl Filesystems {
    /// Makes one, unless it was made before and is still as it was; says then what that took.
    ///
    /// # Errors
    /// The kernel has it, and it can't be made all the same.
    pub fn make(&mut self, filesystem: Filesystem) -> Result<Option<String>> {
        match self.0.remove(&filesystem) {
            Some(Made::Here(Ground {
                layers: Some(_), ..
            })) => overlay::clear(&root_of(filesystem))?,
            Some(made) => {
                self.0.insert(filesystem, made);
                return Ok(None);
            }
            None => {}
        }
        let name = filesystem.name();
        let started = Instant::now();
        let modules = load_modules(filesystem)?;
        let loaded = started.elapsed();
        let made = match lacks(filesystem)? {
            Some(why) => Made::Missing(why),
            None => Made::Here(ground(filesystem).with_context(|| format!("making {name}"))?),
        };
        self.0.insert(filesystem, made);
        Ok(Some(format!(
            "{name}: loading {} took {} ms, making it {} ms",
            if modules.is_empty() {
                "nothing".to_owned()
            } else {
                modules.join(", ")
            },
            loaded.as_millis(),
            (started.elapsed() - loaded).as_millis()
        )))
    }

    /// One that was made.
    ///
    /// # Errors
    /// It wasn't.
    pub fn get(&self, filesystem: Filesystem) -> Result<&Made> {
        let made = self.0.get(&filesystem);
        made.with_context(|| format!("{} was never made", filesystem.name()))
    }

    /// The ground on one, which this kernel must have.
    ///
    /// # Errors
    /// It wasn't made, or can't be.
    pub fn ground(&self, filesystem: Filesystem) -> Result<&Ground> {
        match self.get(filesystem)? {
            Made::Here(ground) => Ok(ground),
            Made::Missing(why) => Err(anyhow::anyhow!("{why}")),
        }
    }
}

impl Ground {
    /// Rules for a policy, one for each file that it forbids.
    pub fn rules(&self) -> String {
        let rule = |secret: &Secret| {
            let path = secret.ruled.display();
            format!("\n[[deny.file]]\npath = \"{path}\"\n")
        };
        let on_secrets = self.secrets.iter().map(rule);
        on_secrets
            .chain(self.layers.iter().map(Layers::rules))
            .collect()
    }
}

/// The kernel's name for it.
fn kind(filesystem: Filesystem) -> &'static str {
    match filesystem {
        Filesystem::Overlayfs => "overlay",
        other => other.name(),
    }
}

/// Loads the modules that the image has for it.
fn load_modules(filesystem: Filesystem) -> Result<Vec<String>> {
    let list = Path::new(protocol::MODULES_OF_FILESYSTEMS).join(filesystem.name());
    running_kernel::load_listed(&list)
}

/// Why this kernel can't have it, if it can't.
fn lacks(filesystem: Filesystem) -> Result<Option<String>> {
    let kind = kind(filesystem);
    let known = fs::read_to_string("/proc/filesystems").context("reading /proc/filesystems")?;
    if !is_known(kind, &known) {
        let why = "built in, nor as a module in the image";
        return Ok(Some(format!("the kernel has no {kind}, neither {why}")));
    }
    let takes_disk = disk_of(filesystem).is_dir();
    if takes_disk && !Path::new(ioctl::LOOP_CONTROL).exists() {
        let why = "built in, nor as a module in the image";
        let why = format!("the kernel has {kind}, but no loop devices for its disk, neither {why}");
        return Ok(Some(why));
    }
    Ok(None)
}

/// Whether a kind stands in the text of `/proc/filesystems`.
fn is_known(kind: &str, text: &str) -> bool {
    text.lines()
        .any(|line| line.split_whitespace().next_back() == Some(kind))
}

/// Where the image has its disk, if it has one.
fn disk_of(filesystem: Filesystem) -> PathBuf {
    Path::new(protocol::DISKS_DIR).join(filesystem.name())
}

fn root_of(filesystem: Filesystem) -> PathBuf {
    Path::new(MOUNTS).join(filesystem.name())
}

fn ground(filesystem: Filesystem) -> Result<Ground> {
    let root = root_of(filesystem);
    match filesystem {
        Filesystem::Ext4 | Filesystem::Xfs => {
            mount_on(&disk(filesystem)?, kind(filesystem), &root, "")?;
            plain(&root)
        }
        Filesystem::Btrfs => {
            mount_on(&disk(filesystem)?, kind(filesystem), &root, "")?;
            let top = File::open(&root).context("opening its top folder")?;
            // Both before any file, so that the files are of one transaction.
            for name in ["subvolume", "twin"] {
                ioctl::make_subvolume(&top, name).context("making a subvolume")?;
            }
            let mut ground = plain(&root.join("subvolume"))?;
            let twin = root.join("twin/benign");
            write(&twin)?;
            same_number(&twin, &ground.secrets[0].opened)?;
            ground.benign.push(("benign-twin", twin));
            // Of a later transaction, and so of another generation.
            ioctl::make_subvolume(&top, "later").context("making a subvolume")?;
            let later = root.join("later/secret");
            write(&later)?;
            same_number(&later, &ground.secrets[0].opened)?;
            ground.secrets.push(Secret {
                opened: later.clone(),
                ruled: later,
                arms: &LATER,
            });
            Ok(ground)
        }
        Filesystem::Tmpfs => {
            mount_on(Path::new("tmpfs"), "tmpfs", &root, "")?;
            plain(&root)
        }
        Filesystem::Overlayfs => overlay::ground(&root),
    }
}

/// One secret and its neighbour in a folder.
fn plain(folder: &Path) -> Result<Ground> {
    let secret = folder.join("secret");
    let benign = folder.join("benign");
    write(&secret)?;
    write(&benign)?;
    Ok(Ground {
        secrets: vec![Secret {
            opened: secret.clone(),
            ruled: secret,
            arms: &ONLY,
        }],
        benign: vec![("benign", benign)],
        layers: None,
    })
}

/// Makes sure that two files can't be told apart by their inode numbers.
fn same_number(one: &Path, other: &Path) -> Result<()> {
    let number = |path: &Path| fs::metadata(path).map(|metadata| metadata.ino());
    let numbers = (number(one)?, number(other)?);
    if numbers.0 != numbers.1 {
        bail!("{} and {}: {numbers:?}", one.display(), other.display());
    }
    Ok(())
}

fn write(path: &Path) -> Result<()> {
    fs::write(path, format!("the content of {}\n", path.display()))
        .with_context(|| format!("writing {}", path.display()))
}

fn mount_on(source: &Path, kind: &str, target: &Path, options: &str) -> Result<()> {
    fs::create_dir_all(target).with_context(|| format!("making {}", target.display()))?;
    let options = CString::new(options).context("options with a NUL")?;
    mount(
        source,
        target,
        kind,
        MountFlags::empty(),
        options.as_c_str(),
    )
    .with_context(|| format!("mounting {kind} on {}", target.display()))
}

/// Puts the image's disk on a loop device, and gives that one's path.
fn disk(filesystem: Filesystem) -> Result<PathBuf> {
    let parts = disk_of(filesystem);
    fs::create_dir_all(DISKS).with_context(|| format!("making {DISKS}"))?;
    let path = Path::new(DISKS).join(filesystem.name());
    let file = lay_out(&parts, &path)
        .with_context(|| format!("laying out the disk of {}", parts.display()))?;
    ioctl::loop_device(&file).context("making a loop device")
}

/// A disk's file out of its parts.
fn lay_out(parts: &Path, path: &Path) -> Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)?;
    for part in fs::read_dir(parts)? {
        let part = part?;
        let name = part.file_name().to_string_lossy().into_owned();
        let content = fs::read(part.path())?;
        if name == protocol::DISK_SIZE {
            file.set_len(String::from_utf8(content)?.parse()?)?;
        } else {
            file.write_all_at(&content, name.parse().context(name)?)?;
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_known_by_its_whole_name_with_a_disk_or_without() {
        let text = "nodev\tsysfs\nnodev\toverlay\n\text4\n\tfuseblk\n";
        assert!(is_known("overlay", text) && is_known("ext4", text));
        assert!(!is_known("nodev", text) && !is_known("ext", text) && !is_known("xfs", text));
        assert!(!is_known("", text));
    }

    #[test]
    fn a_disk_is_laid_out_from_its_parts_in_any_order() {
        let folder = std::env::temp_dir().join(format!("guest-disk-{}", std::process::id()));
        let parts = folder.join("parts");
        fs::create_dir_all(&parts).expect("a folder of our own");
        for (name, content) in [("size", "100000"), ("0", "first"), ("65536", "last")] {
            fs::write(parts.join(name), content).expect("a folder of our own");
        }
        let made = lay_out(&parts, &folder.join("disk"));
        let content = fs::read(folder.join("disk"));
        fs::write(parts.join("oops"), "").expect("a folder of our own");
        let odd = lay_out(&parts, &folder.join("odd"));
        fs::remove_dir_all(&folder).expect("a folder of our own");
        made.expect("its parts are whole");
        let content = content.expect("it was made");
        assert_eq!(content.len(), 100_000);
        assert_eq!(&content[..6], b"first\0");
        assert_eq!(&content[65_536..65_541], b"last\0");
        assert!(odd.is_err());
    }

    #[test]
    fn each_secret_has_a_rule_by_the_path_that_the_policy_is_to_name() {
        let secret = |ruled: &str| Secret {
            opened: "/merged/a".into(),
            ruled: ruled.into(),
            arms: &ONLY,
        };
        let ground = Ground {
            secrets: vec![secret("/merged/a"), secret("/image/a")],
            benign: Vec::new(),
            layers: None,
        };
        assert_eq!(
            ground.rules(),
            "\n[[deny.file]]\npath = \"/merged/a\"\n\n[[deny.file]]\npath = \"/image/a\"\n"
        );
    }
}
