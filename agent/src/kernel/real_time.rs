//! Calls on maps that no ordinary task preempts.
//!
//! In: a call. Out: what it gave, and the thread's scheduling as it was. While a task is within
//! bpf(2) on a map, the kernel runs no program of a kprobe or tracepoint on that processor
//! (`bpf_disable_instrumentation`). A preemptible kernel may switch to another task in between, and
//! that task's opens go unchecked in the signal tier. With such calls made over and over on purpose,
//! 107 opens went unchecked in a single verification (7.1, `Dynamic Preempt: lazy`); at a real-time
//! priority none did.

use std::io;
use std::sync::Once;

use libc::{c_int, c_long, sched_param};

use crate::output::log;

/// The least real-time priority. Every ordinary task has less.
const PRIORITY: c_int = 1;

/// Runs a call that is made of calls on maps.
///
/// Where this process may have no real-time priority, it runs all the same, and a warning says so
/// once. That opens may go unchecked then is among the signal tier's limits, and kernels from 6.7 on
/// count them.
pub fn unpreempted<T>(call: impl FnOnce() -> T) -> T {
    let raised = Raised::raise();
    if let Err(error) = &raised {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| {
            log::warn(format_args!(
                "no real-time priority for calls on maps ({error}): opens may go unchecked while \
                 another task preempts such a call; CAP_SYS_NICE gives it, if neither the cgroup nor RestrictRealtime= \
                 forbids it"
            ));
        });
    }
    call()
}

/// This thread, above every ordinary task until it is dropped.
struct Raised {
    /// `None` where it was there already, or above.
    before: Option<c_int>,
}

impl Raised {
    fn raise() -> io::Result<Self> {
        // musl's functions of these names only fail.
        // SAFETY: takes no pointer; 0 is this thread.
        let policy = checked(unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) })?;
        let above = [libc::SCHED_FIFO, libc::SCHED_RR, libc::SCHED_DEADLINE];
        // Without the flag that children don't inherit it.
        if above.contains(&(policy & !libc::SCHED_RESET_ON_FORK)) {
            return Ok(Self { before: None });
        }
        set(libc::SCHED_FIFO, PRIORITY)?;
        let before = Some(policy);
        Ok(Self { before })
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            // Everybody may lower himself, and the nice value was kept.
            if let Err(error) = set(before, 0) {
                log::warn(format_args!("still at a real-time priority: {error}"));
            }
        }
    }
}

fn set(policy: c_int, priority: c_int) -> io::Result<()> {
    // SAFETY: all zeros is a valid sched_param; some C libraries' have reserved fields.
    let mut param: sched_param = unsafe { std::mem::zeroed() };
    param.sched_priority = priority;
    // SAFETY: the parameters outlive the call; 0 is this thread.
    let set = unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const param) };
    checked(set).map(drop)
}

fn checked(result: c_long) -> io::Result<c_int> {
    match c_int::try_from(result) {
        Ok(value) if value >= 0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> c_int {
        // SAFETY: takes no pointer; 0 is this thread.
        checked(unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) }).unwrap()
    }

    #[test]
    fn a_call_is_above_ordinary_tasks_and_what_follows_is_not() {
        let before = policy();
        let within = match Raised::raise() {
            Ok(Raised { before: Some(_) }) => libc::SCHED_FIFO,
            // Whoever is there already, or may not be, runs all the same.
            Ok(Raised { before: None }) | Err(_) => before,
        };
        assert_eq!(policy(), before);
        assert_eq!(unpreempted(policy), within);
        assert_eq!(policy(), before);
        let nested = unpreempted(|| (unpreempted(policy), policy()));
        assert_eq!(nested, (within, within));
        assert_eq!(policy(), before);
    }
}
