//! The ways to a denied file that are known to get past one tier or another.
//!
//! The guest goes each of them; what must come of it in each tier stands in the host's plan.

use serde::{Deserialize, Serialize};

use crate::plan::ATTEMPTS;

/// One way to a file, or to what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bypass {
    /// A path relative to the working folder.
    RelativePath,
    /// A path relative to a folder's descriptor.
    Dirfd,
    /// A path with `//` in it.
    DoubleSlash,
    /// A path with `/./` in it.
    Dot,
    /// A path with `..` in it.
    DotDot,
    /// A symbolic link.
    Symlink,
    /// As many symbolic links one behind the other as the kernel follows.
    SymlinkChain,
    /// A second name, made before the agent started.
    Hardlink,
    /// A bind mount, made before the agent started.
    BindMount,
    /// The file under another name, given to it while the agent is up.
    Renamed,
    /// A bind mount in a mount namespace of its own.
    MountNamespace,
    /// The root folder changed to the file's own.
    Chroot,
    /// A path through `/proc/self/root`.
    ProcSelfRoot,
    /// An `O_PATH` descriptor, opened again through `/proc/self/fd`.
    ProcSelfFd,
    /// `openat2(2)`.
    Openat2,
    /// `openat2(2)`, which is told to follow no symbolic link.
    Openat2NoSymlinks,
    /// `openat2(2)`, which is told to stay beneath the folder.
    Openat2Beneath,
    /// `openat2(2)`, which is told to take the folder for the root.
    Openat2InRoot,
    /// `openat2(2)`, which is told to cross no mount.
    Openat2NoXdev,
    /// `openat2(2)`, which is told to follow no link of the kind that `/proc` has.
    Openat2NoMagiclinks,
    /// `openat2(2)`, which is told to look no further than the kernel's cache of names.
    Openat2Cached,
    /// `open(2)`.
    Open,
    /// `creat(2)`.
    Creat,
    /// `open_by_handle_at(2)`.
    FileHandle,
    /// The 32-bit `open(2)`.
    Compat,
    /// The 32-bit `openat(2)`.
    CompatOpenat,
    /// `io_uring`, on the thread that submits.
    IoUring,
    /// `io_uring`, on a worker of the kernel.
    IoUringWorker,
    /// `io_uring`, on the kernel's thread that looks for submissions.
    IoUringSqpoll,
    /// A path on a page that isn't mapped in yet when the call begins.
    UnmappedPath,
    /// A path that a second thread writes once the call is under way.
    LatePath,
    /// Another file's path, which a second thread writes the file's over once the call is under
    /// way: whoever looks at the beginning sees that one.
    RewrittenPath,
    /// A name as long as any may be (`NAME_MAX`).
    LongName,
    /// A path as long as any may be (`PATH_MAX`), to a file beneath a denied folder.
    LongPath,
    /// `O_TRUNC`: the damage is done by the open itself.
    Truncate,
    /// `O_CREAT` on a denied name that has no file.
    Create,
    /// A child that shares the table of descriptors opens the file and dies.
    SharedFdTable,
    /// A child that this process traces opens the file; its descriptor is taken from it as it ends.
    TracedChild,
    /// A process whose tracer holds every signal back that it can.
    Traced,
    /// A process that ignores SIGTERM and every other signal that can be.
    SigtermIgnored,
    /// A process that blocks SIGTERM and every other signal that can be.
    SigtermBlocked,
    /// The pid 1 of a pid namespace, which most signals don't reach.
    PidNamespaceInit,
    /// A process without root's rights.
    OtherUser,
    /// A process that is in a user namespace of its own.
    UserNamespace,
    /// `execve(2)` of a denied executable.
    Exec,
    /// `execveat(2)` of a descriptor of a denied executable.
    Execveat,
    /// The descriptor that comes with an event of `fanotify(7)`.
    Fanotify,
    /// A file beneath a denied folder.
    BeneathFolder,
    /// A file 200 levels beneath a denied folder.
    DeepFolder,
    /// A second name, given while the agent is up.
    Link,
    /// Another file, put in the denied one's place.
    Replace,
    /// The machine's pid 1.
    PidOne,
    /// A descriptor that was opened before the agent started, and inherited.
    AlreadyOpen,
    /// A descriptor that was opened before the agent started, and is received over a socket.
    ReceivedFd,
    /// `O_PATH`: a descriptor that tells of the file and gives none of its content.
    OPath,
    /// `truncate(2)`, which opens nothing.
    TruncateByPath,
    /// A second name outside of a denied folder, made before the agent started.
    HardlinkOutOfFolder,
    /// No way to a denied file: a pipe, opened again through `/proc/self/fd`. It is in no
    /// folder, so no folder rule may take it for one of its own.
    ReopenedPipe,
    /// No way to a denied file: a file in memory (`memfd_create(2)`), as [`Self::ReopenedPipe`].
    ReopenedMemfd,
    /// No way to a denied file: a namespace's file, as [`Self::ReopenedPipe`].
    NamespaceFile,
    /// No way to a denied file: `pidfd_open(2)`, which newer kernels take for an open.
    Pidfd,
}

impl Bypass {
    /// All of them, in the order in which they are reported.
    pub const ALL: [Self; 61] = [
        Self::RelativePath,
        Self::Dirfd,
        Self::DoubleSlash,
        Self::Dot,
        Self::DotDot,
        Self::Symlink,
        Self::SymlinkChain,
        Self::Hardlink,
        Self::BindMount,
        Self::Renamed,
        Self::MountNamespace,
        Self::Chroot,
        Self::ProcSelfRoot,
        Self::ProcSelfFd,
        Self::Openat2,
        Self::Openat2NoSymlinks,
        Self::Openat2Beneath,
        Self::Openat2InRoot,
        Self::Openat2NoXdev,
        Self::Openat2NoMagiclinks,
        Self::Openat2Cached,
        Self::Open,
        Self::Creat,
        Self::FileHandle,
        Self::Compat,
        Self::CompatOpenat,
        Self::IoUring,
        Self::IoUringWorker,
        Self::IoUringSqpoll,
        Self::UnmappedPath,
        Self::LatePath,
        Self::RewrittenPath,
        Self::LongName,
        Self::LongPath,
        Self::Truncate,
        Self::Create,
        Self::SharedFdTable,
        Self::TracedChild,
        Self::Traced,
        Self::SigtermIgnored,
        Self::SigtermBlocked,
        Self::PidNamespaceInit,
        Self::OtherUser,
        Self::UserNamespace,
        Self::Exec,
        Self::Execveat,
        Self::Fanotify,
        Self::BeneathFolder,
        Self::DeepFolder,
        Self::Link,
        Self::Replace,
        Self::PidOne,
        Self::AlreadyOpen,
        Self::ReceivedFd,
        Self::OPath,
        Self::TruncateByPath,
        Self::HardlinkOutOfFolder,
        Self::ReopenedPipe,
        Self::ReopenedMemfd,
        Self::NamespaceFile,
        Self::Pidfd,
    ];

    /// How many attempts are measured, if it is a race.
    #[must_use]
    pub fn race(self) -> Option<usize> {
        match self {
            Self::RewrittenPath | Self::SharedFdTable => Some(ATTEMPTS),
            _ => None,
        }
    }

    /// As it stands in proofs' ids.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RelativePath => "relative-path",
            Self::Dirfd => "dirfd",
            Self::DoubleSlash => "double-slash",
            Self::Dot => "dot",
            Self::DotDot => "dot-dot",
            Self::Symlink => "symlink",
            Self::SymlinkChain => "symlink-chain",
            Self::Hardlink => "hardlink",
            Self::BindMount => "bind-mount",
            Self::Renamed => "renamed",
            Self::MountNamespace => "mount-namespace",
            Self::Chroot => "chroot",
            Self::ProcSelfRoot => "proc-self-root",
            Self::ProcSelfFd => "proc-self-fd",
            Self::Openat2 => "openat2",
            Self::Openat2NoSymlinks => "openat2-no-symlinks",
            Self::Openat2Beneath => "openat2-beneath",
            Self::Openat2InRoot => "openat2-in-root",
            Self::Openat2NoXdev => "openat2-no-xdev",
            Self::Openat2NoMagiclinks => "openat2-no-magiclinks",
            Self::Openat2Cached => "openat2-cached",
            Self::Open => "open",
            Self::Creat => "creat",
            Self::FileHandle => "file-handle",
            Self::Compat => "compat",
            Self::CompatOpenat => "compat-openat",
            Self::IoUring => "io-uring",
            Self::IoUringWorker => "io-uring-worker",
            Self::IoUringSqpoll => "io-uring-sqpoll",
            Self::UnmappedPath => "unmapped-path",
            Self::LatePath => "late-path",
            Self::RewrittenPath => "rewritten-path",
            Self::LongName => "long-name",
            Self::LongPath => "long-path",
            Self::Truncate => "truncate",
            Self::Create => "create",
            Self::SharedFdTable => "shared-fd-table",
            Self::TracedChild => "traced-child",
            Self::Traced => "traced",
            Self::SigtermIgnored => "sigterm-ignored",
            Self::SigtermBlocked => "sigterm-blocked",
            Self::PidNamespaceInit => "pid-namespace-init",
            Self::OtherUser => "other-user",
            Self::UserNamespace => "user-namespace",
            Self::Exec => "exec",
            Self::Execveat => "execveat",
            Self::Fanotify => "fanotify",
            Self::BeneathFolder => "beneath-folder",
            Self::DeepFolder => "deep-folder",
            Self::Link => "link",
            Self::Replace => "replace",
            Self::PidOne => "pid-one",
            Self::AlreadyOpen => "already-open",
            Self::ReceivedFd => "received-fd",
            Self::OPath => "o-path",
            Self::TruncateByPath => "truncate-by-path",
            Self::HardlinkOutOfFolder => "hardlink-out-of-folder",
            Self::ReopenedPipe => "reopened-pipe",
            Self::ReopenedMemfd => "reopened-memfd",
            Self::NamespaceFile => "namespace-file",
            Self::Pidfd => "pidfd",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_way_has_one_name_that_is_also_its_spelling_in_a_plan() {
        let mut names = BTreeSet::new();
        for way in Bypass::ALL {
            let spelled = serde_json::to_value(way).expect("a way serializes");
            assert_eq!(spelled, way.name());
            assert!(names.insert(way.name()), "{} twice", way.name());
        }
        // The next variant would be one that ALL lacks.
        let last = Bypass::ALL[Bypass::ALL.len() - 1] as usize;
        assert_eq!(last + 1, Bypass::ALL.len());
    }
}
