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
