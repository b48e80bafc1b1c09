//! A race: many attempts at one act, and how many of them leaked.
//!
//! In: how many attempts were planned, what each must be, and the acts. Out: reasons, as for a
//! single act, and the measure itself. Pure.

use protocol::plan::{Expectation, PlannedProof};
use protocol::record::{Act, Observation};

use super::act::{self, UNEXPECTED_PASS};
use crate::outcome::Race;

/// The arm whose attempts are made while the agent is up: those are what is measured.
pub const MEASURED_ARM: &str = "race";

/// The reasons why these attempts aren't what was expected; empty if they are. Those of the
/// first attempt that broke stand for all: the records have every one.
pub fn broken(attempts: usize, each: &Expectation, acts: &[Act]) -> Vec<String> {
    let mut reasons = Vec::new();
    if acts.len() != attempts || acts.is_empty() {
        let seen = acts.len();
        reasons.push(format!("expected {attempts} attempts, saw {seen}"));
    }
    let all_stopped = all_unexpected_passes(each, acts);
    let reasons_of = |act: &Act| {
        // It is a race: one that is lost now and then is still one that can be won.
        match !all_stopped && act::is_unexpected_pass(each, act) {
            true => act::broken_events_of(each, act),
            false => act::broken(each, act),
        }
    };
    let all: Vec<Vec<String>> = acts.iter().map(reasons_of).collect();
    let count = all.iter().filter(|reasons| !reasons.is_empty()).count();
    if let Some(first) = all.iter().position(|reasons| !reasons.is_empty()) {
        let counted = format!(
            "{count} of {attempts} attempts, the first as number {}",
            first + 1
        );
        reasons.extend(
            all[first]
                .iter()
                .map(|reason| match reason.starts_with(UNEXPECTED_PASS) {
                    true => reason.clone(),
                    false => format!("{counted}: {reason}"),
                }),
        );
    }
    reasons
}

/// Whether every attempt was stopped where a limit declares that it isn't.
pub fn all_unexpected_passes(each: &Expectation, acts: &[Act]) -> bool {
    let mut acts = acts.iter();
    acts.len() > 0 && acts.all(|act| act::is_unexpected_pass(each, act))
}

/// What was measured while the agent was up, if the proof is of a race.
pub fn measured(planned: &PlannedProof, evidence: &[(&str, &Observation)]) -> Option<Race> {
    let is_planned = |name: &str| planned.arms.iter().any(|arm| arm.arm == name);
    let (_, seen) = evidence
        .iter()
        .find(|(name, _)| *name == MEASURED_ARM && is_planned(name))?;
    let Observation::Race { acts } = seen else {
        return None;
    };
    Some(Race {
        attempts: acts.len(),
        leaks: acts.iter().filter(|act| act.leaked).count(),
    })
}

#[cfg(test)]
mod tests {
    use protocol::plan::Doer;
    use protocol::record::{Fate, SeenEvent};

    use super::*;

    fn each(fate: Fate, leaks: bool, limit: Option<&str>) -> Expectation {
        Expectation::Act {
            fate,
            leaks,
            effects: vec![],
            by: Doer::Itself,
            event: None,
            limit: limit.map(str::to_owned),
        }
    }

    fn act(pid: u32, fate: Fate, leaked: bool) -> Act {
        Act {
            pid,
            target: "/secret".to_owned(),
            passed: None,
            fate,
            leaked,
            effects: vec![],
            helper: None,
            events: vec![],
        }
    }

    const EPERM: Fate = Fate::Denied { errno: 1 };

    #[test]
    fn every_attempt_counts_and_one_that_leaks_breaks_the_promise() {
        let denied = each(EPERM, false, None);
        let mut acts: Vec<Act> = (1..=4).map(|pid| act(pid, EPERM, false)).collect();
        assert_eq!(broken(4, &denied, &acts), Vec::<String>::new());
        acts[2] = act(3, Fate::Allowed, true);
        let reason = "1 of 4 attempts, the first as number 3: expected denied with EPERM, saw \
                      allowed (the secret leaked)";
        assert_eq!(broken(4, &denied, &acts), [reason]);
    }

    #[test]
    fn fewer_attempts_than_planned_show_nothing() {
        let denied = each(EPERM, false, None);
        let acts = [act(1, EPERM, false)];
        assert_eq!(broken(2, &denied, &acts), ["expected 2 attempts, saw 1"]);
        assert_eq!(broken(0, &denied, &[]), ["expected 0 attempts, saw 0"]);
    }

    #[test]
    fn a_declared_leak_may_be_missed_now_and_then_but_not_each_time() {
        let leaks = each(Fate::Allowed, true, Some("a_limit"));
        let (won, mut lost) = (act(1, Fate::Allowed, true), act(2, EPERM, false));
        let untold = [won.clone(), lost.clone()];
        assert!(broken(2, &leaks, &untold)[0].contains("event `denied`, saw none"));
        lost.events.push(SeenEvent {
            hook: "lsm/file_open".to_owned(),
            pid: 2,
            thread: 2,
            target: Some("/secret".to_owned()),
            path: None,
            outcome: "denied".to_owned(),
            signal_result: None,
        });
        let some = [won.clone(), lost.clone()];
        assert_eq!(broken(2, &leaks, &some), Vec::<String>::new());
        assert!(!all_unexpected_passes(&leaks, &some));
        let none = [lost.clone(), lost.clone()];
        assert!(broken(2, &leaks, &none)[0].starts_with(UNEXPECTED_PASS));
        assert!(all_unexpected_passes(&leaks, &none));
        assert!(!all_unexpected_passes(&leaks, &[]));
        let failed = [won.clone(), act(3, Fate::Denied { errno: 2 }, false)];
        assert!(!broken(2, &leaks, &failed).is_empty());
        let mut untrue = lost.clone();
        untrue.events[0].pid = 9;
        assert!(!broken(2, &leaks, &[won, untrue]).is_empty());
    }

    #[test]
    fn the_measure_is_of_the_attempts_while_the_agent_is_up() {
        let race = |acts: &[Act]| Observation::Race {
            acts: acts.to_vec(),
        };
        let planned = |arms: &[&str]| PlannedProof {
            id: "a-proof".to_owned(),
            configuration: "signal".to_owned(),
            filesystem: None,
            arms: arms
                .iter()
                .map(|arm| protocol::plan::PlannedArm {
                    arm: (*arm).to_owned(),
                    expect: Expectation::NoBpfLeft,
                })
                .collect(),
        };
        let before = race(&[act(1, Fate::Allowed, true)]);
        let during = race(&[act(2, EPERM, false), act(3, Fate::Allowed, true)]);
        let evidence = [("race-before", &before), (MEASURED_ARM, &during)];
        let expected = Race {
            attempts: 2,
            leaks: 1,
        };
        let of_race = planned(&["race-before", MEASURED_ARM]);
        assert_eq!(measured(&of_race, &evidence), Some(expected));
        assert_eq!(measured(&planned(&["race-before"]), &evidence), None);
        assert_eq!(measured(&of_race, &evidence[..1]), None);
    }
}
