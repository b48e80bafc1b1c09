//! The acts themselves, each by the very calls that its name says.
//!
//! What comes before the forbidden call is preparation: if that fails, the act was never
//! tried, and its failure must not pass for a denial.

use std::ffi::{CStr, CString};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::null_mut;

use anyhow::{Context, Error, Result, anyhow};
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

use super::go::{Failure, Gone, Setting};
use super::ring::{self, By};
use super::{fanotify, late, raw, traced, trees};
use crate::acts::cause::NotHere;
use crate::acts::handle::Handle;

/// Where the mount namespace of its own has the tree.
pub const ELSEWHERE: &str = "/tmp";
/// The number of the descriptor that is opened again through `/proc`: fixed, so that the
/// path is known before the act.
pub const REOPENED: i32 = 100;

/// A user that isn't root, as each of its groups.
const NOBODY: u32 = 65_534;

/// What a neighbour has in it that is in no tree.
const CONTENT: &[u8] = b"nobody's secret\n";

/// The file's folder, by a descriptor that allows no more than that.
fn folder(setting: &Setting) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    openat(CWD, setting.tree.root(), flags, Mode::empty()).context("opening the folder")
}

fn open(path: &CStr) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::RDONLY, Mode::empty())
}

/// What an act that opens gives.
fn gives(opened: Result<OwnedFd, Errno>) -> Gone {
    opened.map(Some).map_err(Failure::Refused)
}

pub fn plainly(_: &Setting, path: &CStr) -> Gone {
    gives(open(path))
}

pub fn in_working_folder(setting: &Setting, path: &CStr) -> Gone {
    rustix::process::chdir(setting.tree.root()).context("changing the folder")?;
    gives(open(path))
}

pub fn dirfd(setting: &Setting, path: &CStr) -> Gone {
    let folder = folder(setting)?;
    gives(openat(folder, path, OFlags::RDONLY, Mode::empty()))
}

pub fn renamed(setting: &Setting, path: &CStr) -> Gone {
    let tree = setting.tree;
    // A part of the act: a tier may stop it there already.
    rustix::fs::rename(tree.path(trees::MOVING), tree.path(trees::MOVED))
        .map_err(Failure::Refused)?;
    gives(open(path))
}

pub fn mount_namespace(setting: &Setting, path: &CStr) -> Gone {
    raw::own_mount_namespace().context("leaving the mount namespace")?;
    mount_bind(setting.tree.root(), ELSEWHERE).context("mounting the folder elsewhere")?;
    gives(open(path))
}

pub fn chroot(setting: &Setting, path: &CStr) -> Gone {
    rustix::process::chroot(setting.tree.root()).context("changing the root")?;
    gives(open(path))
}

pub fn proc_self_fd(setting: &Setting, path: &CStr) -> Gone {
    let secret = setting.tree.path(trees::SECRET);
    let handle = openat(CWD, secret, OFlags::PATH, Mode::empty()).context("O_PATH")?;
    number(&handle)?;
    gives(open(path))
}

pub fn reopened_pipe(_: &Setting, path: &CStr) -> Gone {
    let (read, write) = pipe().context("a pipe")?;
    number(&read)?;
    rustix::io::write(&write, CONTENT).context("filling the pipe")?;
    gives(open(path))
}

pub fn reopened_memfd(_: &Setting, path: &CStr) -> Gone {
    let file = memfd_create("file", MemfdFlags::empty()).context("a file in memory")?;
    number(&file)?;
    rustix::io::write(&file, CONTENT).context("filling the file")?;
    gives(open(path))
}

/// There is nothing in it to read.
pub fn namespace_file(_: &Setting, path: &CStr) -> Gone {
    done(open(path).map(drop))
}

/// As [`namespace_file`].
pub fn pidfd(_: &Setting, _: &CStr) -> Gone {
    let own = rustix::process::getpid();
    done(pidfd_open(own, PidfdFlags::empty()).map(drop))
}

pub fn link(setting: &Setting, path: &CStr) -> Gone {
    let again = setting.tree.path(trees::LINKED_AGAIN);
    done(rustix::fs::link(path, again))
}

pub fn replace(setting: &Setting, path: &CStr) -> Gone {
    let replacement = setting.tree.path(trees::REPLACEMENT);
    done(rustix::fs::rename(replacement, path))
}

pub fn openat2(_: &Setting, path: &CStr) -> Gone {
    gives(raw::openat2(CWD, path, ResolveFlags::empty()))
}

pub fn openat2_no_symlinks(setting: &Setting, path: &CStr) -> Gone {
    let refuse = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    gives(raw::openat2(folder(setting)?.as_fd(), path, refuse))
}

pub fn openat2_no_xdev(setting: &Setting, path: &CStr) -> Gone {
    let folder = folder(setting)?;
    gives(raw::openat2(folder.as_fd(), path, ResolveFlags::NO_XDEV))
}

pub fn openat2_no_magiclinks(setting: &Setting, path: &CStr) -> Gone {
    let refuse = ResolveFlags::NO_MAGICLINKS;
    gives(raw::openat2(folder(setting)?.as_fd(), path, refuse))
}

pub fn openat2_cached(setting: &Setting, path: &CStr) -> Gone {
    let folder = folder(setting)?;
    match raw::openat2(folder.as_fd(), c".", ResolveFlags::CACHED) {
        Ok(_) => {}
        Err(Errno::INVAL) => {
            let why = "the kernel doesn't know RESOLVE_CACHED";
            return Err(Failure::Missing(NotHere(why.to_owned())));
        }
        Err(error) => return Err(anyhow!(error).context("a look at the cache").into()),
    }
    gives(raw::openat2(folder.as_fd(), path, ResolveFlags::CACHED))
}

pub fn openat2_beneath(setting: &Setting, path: &CStr) -> Gone {
    let folder = folder(setting)?;
    gives(raw::openat2(folder.as_fd(), path, ResolveFlags::BENEATH))
}

pub fn openat2_in_root(setting: &Setting, path: &CStr) -> Gone {
    let folder = folder(setting)?;
    gives(raw::openat2(folder.as_fd(), path, ResolveFlags::IN_ROOT))
}

pub fn open_call(_: &Setting, path: &CStr) -> Gone {
    gives(raw::open(path))
}

/// What it gives can't be read from.
pub fn creat(_: &Setting, path: &CStr) -> Gone {
    done(raw::creat(path).map(drop))
}

pub fn file_handle(setting: &Setting, _: &CStr) -> Gone {
    let tree = setting.tree;
    let handle = Handle::of(tree.path(trees::SECRET).as_ref()).context("its handle")?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mount = openat(CWD, tree.root(), flags, Mode::empty()).context("opening the folder")?;
    gives(handle.open(mount.as_fd()))
}

pub fn compat(_: &Setting, path: &CStr) -> Gone {
    let path = raw::LowPath::new(path).context("a path below 4 GiB")?;
    gives(path.open())
}

pub fn compat_openat(_: &Setting, path: &CStr) -> Gone {
    let path = raw::LowPath::new(path).context("a path below 4 GiB")?;
    gives(path.openat())
}

pub fn io_uring(_: &Setting, path: &CStr) -> Gone {
    gives(ring::open(path, By::Submitter).context("io_uring")?)
}

pub fn io_uring_worker(_: &Setting, path: &CStr) -> Gone {
    gives(ring::open(path, By::Worker).context("io_uring")?)
}

pub fn io_uring_sqpoll(_: &Setting, path: &CStr) -> Gone {
    gives(ring::open(path, By::Poller).context("io_uring")?)
}

pub fn unmapped_path(_: &Setting, path: &CStr) -> Gone {
    gives(late::open_unmapped(path).context("a page that isn't mapped")?)
}

pub fn late_path(_: &Setting, path: &CStr) -> Gone {
    gives(late::open_late(path).context("a path that comes late")?)
}

pub fn rewritten_path(setting: &Setting, path: &CStr) -> Gone {
    let other = setting.tree.path(trees::REPLACEMENT);
    let other = CString::new(other).context("a path with a NUL")?;
    gives(late::open_rewritten(&other, path).context("a path that is rewritten")?)
}

pub fn truncate(_: &Setting, path: &CStr) -> Gone {
    let flags = OFlags::RDWR | OFlags::TRUNC;
    gives(openat(CWD, path, flags, Mode::empty()))
}

pub fn create(_: &Setting, path: &CStr) -> Gone {
    let flags = OFlags::RDWR | OFlags::CREATE;
    gives(openat(CWD, path, flags, Mode::from_raw_mode(0o600)))
}

pub fn traced(_: &Setting, path: &CStr) -> Gone {
    traced::hold_signals_back().context("being traced")?;
    gives(open(path))
}

pub fn sigterm_ignored(_: &Setting, path: &CStr) -> Gone {
    for signal in catchable() {
        // SAFETY: ignoring a signal runs no handler, so nothing of ours is called by it.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    gives(open(path))
}

pub fn sigterm_blocked(_: &Setting, path: &CStr) -> Gone {
    block_all().context("blocking signals")?;
    gives(open(path))
}

pub fn pid_namespace_init(_: &Setting, path: &CStr) -> Gone {
    if rustix::process::getpid() != Pid::INIT {
        return Err(anyhow!("not pid 1").into());
    }
    gives(open(path))
}

pub fn other_user(_: &Setting, path: &CStr) -> Gone {
    raw::become_user(NOBODY).context("becoming another user")?;
    gives(open(path))
}

pub fn exec(setting: &Setting, path: &CStr) -> Gone {
    Err(executed(setting.output, || raw::execve(path)))
}

pub fn execveat(setting: &Setting, _: &CStr) -> Gone {
    let tool = setting.tree.path(trees::TOOL);
    let tool = openat(CWD, tool, OFlags::PATH, Mode::empty()).context("O_PATH")?;
    Err(executed(setting.output, || raw::execveat(tool.as_fd())))
}

pub fn fanotify(setting: &Setting, _: &CStr) -> Gone {
    let secret = setting.tree.path(trees::SECRET);
    gives(fanotify::open(&secret, setting.held).context("an event on the file")?)
}

pub fn already_open(setting: &Setting, _: &CStr) -> Gone {
    Ok(Some(
        setting.held.try_clone_to_owned().context("duplicating")?,
    ))
}

pub fn received_fd(setting: &Setting, _: &CStr) -> Gone {
    Ok(Some(receive(setting.sent.context("nothing was sent")?)?))
}

pub fn truncate_by_path(_: &Setting, path: &CStr) -> Gone {
    done(raw::truncate(path))
}

/// Why an act that yields nothing to read failed, if it did.
fn done(result: Result<(), Errno>) -> Gone {
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
pub fn o_path(_: &Setting, path: &CStr) -> Gone {
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
pub fn shared_fd_table(setting: &Setting, path: &CStr) -> Gone {
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
pub fn traced_child(setting: &Setting, path: &CStr) -> Gone {
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
fn executed(output: BorrowedFd, execute: impl FnOnce() -> Errno) -> Failure {
    match rustix::stdio::dup2_stdout(output) {
        Ok(()) => Failure::Refused(execute()),
        Err(error) => Failure::NotTried(Error::new(error).context("its standard output")),
    }
}
