//! The verdict on a whole run.
//!
//! In: what came out of every suite, how many proofs each was to have, and how many cases the
//! written report has. Out: one of three words, which the command line turns into an exit code.

use crate::outcome::{BootResult, Cases, Status};

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

/// Holds the results, and the report that was made of them, against what was planned. A run
/// that planned nothing, misses a suite or a proof, holds one that nobody planned, or skipped every
/// one has found nothing out.
pub fn run_verdict(results: &[BootResult], planned: &Cases, reported: &Cases) -> RunVerdict {
    let broke = |status| {
        let red = [
            Status::Failed,
            Status::UnexpectedPass,
            Status::UndeclaredSkip,
        ];
        red.contains(&status)
    };
    if results
        .iter()
        .flat_map(|result| &result.proofs)
        .any(|proof| broke(proof.status))
    {
        return RunVerdict::PromiseBroken;
    }
    let found: Cases = results
        .iter()
        .map(|result| (result.suite.clone(), result.proofs.len()))
        .collect();
    let as_planned = !planned.is_empty()
        && reported == planned
        && found == *planned
        && results.len() == planned.len()
        && results.iter().all(BootResult::is_clean)
        && proved_something(results);
    if as_planned {
        RunVerdict::AsDeclared
    } else {
        RunVerdict::Infrastructure
    }
}

/// Whether any proof passed: a run in which every one was skipped has shown nothing.
#[must_use]
pub fn proved_something(results: &[BootResult]) -> bool {
    let mut proofs = results.iter().flat_map(|result| &result.proofs);
    proofs.any(|proof| proof.status == Status::Passed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::{boot, proof, suite};

    fn one(status: Status) -> BootResult {
        boot("6.1", "bpf-lsm", vec![proof("a-proof", status, &[])])
    }

    fn cases<const N: usize>(of: [(&str, usize); N]) -> Cases {
        of.map(|(kernel, count)| (suite(kernel, "bpf-lsm"), count))
            .into()
    }

    fn against(results: &[BootResult], planned: &Cases) -> RunVerdict {
        run_verdict(results, planned, planned)
    }

    fn verdict(results: &[BootResult]) -> RunVerdict {
        against(results, &cases([("6.1", 1)]))
    }

    #[test]
    fn only_a_run_with_everything_planned_and_nothing_else_is_as_declared() {
        use RunVerdict::{AsDeclared, Infrastructure, PromiseBroken};
        for (status, expected) in [
            (Status::Passed, AsDeclared),
            (Status::Skipped, Infrastructure),
            (Status::Failed, PromiseBroken),
            (Status::UnexpectedPass, PromiseBroken),
            (Status::UndeclaredSkip, PromiseBroken),
            (Status::Incomplete, Infrastructure),
        ] {
            assert_eq!(verdict(&[one(status)]), expected, "{status:?}");
        }
        let passed = one(Status::Passed);
        let planned = cases([("6.1", 1), ("6.12", 1)]);
        assert_eq!(against(&[], &cases([])), Infrastructure);
        assert_eq!(verdict(&[]), Infrastructure);
        let nothing_planned = against(std::slice::from_ref(&passed), &cases([]));
        assert_eq!(nothing_planned, Infrastructure);
        let one_missing = against(std::slice::from_ref(&passed), &planned);
        assert_eq!(one_missing, Infrastructure);
        let twice = [passed.clone(), passed.clone()];
        assert_eq!(verdict(&twice), Infrastructure);
        assert_eq!(against(&twice, &planned), Infrastructure);
        let unplanned = boot("7.0", "bpf-lsm", passed.proofs.clone());
        assert_eq!(verdict(&[passed, unplanned]), Infrastructure);
    }

    #[test]
    fn skips_are_as_declared_beside_a_proof_that_passed() {
        let proofs = [Status::Skipped, Status::Passed].map(|status| proof("a-proof", status, &[]));
        let results = [boot("6.1", "bpf-lsm", proofs.to_vec())];
        let verdict = against(&results, &cases([("6.1", 2)]));
        assert_eq!(verdict, RunVerdict::AsDeclared);
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
        assert_eq!(against(&results, &cases([])), RunVerdict::PromiseBroken);
    }

    #[test]
    fn a_proof_that_got_lost_on_the_way_to_the_report_is_missed() {
        let passed = [one(Status::Passed)];
        let planned = cases([("6.1", 1)]);
        for (planned, reported) in [
            (&cases([("6.1", 2)]), &cases([("6.1", 2)])),
            (&planned, &cases([("6.1", 0)])),
            (&planned, &cases([("6.1", 2)])),
            (&planned, &cases([])),
            (&planned, &cases([("6.1", 1), ("6.12", 1)])),
        ] {
            let verdict = run_verdict(&passed, planned, reported);
            assert_eq!(
                verdict,
                RunVerdict::Infrastructure,
                "{planned:?} {reported:?}"
            );
        }
    }
}
