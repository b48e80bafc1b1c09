//! Canaries that are sent again, since the kernel skipped the program for them.
//!
//! In: how to send one, a clock, and the time already spent so. Out: the first [`Evidence`] that
//! shows anything, or the last of as many as may be sent. Pure but for what it is passed.
//!
//! While a task is preempted within a program, the kernel skips that program for all other tasks on
//! the processor, canaries too. A task preempted within a call on a map does the same to programs
//! of kprobes and tracepoints. Such a canary is no evidence for the claim and none against it.
//! A user may provoke this on purpose, so there is a limit: whoever keeps a program skipped for longer
//! takes the claim away, but never makes the agent claim more.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::measurement::{Evidence, Shown};

/// How long one verification may send canaries again, all hooks together. The agent does nothing
/// else meanwhile; a preempted task has mostly gone on within milliseconds.
const LIMIT: Duration = Duration::from_secs(1);

/// How many canaries each hook gets all the same: on a busy machine one may take longer than the
/// limit.
const LEAST: u32 = 3;

/// Sends canaries until one shows what the program does, or may be sent no more. `spent` is how long
/// this verification has sent canaries again, and grows by what it takes here.
///
/// # Errors
/// That of sending one, with which it ends.
pub fn until_shown(
    spent: &mut Duration,
    now: impl Fn() -> Instant,
    mut send: impl FnMut() -> Result<Evidence>,
) -> Result<Evidence> {
    let mut evidence = send()?;
    let mut sent = 1;
    while is_sent_again(evidence.shown(), sent, *spent) {
        let started = now();
        let again = send();
        *spent += now() - started;
        evidence = again?;
        sent += 1;
    }
    Ok(Evidence { sent, ..evidence })
}

/// Whether another canary goes through a hook, after `sent` of them.
fn is_sent_again(last: Shown, sent: u32, spent: Duration) -> bool {
    last == Shown::Nothing && (sent < LEAST || spent < LIMIT)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::ops::Range;

    use anyhow::bail;

    use super::*;

    fn evidence(observed: &str, hits: u64, recursion_misses: Range<u64>) -> Evidence {
        Evidence {
            pid: 7,
            cgroup: 8,
            duration_us: 9,
            expected: "denied:EPERM".to_owned(),
            observed: observed.to_owned(),
            hits,
            recursion_misses,
            sent: 1,
        }
    }

    #[test]
    fn a_canary_is_sent_again_if_it_showed_nothing_and_time_or_the_least_number_is_left() {
        let (none, almost) = (Duration::ZERO, LIMIT - Duration::from_nanos(1));
        for (last, sent, spent, again) in [
            (Shown::Works, 1, none, false),
            (Shown::Fails, 1, none, false),
            (Shown::Nothing, 1, none, true),
            (Shown::Nothing, 900, almost, true),
            (Shown::Nothing, 3, LIMIT, false),
            (Shown::Nothing, 2, LIMIT, true),
            (Shown::Fails, 2, LIMIT, false),
        ] {
            assert_eq!(
                is_sent_again(last, sent, spent),
                again,
                "{last:?} {sent} {spent:?}"
            );
        }
    }

    /// What comes of canaries that take this long each: the last of these repeats for ever.
    fn outcome(canaries: &[Evidence], each: Duration, spent: &mut Duration) -> Evidence {
        let (mut next, clock) = (0, Cell::new(Instant::now()));
        let send = || {
            next += 1;
            clock.set(clock.get() + each);
            Ok(canaries[canaries.len().min(next) - 1].clone())
        };
        until_shown(spent, || clock.get(), send).unwrap()
    }

    #[test]
    fn the_first_canary_that_the_program_was_not_skipped_for_decides() {
        let works = || evidence("denied:EPERM", 1, 5..5);
        let fails = || evidence("allowed", 0, 5..5);
        let skipped = || evidence("allowed", 0, 5..6);
        for (canaries, shown, sent) in [
            (vec![works()], Shown::Works, 1),
            (vec![fails(), works()], Shown::Fails, 1),
            (vec![skipped(), works(), fails()], Shown::Works, 2),
            (vec![skipped(), fails(), works()], Shown::Fails, 2),
            (
                [vec![skipped(); 9], vec![works()]].concat(),
                Shown::Works,
                10,
            ),
            // The first one, and as many as fit into the limit.
            (vec![skipped()], Shown::Nothing, 11),
        ] {
            let mut spent = Duration::ZERO;
            let evidence = outcome(&canaries, LIMIT / 10, &mut spent);
            assert_eq!(
                (evidence.shown(), evidence.sent),
                (shown, sent),
                "{canaries:?}"
            );
            assert_eq!(spent, LIMIT / 10 * (sent - 1));
        }
    }

    #[test]
    fn the_hooks_of_a_verification_share_the_time() {
        let skipped = [evidence("allowed", 0, 5..6)];
        let mut spent = Duration::ZERO;
        let mut sent = || outcome(&skipped, LIMIT / 10, &mut spent).sent;
        assert_eq!([sent(), sent(), sent()], [11, LEAST, LEAST]);
    }

    #[test]
    fn a_canary_that_can_t_be_sent_is_the_end() {
        let mut canaries = [Ok(evidence("allowed", 0, 5..6))].into_iter();
        let send = || match canaries.next() {
            Some(sent) => sent,
            None => bail!("the canary is dead"),
        };
        let mut spent = Duration::ZERO;
        let error = until_shown(&mut spent, Instant::now, send).unwrap_err();
        assert_eq!(error.to_string(), "the canary is dead");
    }
}
