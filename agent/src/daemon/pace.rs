//! How fast the agent works where a user decides how much there is to do: who acts in a loop mustn't keep
//! it busy, nor have it write its report all the time.
//!
//! In: moments, and how long work took. Out: when the next may begin. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// The share of a processor that may go into such work in the long run: one in so many.
const SHARE: u32 = 8;

/// So much of the time that work is to be spread over may still be to come: whoever makes the agent work
/// now and then never waits.
const BURST: Duration = Duration::from_secs(2);

/// How much the agent has worked.
#[derive(Debug)]
pub struct Effort {
    /// By when the work so far would be spread as evenly as it may be.
    due: Instant,
}

impl Effort {
    /// None so far.
    pub fn none(now: Instant) -> Self {
        Self { due: now }
    }

    /// Takes note of work that ended now.
    pub fn add(&mut self, took: Duration, now: Instant) {
        self.due = self.due.max(now) + took * SHARE;
    }

    /// When it may work again.
    pub fn over(&self) -> Instant {
        self.due.checked_sub(BURST).unwrap_or(self.due)
    }
}

/// A right that is used up by using it, and comes back with time.
#[derive(Debug)]
pub struct Allowance {
    every: Duration,
    burst: u32,
    /// When the next use would be due if there were no burst.
    due: Instant,
}

impl Allowance {
    /// As many uses at once as `burst` says, and one more each time that `every` has passed.
    pub fn new(every: Duration, burst: u32, now: Instant) -> Self {
        Self {
            every,
            burst,
            due: now,
        }
    }

    /// Uses it, or says when that will be allowed.
    ///
    /// # Errors
    /// The moment.
    pub fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let due = self.due.max(now);
        let ahead = self.every * self.burst.saturating_sub(1);
        if due > now + ahead {
            return Err(due - ahead);
        }
        self.due = due + self.every;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(500);

    #[test]
    fn work_is_free_for_a_burst_and_then_an_eighth_of_the_time() {
        let mut now = Instant::now() + BURST;
        let mut effort = Effort::none(now);
        effort.add(BURST / SHARE, now);
        assert!(effort.over() <= now);
        let started = now;
        let work = Duration::from_millis(10);
        for _ in 0..100 {
            now = now.max(effort.over()) + work;
            effort.add(work, now);
        }
        let share = 100.0 * work.as_secs_f64() / (now - started).as_secs_f64();
        assert!((0.11..0.13).contains(&share), "{share}");
    }

    #[test]
    fn who_rested_may_work_as_much_as_at_first_and_no_more() {
        let now = Instant::now() + BURST;
        let mut effort = Effort::none(now);
        let later = now + 100 * BURST;
        effort.add(BURST / SHARE, later);
        assert!(effort.over() <= later);
        effort.add(Duration::from_millis(1), later);
        assert_eq!(effort.over(), later + Duration::from_millis(8));
    }

    #[test]
    fn a_burst_is_allowed_and_then_one_use_each_time() {
        let now = Instant::now();
        let mut allowance = Allowance::new(EVERY, 3, now);
        for _ in 0..3 {
            assert_eq!(allowance.take(now), Ok(()));
        }
        assert_eq!(allowance.take(now), Err(now + EVERY));
        assert_eq!(allowance.take(now + EVERY), Ok(()));
        assert_eq!(allowance.take(now + EVERY), Err(now + 2 * EVERY));
    }

    #[test]
    fn who_waited_long_has_a_burst_again_and_no_more() {
        let start = Instant::now();
        let mut allowance = Allowance::new(EVERY, 2, start);
        let later = start + 100 * EVERY;
        assert_eq!(allowance.take(later), Ok(()));
        assert_eq!(allowance.take(later), Ok(()));
        assert_eq!(allowance.take(later), Err(later + EVERY));
    }
}
