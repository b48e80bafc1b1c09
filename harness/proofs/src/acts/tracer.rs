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

/// What a process that is traced stopped at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// It was to stop wherever it was.
    Interrupt,
    /// It ran into a trap.
    Trap,
    /// It is about to get this signal.
    Signal(i32),
}

impl Stop {
    /// What the status of a stopped process tells.
    fn of(status: i32) -> Self {
        // As both show SIGTRAP, the event above the signal tells them apart.
        match (status >> 16, libc::WSTOPSIG(status)) {
            (libc::PTRACE_EVENT_STOP, _) => Self::Interrupt,
            (_, libc::SIGTRAP) => Self::Trap,
            (_, signal) => Self::Signal(signal),
        }
    }
}

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
        held.wait_for(Stop::Interrupt)?;
        Ok(held)
    }

    /// Lets it run into the trap.
    fn run(&self) -> Result<()> {
        self.go_on(0)?;
        self.wait_for(Stop::Trap)
    }

    /// Waits until it stops so. A signal may stop it first (SIGCHLD, say, for an agent whose canary
    /// just ended), which is passed on.
    fn wait_for(&self, wanted: Stop) -> Result<()> {
        loop {
            match self.wait()? {
                stop if stop == wanted => return Ok(()),
                Stop::Signal(signal) => self.go_on(signal)?,
                stop => bail!("it came to the stop {stop:?} in place of {wanted:?}"),
            }
        }
    }

    /// Lets it run, with a signal or 0.
    fn go_on(&self, signal: i32) -> Result<()> {
        let signal = ptr::without_provenance_mut(signal.cast_unsigned() as usize);
        request(libc::PTRACE_CONT, self.0, 0, signal).context("running it")?;
        Ok(())
    }

    /// Waits until it stops.
    fn wait(&self) -> Result<Stop> {
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
        Ok(Stop::of(status))
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

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn a_process_that_gets_signals_meanwhile_makes_the_call_all_the_same() {
        let mut child = Command::new("sleep").arg0("signalled").arg("60").spawn();
        let child = child.as_mut().expect("sleep(1)");
        let pid = child.id();
        let done = AtomicBool::new(false);
        let getpid = Call {
            number: libc::SYS_getpid,
            arguments: [0; 3],
        };
        let results: Vec<Result<i64>> = thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    // SAFETY: takes no pointer. Ignored by default, but not before it has stopped
                    // whoever is traced.
                    unsafe { libc::kill(pid.cast_signed(), libc::SIGCHLD) };
                }
            });
            let results = (0..200).map(|_| make_call(pid, &getpid)).collect();
            done.store(true, Ordering::Relaxed);
            results
        });
        child.kill().unwrap();
        child.wait().unwrap();
        for result in results {
            assert_eq!(result.unwrap(), i64::from(pid));
        }
    }
}
