//! The proof `seam-is-faithful`: the seam and genuine absence give the same posture.
//!
//! In: the agent's report from the boot whose kernel runs no BPF LSM, and the one from the
//! boot where only the seam says so. Out: a suite `KERNEL/cross-boot` with one proof, whose
//! reasons name every field that differs. Pure.
//!
//! What legitimately differs between two boots is a closed list, removed from both sides and
//! from nowhere else. It must have been there first: a report that lacks a field on both
//! sides would otherwise be equal to itself and prove nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::outcome::{BootResult, CROSS_BOOT, ProofResult, Status, SuiteId};
use proofs::{Boot, REAL_PROMOTION, SEAM_IS_FAITHFUL, SEAM_PROMOTION};

use crate::verdict::{Documents, show_value};

/// The arm that carries the report, in both proofs.
const ARM: &str = "report";

/// The boot and the proof that tell the posture without a BPF LSM.
const REAL: (Boot, &str) = (Boot::NoBpfLsm, REAL_PROMOTION);
/// The boot and the proof that tell the posture through the seam.
const SEAM: (Boot, &str) = (Boot::BpfLsm, SEAM_PROMOTION);

/// What a field of the report must be.
#[derive(Clone, Copy)]
enum Kind {
    /// Any value, `null` included.
    Any,
    /// Any value but `null`.
    Given,
    Flag,
    Text,
    List,
    Members,
}

/// Every field that the report must have, by pointer.
const REQUIRED: &[(&str, Kind)] = &[
    ("/schema_version", Kind::Given),
    ("/generated_at", Kind::Given),
    ("/generated_at_boot_ms", Kind::Given),
    ("/valid_until", Kind::Given),
    ("/valid_until_boot_ms", Kind::Given),
    ("/boot_id", Kind::Text),
    ("/kernel_version", Kind::Text),
    ("/runtime_state", Kind::Text),
    ("/audit_only", Kind::Flag),
    ("/enforce_capable", Kind::Flag),
    ("/enforce_blockers", Kind::List),
    ("/lsm_enabled", Kind::Given),
    ("/features", Kind::Members),
    ("/hooks", Kind::List),
    ("/rules", Kind::Members),
    ("/rules/total", Kind::Given),
    ("/rules/enforced", Kind::Given),
    ("/rules/unenforced", Kind::List),
    ("/test_seams", Kind::List),
    ("/survives_agent_death", Kind::Members),
    ("/survives_agent_death/links_pinned", Kind::Given),
    ("/survives_agent_death/deadman_ms", Kind::Any),
    ("/agent", Kind::Members),
    ("/agent/version", Kind::Text),
    ("/agent/pid", Kind::Given),
    ("/agent/start_time", Kind::Given),
    ("/agent/bpf_object_sha256", Kind::Text),
];

/// Every field that each hook must have.
const REQUIRED_OF_HOOK: &[(&str, Kind)] = &[
    ("/hook", Kind::Text),
    ("/class", Kind::Text),
    ("/tier", Kind::Text),
    ("/attached", Kind::Flag),
    ("/fired", Kind::Flag),
    ("/verified_at", Kind::Any),
    ("/verified_at_boot_ms", Kind::Any),
    ("/evidence", Kind::Any),
];

/// Every field that each copy of a hook's program must have, where there are several.
const REQUIRED_OF_COPY: &[(&str, Kind)] = &[
    ("/program", Kind::Text),
    ("/attached", Kind::Flag),
    ("/fired", Kind::Flag),
    ("/verified_at", Kind::Any),
    ("/verified_at_boot_ms", Kind::Any),
    ("/evidence", Kind::Any),
];

/// What a hook or copy that fired must have beyond that: without it, "fired" is a claim.
const REQUIRED_OF_FIRED: &[(&str, Kind)] = &[
    ("/verified_at", Kind::Given),
    ("/verified_at_boot_ms", Kind::Given),
    ("/evidence", Kind::Members),
    ("/evidence/pid", Kind::Given),
    ("/evidence/cgroup", Kind::Given),
    ("/evidence/duration_us", Kind::Given),
];

/// What differs between two boots by nature.
const REMOVED: &[&str] = &[
    "generated_at",
    "generated_at_boot_ms",
    "valid_until",
    "valid_until_boot_ms",
    "boot_id",
    "test_seams",
];
const REMOVED_OF_AGENT: &[&str] = &["pid", "start_time"];
const REMOVED_OF_HOOK: &[&str] = &["verified_at", "verified_at_boot_ms"];
const REMOVED_OF_EVIDENCE: &[&str] = &["pid", "cgroup", "duration_us"];

/// One of the two boots.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// How the boot came out.
    pub result: &'a BootResult,
    /// What its agent reported.
    pub documents: &'a Documents,
}

/// Compares the two boots of one kernel; `dir` is the folder of this suite.
pub fn judge(real: Side<'_>, seam: Side<'_>, dir: PathBuf) -> BootResult {
    let (status, reasons) = match (document(real, REAL), document(seam, SEAM)) {
        (Ok(real), Ok(seam)) => match differences(real, seam) {
            reasons if reasons.is_empty() => (Status::Passed, reasons),
            reasons => (Status::Failed, reasons),
        },
        (real, seam) => {
            let missing = [real.err(), seam.err()].into_iter().flatten().collect();
            (Status::Incomplete, missing)
        }
    };
    let of = real.result;
    BootResult {
        suite: SuiteId {
            kernel: of.suite.kernel.clone(),
            boot: CROSS_BOOT.to_string(),
        },
        launcher: of.launcher.clone(),
        accelerator: of.accelerator.clone(),
        release: of.release.clone(),
        package_version: of.package_version.clone(),
        replaced_version: of.replaced_version.clone(),
        provenance: of.provenance.clone(),
        proofs: vec![ProofResult {
            id: SEAM_IS_FAITHFUL.to_string(),
            status,
            reasons,
            duration: Duration::ZERO,
            race: None,
        }],
        faults: Vec::new(),
        ending: None,
        duration: Duration::ZERO,
        again: again(&of.again),
        dir,
        console_tail: None,
    }
}

/// A boot's command, for the two that are compared.
fn again(of_boot: &str) -> String {
    let Some(words) = shlex::split(of_boot) else {
        return of_boot.to_string();
    };
    let both = Boot::COMPARED.iter();
    let both = both.flat_map(|boot| ["--boot", boot.name()]);
    let mut kept = Vec::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--boot" => drop(words.next()),
            _ if word.starts_with("--boot=") => {}
            _ => kept.push(word),
        }
    }
    kept.extend(both);
    shlex::try_join(kept).unwrap_or_else(|_| of_boot.to_string())
}

fn document<'a>(side: Side<'a>, (boot, proof): (Boot, &str)) -> Result<&'a Value, String> {
    side.documents
        .get(&(proof.to_string(), ARM.to_string()))
        .ok_or_else(|| format!("{}: no report came from {proof}", boot.name()))
}

/// Every way in which the two reports are not the same posture; empty if they are.
fn differences(real: &Value, seam: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (boot, report) in [(REAL.0, real), (SEAM.0, seam)] {
        let missing = missing(report);
        let boot = boot.name();
        found.extend(missing.into_iter().map(|what| format!("{boot}: {what}")));
    }
    let seams = |report: &Value| {
        let list = report.get("test_seams").and_then(Value::as_array);
        list.is_some_and(|list| !list.is_empty())
    };
    if seams(real) {
        found.push(format!("{}: /test_seams must be empty", REAL.0.name()));
    }
    if !seams(seam) {
        found.push(format!("{}: /test_seams must name the seam", SEAM.0.name()));
    }
    let (real, seam) = (comparable(real), comparable(seam));
    differ(Some(&real), Some(&seam), "", &mut found);
    found
}

fn missing(report: &Value) -> Vec<String> {
    let mut missing = lacking(report, "", REQUIRED);
    let hooks = report.get("hooks").and_then(Value::as_array);
    if hooks.is_some_and(Vec::is_empty) {
        missing.push("/hooks is empty".to_string());
    }
    for (number, hook) in hooks.into_iter().flatten().enumerate() {
        let at = format!("/hooks/{number}");
        missing.extend(missing_of_hook(hook, &at, REQUIRED_OF_HOOK));
        let copies = hook.get("copies").and_then(Value::as_array);
        for (number, copy) in copies.into_iter().flatten().enumerate() {
            let at = format!("{at}/copies/{number}");
            missing.extend(missing_of_hook(copy, &at, REQUIRED_OF_COPY));
        }
    }
    missing
}

/// What a hook, or a copy of its program, lacks.
fn missing_of_hook(hook: &Value, at: &str, required: &[(&str, Kind)]) -> Vec<String> {
    let mut missing = lacking(hook, at, required);
    if hook.get("fired") == Some(&Value::Bool(true)) {
        missing.extend(lacking(hook, at, REQUIRED_OF_FIRED));
    }
    missing
}

fn lacking(value: &Value, at: &str, required: &[(&str, Kind)]) -> Vec<String> {
    let lacks = |(pointer, kind): &(&str, Kind)| match value.pointer(pointer) {
        None => Some(format!("{at}{pointer} is missing")),
        Some(found) if !is(found, *kind) => {
            Some(format!("{at}{pointer} can't be {}", show_value(found)))
        }
        Some(_) => None,
    };
    required.iter().filter_map(lacks).collect()
}

fn is(value: &Value, kind: Kind) -> bool {
    match kind {
        Kind::Any => true,
        Kind::Given => !value.is_null(),
        Kind::Flag => value.is_boolean(),
        Kind::Text => value.as_str().is_some_and(|text| !text.is_empty()),
        Kind::List => value.is_array(),
        Kind::Members => value.is_object(),
    }
}

/// The report without what differs by nature.
fn comparable(report: &Value) -> Value {
    let mut report = report.clone();
    remove(report.as_object_mut(), REMOVED);
    remove(
        report.get_mut("agent").and_then(Value::as_object_mut),
        REMOVED_OF_AGENT,
    );
    let hooks = report.get_mut("hooks").and_then(Value::as_array_mut);
    for hook in hooks.into_iter().flatten() {
        let copies = hook.get_mut("copies").and_then(Value::as_array_mut);
        copies.into_iter().flatten().for_each(remove_of_hook);
        remove_of_hook(hook);
    }
    report
}

/// Removes what differs from a hook, or from a copy of its program.
fn remove_of_hook(hook: &mut Value) {
    remove(hook.as_object_mut(), REMOVED_OF_HOOK);
    remove(
        hook.get_mut("evidence").and_then(Value::as_object_mut),
        REMOVED_OF_EVIDENCE,
    );
}

fn remove(members: Option<&mut Map<String, Value>>, names: &[&str]) {
    if let Some(members) = members {
        members.retain(|name, _| !names.contains(&name.as_str()));
    }
}

/// Names each leaf that differs; a missing member or element is a leaf that isn't there.
fn differ(real: Option<&Value>, seam: Option<&Value>, at: &str, found: &mut Vec<String>) {
    match (real, seam) {
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for name in names {
                let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                differ(left.get(name), right.get(name), &at, found);
            }
        }
        (Some(Value::Array(left)), Some(Value::Array(right))) => {
            for number in 0..left.len().max(right.len()) {
                let at = format!("{at}/{number}");
                differ(left.get(number), right.get(number), &at, found);
            }
        }
        (left, right) if left != right => found.push(format!(
            "{at}: {} has {}, {} through the seam has {}",
            REAL.0.name(),
            shown(left),
            SEAM.0.name(),
            shown(right)
        )),
        _ => {}
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("nothing".to_string(), show_value)
}

#[cfg(test)]
mod tests;
