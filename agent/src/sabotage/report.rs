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

    use std::fs::{self, File};
    use std::path::Path;

    use anyhow::Result;
    use rustix::fs::{FlockOperation, flock};

    use super::{Mutant, real, sabotage};
    use real::document::Report;

    pub use real::file::*;

    /// Claims the report's place, whoever has a say in it, or by a lock that anybody can open.
    pub fn claim(path: &Path) -> Result<Claim> {
        if sabotage::is(Mutant::TrustsAnyFolder) {
            let folder = folder_of(path);
            fs::create_dir_all(folder)?;
            return claim_in(File::open(folder)?.into(), path);
        }
        let claim = real::file::claim(path)?;
        if sabotage::is(Mutant::LocksInTheOpen) {
            let lock = File::create(path.with_extension("lock"))?;
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
                return Err(taken(path));
            }
            // As long as the process.
            std::mem::forget(lock);
        }
        Ok(claim)
    }

    /// Replaces the report, unless once is enough.
    pub fn write(report: &Report, claim: &Claim) -> Result<()> {
        if sabotage::is(Mutant::ReportsOnce) && claim.path().exists() {
            return Ok(());
        }
        real::file::write(report, claim)
    }

    /// Removes the report, unless it is to stay.
    pub fn remove(claim: &Claim) {
        if !sabotage::is(Mutant::LeavesReportOnStop) {
            real::file::remove(claim);
        }
    }
}
