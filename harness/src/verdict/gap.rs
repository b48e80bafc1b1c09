//! Why a proof has no finish: which proof is blamed for a death, and which it cut off.
//!
//! In: the plan, the transcripts, how QEMU ended and the console. Out: for each proof without a
//! finish, whether it is the one that ran when the machine died, or why it is missing. One death
//! is put down to one proof: the one that the guest was about, or, while it was about what the
//! proofs of a configuration share, the first of them that hadn't finished. Pure.

use protocol::plan::{BootPlan, PlannedProof};
use protocol::record::Phase;

use super::transcript::{Transcript, Transcripts};
use super::{explain, words};
use crate::outcome::Ending;

/// How a reason begins that says that the guest died or hung.
pub const DIED: &str = "the guest died or hung in this proof";

/// Why a proof has no finish.
#[derive(Debug, PartialEq, Eq)]
pub enum Gap {
    /// The guest died or hung while it ran: the promise broke.
    Died(Vec<String>),
    /// Its records are missing for another reason.
    Missing(String),
}

/// The proof that a death is blamed on.
struct Blamed<'a> {
    id: &'a str,
    /// What was going on, to be read behind the proof's name and a comma.
    going_on: String,
}

/// Why the records end without `end`.
pub struct Loss<'a> {
    blamed: Option<Blamed<'a>>,
    /// Whether it is known that the machine died, rather than that its channel was cut.
    death: bool,
    /// How surely something outside the guest ended the machine, which says nothing about the
    /// proof that ran; none if it didn't.
    from_outside: Option<&'static str>,
    why: String,
}

impl<'a> Loss<'a> {
    /// Finds out; none if nothing was lost.
    pub fn of(
        plan: &'a BootPlan,
        all: &Transcripts<'a>,
        ending: &Ending,
        console: &str,
    ) -> Option<Self> {
        if all.ended {
            return None;
        }
        Some(Self {
            blamed: blamed(plan, all),
            // Half a record and no sign of a death speak of a cut channel; nobody can say then
            // whether the proof went on behind the cut.
            death: !all.cut || explain::tells_of_death(console, ending),
            from_outside: explain::ended_from_outside(console, ending).then_some(match ending {
                Ending::Unknown { .. } => "may have been ended",
                _ => "was ended",
            }),
            why: explain::explain(console, ending),
        })
    }

    /// Why this proof has no finish; none if it has one.
    pub fn gap(&self, planned: &PlannedProof, transcript: &Transcript<'_>) -> Option<Gap> {
        if transcript.finished.is_some() {
            return None;
        }
        let why = &self.why;
        if let (Some(Blamed { id, going_on }), Some(ended)) = (&self.blamed, self.from_outside) {
            return Some(Gap::Missing(match *id == planned.id {
                true => format!("the machine {ended} from outside while it ran; {why}"),
                false => format!(
                    "not reached: the machine {ended} from outside while {id} was running, \
                     {going_on}; {why}"
                ),
            }));
        }
        Some(match &self.blamed {
            Some(blamed) if blamed.id == planned.id && self.death => {
                let died = format!("{DIED}, {}; {why}", blamed.going_on);
                Gap::Died(std::iter::once(died).chain(observed(transcript)).collect())
            }
            Some(blamed) if blamed.id == planned.id => {
                Gap::Missing(format!("its records are cut off half-way; {why}"))
            }
            Some(Blamed { id, going_on }) if self.death => Gap::Missing(format!(
                "not reached: the machine died while {id} was running, {going_on}"
            )),
            Some(Blamed { id, going_on }) => Gap::Missing(format!(
                "not reached: the records are cut off while {id} was running, {going_on}; {why}"
            )),
            None if transcript.started.is_some() => {
                Gap::Missing(format!("it never finished; {why}"))
            }
            None => Gap::Missing(format!("it never started; {why}")),
        })
    }
}

/// Why a proof has no finish in a boot that came to its end.
pub fn in_whole_boot(transcript: &Transcript<'_>) -> Option<Gap> {
    let what = match (&transcript.finished, transcript.started) {
        (Some(_), _) => return None,
        (None, Some(_)) => "it never finished, though the guest went on",
        (None, None) => "the guest sent no record of it",
    };
    Some(Gap::Missing(what.to_string()))
}

fn blamed<'a>(plan: &'a BootPlan, all: &Transcripts<'a>) -> Option<Blamed<'a>> {
    let about = all.about?;
    let going_on = format!("in its phase {}", about.phase.name());
    if let Some(id) = about.id {
        let planned = all.proofs.get(id)?;
        let under_way = planned.finished.is_none();
        return under_way.then_some(Blamed { id, going_on });
    }
    // While no agent is there, it is the guest's own trouble.
    if about.phase == Phase::Preparing {
        return None;
    }
    let mut proofs = plan.proofs.iter();
    let first = proofs.find(|planned| {
        let transcript = all.proofs.get(planned.id.as_str());
        planned.configuration == about.configuration
            && transcript.is_some_and(|transcript| transcript.finished.is_none())
    })?;
    Some(Blamed {
        id: &first.id,
        going_on: format!(
            "the first of {}, whose agent was {}",
            about.configuration,
            about.phase.name()
        ),
    })
}

/// What a proof had observed when the machine died, as a reason.
fn observed(transcript: &Transcript<'_>) -> Option<String> {
    let evidence = transcript.evidence.iter().copied();
    let all = evidence.chain(transcript.left_preliminary());
    let told: Vec<String> = all
        .map(|(arm, seen)| format!("{arm}: {}", words::told(seen)))
        .collect();
    match told.is_empty() {
        true => None,
        false => Some(format!("observed before that: {}", told.join("; "))),
    }
}
