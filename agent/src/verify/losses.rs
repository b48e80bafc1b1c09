//! Acts that got past a rule since the claim to enforce was last verified: evidence against it.
//!
//! In: what the kernel has counted, and when that was looked at. Out: why the claim is lost, until
//! a verification has new evidence for it. Pure.
//!
//! The kernel's counts alone decide. An event says more of an act, but may be lost, or wait for its
//! reader until long after the act was counted; so it only says what a count that grew is about.

/// What the kernel has counted since the agent's start.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    /// How often the kernel skipped each attached copy of the program that sees an act.
    pub recursion_misses: Vec<u64>,
    /// How many signals were refused, but for canaries.
    pub signals_refused: u64,
}

/// What was lost since the last verification, and the counts up to then.
#[derive(Debug, Default)]
pub struct Losses {
    /// The counts of the last look.
    seen: Counts,
    why: Option<String>,
}

impl Losses {
    /// Why the claim is lost, if it is.
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// An event tells of a refused signal; `signals_refused` is the kernel's count now. If that
    /// hasn't grown since the last look, an earlier call has already withdrawn the claim for this
    /// refusal. Where there is no count, the event is taken to be new.
    pub fn told(&mut self, why: &str, signals_refused: Option<u64>) {
        let seen = &mut self.seen.signals_refused;
        if signals_refused.is_none_or(|now| now > *seen) {
            *seen = signals_refused.unwrap_or(*seen);
            self.why = Some(why.to_owned());
        }
    }

    /// A verification has new evidence. It outweighs what took the claim before, but nothing that
    /// was counted since.
    pub fn verified(&mut self, now: Counts) {
        let refused = now
            .signals_refused
            .saturating_sub(self.seen.signals_refused);
        let before = self
            .seen
            .recursion_misses
            .iter()
            .chain(std::iter::repeat(&0));
        let grown = now.recursion_misses.iter().zip(before);
        // A program that was attached anew starts to count from 0. An act got past the rules only
        // if the kernel skipped every copy of the program for it.
        let recursion_misses = grown.map(|(now, before)| now.saturating_sub(*before)).min();
        self.why = match (refused, recursion_misses) {
            (0, None | Some(0)) => None,
            (0, Some(acts)) => Some(format!(
                "the kernel skipped the program that sees an open up to {acts} times, since it, or a \
                 call on a map, was preempted on the same processor; those opens weren't checked"
            )),
            (refused, _) => Some(format!(
                "the kernel refused {refused} signals to processes that broke a rule"
            )),
        };
        self.seen = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(signals_refused: u64) -> Counts {
        Counts {
            signals_refused,
            ..Counts::default()
        }
    }

    fn recursion_misses(counts: &[u64]) -> Counts {
        Counts {
            recursion_misses: counts.to_vec(),
            ..Counts::default()
        }
    }

    #[test]
    fn a_refusal_that_nobody_is_told_of_takes_the_claim_until_the_verification_after() {
        let mut losses = Losses::default();
        losses.verified(refused(0));
        assert_eq!(losses.why(), None);
        losses.verified(refused(2));
        let why = losses.why().expect("it was counted");
        assert!(why.contains("refused 2 signals"), "{why}");
        losses.verified(refused(2));
        assert_eq!(losses.why(), None);
    }

    #[test]
    fn a_refusal_that_an_event_tells_of_isn_t_told_again_by_its_count() {
        let mut losses = Losses::default();
        losses.told("process 7", Some(1));
        assert_eq!(losses.why(), Some("process 7"));
        losses.verified(refused(1));
        assert_eq!(losses.why(), None);
    }

    #[test]
    fn a_refusal_that_was_counted_isn_t_told_again_by_its_event() {
        let mut losses = Losses::default();
        losses.verified(refused(1));
        losses.verified(refused(1));
        losses.told("process 7, read of at last", Some(1));
        assert_eq!(losses.why(), None);
        losses.told("process 8", Some(2));
        assert_eq!(losses.why(), Some("process 8"));
    }

    #[test]
    fn an_event_is_believed_where_nothing_can_be_counted() {
        let mut losses = Losses::default();
        losses.told("process 7", None);
        assert_eq!(losses.why(), Some("process 7"));
        losses.verified(refused(1));
        assert!(losses.why().is_some_and(|why| why.contains("refused 1")));
    }

    #[test]
    fn refusals_that_go_on_leave_no_moment_to_claim_in() {
        let mut losses = Losses::default();
        losses.told("process 7", Some(3));
        for count in 4..8 {
            losses.verified(refused(count));
            assert!(losses.why().is_some());
        }
    }

    #[test]
    fn an_act_goes_unchecked_only_if_every_copy_was_skipped() {
        let mut losses = Losses::default();
        let mut lost = |counts: &[u64]| {
            losses.verified(recursion_misses(counts));
            losses.why().is_some()
        };
        assert!(!lost(&[5, 0]));
        assert!(!lost(&[9, 0]));
        assert!(lost(&[10, 1]));
        assert!(!lost(&[10, 1]));
        // Attached anew, the first starts from 0.
        assert!(!lost(&[0, 2]));
        assert!(lost(&[1, 3]));
        assert!(!lost(&[]));
    }
}
