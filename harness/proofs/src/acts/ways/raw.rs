//! System calls as they are, where a library would choose another or knows none.

use std::ffi::{CStr, c_char, c_long};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::ptr::{NonNull, null, null_mut};

use anyhow::{Context, Result, bail};
use protocol::record::Fate;
use rustix::fs::ResolveFlags;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::thread::UnshareFlags;

use crate::acts::act;
use crate::acts::cause::NotHere;

/// The size of a page on x86-64, the only machine here.
pub(super) const PAGE: usize = 4096;

/// What a call gave that is to give a descriptor.
pub(super) fn descriptor(result: c_long) -> Result<OwnedFd, Errno> {
    match i32::try_from(result) {
        // SAFETY: the kernel has just given it to this process, and nobody else knows it.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(last_error()),
    }
}

pub(super) fn last_error() -> Errno {
    // Always set after a failed call.
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// `open(2)` for reading.
pub fn open(path: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: the path is a C string that outlives the call.
    descriptor(unsafe { libc::syscall(libc::SYS_open, path.as_ptr(), libc::O_RDONLY) })
}

/// `creat(2)`.
pub fn creat(path: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: the path is a C string that outlives the call.
    descriptor(unsafe { libc::syscall(libc::SYS_creat, path.as_ptr(), 0o600) })
}

/// `openat2(2)` for reading.
pub fn openat2(folder: BorrowedFd, path: &CStr, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
    let how = How {
        flags: libc::O_RDONLY as u64,
        mode: 0,
        resolve: resolve.bits(),
    };
    openat2_as(folder, path.as_ptr().cast(), &raw const how)
}

/// `struct open_how`.
#[repr(C)]
pub(super) struct How {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// `openat2(2)` of a path and a structure that may not be readable yet.
pub(super) fn openat2_as(
    folder: BorrowedFd,
    path: *const u8,
    how: *const How,
) -> Result<OwnedFd, Errno> {
    // SAFETY: the kernel reads both itself and answers EFAULT where it can't.
    descriptor(unsafe {
        libc::syscall(
            libc::SYS_openat2,
            folder.as_raw_fd(),
            path,
            how,
            size_of::<How>(),
        )
    })
}

/// `openat(2)` for reading, of a path that may not be readable yet.
pub(super) fn openat_at(path: NonNull<u8>) -> Result<OwnedFd, Errno> {
    // SAFETY: the kernel reads the path itself and answers EFAULT where it can't.
    descriptor(unsafe {
        libc::syscall(
            libc::SYS_openat,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::O_RDONLY,
        )
    })
}

/// `truncate(2)` to nothing.
pub fn truncate(path: &CStr) -> Result<(), Errno> {
    // SAFETY: the path is a C string that outlives the call.
    match unsafe { libc::syscall(libc::SYS_truncate, path.as_ptr(), 0) } {
        0 => Ok(()),
        _ => Err(last_error()),
    }
}

/// `execve(2)` without arguments or environment; gives why it came back.
pub fn execve(path: &CStr) -> Errno {
    let arguments = [path.as_ptr(), null()];
    let environment = [null()];
    // SAFETY: both lists end with a null, and all strings outlive the call.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    last_error()
}

/// `execveat(2)` of a descriptor without arguments or environment; gives why it came back.
pub fn execveat(program: BorrowedFd) -> Errno {
    let arguments = [c"".as_ptr(), null()];
    let environment = [null::<c_char>()];
    // SAFETY: both lists end with a null, and all strings outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    last_error()
}

/// Gives up root's rights for those of a user, whose group has the same number.
pub fn become_user(user: u32) -> Result<(), Errno> {
    // SAFETY: the list of groups is empty, and no call here has any other pointer.
    let given_up = unsafe {
        libc::setgroups(0, null()) == 0
            && libc::setresgid(user, user, user) == 0
            && libc::setresuid(user, user, user) == 0
    };
    match given_up {
        true => Ok(()),
        false => Err(last_error()),
    }
}

/// What a seccomp filter refuses to a process, and with which errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// One system call, by its number.
    Call(c_long, i32),
    /// Every 32-bit system call.
    Ia32(i32),
}

/// Has a seccomp filter refuse something to this process and its children. Without `CAP_SYS_ADMIN`
/// that takes `no_new_privs`.
pub fn refuse(refusal: Refusal) -> Result<()> {
    /// Where the number and the architecture stand in `struct seccomp_data`.
    const NUMBER: u32 = 0;
    const ARCHITECTURE: u32 = 4;
    /// `AUDIT_ARCH_I386`.
    const I386: u32 = 0x4000_0003;
    let (field, value, errno) = match refusal {
        Refusal::Call(number, errno) => {
            let number = u32::try_from(number).context("the number of a system call")?;
            (NUMBER, number, errno)
        }
        Refusal::Ia32(errno) => (ARCHITECTURE, I386, errno),
    };
    let refused = libc::SECCOMP_RET_ERRNO | errno.cast_unsigned();
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, field);
    // Passes over the next instruction if it is another one.
    let compare = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, value);
    let give = |value| (libc::BPF_RET | libc::BPF_K, 0, value);
    let steps = [load, compare, give(refused), give(libc::SECCOMP_RET_ALLOW)];
    let mut filter = Vec::new();
    for (code, jf, k) in steps {
        let code = u16::try_from(code).context("the code of an instruction")?;
        filter.push(libc::sock_filter { code, jt: 0, jf, k });
    }
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).context("the length of a filter")?,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program and its filter outlive the call, which copies both.
    let set = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    match set {
        0 => Ok(()),
        _ => Err(last_error()).context("setting a seccomp filter"),
    }
}

/// Gives this process a mount namespace of its own.
pub fn own_mount_namespace() -> Result<(), Errno> {
    // SAFETY: only sharing the table of descriptors is what others here could rely on.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
}

/// Gives this process, which mustn't have threads, a user namespace of its own, and a mount namespace
/// that it may change.
pub fn own_user_and_mount_namespace() -> Result<(), Errno> {
    // SAFETY: only sharing the table of descriptors is what others here could rely on.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) }
}

/// A path where a 32-bit call can point to.
pub struct LowPath(u32);

impl LowPath {
    /// Copies the path to a page of its own, which stays.
    ///
    /// # Errors
    /// There is no such page, or the kernel takes no 32-bit calls.
    pub fn new(path: &CStr) -> Result<Self> {
        if !takes_compat().context("a child that makes a 32-bit call")? {
            let why = "the kernel takes no 32-bit system calls (CONFIG_IA32_EMULATION)";
            return Err(NotHere(why.to_owned()).into());
        }
        let flags = MapFlags::PRIVATE | MapFlags::from_bits_retain(libc::MAP_32BIT as u32);
        let page = new_page(flags).context("a page below 2 GiB")?;
        write(path, page)?;
        Ok(Self(u32::try_from(page.as_ptr() as usize)?))
    }

    /// The 32-bit `open(2)` for reading, through `int 0x80`.
    pub fn open(&self) -> Result<OwnedFd, Errno> {
        /// Its number in the table of 32-bit calls.
        const OPEN: u32 = 5;
        let flags = libc::O_RDONLY.cast_unsigned();
        // SAFETY: the path is a C string on a page that stays.
        unsafe { compat(OPEN, [self.0, flags, 0]) }
    }

    /// The 32-bit `openat(2)` for reading, through `int 0x80`.
    pub fn openat(&self) -> Result<OwnedFd, Errno> {
        /// Its number in the table of 32-bit calls.
        const OPENAT: u32 = 295;
        let (folder, flags) = (libc::AT_FDCWD, libc::O_RDONLY);
        let arguments = [folder.cast_unsigned(), self.0, flags.cast_unsigned()];
        // SAFETY: the path is a C string on a page that stays.
        unsafe { compat(OPENAT, arguments) }
    }
}

/// Whether the kernel takes 32-bit calls. A child asks for its pid by one: a kernel without them
/// has it die of `SIGSEGV`, which mustn't be taken for an agent's doing.
fn takes_compat() -> Result<bool> {
    /// `getpid(2)` in the table of 32-bit calls.
    const GETPID: u32 = 20;
    let (_, fate) = in_helper(|| {
        // SAFETY: the call takes no arguments.
        let pid = unsafe { compat_call(GETPID, [0; 3]) };
        i32::from(u32::try_from(pid) != Ok(std::process::id()))
    })?;
    Ok(fate == Fate::Allowed)
}

/// A 32-bit call that gives a descriptor.
///
/// # Safety
/// The arguments must be what the call takes.
unsafe fn compat(number: u32, arguments: [u32; 3]) -> Result<OwnedFd, Errno> {
    // SAFETY: as promised by the caller.
    match unsafe { compat_call(number, arguments) } {
        // SAFETY: the kernel has just given it to this process, and nobody else knows it.
        fd @ 0.. => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        errno => Err(Errno::from_raw_os_error(-errno)),
    }
}

/// A 32-bit call, through `int 0x80`.
///
/// # Safety
/// The arguments must be what the call takes.
unsafe fn compat_call(number: u32, arguments: [u32; 3]) -> i32 {
    let result: u64;
    let [first, second, third] = arguments.map(u64::from);
    // SAFETY: as promised by the caller. The call's first argument belongs into rbx, which the
    // compiler keeps for itself, so it is put there by hand; some kernels clear r8 to r11.
    unsafe {
        std::arch::asm!(
            "xchg {first}, rbx",
            "int 0x80",
            "xchg {first}, rbx",
            first = inout(reg) first => _,
            inlateout("rax") u64::from(number) => result,
            in("rcx") second,
            in("rdx") third,
            in("rsi") 0_u64,
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
        );
    }
    // A 32-bit result: an errno is its negative in 32 bits.
    result as i32
}

/// A page of zeros that nobody has touched yet.
pub(super) fn new_page(flags: MapFlags) -> Result<NonNull<u8>> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, of which nothing is known to the compiler.
    let page = unsafe { mmap_anonymous(null_mut(), PAGE, access, flags) };
    NonNull::new(page.context("mapping it")?.cast()).context("a page at 0")
}

pub(super) fn write(path: &CStr, page: NonNull<u8>) -> Result<()> {
    let bytes = path.to_bytes_with_nul();
    if bytes.len() > PAGE {
        bail!("a path longer than a page");
    }
    // SAFETY: the page is this long and writable, and nobody else here writes to it; if the kernel
    // reads it meanwhile, it takes a copy of whatever is there.
    unsafe { page.as_ptr().copy_from(bytes.as_ptr(), bytes.len()) };
    Ok(())
}

/// Runs `work` in a child, whose exit code is what it returns; gives the child's pid. The
/// flags are those of `clone(2)` that give it no stack and no memory of this process.
///
/// # Errors
/// No child could be made.
pub fn fork(flags: libc::c_int, work: impl FnOnce() -> i32) -> Result<Pid> {
    let flags = flags | libc::SIGCHLD;
    // SAFETY: without a stack of its own and without shared memory it is a fork, and this
    // process has one thread.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        -1 => Err(last_error()).context("clone"),
        0 => {
            let code = work();
            // SAFETY: ends at once, so that nothing is run or flushed twice.
            unsafe { libc::_exit(code) }
        }
        child => Pid::from_raw(i32::try_from(child)?).context("a pid"),
    }
}

/// The descriptor of this number, if another process with the same table has put one there.
pub fn taken(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: only asks whether there is one.
    match unsafe { libc::fcntl(number, libc::F_GETFD) } {
        -1 => None,
        // SAFETY: it is there, and whoever put it there is gone.
        _ => Some(unsafe { OwnedFd::from_raw_fd(number) }),
    }
}

/// Runs `work` in a child that shares this process's table of descriptors, waits for its
/// end and gives its pid and fate; the code is what `work` returns.
///
/// # Errors
/// No child could be made.
pub fn in_helper(work: impl FnOnce() -> i32) -> Result<(u32, Fate)> {
    let child = fork(libc::CLONE_FILES, work)?;
    let (_, status) = waitpid(Some(child), WaitOptions::empty())
        .context("waiting for the child")?
        .context("it hasn't ended")?;
    let fate = act::fate(ExitStatus::from_raw(status.as_raw()));
    Ok((child.as_raw_nonzero().get().cast_unsigned(), fate))
}
