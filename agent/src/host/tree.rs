//! Folders held open, and single steps from one to what stands in it.
//!
//! In: a folder and a name. Out: what stands there, itself open, and whose doing that is. No step
//! follows a link, and each begins at what the last one has open: whoever moves folders about or
//! puts links in their place changes nothing behind a step that is done. No step asks a user's own
//! file system (FUSE) anything either: it needn't answer.
//!
//! A folder that another user than root can change is *his*, and so is all beneath it, since he can
//! move what is in it; see [`Realm`].

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Statx, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::host;

/// Who can change which files a folder has, or where it stands itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Realm {
    /// Root alone.
    Root,
    /// Everybody can put files there, and only root can take away what is root's: a folder like
    /// `/tmp`.
    Sticky,
    /// This user, beside root.
    User(u32),
    /// Several users.
    Several,
}

impl Realm {
    /// Whether what stands there was put there by root, whatever it is.
    #[must_use]
    pub fn is_root(self) -> bool {
        self == Self::Root
    }
}

/// What says whose a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ownership {
    uid: u32,
    gid: u32,
    /// Permission bits and the sticky bit.
    mode: u32,
    /// Whether an access control list says more than the mode.
    has_acl: bool,
}

/// From linux/magic.h.
const AUTOFS_SUPER_MAGIC: rustix::fs::FsWord = 0x0187;

const OF_USER: &str = "is a file system of a user's own (FUSE), whose process needn't ever answer";

const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// The realm of a folder by itself, wherever it stands. Where there is an access control list, the
/// group's bits are its mask.
fn realm(of: Ownership) -> Realm {
    let group_writes = of.mode & GROUP_WRITES != 0 && (of.gid != 0 || of.has_acl);
    let others_write = of.mode & OTHERS_WRITE != 0;
    match (of.uid, group_writes || others_write) {
        (0, false) => Realm::Root,
        (0, true) if of.mode & STICKY != 0 => Realm::Sticky,
        (uid, false) => Realm::User(uid),
        (_, true) => Realm::Several,
    }
}

/// The realm of a folder, by that of the one which it stands in.
fn within(parent: Realm, of: Ownership) -> Realm {
    match (parent, of.uid) {
        (Realm::Root, _) | (Realm::Sticky, 0) => realm(of),
        // Whoever made it can move it, and is joined by those who can write to it.
        (Realm::Sticky, uid) => match realm(of) {
            Realm::User(_) => Realm::User(uid),
            _ => Realm::Several,
        },
        // Root's folders too: he moves them with what they stand in.
        (Realm::User(user), uid) => match realm(of) {
            Realm::Root => Realm::User(user),
            Realm::User(_) if uid == user => Realm::User(user),
            _ => Realm::Several,
        },
        (Realm::Several, _) => Realm::Several,
    }
}

/// A folder, open with `O_PATH`.
#[derive(Debug)]
pub struct Folder {
    /// The folder.
    pub file: File,
    /// Where it stands: a path without links.
    pub path: PathBuf,
    /// Whose it is.
    pub realm: Realm,
    /// Its owner.
    pub owner: u32,
    /// The mount that it was reached by.
    pub mount: u64,
}

/// What isn't a folder, open with `O_PATH`.
#[derive(Debug)]
pub struct Leaf {
    /// The file.
    pub file: File,
    /// Its owner.
    pub owner: u32,
    /// How many names it has.
    pub names: u32,
    /// What it is.
    pub kind: FileType,
}

/// What stands under a name.
#[derive(Debug)]
pub enum Stands {
    /// Nothing.
    Missing,
    /// A folder.
    Folder(Rc<Folder>),
    /// What isn't a folder and leads nowhere.
    File(Leaf),
    /// A symbolic link.
    Link {
        /// Its owner.
        owner: u32,
        /// What it holds.
        to: PathBuf,
    },
    /// What isn't entered, and why, as the end of a sentence on the name.
    Barred(&'static str),
}

/// Where the steps begin, and what they go by.
#[derive(Debug)]
pub struct Tree {
    root: Rc<Folder>,
    /// By mount, for those on which a user's process answers; read when it is first needed.
    users: Option<HashMap<u64, bool>>,
}

impl Tree {
    /// The machine's own tree.
    ///
    /// # Errors
    /// Its root can't be opened.
    pub fn new() -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY;
        let file = rustix::fs::open("/", flags, Mode::empty())?;
        let stat = stat(&file)?;
        let root = Folder {
            realm: realm(ownership(&file, &stat)),
            owner: stat.stx_uid,
            mount: stat.stx_mnt_id,
            file: file.into(),
            path: PathBuf::from("/"),
        };
        Ok(Self {
            root: Rc::new(root),
            users: None,
        })
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> &Rc<Folder> {
        &self.root
    }

    /// What stands under a name in a folder.
    ///
    /// # Errors
    /// The kernel's, but for that there is nothing.
    pub fn step(&mut self, folder: &Rc<Folder>, name: &OsStr) -> io::Result<Stands> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = match rustix::fs::openat(&folder.file, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Stands::Missing),
            Err(error) => return Err(error.into()),
        };
        let (file, found) = match self.known(file, folder, name) {
            // What root can't even ask of is a user's own.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Ok(Stands::Barred(OF_USER));
            }
            known => known?,
        };
        let mut realm = folder.realm;
        if found.stx_mnt_id != folder.mount {
            if matches!(realm, Realm::User(_) | Realm::Several) {
                return Ok(Stands::Barred(
                    "is a mount point in a folder that other users than root can move",
                ));
            }
            if found.stx_dev_major == 0 && self.is_answered_by_user(found.stx_mnt_id)? {
                return Ok(Stands::Barred(OF_USER));
            }
            // Root's mount, and nobody moves a folder that is mounted upon.
            realm = Realm::Root;
        }
        let owner = found.stx_uid;
        match FileType::from_raw_mode(found.stx_mode.into()) {
            FileType::Directory => Ok(Stands::Folder(Rc::new(Folder {
                realm: within(realm, ownership(&file, &found)),
                owner,
                mount: found.stx_mnt_id,
                file: file.into(),
                path: folder.path.join(name),
            }))),
            FileType::Symlink => self.link(&file, owner),
            kind => Ok(Stands::File(Leaf {
                file: file.into(),
                owner,
                names: found.stx_nlink,
                kind,
            })),
        }
    }

    /// What is known of what was opened; of an automount point that root set up, of what is mounted
    /// there by that.
    fn known(&self, file: OwnedFd, folder: &Folder, name: &OsStr) -> io::Result<(OwnedFd, Statx)> {
        let found = stat(&file)?;
        let is_folder = FileType::from_raw_mode(found.stx_mode.into()) == FileType::Directory;
        let may_be_automount = is_folder && found.stx_dev_major == 0 && folder.realm.is_root();
        if !may_be_automount || rustix::fs::fstatfs(&file)?.f_type != AUTOFS_SUPER_MAGIC {
            return Ok((file, found));
        }
        // Whoever asks for a folder has it mounted; O_PATH alone doesn't.
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::DIRECTORY;
        let mounted = rustix::fs::openat(&folder.file, name, flags, Mode::empty())?;
        let found = stat(&mounted)?;
        Ok((mounted, found))
    }

    /// A link. One of procfs may lead by itself, wherever a process has its files, and what it
    /// says is no path of this machine's then.
    fn link(&self, link: &OwnedFd, owner: u32) -> io::Result<Stands> {
        let target = rustix::fs::readlinkat(link, "", Vec::new())?;
        let to = PathBuf::from(OsStr::from_bytes(target.as_bytes()));
        if is_on_procfs(link)? && !is_of_text(&to) {
            return Ok(Stands::Barred(
                "is a link of /proc that leads by itself, and where to is a process's affair",
            ));
        }
        Ok(Stands::Link { owner, to })
    }

    fn is_answered_by_user(&mut self, mount: u64) -> io::Result<bool> {
        let users = match &mut self.users {
            Some(users) => users,
            None => {
                let mounts = host::mounts().map_err(io::Error::other)?;
                let users = mounts.into_iter().map(|mount| {
                    let is_fuse = mount.fs_type == "fuse" || mount.fs_type.starts_with("fuse.");
                    (mount.id, is_fuse && mount.user != Some(0))
                });
                self.users.insert(users.collect())
            }
        };
        // One that isn't in the table came after it was read; who knows whose it is.
        Ok(users.get(&mount).copied().unwrap_or(true))
    }
}

impl Folder {
    /// The path under which the calling process, and no other, reaches the very folder.
    #[must_use]
    pub fn by_descriptor(&self) -> PathBuf {
        Path::new("/proc/self/fd").join(self.file.as_raw_fd().to_string())
    }
}

/// The mount that an open file was reached by, if the file is what that mount shows and not in it.
///
/// # Errors
/// The kernel's.
pub fn mount_shown(file: &File) -> io::Result<Option<u64>> {
    let stat = stat(file)?;
    let is_root = stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    Ok(is_root.then_some(stat.stx_mnt_id))
}

/// What a link of procfs's own says that is a path: these are short, and lead to other entries of
/// /proc. All others there are those of `/proc/PID`.
fn is_of_text(to: &Path) -> bool {
    let mut parts = to.components();
    let first = parts.next().and_then(|part| part.as_os_str().to_str());
    let is_pid = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !to.has_root()
        && first.is_some_and(|first| first == "self" || first == "thread-self" || is_pid(first))
}

fn is_on_procfs(file: &OwnedFd) -> io::Result<bool> {
    let magic = rustix::fs::fstatfs(file)?.f_type;
    Ok(magic == rustix::fs::PROC_SUPER_MAGIC)
}

/// Of what is open, as far as it is known without asking a file system that may not answer.
fn stat(file: impl AsFd) -> io::Result<Statx> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    Ok(rustix::fs::statx(file, "", flags, wanted)?)
}

fn ownership(folder: &OwnedFd, stat: &Statx) -> Ownership {
    let mode = u32::from(stat.stx_mode);
    // Asked only where it makes a difference.
    let asks = stat.stx_gid == 0 && mode & GROUP_WRITES != 0;
    Ownership {
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        mode,
        has_acl: asks && has_acl(folder),
    }
}

/// Whether it has an access control list; if that can't be found out, it counts as having one.
fn has_acl(folder: &OwnedFd) -> bool {
    let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
    let mut nothing = [0_u8; 0];
    let asked = rustix::fs::getxattr(path, "system.posix_acl_access", &mut nothing[..]);
    !matches!(asked, Err(Errno::NODATA | Errno::OPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(uid: u32, mode: u32) -> Ownership {
        Ownership {
            uid,
            gid: 100,
            mode,
            has_acl: false,
        }
    }

    #[test]
    fn a_folder_is_of_whoever_can_change_it() {
        for (of, expected) in [
            (folder(0, 0o755), Realm::Root),
            (folder(0, 0o775), Realm::Several),
            (folder(0, 0o757), Realm::Several),
            (folder(0, 0o1777), Realm::Sticky),
            (folder(7, 0o700), Realm::User(7)),
            // Without a bit that lets him write: he can give himself one.
            (folder(7, 0o000), Realm::User(7)),
            (folder(7, 0o770), Realm::Several),
            (folder(7, 0o1777), Realm::Several),
        ] {
            assert_eq!(realm(of), expected, "{of:?}");
        }
        let of_root_s_group = Ownership {
            gid: 0,
            ..folder(0, 0o775)
        };
        assert_eq!(realm(of_root_s_group), Realm::Root);
        let listed = Ownership {
            has_acl: true,
            ..of_root_s_group
        };
        assert_eq!(realm(listed), Realm::Several);
    }

    #[test]
    fn what_stands_in_a_user_s_folder_is_his_whosever_it_is() {
        let (root, his, other) = (folder(0, 0o755), folder(7, 0o755), folder(8, 0o755));
        for (parent, of, expected) in [
            (Realm::Root, root, Realm::Root),
            (Realm::Root, his, Realm::User(7)),
            (Realm::Root, folder(0, 0o1777), Realm::Sticky),
            (Realm::Sticky, root, Realm::Root),
            (Realm::Sticky, his, Realm::User(7)),
            (Realm::Sticky, folder(7, 0o777), Realm::Several),
            (Realm::User(7), root, Realm::User(7)),
            (Realm::User(7), his, Realm::User(7)),
            (Realm::User(7), other, Realm::Several),
            (Realm::User(7), folder(0, 0o1777), Realm::Several),
            (Realm::Several, root, Realm::Several),
        ] {
            assert_eq!(within(parent, of), expected, "{parent:?} {of:?}");
        }
    }

    #[test]
    fn links_of_proc_that_are_paths_are_told_from_those_that_lead_by_themselves() {
        for text in ["123", "self/mounts", "123/task/123", "self/net"] {
            assert!(is_of_text(Path::new(text)), "{text}");
        }
        for text in [
            "/",
            "/etc/motd",
            "pipe:[7]",
            "mnt:[4026531841]",
            "anon_inode:[x]",
            "",
        ] {
            assert!(!is_of_text(Path::new(text)), "{text}");
        }
        let mut tree = Tree::new().expect("a root");
        let root = Rc::clone(tree.root());
        let Ok(Stands::Folder(proc)) = tree.step(&root, OsStr::new("proc")) else {
            panic!("no /proc");
        };
        let Ok(Stands::Link { .. }) = tree.step(&proc, OsStr::new("self")) else {
            panic!("no /proc/self");
        };
        let pid = std::process::id().to_string();
        let Ok(Stands::Folder(own)) = tree.step(&proc, OsStr::new(&pid)) else {
            panic!("no /proc/{pid}");
        };
        for name in ["root", "cwd", "exe"] {
            let stands = tree.step(&own, OsStr::new(name));
            assert!(
                matches!(stands, Ok(Stands::Barred(_))),
                "{name}: {stands:?}"
            );
        }
    }
}
