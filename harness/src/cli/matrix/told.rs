//! The end of a matrix: the boots of each kernel compared, the reports, the exit code. The same for
//! boots that just ran and for those whose records are judged again.
//!
//! In: the run's plan, its folder, its judged boots. Out: reports, what standard output shows, and
//! the exit code.

use std::path::Path;

use proofs::Boot;

use crate::exit::{ExitCode, Failure, Result};
use crate::outcome::{BootResult, CROSS_BOOT, Cases, SuiteId};
use crate::report::{self, screen::Screen};
use crate::run::engine::{self, Done};
use crate::run::saved::RunPlan;
use crate::tell;
use crate::verdict::{self, RunVerdict, cross_boot};

/// Tells what became of the boots of the run in `dir`, with the reports in `out`, if anywhere.
///
/// # Errors
/// None for what is found; that is in the code.
pub fn tell(
    plan: &RunPlan,
    dir: &Path,
    done: Vec<Done>,
    out: Option<&Path>,
    json: bool,
) -> Result<ExitCode> {
    let interrupted = engine::interrupted(&done);
    let results = results(plan, dir, done);
    let written = match out {
        Some(out) => report::write_all(out, &results).and_then(|()| report::files::cases(out)),
        None => report::files::cases_of(&results),
    };
    let shown = match json {
        true => report::json::render(&results),
        false => Ok(report::table::render(&results, Screen::of_stdout().colour)),
    };
    let shown = shown
        .map_err(Failure::from)
        .and_then(|text| tell::out(&text));
    let written = written.map_err(Failure::from);
    let untold = [written.as_ref().err(), shown.as_ref().err()];
    for failure in untold.into_iter().flatten() {
        tell::err(&format!("error: {failure}"));
    }
    let cases = written.unwrap_or_default();
    let verdict = verdict::run_verdict(&results, &plan.suites, &cases);
    if let Some(why) = unclear(&results, &plan.suites, &cases) {
        tell::err(&format!("error: {why}"));
    }
    if let Some(code) = interrupted {
        return Ok(code);
    }
    Ok(match verdict {
        RunVerdict::PromiseBroken => ExitCode::Failed,
        RunVerdict::AsDeclared if shown.is_ok() => ExitCode::AsDeclared,
        RunVerdict::AsDeclared | RunVerdict::Infrastructure => ExitCode::Infrastructure,
    })
}

/// Why a run in which nothing went wrong has nevertheless found out nothing, if that is so.
fn unclear(results: &[BootResult], planned: &Cases, reported: &Cases) -> Option<String> {
    if !results.iter().all(BootResult::is_clean) {
        return None;
    }
    if !verdict::proved_something(results) {
        return Some(
            "nothing was proven: every proof was skipped, as kernels.toml declares it; ask for \
             others (--kernel, --boot, --proof)"
                .to_owned(),
        );
    }
    (reported != planned).then(|| {
        format!(
            "{} doesn't have the cases that were planned: {reported:?}, not {planned:?}",
            report::files::JUNIT
        )
    })
}

/// The judged boots, with each kernel's comparison where the two that it needs were judged, in the
/// order of the reports.
fn results(plan: &RunPlan, dir: &Path, done: Vec<Done>) -> Vec<BootResult> {
    let of = |kernel: &str, boot: Boot| {
        done.iter().find(|done| {
            done.result.suite.kernel == kernel && done.result.suite.boot == boot.name()
        })
    };
    let mut compared = Vec::new();
    for suite in plan.suites.keys().filter(|suite| suite.boot == CROSS_BOOT) {
        let real = of(&suite.kernel, Boot::NoBpfLsm);
        let seam = of(&suite.kernel, Boot::BpfLsm);
        let (Some(real), Some(seam)) = (real, seam) else {
            continue;
        };
        let dir = report::files::boot_dir(dir, suite);
        compared.push(cross_boot::judge(side(real), side(seam), dir));
    }
    let boots = done.into_iter().map(|done| done.result);
    let mut results: Vec<BootResult> = boots.chain(compared).collect();
    results.sort_by_key(|result| order(&plan.kernels, &result.suite));
    results
}

/// Where a suite stands in the reports.
fn order(kernels: &[String], suite: &SuiteId) -> (Option<usize>, usize) {
    let kernel = kernels.iter().position(|name| *name == suite.kernel);
    let boot = Boot::ALL.iter().position(|boot| boot.name() == suite.boot);
    (kernel, boot.unwrap_or(Boot::ALL.len()))
}

fn side(done: &Done) -> cross_boot::Side<'_> {
    cross_boot::Side {
        result: &done.result,
        documents: &done.documents,
    }
}
