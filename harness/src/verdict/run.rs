//! The verdict on a whole run.
//!
//! In: what came out of every suite, and which suites were planned. Out: one of three words,
//! which the command line turns into an exit code.

use crate::outcome::{BootResult, Status, SuiteId};

/// How a run came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunVerdict {
    /// Every planned proof passed, or was skipped as declared.
    AsDeclared,
    /// A proof failed, or skipped itself without a declaration.
    PromiseBroken,
    /// No promise is known to have broken, but something couldn't be found out.
    Infrastructure,
}

/// Holds the results against the planned suites. A run that planned nothing, misses a planned
/// suite or holds one that nobody planned has found nothing out.
pub fn run_verdict(results: &[BootResult], planned: &[SuiteId]) -> RunVerdict {
    let broke = |status| matches!(status, Status::Failed | Status::UndeclaredSkip);
    if results
        .iter()
        .flat_map(|result| &result.proofs)
        .any(|proof| broke(proof.status))
    {
        return RunVerdict::PromiseBroken;
    }
    let once = |suite: &SuiteId| results.iter().filter(|r| r.suite == *suite).count() == 1;
    let as_planned = !planned.is_empty()
        && results.len() == planned.len()
        && planned.iter().all(once)
        && results.iter().all(BootResult::is_clean);
    if as_planned {
        RunVerdict::AsDeclared
    } else {
        RunVerdict::Infrastructure
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::{boot, proof, suite};

    fn one(status: Status) -> BootResult {
        boot("6.1", "bpf-lsm", vec![proof("a-proof", status, &[])])
    }

    fn verdict(results: &[BootResult]) -> RunVerdict {
        run_verdict(results, &[suite("6.1", "bpf-lsm")])
    }

    #[test]
    fn only_a_run_with_everything_planned_and_nothing_else_is_as_declared() {
        use RunVerdict::{AsDeclared, Infrastructure, PromiseBroken};
        for (status, expected) in [
            (Status::Passed, AsDeclared),
            (Status::Skipped, AsDeclared),
            (Status::Failed, PromiseBroken),
            (Status::UndeclaredSkip, PromiseBroken),
            (Status::Incomplete, Infrastructure),
        ] {
            assert_eq!(verdict(&[one(status)]), expected, "{status:?}");
        }
        let passed = one(Status::Passed);
        let planned = [passed.suite.clone(), suite("6.12", "bpf-lsm")];
        assert_eq!(run_verdict(&[], &[]), Infrastructure);
        assert_eq!(verdict(&[]), Infrastructure);
        let nothing_planned = run_verdict(std::slice::from_ref(&passed), &[]);
        assert_eq!(nothing_planned, Infrastructure);
        let one_missing = run_verdict(std::slice::from_ref(&passed), &planned);
        assert_eq!(one_missing, Infrastructure);
        let twice = [passed.clone(), passed.clone()];
        assert_eq!(verdict(&twice), Infrastructure);
        assert_eq!(run_verdict(&twice, &planned), Infrastructure);
        let unplanned = boot("7.0", "bpf-lsm", passed.proofs.clone());
        assert_eq!(verdict(&[passed, unplanned]), Infrastructure);
    }

    #[test]
    fn a_fault_or_a_suite_of_nothing_is_never_as_declared() {
        let mut faulty = one(Status::Passed);
        faulty.faults = vec!["incomplete: no `end` record".into()];
        assert_eq!(verdict(&[faulty]), RunVerdict::Infrastructure);
        let empty = boot("6.1", "bpf-lsm", vec![]);
        assert_eq!(verdict(&[empty]), RunVerdict::Infrastructure);
    }

    #[test]
    fn a_broken_promise_is_not_hidden_by_infrastructure() {
        let mut both = one(Status::Failed);
        both.faults = vec!["incomplete: no `end` record".into()];
        let results = [both, boot("6.12", "bpf-lsm", vec![])];
        assert_eq!(run_verdict(&results, &[]), RunVerdict::PromiseBroken);
    }
}
