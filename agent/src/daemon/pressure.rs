//! What a user's pressure must not end: a full file, a used-up limit, memory that runs out.
//!
//! In: this process. Out: the same, ended by none of these where that is in its hands.

use std::fs;
use std::io;

const SCORE: &str = "/proc/self/oom_score_adj";

/// With this score the kernel never kills a process for its memory.
const NEVER: &str = "-1000";

/// Has a limit on the size of files or on processor time fail the call that meets it, or pass by,
/// where the default is that a signal ends the process. Whoever starts the agent, or root by
/// prlimit(2), sets such limits, and a user can fill a file up to them.
///
/// Canaries inherit this, so what they meet there is an error of their act and no fate.
pub fn ignore_limits() {
    for signal in [libc::SIGXFSZ, libc::SIGXCPU] {
        // SAFETY: an ignored signal runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Keeps the kernel from killing this process when memory runs out: else a user with many small
/// processes has it choose the agent first.
///
/// Canaries inherit it. They are this same program, use next to no memory and end with the agent;
/// without it, whoever uses up memory would have them killed, and with them the evidence.
///
/// # Errors
/// The score may only be lowered with `CAP_SYS_RESOURCE`.
pub fn outlive_used_up_memory() -> io::Result<()> {
    let lowered = fs::write(SCORE, NEVER);
    // Whoever started it may have done so already.
    match fs::read_to_string(SCORE) {
        Ok(score) if score.trim() == NEVER => Ok(()),
        _ => lowered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_outlived_exactly_where_the_score_says_so() {
        let outlived = outlive_used_up_memory().is_ok();
        let score = fs::read_to_string(SCORE).unwrap();
        assert_eq!(outlived, score.trim() == NEVER);
        // This process is no agent; everybody may raise his score.
        fs::write(SCORE, "0").unwrap();
    }

    #[test]
    fn a_limit_s_signal_ends_nobody() {
        ignore_limits();
        for signal in [libc::SIGXFSZ, libc::SIGXCPU] {
            // SAFETY: the signal is ignored, else the test ends here.
            assert_eq!(unsafe { libc::raise(signal) }, 0);
        }
    }
}
