//! Makes another process make a system call. The only module that calls `ptrace(2)`.
//!
//! The process is stopped wherever it is, two instructions are put there (the call and a
//! trap), and all that was changed is put back: it goes on as if nothing had been.

use std::io;
use std::ptr;

use anyhow::{Context, Result, bail};

/// `syscall; int3`, as the least significant bytes of a word.
const CALL_AND_TRAP: i64 = 0x00cc_050f;
const REPLACED: i64 = 0x00ff_ffff;

/// The call to make.
pub struct Call {
    /// Its number.
    pub number: libc::c_long,
    /// Its arguments; no call that is made here has more.
    pub arguments: [u64; 3],
}

/// A process that is held still, and let go when this is dropped.
struct Held(libc::pid_t);

/// Makes a process with one thread make the call, and gives the raw result.
///
/// # Errors
/// It can't be traced or ended meanwhile.
pub fn make_call(pid: u32, call: &Call) -> Result<i64> {
    let held = Held::seize(pid)?;
    let before = held.registers()?;
    let instructions = held.word(before.rip)?;
    held.set_word(before.rip, instructions & !REPLACED | CALL_AND_TRAP)?;
    let mut registers = before;
    registers.rax = call.number.cast_unsigned();
    // Not a call that was interrupted, which the kernel would begin again.
    registers.orig_rax = u64::MAX;
    [registers.rdi, registers.rsi, registers.rdx] = call.arguments;
    let made = held.set_registers(&registers).and_then(|()| held.run());
    let result = made.and_then(|()| Ok(held.registers()?.rax.cast_signed()));
    // Whatever came of it, the process must not go on in what was put there.
    held.set_word(before.rip, instructions)?;
    held.set_registers(&before)?;
    result
}

impl Held {
    fn seize(pid: u32) -> Result<Self> {
        let pid = libc::pid_t::try_from(pid).context("a pid out of range")?;
        request(libc::PTRACE_SEIZE, pid, 0, ptr::null_mut()).context("seizing it")?;
        let held = Self(pid);
        request(libc::PTRACE_INTERRUPT, pid, 0, ptr::null_mut()).context("stopping it")?;
        held.wait()?;
        Ok(held)
    }

    /// Lets it run into the trap.
    fn run(&self) -> Result<()> {
        request(libc::PTRACE_CONT, self.0, 0, ptr::null_mut()).context("running it")?;
        let signal = self.wait()?;
        if signal != libc::SIGTRAP {
            bail!("it got the signal {signal} before it came to the trap");
        }
        Ok(())
    }

    /// Waits until it stops, and gives the signal that stopped it.
    fn wait(&self) -> Result<i32> {
        let mut status = 0;
        // SAFETY: the status outlives the call. A process that is traced stops or ends soon,
        // since nothing blocks in what it is made to do.
        let waited = unsafe { libc::waitpid(self.0, &raw mut status, libc::__WALL) };
        if waited != self.0 {
            return Err(io::Error::last_os_error()).context("waiting for it to stop");
        }
        if !libc::WIFSTOPPED(status) {
            bail!("it ended");
        }
        Ok(libc::WSTOPSIG(status))
    }

    fn registers(&self) -> Result<libc::user_regs_struct> {
        // SAFETY: all zeros is a valid value; the kernel fills it in.
        let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
        let place = (&raw mut registers).cast();
        request(libc::PTRACE_GETREGS, self.0, 0, place).context("reading its registers")?;
        Ok(registers)
    }

    fn set_registers(&self, registers: &libc::user_regs_struct) -> Result<()> {
        let place = ptr::from_ref(registers).cast_mut().cast();
        request(libc::PTRACE_SETREGS, self.0, 0, place).context("setting its registers")?;
        Ok(())
    }

    fn word(&self, address: u64) -> Result<i64> {
        // SAFETY: the C library's function; it sets errno only if it fails, and any word may
        // be what was read.
        unsafe { *libc::__errno_location() = 0 };
        let word = raw(libc::PTRACE_PEEKTEXT, self.0, address, ptr::null_mut());
        let error = io::Error::last_os_error();
        if word == -1 && error.raw_os_error() != Some(0) {
            return Err(error).context("reading its instructions");
        }
        Ok(word)
    }

    fn set_word(&self, address: u64, word: i64) -> Result<()> {
        let word = ptr::without_provenance_mut(word.cast_unsigned() as usize);
        request(libc::PTRACE_POKETEXT, self.0, address, word)
            .context("changing its instructions")?;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It fails only for one that is gone.
        let _ = request(libc::PTRACE_DETACH, self.0, 0, ptr::null_mut());
    }
}

/// `ptrace(2)`, for requests that give nothing but success.
pub fn request(
    request: libc::c_uint,
    pid: libc::pid_t,
    address: u64,
    data: *mut libc::c_void,
) -> io::Result<()> {
    if raw(request, pid, address, data) < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn raw(
    request: libc::c_uint,
    pid: libc::pid_t,
    address: u64,
    data: *mut libc::c_void,
) -> libc::c_long {
    // SAFETY: the address is the other process's and checked by the kernel; the data is a
    // number, or points to what the request reads or writes and lives through the call.
    unsafe { libc::ptrace(request, pid, address, data) }
}
