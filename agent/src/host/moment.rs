//! When something was: by the time of day, which people read, and by the boot clock, which nobody
//! can set.
//!
//! In: the two clocks. Out: a [`Moment`]. What is older, and how long something holds, goes by the
//! boot clock alone: it runs on while the machine sleeps, and never back.

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// A moment of this boot, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time of day, as the clock stood then.
    pub time: Timestamp,
    /// Since the boot (`CLOCK_BOOTTIME`).
    pub boot: SignedDuration,
}

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        let time = Timestamp::now();
        let since = clock_gettime(ClockId::Boottime);
        let boot = SignedDuration::from_secs(since.tv_sec)
            .saturating_add(SignedDuration::from_nanos(since.tv_nsec));
        Self { time, boot }
    }

    /// The older of two.
    #[must_use]
    pub fn older(self, other: Self) -> Self {
        if other.boot < self.boot { other } else { self }
    }

    /// Until when something holds that is of this moment, as of `now`. The time of day is what the
    /// clock will show then, so that one that was set back in between doesn't make it hold longer;
    /// one that was set forward doesn't either.
    ///
    /// # Errors
    /// The time is beyond what can be written.
    pub fn valid_until(self, validity: SignedDuration, now: Self) -> Result<Self, jiff::Error> {
        let boot = self.boot.saturating_add(validity);
        let left = boot.saturating_sub(now.boot);
        let by_then = self.time.checked_add(validity)?;
        let from_now = now.time.checked_add(left)?;
        let time = by_then.min(from_now);
        Ok(Self { time, boot })
    }

    /// Milliseconds since the boot, as a report has them.
    pub fn boot_ms(self) -> i64 {
        i64::try_from(self.boot.as_millis()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(time: i64, boot: i64) -> Moment {
        Moment {
            time: Timestamp::from_second(time).unwrap(),
            boot: SignedDuration::from_secs(boot),
        }
    }

    #[test]
    fn what_is_older_goes_by_the_boot_clock_whatever_the_time_of_day_was() {
        let (first, second) = (moment(5_000, 10), moment(1_400, 11));
        assert_eq!(first.older(second), first);
        assert_eq!(second.older(first), first);
    }

    #[test]
    fn validity_runs_from_the_evidence_whenever_it_is_told() {
        let validity = SignedDuration::from_secs(60);
        let evidence = moment(1_000, 100);
        for later in [0, 1, 59, 70] {
            let now = moment(1_000 + later, 100 + later);
            let until = evidence.valid_until(validity, now).unwrap();
            assert_eq!(until, moment(1_060, 160), "{later}");
        }
    }

    #[test]
    fn a_clock_that_was_set_lengthens_nothing() {
        let validity = SignedDuration::from_secs(60);
        let evidence = moment(5_000, 100);
        // An hour back, ten seconds later: 50 s are left.
        let back = evidence.valid_until(validity, moment(1_410, 110)).unwrap();
        assert_eq!(back, moment(1_460, 160));
        // An hour forward: by the time of day it is over.
        let forward = evidence.valid_until(validity, moment(8_610, 110)).unwrap();
        assert_eq!(forward, moment(5_060, 160));
    }

    #[test]
    fn now_is_later_by_the_boot_clock_than_a_moment_ago() {
        let first = Moment::now();
        let second = Moment::now();
        assert!(second.boot >= first.boot && first.boot > SignedDuration::ZERO);
        assert_eq!(
            first.boot_ms(),
            i64::try_from(first.boot.as_millis()).unwrap()
        );
    }
}
