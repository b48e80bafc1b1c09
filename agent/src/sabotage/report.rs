//! Reports that say what isn't so.

#[path = "../report/mod.rs"]
mod real;

pub use real::*;

use crate::sabotage::{self, Mutant};

pub mod document {
    //! The report's content.

    use anyhow::Result;
    use jiff::SignedDuration;

    use super::{Mutant, real, sabotage};
    use crate::host::machine::Facts;
    use crate::host::moment::Moment;
    use crate::posture::Blocker;
    use crate::posture::gate::Decision;

    pub use real::document::*;

    /// The report, with one thing in it that isn't so.
    pub fn compose(
        facts: &Facts,
        now: Moment,
        decision: &Decision,
        mut status: Status,
    ) -> Result<Report> {
        if sabotage::is(Mutant::DatesByWriting) {
            status.evidence = now;
        }
        let (evidence, validity) = (status.evidence, status.validity);
        let mut report = real::document::compose(facts, now, decision, status)?;
        if sabotage::is(Mutant::AlwaysEnforceCapable) {
            report.enforce_capable = true;
        }
        if sabotage::is(Mutant::HidesBlocker) {
            let shown = |blocker: &Blocker| *blocker != Blocker::BpfLsmDisabled;
            report.enforce_blockers.retain(shown);
        }
        if sabotage::is(Mutant::HidesSeam) {
            report.test_seams.clear();
        }
        if sabotage::is(Mutant::HidesUnenforced) {
            report.rules.enforced += report.rules.unenforced.drain(..).count();
        }
        if sabotage::is(Mutant::HidesLimits) {
            let classes = report.classes.values_mut();
            classes.for_each(|class| class.limits.clear());
        }
        if sabotage::is(Mutant::HidesLostEvents) {
            report.events_lost = 0;
        }
        if sabotage::is(Mutant::NamesOtherKernel) {
            report.kernel_version = "6.6.6".to_owned();
        }
        if sabotage::is(Mutant::ReportsForAYear) {
            let until = now.valid_until(SignedDuration::from_hours(365 * 24), now)?;
            (report.valid_until, report.valid_until_boot_ms) = (until.time, until.boot_ms());
        }
        if sabotage::is(Mutant::DatesByTimeOfDay) {
            report.valid_until = evidence.time.checked_add(validity)?;
            let left = report.valid_until.duration_since(now.time);
            let boot = now.boot.saturating_add(left);
            report.valid_until_boot_ms = Moment { boot, ..now }.boot_ms();
        }
        Ok(report)
    }
}

pub mod file {
    //! The report on disk.

    use std::path::Path;

    use anyhow::Result;

    use super::{Mutant, real, sabotage};
    use real::document::Report;

    pub use real::file::*;

    /// Replaces the report, unless once is enough.
    pub fn write(report: &Report, path: &Path) -> Result<()> {
        if sabotage::is(Mutant::ReportsOnce) && path.exists() {
            return Ok(());
        }
        real::file::write(report, path)
    }

    /// Removes the report, unless it is to stay.
    pub fn remove(path: &Path) {
        if !sabotage::is(Mutant::LeavesReportOnStop) {
            real::file::remove(path);
        }
    }
}
