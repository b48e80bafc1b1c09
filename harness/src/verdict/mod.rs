//! The verdict: what was planned, held against what the guest told.
//!
//! In: a boot's plan and its identity, the skips that `kernels.toml` declares, everything that came
//! through the result channel, how QEMU ended, and the console. Out: one [`ProofResult`] for
//! each planned proof, and the faults of the boot as a whole. Pure: no file, no clock.
//!
//! The rules, from the outside in:
//! - the first line is a `hello` from exactly the planned machine, or nothing is judged;
//! - each planned proof has one start, one evidence for each arm, and one finish, in order;
//!   each observation is held against its expectation; a kernel warning is a failure;
//! - a death is put down to the one proof that ran; what came of it before is judged all the same,
//!   and those that it kept from being reached are incomplete;
//! - `end` comes last with the right count, or the boot is at fault whatever its proofs say;
//! - a break that was seen outranks an incomplete transcript, so damage can't hide it;
//! - the console holds the guest's last line and the kernel's, or the boot is at fault;
//! - QEMU's exit status and the console's text never pass anything: they explain what is
//!   missing, and a kernel that complains there makes the boot a fault.

mod act;
mod arm;
mod clause;
pub mod complaints;
pub mod cross_boot;
pub mod explain;
mod gap;
mod machine;
mod race;
mod run;
#[cfg(test)]
pub(crate) mod samples;
mod taint;
#[cfg(test)]
mod tests;
mod transcript;
mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::plan::{BootPlan, PlannedProof};
use protocol::record::{Hello, Observation, Outcome, Record};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::outcome::{Ending, ProofResult, Status};
use crate::vm::channel::{Channel, Line};
use gap::{Gap, Loss};
use transcript::{Finish, Transcript};

pub(crate) use clause::show_value;
pub use gap::DIED;
pub use run::{RunVerdict, proved_something, run_verdict};

/// How a reason begins that says that not all arms of a proof could be observed.
pub const UNOBSERVED: &str = "could not be observed";

pub use proofs::UNDECLARED_SKIP;

/// By what a guest shows that it is of this boot and of this plan.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The boot's own word, on its command line and in its hello.
    pub nonce: &'a str,
    /// The digest of the sources that the plan was made of, [`proofs::SOURCE_SHA256`] then: the guest
    /// that keeps to it must be built of the same.
    pub promises_sha256: &'a str,
}

/// A skip that `kernels.toml` declares for this boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredSkip {
    /// The proof's id.
    pub proof: String,
    /// Why it can't run there.
    pub reason: String,
}

/// Documents of the agent, by proof and arm.
pub type Documents = BTreeMap<(String, String), Value>;

/// One boot, judged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged {
    /// One for each planned proof, in the plan's order.
    pub proofs: Vec<ProofResult>,
    /// What was wrong with the boot as a whole; empty for a clean one.
    pub faults: Vec<String>,
    /// The documents of the agent that can be relied on, e.g. to compare boots.
    pub documents: Documents,
    /// `uname -r` as the guest said it, even if it isn't the planned one.
    pub release: Option<String>,
}

/// Holds what a guest told against what was planned for it. All that comes out can be shown on a
/// terminal.
pub fn judge(
    plan: &BootPlan,
    identity: Identity<'_>,
    declared_skips: &[DeclaredSkip],
    channel: &Channel,
    ending: &Ending,
    console: &str,
) -> Judged {
    let mut judged = judge_as_said(plan, identity, declared_skips, channel, ending, console);
    let reasons = judged
        .proofs
        .iter_mut()
        .flat_map(|proof| &mut proof.reasons);
    for said in reasons.chain(&mut judged.faults).chain(&mut judged.release) {
        *said = explain::printable(said);
    }
    judged
}

fn judge_as_said(
    plan: &BootPlan,
    identity: Identity<'_>,
    declared_skips: &[DeclaredSkip],
    channel: &Channel,
    ending: &Ending,
    console: &str,
) -> Judged {
    let memory_mib = plan.machine.memory_mib;
    let hello = match hello(channel, ending, console, memory_mib) {
        Ok(hello) => hello,
        Err(fault) => return unjudged(plan, vec![fault], None),
    };
    let differences = machine::differences(plan, identity, hello);
    if !differences.is_empty() {
        return unjudged(plan, differences, Some(hello.release.clone()));
    }
    let all = transcript::read(plan, hello.tainted, channel);
    let mut judged = Judged {
        release: Some(hello.release.clone()),
        ..Judged::default()
    };
    if plan.proofs.is_empty() && plan.bench.is_none() {
        judged.faults.push("no proof was planned".to_string());
    }
    if !all.ended {
        let why = came_to_nothing(console, ending, memory_mib);
        judged
            .faults
            .push(format!("incomplete: no `end` record; {why}"));
    }
    if let (true, Ending::Hung { limit_s }) = (all.ended, ending) {
        judged.faults.push(format!(
            "the guest told all, and then hung: it was ended after {limit_s} s"
        ));
    }
    if let (true, Ending::Lost { .. } | Ending::Unknown { .. }) = (all.ended, ending) {
        judged.faults.push(explain::explain("", ending));
    }
    if let (true, Some(said)) = (all.ended, explain::complaint(console)) {
        judged
            .faults
            .push(format!("the kernel complained: `{said}`"));
    }
    if let (true, Some(missing)) = (all.ended, explain::missing_end(console, identity.nonce)) {
        judged.faults.push(format!(
            "the console is cut off, so that nobody knows what the kernel said: {missing}"
        ));
    }
    judged.faults.extend(all.faults.iter().cloned());
    let none = Transcript::default();
    let loss = Loss::of(plan, &all, ending, console);
    for planned in &plan.proofs {
        let transcript = all.proofs.get(planned.id.as_str()).unwrap_or(&none);
        let gap = match &loss {
            Some(loss) => loss.gap(planned, transcript),
            None => gap::in_whole_boot(transcript),
        };
        let skip = declared_skips.iter().find(|skip| skip.proof == planned.id);
        let result = judge_proof(planned, transcript, gap, skip);
        judged.documents.extend(documents(planned, transcript));
        judged.proofs.push(result);
    }
    judged
}

/// The guest's first line, which must be its hello.
fn hello<'a>(
    channel: &'a Channel,
    ending: &Ending,
    console: &str,
    memory_mib: u32,
) -> Result<&'a Hello, String> {
    match channel.lines().first() {
        Some((_, Line::Record(Record::Hello(hello)))) => Ok(hello),
        Some((_, Line::Record(_))) => {
            Err("incomplete: the first record isn't the guest's hello".to_string())
        }
        Some((_, Line::Broken { text, why })) => Err(format!(
            "incomplete: the first line isn't the guest's hello ({why}): `{text}`"
        )),
        None if matches!(ending, Ending::Interrupted { started: false, .. }) => {
            Err(explain::explain("", ending))
        }
        None => {
            let why = came_to_nothing(console, ending, memory_mib);
            Err(format!("incomplete: the guest never said hello; {why}"))
        }
    }
}

/// Why a whole boot came to nothing.
fn came_to_nothing(console: &str, ending: &Ending, memory_mib: u32) -> String {
    let why = explain::explain(console, ending);
    match explain::little_memory(memory_mib, ending) {
        Some(hint) => format!("{why}; {hint}"),
        None => why,
    }
}

/// A boot of which nothing can be said, because it isn't the one that was planned.
fn unjudged(plan: &BootPlan, faults: Vec<String>, release: Option<String>) -> Judged {
    let reasons: Vec<String> = faults.iter().map(|f| format!("not judged: {f}")).collect();
    let proofs = plan
        .proofs
        .iter()
        .map(|planned| ProofResult {
            id: planned.id.clone(),
            status: Status::Incomplete,
            reasons: reasons.clone(),
            duration: Duration::ZERO,
            race: None,
        })
        .collect();
    Judged {
        proofs,
        faults,
        documents: Documents::new(),
        release,
    }
}

fn judge_proof(
    planned: &PlannedProof,
    transcript: &Transcript<'_>,
    gap: Option<Gap>,
    skip: Option<&DeclaredSkip>,
) -> ProofResult {
    let mut broken = broken_arms(planned, transcript);
    // What broke beside the arms.
    let mut unfinished = Vec::new();
    let mut defects = transcript.defects.clone();
    match gap {
        Some(Gap::Died(why)) => unfinished.extend(why),
        Some(Gap::Missing(why)) => defects.push(why),
        None => {}
    }
    if let Some(finish) = &transcript.finished {
        unfinished.extend(broken_finish(finish));
        if finish.outcome == Outcome::Observed {
            defects.extend(transcript::arm_defects(planned, transcript));
        }
    }
    let (status, reasons) = match &transcript.finished {
        _ if !broken.is_empty() || !unfinished.is_empty() => {
            let otherwise_whole = defects.is_empty() && unfinished.is_empty();
            broken.append(&mut unfinished);
            broken.append(&mut defects);
            let status = match otherwise_whole && only_unexpected_passes(planned, transcript) {
                true => Status::UnexpectedPass,
                false => Status::Failed,
            };
            (status, broken)
        }
        Some(finish) if defects.is_empty() => whole(finish, skip),
        _ => (Status::Incomplete, defects),
    };
    ProofResult {
        id: planned.id.clone(),
        status,
        reasons,
        duration: duration(transcript),
        race: race::measured(planned, &transcript.evidence),
    }
}

/// Whether every arm that broke did so by stopping what is declared to get by.
fn only_unexpected_passes(planned: &PlannedProof, transcript: &Transcript<'_>) -> bool {
    if transcript.left_preliminary().next().is_some() {
        return false;
    }
    let arms = planned.arms.iter();
    let mut judged = arms.flat_map(|planned| {
        let seen = transcript.evidence.iter();
        seen.filter(|(name, _)| planned.arm == *name)
            .map(|(_, seen)| (&planned.expect, *seen))
    });
    judged.all(|(expect, seen)| {
        arm::broken(expect, seen).is_empty() || arm::is_unexpected_pass(expect, seen)
    })
}

/// A proof with a whole transcript in which nothing broke.
fn whole(finish: &Finish<'_>, skip: Option<&DeclaredSkip>) -> (Status, Vec<String>) {
    let said = || finish.reason.unwrap_or("the guest gave no reason");
    match (finish.outcome, skip) {
        (Outcome::Observed, None) => (Status::Passed, Vec::new()),
        // The declaration claims that it can't run here. It just did, so the claim is wrong
        // and would hide the next failure.
        (Outcome::Observed, Some(skip)) => {
            let reason = format!(
                "declared as skipped ({}), but it ran and passed: remove the declaration",
                skip.reason
            );
            (Status::Failed, vec![reason])
        }
        (Outcome::Skipped, Some(skip)) => {
            let reasons = vec![skip.reason.clone(), format!("the guest: {}", said())];
            (Status::Skipped, reasons)
        }
        (Outcome::Skipped, None) => {
            let reason = format!("{UNDECLARED_SKIP}: {}", said());
            (Status::UndeclaredSkip, vec![reason])
        }
        (Outcome::Broken, _) => (Status::Failed, vec![unobserved(finish)]),
        (Outcome::Error, _) => (Status::Incomplete, vec![unobserved(finish)]),
    }
}

/// What a finish by itself says against a proof.
fn broken_finish(finish: &Finish<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    // On the planned machine, with the proof begun, a promise that can't be shown is broken:
    // an agent that crashes leaves nothing to observe.
    if finish.outcome == Outcome::Broken {
        broken.push(unobserved(finish));
    }
    let raised = taint::raised(finish.tainted_before, finish.tainted);
    if !raised.is_empty() {
        broken.push(format!(
            "the kernel complained while it ran: taint flags {}",
            raised.join(", ")
        ));
    }
    broken
}

fn unobserved(finish: &Finish<'_>) -> String {
    let said = finish.reason.unwrap_or("the guest gave no reason");
    format!("{UNOBSERVED}: {said}")
}

/// Every evidence of a planned arm that isn't what was expected. Evidence that came twice is
/// judged twice, so that a good one can't cover a bad one; where none came, what was observed
/// before the agent's events were joined is judged without them.
fn broken_arms(planned: &PlannedProof, transcript: &Transcript<'_>) -> Vec<String> {
    let evidence = transcript.evidence.iter().copied();
    let evidence = evidence.map(|seen| (seen, true));
    let preliminary = transcript.left_preliminary().map(|seen| (seen, false));
    let mut broken = Vec::new();
    for ((name, observation), is_joined) in evidence.chain(preliminary) {
        for planned in planned.arms.iter().filter(|planned| planned.arm == *name) {
            let reasons = match is_joined {
                true => arm::broken(&planned.expect, observation),
                false => arm::broken_before_events(&planned.expect, observation),
            };
            broken.extend(
                reasons
                    .into_iter()
                    .map(|reason| format!("{name}: {reason}")),
            );
        }
    }
    broken
}

/// The documents that can be relied on as this proof's: sent once, in a sound transcript.
fn documents(planned: &PlannedProof, transcript: &Transcript<'_>) -> Documents {
    let mut documents = Documents::new();
    if !transcript.defects.is_empty() {
        return documents;
    }
    for planned_arm in &planned.arms {
        let mut of_arm = transcript
            .evidence
            .iter()
            .filter(|(arm, _)| *arm == planned_arm.arm);
        if let (Some((arm, Observation::Document { document })), None) =
            (of_arm.next(), of_arm.next())
        {
            documents.insert((planned.id.clone(), arm.to_string()), document.clone());
        }
    }
    documents
}

/// How long the proof's own phases took. The guest measures, since only it knows which part of a
/// configuration's life is a proof's own; but no longer than what lies between the records.
fn duration(transcript: &Transcript<'_>) -> Duration {
    match (transcript.started, &transcript.finished) {
        (Some(started), Some(finish)) => finish.took.min(finish.at.saturating_sub(started)),
        _ => Duration::ZERO,
    }
}
