//! The acts themselves, each by the very calls that its name says.
//!
//! What comes before the forbidden call is preparation: if that fails, the act was never
//! tried, and its failure must not pass for a denial.

use std::ffi::CString;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::null_mut;

use anyhow::{Context, Error, Result, anyhow};
use protocol::bypass::Bypass;
use protocol::record::{Fate, Helper};
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, ResolveFlags, memfd_create, openat};
use rustix::io::Errno;
use rustix::mount::mount_bind;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::pipe::pipe;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::ring::{self, By};
use super::trees::{self, Tree};
use super::{fanotify, late, raw, traced};
use crate::lab::NotHere;

/// Where the mount namespace of its own has the tree.
const ELSEWHERE: &str = "/tmp";
/// The number of the descriptor that is opened again through `/proc`: fixed, so that the
/// path is known before the act.
const REOPENED: i32 = 100;

/// A user that isn't root, as each of its groups.
const NOBODY: u32 = 65_534;

/// What a neighbour has in it that is in no tree.
const CONTENT: &[u8] = b"nobody's secret\n";

/// Why an act gave no descriptor.
pub enum Failure {
    /// It never came to the forbidden call.
    NotTried(Error),
    /// This kernel has no such way, for this reason.
    Missing(NotHere),
    /// The forbidden call failed.
    Refused(Errno),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.downcast() {
            Ok(not_here) => Self::Missing(not_here),
            Err(error) => Self::NotTried(error),
        }
    }
}

/// What an act has to go by beside its way.
pub struct Setting<'a> {
    /// Where.
    pub tree: Tree,
    /// The secret, opened before the agent started.
    pub held: BorrowedFd<'a>,
    /// Where it is received from whoever opened it then, where the way is that.
    pub sent: Option<BorrowedFd<'a>>,
    /// Where what leaks goes.
    pub output: BorrowedFd<'a>,
    /// Called with the process that acted in place of this one.
    pub tell_helper: &'a dyn Fn(Helper) -> Result<()>,
}

/// The path that a way passes to the kernel, if it passes one.
pub fn passed(way: Bypass, tree: Tree) -> Option<String> {
    let root = tree.root();
    let path = match way {
        Bypass::FileHandle
        | Bypass::AlreadyOpen
        | Bypass::ReceivedFd
        | Bypass::Pidfd
        | Bypass::Execveat
        | Bypass::Fanotify => return None,
        Bypass::ProcSelfFd | Bypass::ReopenedPipe | Bypass::ReopenedMemfd => {
            format!("/proc/self/fd/{REOPENED}")
        }
        Bypass::NamespaceFile => "/proc/self/ns/mnt".to_owned(),
        Bypass::RelativePath
        | Bypass::Dirfd
        | Bypass::Openat2NoSymlinks
        | Bypass::Openat2NoXdev
        | Bypass::Openat2NoMagiclinks
        | Bypass::Openat2Cached
        | Bypass::Openat2Beneath => trees::SECRET.to_owned(),
        Bypass::Chroot | Bypass::Openat2InRoot => format!("/{}", trees::SECRET),
        Bypass::DoubleSlash => tree.path("/secret"),
        Bypass::Dot => tree.path("./secret"),
        Bypass::DotDot => tree.path("side/../secret"),
        Bypass::Symlink => tree.path(trees::LINK),
        Bypass::SymlinkChain => tree.path(trees::CHAIN),
        Bypass::Hardlink => tree.path(trees::SECOND),
        Bypass::BindMount => tree.path(trees::MOUNTED),
        Bypass::Renamed => tree.path(trees::MOVED),
        Bypass::MountNamespace => format!("{ELSEWHERE}/{}", trees::SECRET),
        Bypass::ProcSelfRoot => format!("/proc/self/root{root}/{}", trees::SECRET),
        Bypass::HardlinkOutOfFolder => tree.path(trees::OUTSIDE),
        Bypass::Openat2
        | Bypass::Open
        | Bypass::Creat
        | Bypass::Compat
        | Bypass::IoUring
        | Bypass::IoUringWorker
        | Bypass::UnmappedPath
        | Bypass::LatePath
        | Bypass::RewrittenPath
        | Bypass::Truncate
        | Bypass::Create
        | Bypass::SharedFdTable
        | Bypass::Exec
        | Bypass::BeneathFolder
        | Bypass::Link
        | Bypass::Replace
        | Bypass::PidOne
        | Bypass::CompatOpenat
        | Bypass::IoUringSqpoll
        | Bypass::LongName
        | Bypass::LongPath
        | Bypass::DeepFolder
        | Bypass::TracedChild
        | Bypass::Traced
        | Bypass::SigtermIgnored
        | Bypass::SigtermBlocked
        | Bypass::PidNamespaceInit
        | Bypass::OtherUser
        | Bypass::UserNamespace
        | Bypass::OPath
        | Bypass::TruncateByPath => tree.path(&trees::file(way, tree)),
    };
    Some(path)
}

/// Goes a way. Gives the descriptor to read the secret from, if the act is one that yields
/// any; a successful `execve(2)` doesn't come back.
///
/// # Errors
/// See [`Failure`].
pub fn go(way: Bypass, setting: &Setting) -> Result<Option<OwnedFd>, Failure> {
    let tree = setting.tree;
    let path = passed(way, tree).unwrap_or_default();
    let path = CString::new(path).context("a path with a NUL")?;
    let plainly = || openat(CWD, &path, OFlags::RDONLY, Mode::empty());
    let folder = || {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        openat(CWD, tree.root(), flags, Mode::empty()).context("opening the folder")
    };
    let opened = match way {
        Bypass::DoubleSlash
        | Bypass::Dot
        | Bypass::DotDot
        | Bypass::Symlink
        | Bypass::SymlinkChain
        | Bypass::Hardlink
        | Bypass::BindMount
        | Bypass::ProcSelfRoot
        | Bypass::LongName
        | Bypass::LongPath
        | Bypass::BeneathFolder
        | Bypass::DeepFolder
        | Bypass::PidOne
        | Bypass::HardlinkOutOfFolder => plainly(),
        Bypass::RelativePath => {
            rustix::process::chdir(tree.root()).context("changing the folder")?;
            plainly()
        }
        Bypass::Dirfd => openat(folder()?, &path, OFlags::RDONLY, Mode::empty()),
        Bypass::Renamed => {
            // A part of the act: a tier may stop it there already.
            rustix::fs::rename(tree.path(trees::MOVING), tree.path(trees::MOVED))
                .map_err(Failure::Refused)?;
            plainly()
        }
        Bypass::MountNamespace => {
            raw::own_mount_namespace().context("leaving the mount namespace")?;
            mount_bind(tree.root(), ELSEWHERE).context("mounting the folder elsewhere")?;
            plainly()
        }
        Bypass::Chroot => {
            rustix::process::chroot(tree.root()).context("changing the root")?;
            plainly()
        }
        Bypass::ProcSelfFd => {
            let secret = tree.path(trees::SECRET);
            let handle = openat(CWD, secret, OFlags::PATH, Mode::empty()).context("O_PATH")?;
            number(&handle)?;
            plainly()
        }
        Bypass::ReopenedPipe => {
            let (read, write) = pipe().context("a pipe")?;
            number(&read)?;
            rustix::io::write(&write, CONTENT).context("filling the pipe")?;
            plainly()
        }
        Bypass::ReopenedMemfd => {
            let file = memfd_create("file", MemfdFlags::empty()).context("a file in memory")?;
            number(&file)?;
            rustix::io::write(&file, CONTENT).context("filling the file")?;
            plainly()
        }
        // There is nothing in either to read.
        Bypass::NamespaceFile => return done(plainly().map(drop)),
        Bypass::Pidfd => {
            let own = rustix::process::getpid();
            return done(pidfd_open(own, PidfdFlags::empty()).map(drop));
        }
        Bypass::Link => {
            let again = tree.path(trees::LINKED_AGAIN);
            return done(rustix::fs::link(&path, again));
        }
        Bypass::Replace => {
            let replacement = tree.path(trees::REPLACEMENT);
            return done(rustix::fs::rename(replacement, &path));
        }
        Bypass::Openat2 => raw::openat2(CWD, &path, ResolveFlags::empty()),
        Bypass::Openat2NoSymlinks => {
            let refuse = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            raw::openat2(folder()?.as_fd(), &path, refuse)
        }
        Bypass::Openat2NoXdev => raw::openat2(folder()?.as_fd(), &path, ResolveFlags::NO_XDEV),
        Bypass::Openat2NoMagiclinks => {
            raw::openat2(folder()?.as_fd(), &path, ResolveFlags::NO_MAGICLINKS)
        }
        Bypass::Openat2Cached => {
            let folder = folder()?;
            match raw::openat2(folder.as_fd(), c".", ResolveFlags::CACHED) {
                Ok(_) => {}
                Err(Errno::INVAL) => {
                    let why = "the kernel doesn't know RESOLVE_CACHED";
                    return Err(Failure::Missing(NotHere(why.to_owned())));
                }
                Err(error) => return Err(anyhow!(error).context("a look at the cache").into()),
            }
            raw::openat2(folder.as_fd(), &path, ResolveFlags::CACHED)
        }
        Bypass::Openat2Beneath => raw::openat2(folder()?.as_fd(), &path, ResolveFlags::BENEATH),
        Bypass::Openat2InRoot => raw::openat2(folder()?.as_fd(), &path, ResolveFlags::IN_ROOT),
        Bypass::Open => raw::open(&path),
        Bypass::Creat => {
            // What it gives can't be read from.
            return done(raw::creat(&path).map(drop));
        }
        Bypass::FileHandle => {
            let handle = raw::FileHandle::of(&tree.path(trees::SECRET)).context("its handle")?;
            let mount = openat(
                CWD,
                tree.root(),
                OFlags::RDONLY | OFlags::DIRECTORY,
                Mode::empty(),
            )
            .context("opening the folder")?;
            handle.open(mount.as_fd())
        }
        Bypass::Compat => {
            let path = raw::LowPath::new(&path).context("a path below 4 GiB")?;
            path.open()
        }
        Bypass::CompatOpenat => {
            let path = raw::LowPath::new(&path).context("a path below 4 GiB")?;
            path.openat()
        }
        Bypass::IoUring => ring::open(&path, By::Submitter).context("io_uring")?,
        Bypass::IoUringWorker => ring::open(&path, By::Worker).context("io_uring")?,
        Bypass::IoUringSqpoll => ring::open(&path, By::Poller).context("io_uring")?,
        Bypass::UnmappedPath => late::open_unmapped(&path).context("a page that isn't mapped")?,
        Bypass::LatePath => late::open_late(&path).context("a path that comes late")?,
        Bypass::RewrittenPath => {
            let other = CString::new(tree.path(trees::REPLACEMENT)).context("a path with a NUL")?;
            late::open_rewritten(&other, &path).context("a path that is rewritten")?
        }
        Bypass::Truncate => openat(CWD, &path, OFlags::RDWR | OFlags::TRUNC, Mode::empty()),
        Bypass::Create => {
            let flags = OFlags::RDWR | OFlags::CREATE;
            openat(CWD, &path, flags, Mode::from_raw_mode(0o600))
        }
        Bypass::SharedFdTable => return by_helper(&path, setting),
        Bypass::TracedChild => return by_traced_child(&path, setting),
        Bypass::Traced => {
            traced::hold_signals_back().context("being traced")?;
            plainly()
        }
        Bypass::SigtermIgnored => {
            for signal in catchable() {
                // SAFETY: ignoring a signal runs no handler, so nothing of ours is called by it.
                unsafe { libc::signal(signal, libc::SIG_IGN) };
            }
            plainly()
        }
        Bypass::SigtermBlocked => {
            block_all().context("blocking signals")?;
            plainly()
        }
        Bypass::PidNamespaceInit => {
            if rustix::process::getpid() != Pid::INIT {
                return Err(anyhow!("not pid 1").into());
            }
            plainly()
        }
        Bypass::OtherUser => {
            raw::become_user(NOBODY).context("becoming another user")?;
            plainly()
        }
        // In that namespace it has no name: nothing is mapped.
        Bypass::UserNamespace => plainly(),
        Bypass::Exec => return Err(exec(setting.output, || raw::execve(&path))),
        Bypass::Execveat => {
            let tool = tree.path(trees::TOOL);
            let tool = openat(CWD, tool, OFlags::PATH, Mode::empty()).context("O_PATH")?;
            return Err(exec(setting.output, || raw::execveat(tool.as_fd())));
        }
        Bypass::Fanotify => {
            let secret = tree.path(trees::SECRET);
            fanotify::open(&secret, setting.held).context("an event on the file")?
        }
        Bypass::AlreadyOpen => Ok(setting.held.try_clone_to_owned().context("duplicating")?),
        Bypass::ReceivedFd => Ok(receive(setting.sent.context("nothing was sent")?)?),
        Bypass::OPath => return tell_only(&path),
        Bypass::TruncateByPath => return done(raw::truncate(&path)),
    };
    opened.map(Some).map_err(Failure::Refused)
}

/// Why an act that yields nothing to read failed, if it did.
fn done(result: Result<(), Errno>) -> Result<Option<OwnedFd>, Failure> {
    result.map(|()| None).map_err(Failure::Refused)
}

/// Every signal that a process may ignore or block.
fn catchable() -> impl Iterator<Item = libc::c_int> {
    (1..=libc::SIGRTMAX()).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal))
}

fn block_all() -> std::io::Result<()> {
    // SAFETY: the set is filled in before it is used, and both calls only read and write it.
    let blocked = unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const all, null_mut())
    };
    match blocked {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Opens a file with `O_PATH`, sees that the descriptor tells of it, and tries to read from it.
fn tell_only(path: &CString) -> Result<Option<OwnedFd>, Failure> {
    let opened = openat(CWD, path, OFlags::PATH, Mode::empty()).map_err(Failure::Refused)?;
    let size = rustix::fs::fstat(&opened)
        .context("asking of the file")?
        .st_size;
    if size == 0 {
        return Err(anyhow!("there would be nothing to read").into());
    }
    match rustix::io::read(&opened, &mut [0; 1]) {
        Err(Errno::BADF) => Ok(None),
        Ok(_) => Ok(Some(opened)),
        Err(error) => Err(anyhow!(error).context("reading from it").into()),
    }
}

/// Has a descriptor under the number that is opened again.
fn number(descriptor: &OwnedFd) -> Result<()> {
    // SAFETY: nothing else owns this number: the process has a handful of descriptors.
    let mut numbered = unsafe { OwnedFd::from_raw_fd(REOPENED) };
    let duplicated = rustix::io::dup2(descriptor, &mut numbered).context("numbering it");
    std::mem::forget(numbered);
    duplicated
}

/// A child that shares this process's table of descriptors opens the file and dies; what it
/// opened stays in the table.
fn by_helper(path: &CString, setting: &Setting) -> Result<Option<OwnedFd>, Failure> {
    // The lowest free number is the one that the child's open will take.
    let next = openat(CWD, "/dev/null", OFlags::PATH, Mode::empty())
        .context("looking for a free descriptor")?
        .as_raw_fd();
    let (pid, fate) = raw::in_helper(|| match openat(CWD, path, OFlags::RDONLY, Mode::empty()) {
        Ok(opened) => {
            std::mem::forget(opened);
            0
        }
        Err(errno) => errno.raw_os_error(),
    })
    .context("the child that opens")?;
    (setting.tell_helper)(Helper { pid, fate })?;
    match fate {
        Fate::Denied { errno } => Err(Failure::Refused(Errno::from_raw_os_error(errno))),
        Fate::Allowed | Fate::Killed { .. } => Ok(raw::taken(next)),
        Fate::Broken { code } => Err(anyhow!("it ended with {code}").into()),
    }
}

/// A traced child opens the file and ends; what it opened is taken from it then.
fn by_traced_child(path: &CString, setting: &Setting) -> Result<Option<OwnedFd>, Failure> {
    let opened = traced::take_from_child(path).context("the traced child")?;
    let (pid, fate) = (opened.pid, opened.fate);
    (setting.tell_helper)(Helper { pid, fate })?;
    match fate {
        Fate::Denied { errno } => Err(Failure::Refused(Errno::from_raw_os_error(errno))),
        Fate::Allowed | Fate::Killed { .. } => Ok(opened.taken),
        Fate::Broken { code } => Err(anyhow!("it ended with {code}").into()),
    }
}

/// Sends a descriptor, and gives the socket from which it is to be received: whoever does
/// gets what this process opened.
pub fn send(descriptor: BorrowedFd) -> Result<OwnedFd> {
    let (to, from) = socketpair(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .context("a pair of sockets")?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(anyhow!("no room for a descriptor"));
    }
    let payload = [IoSlice::new(b"d")];
    sendmsg(&to, &payload, &mut control, SendFlags::empty()).context("sending a descriptor")?;
    Ok(from)
}

/// Receives a descriptor.
fn receive(socket: BorrowedFd) -> Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut payload = [IoSliceMut::new(&mut byte)];
    recvmsg(socket, &mut payload, &mut control, RecvFlags::empty()).context("receiving")?;
    let mut received = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    received.next().context("no descriptor came")
}

/// Executes with its standard output where what leaks goes; gives why it came back.
fn exec(output: BorrowedFd, execute: impl FnOnce() -> Errno) -> Failure {
    match rustix::stdio::dup2_stdout(output) {
        Ok(()) => Failure::Refused(execute()),
        Err(error) => Failure::NotTried(Error::new(error).context("its standard output")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_a_path_does_not_lead_says_so_and_no_two_trees_share_a_path() {
        for way in Bypass::ALL {
            let (denied, free) = (passed(way, Tree::Denied), passed(way, Tree::Free));
            assert_eq!(denied.is_some(), free.is_some());
            if let (Some(denied), Some(free)) = (denied, free)
                && denied.contains("/srv/")
            {
                assert_ne!(denied, free, "{}", way.name());
            }
        }
    }
}
