//! Whether a proof's arms came as planned.
//!
//! In: a planned proof, what came of it. Out: every way in which the arms differ from the planned
//! ones in number and order, and the phases from those that every proof goes through. What was
//! told before the agent's events were joined counts for the order alone: it is when an arm was
//! observed. Pure.

use protocol::plan::PlannedProof;
use protocol::record::{Act, Observation, Phase};

use super::Transcript;

/// How what came of a proof that observed all differs from the plan, in number and order.
pub fn defects(planned: &PlannedProof, transcript: &Transcript<'_>) -> Vec<String> {
    let seen: Vec<&str> = transcript.evidence.iter().map(|(arm, _)| *arm).collect();
    let wanted: Vec<&str> = planned.arms.iter().map(|arm| arm.arm.as_str()).collect();
    if wanted.is_empty() {
        return vec!["plan error: it has no arms, so it proves nothing".to_string()];
    }
    if has_duplicates(&wanted) {
        return vec![format!("plan error: an arm twice in {}", wanted.join(", "))];
    }
    let mut defects = Vec::new();
    for arm in &wanted {
        match seen.iter().filter(|seen| *seen == arm).count() {
            1 => {}
            0 => defects.push(format!("{arm}: no evidence came")),
            n => defects.push(format!("{arm}: evidence came {n} times")),
        }
    }
    let told = &transcript.told;
    for arm in told.iter().filter(|arm| !wanted.contains(arm)) {
        defects.push(format!("{arm}: evidence of an arm that isn't planned"));
    }
    if defects.is_empty() {
        let orders = [told.clone(), joined_in_order(transcript)];
        let other = orders.iter().find(|order| !is_part_of(order, &wanted));
        defects.extend(other.map(|order| {
            format!(
                "the arms came as {}; planned was {}",
                order.join(", "),
                wanted.join(", ")
            )
        }));
    }
    defects.extend(exchanged(transcript));
    defects.extend(phase_defect(&transcript.phases));
    defects
}

/// The arms to which the agent's events were joined, in the order of their evidence.
fn joined_in_order<'a>(transcript: &Transcript<'a>) -> Vec<&'a str> {
    let arms = transcript.evidence.iter().map(|(arm, _)| *arm);
    let preliminary = &transcript.preliminary;
    arms.filter(|arm| preliminary.iter().any(|(of, _)| of == arm))
        .collect()
}

/// Whether these arms stand in the planned order, each at most once.
fn is_part_of(arms: &[&str], planned: &[&str]) -> bool {
    let places = arms
        .iter()
        .map(|arm| planned.iter().position(|planned| planned == arm));
    places.is_sorted_by(|earlier, later| earlier < later)
}

/// Evidence that isn't of what was told when the arm was observed.
fn exchanged(transcript: &Transcript<'_>) -> Vec<String> {
    let mut defects = Vec::new();
    for (arm, first) in &transcript.preliminary {
        let joined = transcript.evidence.iter().filter(|(of, _)| of == arm);
        if joined.clone().any(|(_, joined)| !is_of(first, joined)) {
            defects.push(format!("{arm}: the evidence isn't of what was observed"));
        }
    }
    defects
}

/// Whether an observation differs from an earlier one in nothing but the agent's events. In a
/// document they may stand anywhere, so that nothing is known of it.
fn is_of(first: &Observation, joined: &Observation) -> bool {
    let without_events = |acts: &[Act]| -> Vec<Act> {
        let bare = acts.iter().map(|act| Act {
            events: Vec::new(),
            ..act.clone()
        });
        bare.collect()
    };
    let acts = |observation: &Observation| match observation {
        Observation::Act(act) => Some(without_events(std::slice::from_ref(act))),
        Observation::Race { acts } => Some(without_events(acts)),
        _ => None,
    };
    let is_document = |seen: &Observation| matches!(seen, Observation::Document { .. });
    acts(first) == acts(joined) && is_document(first) == is_document(joined)
}

/// Every proof that observed all has been through *during* and *after*, and perhaps had a look
/// at what the agent left behind.
fn phase_defect(phases: &[Phase]) -> Option<String> {
    match phases {
        [Phase::During, Phase::After] | [Phase::During, Phase::After, Phase::LeftBehind] => None,
        other => {
            let names: Vec<&str> = other.iter().map(|phase| phase.name()).collect();
            Some(format!(
                "its phases came as before, {}; they are before, during, after",
                names.join(", ")
            ))
        }
    }
}

fn has_duplicates(names: &[&str]) -> bool {
    names
        .iter()
        .enumerate()
        .any(|(at, name)| names[..at].contains(name))
}
