//! What a process does to files, by exactly one system call: how the canary meets a decoy.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// An act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// `openat(2)`
    Openat,
    /// `openat2(2)`
    Openat2,
    /// `open(2)`
    Open,
    /// `creat(2)`
    Creat,
    /// `mknod(2)` of a regular file, which creates a name without opening anything.
    Create,
    /// `mknod(2)` of a FIFO.
    Mknod,
    /// `symlink(2)`
    Symlink,
    /// `link(2)`
    Link,
    /// `rename(2)`
    Rename,
    /// `mkdir(2)`
    Mkdir,
    /// `unlink(2)` of a second name.
    Unlink,
    /// `rmdir(2)`
    Rmdir,
    /// `chmod(2)`, as one of the acts that set attributes, of which truncating by path is another.
    Chmod,
    /// `setxattr(2)`
    Setxattr,
    /// `removexattr(2)`
    Removexattr,
    /// `setxattr(2)` of an access control list.
    SetAcl,
    /// `removexattr(2)` of an access control list.
    RemoveAcl,
}

/// Why an act didn't succeed.
#[derive(Debug)]
pub enum Failure {
    /// The system call was refused with this.
    Refused(io::Error),
    /// What comes before or after it failed, which says nothing of the act.
    Around(io::Error),
}

/// What an act is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A file that is there.
    File,
    /// A name that no file has yet.
    NewName,
}

impl Act {
    /// Every act.
    pub const ALL: [Self; 17] = [
        Self::Openat,
        Self::Openat2,
        Self::Open,
        Self::Creat,
        Self::Create,
        Self::Mknod,
        Self::Symlink,
        Self::Link,
        Self::Rename,
        Self::Mkdir,
        Self::Unlink,
        Self::Rmdir,
        Self::Chmod,
        Self::Setxattr,
        Self::Removexattr,
        Self::SetAcl,
        Self::RemoveAcl,
    ];

    /// The name by which the canary is told of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Openat => "openat",
            Self::Openat2 => "openat2",
            Self::Open => "open",
            Self::Creat => "creat",
            Self::Create => "create",
            Self::Mknod => "mknod",
            Self::Symlink => "symlink",
            Self::Link => "link",
            Self::Rename => "rename",
            Self::Mkdir => "mkdir",
            Self::Unlink => "unlink",
            Self::Rmdir => "rmdir",
            Self::Chmod => "chmod",
            Self::Setxattr => "setxattr",
            Self::Removexattr => "removexattr",
            Self::SetAcl => "set-acl",
            Self::RemoveAcl => "remove-acl",
        }
    }

    /// What it is done to.
    pub fn target(self) -> Target {
        match self {
            Self::Create
            | Self::Mknod
            | Self::Symlink
            | Self::Rename
            | Self::Mkdir
            | Self::Rmdir => Target::NewName,
            _ => Target::File,
        }
    }

    /// Does it to the target, and leaves everything as it was. `scratch` is a name that is free, beside
    /// the target, for what that takes. What is done before and after the act goes through other hooks,
    /// whose programs let a canary by that wasn't sent through them.
    ///
    /// # Errors
    /// The system call's, or that of what is around it.
    pub fn attempt(self, target: &Path, scratch: &Path) -> Result<(), Failure> {
        match self {
            Self::Rename => fs::write(scratch, ""),
            // A second name of the target, to be removed in its place.
            Self::Unlink => fs::hard_link(target, scratch),
            Self::Rmdir => fs::create_dir(target),
            _ => Ok(()),
        }
        .map_err(Failure::Around)?;
        let acted = self.call(target, scratch);
        self.tidy(acted.is_ok(), target, scratch)
            .map_err(Failure::Around)?;
        acted.map_err(Failure::Refused)
    }

    fn tidy(self, succeeded: bool, target: &Path, scratch: &Path) -> io::Result<()> {
        match (self, succeeded) {
            (Self::Create | Self::Mknod | Self::Symlink | Self::Rename, true) => {
                fs::remove_file(target)
            }
            (Self::Link, true) | (Self::Rename, false) => fs::remove_file(scratch),
            (Self::Mkdir, true) => fs::remove_dir(target),
            // Neither name can be removed: the rule is on it. Renaming is another act.
            (Self::Unlink, false) => {
                let other = scratch.with_extension("other");
                fs::write(&other, "")?;
                fs::rename(&other, scratch)?;
                fs::remove_file(scratch)
            }
            (Self::Rmdir, false) => {
                fs::rename(target, scratch)?;
                fs::remove_dir(scratch)
            }
            _ => Ok(()),
        }
    }

    /// Acts by exactly this system call, which no library function promises.
    fn call(self, target: &Path, scratch: &Path) -> io::Result<()> {
        let target = CString::new(target.as_os_str().as_bytes())?;
        let scratch = CString::new(scratch.as_os_str().as_bytes())?;
        let (target, scratch) = (target.as_ptr(), scratch.as_ptr());
        let how: [u64; 3] = [libc::O_RDONLY as u64, 0, 0];
        let (read, at) = (libc::O_RDONLY, libc::AT_FDCWD);
        let (regular, fifo) = (libc::S_IFREG | 0o600, libc::S_IFIFO | 0o600);
        let (attribute, list) = (ATTRIBUTE.as_ptr(), LIST.as_ptr());
        let acl = access_list();
        // SAFETY: the paths and names are NUL-terminated, `how` has the layout and size of open_how,
        // and each value is passed with its own size; all outlive the call. A descriptor is left to
        // the end of the process, which is near.
        let result = unsafe {
            match self {
                Self::Openat => libc::syscall(libc::SYS_openat, at, target, read),
                Self::Openat2 => {
                    let size = size_of_val(&how);
                    libc::syscall(libc::SYS_openat2, at, target, how.as_ptr(), size)
                }
                Self::Open => libc::syscall(libc::SYS_open, target, read),
                Self::Creat => libc::syscall(libc::SYS_creat, target, 0o600),
                Self::Create => libc::syscall(libc::SYS_mknod, target, regular, 0),
                Self::Mknod => libc::syscall(libc::SYS_mknod, target, fifo, 0),
                Self::Symlink => libc::syscall(libc::SYS_symlink, scratch, target),
                Self::Link => libc::syscall(libc::SYS_link, target, scratch),
                Self::Rename => libc::syscall(libc::SYS_rename, scratch, target),
                Self::Mkdir => libc::syscall(libc::SYS_mkdir, target, 0o700),
                Self::Unlink => libc::syscall(libc::SYS_unlink, scratch),
                Self::Rmdir => libc::syscall(libc::SYS_rmdir, target),
                Self::Chmod => libc::syscall(libc::SYS_chmod, target, 0o600),
                Self::Setxattr => {
                    libc::syscall(libc::SYS_setxattr, target, attribute, c"".as_ptr(), 0, 0)
                }
                Self::Removexattr => libc::syscall(libc::SYS_removexattr, target, attribute),
                Self::SetAcl => {
                    let (value, size) = (acl.as_ptr(), acl.len());
                    libc::syscall(libc::SYS_setxattr, target, list, value, size, 0)
                }
                Self::RemoveAcl => libc::syscall(libc::SYS_removexattr, target, list),
            }
        };
        if result >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match (self, error.raw_os_error()) {
            // The hook comes before the file system, which may have no attributes, or not this one.
            (
                Self::Setxattr | Self::Removexattr | Self::SetAcl | Self::RemoveAcl,
                Some(libc::EOPNOTSUPP | libc::ENODATA),
            ) => Ok(()),
            _ => Err(error),
        }
    }
}

/// An extended attribute that whoever owns a file may set.
const ATTRIBUTE: &CStr = c"user.aegisbpf";
/// The one that holds the access control list.
const LIST: &CStr = c"system.posix_acl_access";

/// An access control list that says what the mode 0600 does, in the layout of the kernel's
/// `include/uapi/linux/posix_acl_xattr.h`.
fn access_list() -> Vec<u8> {
    const VERSION: u32 = 2;
    const NOBODY: u32 = u32::MAX;
    let (owner, group, other) = ((0x01_u16, 6_u16), (0x04, 0), (0x20, 0));
    let mut list = VERSION.to_le_bytes().to_vec();
    for (tag, permissions) in [owner, group, other] {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(NOBODY.to_le_bytes());
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_act_succeeds_where_no_rule_is_and_leaves_everything_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (file, name) = (folder.path().join("file"), folder.path().join("name"));
        fs::write(&file, "content").unwrap();
        for act in Act::ALL {
            let target = match act.target() {
                Target::File => &file,
                Target::NewName => &name,
            };
            // Twice: the first leaves nothing that is in the way of the second.
            for _ in 0..2 {
                match act.attempt(target, &folder.path().join("scratch")) {
                    // Only root may make some files, and there may be no such system call.
                    Ok(()) => {}
                    Err(failure) => panic!("{}: {failure:?}", act.name()),
                }
            }
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "{}", act.name());
        }
    }

    #[test]
    fn what_a_refused_removal_left_is_tidied_up() {
        let folder = tempfile::tempdir().unwrap();
        let (file, scratch) = (folder.path().join("file"), folder.path().join("scratch"));
        fs::write(&file, "content").unwrap();
        fs::hard_link(&file, &scratch).unwrap();
        Act::Unlink.tidy(false, &file, &scratch).unwrap();
        fs::create_dir(folder.path().join("name")).unwrap();
        Act::Rmdir
            .tidy(false, &folder.path().join("name"), &scratch)
            .unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(&file).unwrap(), "content");
    }
}
