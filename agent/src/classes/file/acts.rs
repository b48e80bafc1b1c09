//! What a process does to files, by exactly one system call: how the canary meets a decoy.

use std::ffi::CString;
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
    pub const ALL: [Self; 9] = [
        Self::Openat,
        Self::Openat2,
        Self::Open,
        Self::Creat,
        Self::Create,
        Self::Mknod,
        Self::Symlink,
        Self::Link,
        Self::Rename,
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
        }
    }

    /// What it is done to.
    pub fn target(self) -> Target {
        match self {
            Self::Openat | Self::Openat2 | Self::Open | Self::Creat | Self::Link => Target::File,
            Self::Create | Self::Mknod | Self::Symlink | Self::Rename => Target::NewName,
        }
    }

    /// Does it to the target, and removes what it made. `scratch` is a name that is free for the
    /// other end of a link or a rename.
    ///
    /// # Errors
    /// The system call's.
    pub fn attempt(self, target: &Path, scratch: &Path) -> io::Result<()> {
        let made = match self {
            Self::Openat | Self::Openat2 | Self::Open | Self::Creat => None,
            Self::Create | Self::Mknod | Self::Symlink | Self::Rename => Some(target),
            Self::Link => Some(scratch),
        };
        if self == Self::Rename {
            fs::write(scratch, "")?;
        }
        let acted = self.call(target, scratch);
        if self == Self::Rename && acted.is_err() {
            fs::remove_file(scratch)?;
        }
        if let (Ok(()), Some(made)) = (&acted, made) {
            fs::remove_file(made)?;
        }
        acted
    }

    /// Acts by exactly this system call, which no library function promises.
    fn call(self, target: &Path, scratch: &Path) -> io::Result<()> {
        let target = CString::new(target.as_os_str().as_bytes())?;
        let scratch = CString::new(scratch.as_os_str().as_bytes())?;
        let (target, scratch) = (target.as_ptr(), scratch.as_ptr());
        let how: [u64; 3] = [libc::O_RDONLY as u64, 0, 0];
        let (read, at) = (libc::O_RDONLY, libc::AT_FDCWD);
        let (regular, fifo) = (libc::S_IFREG | 0o600, libc::S_IFIFO | 0o600);
        // SAFETY: the paths are NUL-terminated and `how` has the layout and size of open_how; all
        // outlive the call. A descriptor is left to the end of the process, which is near.
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
            }
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}
