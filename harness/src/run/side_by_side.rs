//! Does jobs side by side, each of which takes some of a fixed number of slots.
//!
//! In: the jobs in the order in which they are to begin, how many slots each takes, how many there
//! are. Out: what came of each, in the order in which they were done. Nothing here knows what a job
//! is.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Does the work on each item, in a thread of its own, as soon as its slots are free. Items begin
/// in the order given, but where [`next`] lets one overtake. One that takes more slots than there
/// are takes them all, and runs alone.
pub(super) fn side_by_side<T: Send, R: Send>(
    items: Vec<T>,
    slots: usize,
    takes: impl Fn(&T) -> usize,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let slots = slots.max(1);
    let mut waiting: VecDeque<(usize, T)> = items
        .into_iter()
        .map(|item| (takes(&item).clamp(1, slots), item))
        .collect();
    let (running, ended) = (Mutex::new(Vec::new()), Condvar::new());
    let done = Mutex::new(Vec::new());
    let (running, ended, done, work) = (&running, &ended, &done, &work);
    std::thread::scope(|scope| {
        while !waiting.is_empty() {
            let wanted: Vec<usize> = waiting.iter().map(|(takes, _)| *takes).collect();
            let mut now = locked(running);
            let at = loop {
                match next(&wanted, &now, slots) {
                    Some(at) => break at,
                    // Somebody runs, or the first would begin.
                    None => now = ended.wait(now).unwrap_or_else(PoisonError::into_inner),
                }
            };
            let Some((takes, item)) = waiting.remove(at) else {
                break;
            };
            now.push(takes);
            drop(now);
            scope.spawn(move || {
                // Dropped last, and by a panic too.
                let _taken = Taken {
                    takes,
                    running,
                    ended,
                };
                let result = work(item);
                locked(done).push(result);
            });
        }
    });
    std::mem::take(&mut *locked(done))
}

/// Which of the jobs that wait is to begin, if one can: by how many slots each of them takes, in
/// their order, and each of those that run. Pure.
///
/// It is the first, once it has room. Until then another may overtake it only while one runs that
/// takes as many slots as the first wants: the first begins in its place, whoever has taken others
/// meanwhile. So no job waits for more than those that ran when it came to be the first.
fn next(waiting: &[usize], running: &[usize], slots: usize) -> Option<usize> {
    let free = slots - running.iter().sum::<usize>();
    let first = *waiting.first()?;
    if first <= free {
        return Some(0);
    }
    let is_relieved = running.iter().any(|takes| *takes >= first);
    let fits = waiting.iter().position(|takes| *takes <= free);
    fits.filter(|_| is_relieved)
}

/// Slots of a job, which are free again when this is dropped.
struct Taken<'a> {
    takes: usize,
    running: &'a Mutex<Vec<usize>>,
    ended: &'a Condvar,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut running = locked(self.running);
        if let Some(at) = running.iter().position(|takes| *takes == self.takes) {
            running.swap_remove(at);
        }
        self.ended.notify_one();
    }
}

/// A job that panicked has spoiled nothing: each lock guards one short change.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc::{self, Receiver, Sender};
    use std::time::Duration;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// Two jobs, each of which waits to hear from the other, which it can't if the other hasn't
    /// begun; with the slots that each takes.
    fn pair(takes: [usize; 2]) -> Vec<(usize, Sender<()>, Receiver<()>)> {
        let (first, from_first) = mpsc::channel();
        let (second, from_second) = mpsc::channel();
        vec![
            (takes[0], first, from_second),
            (takes[1], second, from_first),
        ]
    }

    /// Whether each of the two heard from the other.
    fn meet(takes: [usize; 2], slots: usize, limit: Duration) -> Vec<bool> {
        side_by_side(
            pair(takes),
            slots,
            |job| job.0,
            |(_, tell, hear)| {
                // The other may have given up.
                let _ = tell.send(());
                hear.recv_timeout(limit).is_ok()
            },
        )
    }

    #[test]
    fn jobs_that_have_room_together_run_at_once() {
        for (takes, slots) in [([1, 1], 2), ([2, 1], 3), ([1, 2], 3), ([2, 2], 4)] {
            assert_eq!(meet(takes, slots, LIMIT), [true, true], "{takes:?} {slots}");
        }
    }

    /// The most slots that were taken at once, and how many jobs began in which order.
    fn watched(jobs: &[usize], slots: usize) -> (usize, Vec<usize>) {
        let (taken, most) = (Mutex::new(0), Mutex::new(0));
        let order = Mutex::new(Vec::new());
        let items: Vec<(usize, usize)> = jobs.iter().copied().enumerate().collect();
        let done = side_by_side(
            items,
            slots,
            |(_, takes)| *takes,
            |(number, takes)| {
                locked(&order).push(number);
                let takes = takes.clamp(1, slots.max(1));
                *locked(&taken) += takes;
                let now = *locked(&taken);
                let mut most = locked(&most);
                *most = now.max(*most);
                drop(most);
                std::thread::yield_now();
                *locked(&taken) -= takes;
                number
            },
        );
        assert_eq!(done.len(), jobs.len());
        let most = *locked(&most);
        let order = std::mem::take(&mut *locked(&order));
        (most, order)
    }

    #[test]
    fn no_more_slots_are_taken_than_there_are_and_every_job_is_done() {
        let jobs = [2, 1, 1, 2, 1, 3, 1, 1, 2, 2, 1];
        for slots in 1..=5 {
            for _ in 0..50 {
                let (most, mut order) = watched(&jobs, slots);
                assert!(most <= slots, "{most} of {slots}");
                order.sort_unstable();
                assert_eq!(order, (0..jobs.len()).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_job_that_takes_all_slots_runs_alone_and_so_does_one_that_takes_more() {
        for (takes, slots) in [([2, 1], 2), ([1, 2], 2), ([2, 1], 1), ([7, 1], 3)] {
            let heard = meet(takes, slots, Duration::from_millis(20));
            // Whoever comes second finds what the first has told.
            assert_eq!(heard, [false, true], "{takes:?} {slots}");
        }
    }

    #[test]
    fn one_slot_keeps_the_order_and_none_is_one() {
        for slots in [0, 1] {
            let done = side_by_side(vec![3, 1, 2], slots, |_| 1, |n| n * 2);
            assert_eq!(done, [6, 2, 4]);
            let done = side_by_side(vec![3, 1, 2], slots, |n| *n, |n| n * 2);
            assert_eq!(done, [6, 2, 4]);
        }
    }

    #[test]
    fn the_first_begins_once_it_has_room_and_is_overtaken_only_where_it_loses_nothing() {
        for (waiting, running, slots, begins) in [
            (&[][..], &[][..], 2, None),
            (&[1, 1], &[], 2, Some(0)),
            (&[2, 1], &[], 2, Some(0)),
            (&[1, 1], &[1], 2, Some(0)),
            (&[1, 1], &[2], 2, None),
            // It would wait for ever if one after the other passed it by.
            (&[2, 1], &[1], 2, None),
            (&[2, 1, 1], &[1, 1], 3, None),
            // It begins in the place of the other, whoever has the third slot.
            (&[2, 1], &[2], 3, Some(1)),
            (&[2, 2, 1], &[2], 3, Some(2)),
            (&[2, 2], &[2], 3, None),
            (&[2, 1], &[2, 1], 3, None),
            (&[2, 1], &[1], 3, Some(0)),
            (&[3, 1], &[2], 3, None),
        ] {
            let found = next(waiting, running, slots);
            assert_eq!(found, begins, "{waiting:?} {running:?} {slots}");
        }
    }

    #[test]
    fn a_job_that_panics_gives_its_slots_back_and_the_rest_is_done() {
        let done = Mutex::new(Vec::new());
        let went = catch_unwind(AssertUnwindSafe(|| {
            side_by_side(
                vec![2, 1, 3, 4],
                2,
                |n| *n,
                |n| {
                    assert!(n % 2 == 1, "it is to panic");
                    locked(&done).push(n);
                },
            )
        }));
        assert!(went.is_err(), "it isn't hidden");
        let mut done = std::mem::take(&mut *locked(&done));
        done.sort_unstable();
        assert_eq!(done, [1, 3]);
    }
}
