//! What the report says of each hook, and of each copy where a hook has several programs.
//!
//! In: measurements. Out: [`HookReport`]s, in the order of the table of hooks.

use serde::{Serialize, Serializer};

use super::time::time;
use crate::classes::hooks::{HOOKS, Hook};
use crate::host::moment::Moment;
use crate::posture::gate::Verdict;
use crate::posture::{Action, Class, Tier};
use crate::verify::measurement::{Evidence, Measurement, Measurements};

/// One hook. Where copies of a program attach to it, it is what the worst of them is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HookReport {
    /// Its name.
    pub hook: &'static str,
    /// The class of acts that it sees.
    pub class: Class,
    /// The tier that it works for.
    pub tier: Tier,
    /// What was found of its program.
    #[serde(flatten)]
    pub found: ProgramReport,
    /// Each copy of its program, where there are several; else left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<CopyReport>,
}

/// One of several copies of a program on one hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyReport {
    /// The program's name, of which tools show the first 15 bytes.
    pub program: &'static str,
    /// What was found of it.
    #[serde(flatten)]
    pub found: ProgramReport,
}

/// What was found of a program on a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProgramReport {
    /// Whether the kernel took program and link when it was tried.
    pub attached: bool,
    /// Whether the canary met its fate and this very program counted it.
    pub fired: bool,
    /// When that was last so.
    #[serde(serialize_with = "optional_time")]
    pub verified_at: Option<Moment>,
    /// The same by the boot clock, milliseconds since the boot.
    pub verified_at_boot_ms: Option<i64>,
    /// What the last canary showed; null if none was sent.
    pub evidence: Option<Evidence>,
    /// Why it isn't verified.
    pub reason: Option<String>,
}

/// Every hook for the report: as an enforcing one if it was tried so, else as a watching one.
/// Copies of a program make one hook.
pub fn hooks(known: &Measurements, untried: impl Fn(&Hook) -> String) -> Vec<HookReport> {
    let mut reports: Vec<HookReport> = Vec::new();
    for hook in &HOOKS {
        let same = |report: &HookReport| report.hook == hook.name && report.tier == hook.tier;
        if reports.iter().any(same) {
            continue;
        }
        let copies = HOOKS
            .iter()
            .filter(|copy| copy.name == hook.name && copy.tier == hook.tier);
        let copies: Vec<CopyReport> = copies
            .map(|copy| CopyReport {
                program: copy.program,
                found: found(known, copy, &untried),
            })
            .collect();
        reports.push(HookReport {
            hook: hook.name,
            class: hook.class,
            tier: hook.tier,
            found: worst(&copies),
            copies: if copies.len() > 1 { copies } else { Vec::new() },
        });
    }
    reports
}

/// What was found of the program of a row of [`HOOKS`].
fn found(known: &Measurements, hook: &Hook, untried: &impl Fn(&Hook) -> String) -> ProgramReport {
    let deny = known.of(hook, Action::Deny);
    let tried = |measurement: &Measurement| measurement.verdict > Verdict::NotTried;
    let measurement = if tried(deny) {
        deny
    } else {
        known.of(hook, Action::Observe)
    };
    ProgramReport {
        attached: measurement.attached,
        fired: measurement.verdict == Verdict::Verified,
        verified_at: measurement.verified_at,
        verified_at_boot_ms: measurement.verified_at.map(Moment::boot_ms),
        evidence: measurement.evidence.clone(),
        reason: if tried(measurement) {
            measurement.reason.clone()
        } else {
            Some(untried(hook))
        },
    }
}

/// What copies come to: a hook is attached, fired and verified no more than each of them is. It
/// has the evidence and the reason of the first that is least so.
///
/// # Panics
/// There are no copies.
fn worst(copies: &[CopyReport]) -> ProgramReport {
    let rank = |copy: &&CopyReport| {
        (
            copy.found.fired,
            copy.found.attached,
            copy.found.verified_at_boot_ms,
        )
    };
    let worst = copies
        .iter()
        .min_by_key(rank)
        .expect("a hook has a program");
    let all = |is: fn(&ProgramReport) -> bool| copies.iter().all(|copy| is(&copy.found));
    // None is the oldest.
    let oldest = copies
        .iter()
        .map(|copy| &copy.found)
        .min_by_key(|found| found.verified_at.map(|at| at.boot))
        .expect("a hook has a program");
    ProgramReport {
        attached: all(|found| found.attached),
        fired: all(|found| found.fired),
        verified_at: oldest.verified_at,
        verified_at_boot_ms: oldest.verified_at_boot_ms,
        ..worst.found.clone()
    }
}

fn optional_time<S: Serializer>(
    optional: &Option<Moment>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match optional {
        Some(moment) => time(&moment.time, serializer),
        None => serializer.serialize_none(),
    }
}
