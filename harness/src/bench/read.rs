//! What a guest told of the planned lives.
//!
//! In: the plan and everything that came through the result channel. Out: one [`Life`] for each
//! planned one, or why there aren't as many. Numbers of a part are never given out as the whole.
//! Pure.

use protocol::bench::{BenchPlan, Life, PlannedCase, PlannedLife, Samples};
use protocol::record::{Level, Record};

use crate::vm::channel::{Channel, Line};

/// The lives, each exactly as planned.
///
/// # Errors
/// One is missing, comes twice or out of order, or lacks a sample; with what the guest said.
pub fn lives(plan: &BenchPlan, channel: &Channel) -> Result<Vec<Life>, String> {
    let records = || {
        channel.lines().iter().filter_map(|(_, line)| match line {
            Line::Record(record) => Some(record),
            Line::Broken { .. } => None,
        })
    };
    let lives: Vec<Life> = records()
        .filter_map(|record| match record {
            Record::Life(life) => Some(life.clone()),
            _ => None,
        })
        .collect();
    let mut wrong: Vec<String> = records()
        .filter_map(|record| match record {
            Record::Log {
                level: Level::Error,
                message,
            } => Some(message.clone()),
            _ => None,
        })
        .collect();
    if lives.len() != plan.lives.len() {
        wrong.push(format!(
            "{} of {} lives were measured",
            lives.len(),
            plan.lives.len()
        ));
    }
    for (number, (planned, life)) in plan.lives.iter().zip(&lives).enumerate() {
        wrong.extend(differences(number, planned, life, plan.samples));
    }
    match wrong.is_empty() {
        true => Ok(lives),
        false => Err(wrong.join("; ")),
    }
}

/// The first way in which a life isn't the planned one.
fn differences(
    number: usize,
    planned: &PlannedLife,
    life: &Life,
    samples: usize,
) -> Option<String> {
    if life.number != number {
        return Some(format!(
            "life {} came in the place of {number}",
            life.number
        ));
    }
    let cases = life.cases.iter().map(|timed| timed.case);
    if !cases.eq(planned.cases.iter().map(|planned| planned.case)) {
        return Some(format!("life {number} has other cases than planned"));
    }
    let whole = |taken: &Samples| {
        let numbers = [&taken.ns, &taken.reference_ns];
        numbers
            .into_iter()
            .all(|ns| ns.len() == samples && ns.iter().all(|&ns| ns > 0))
    };
    for (timed, PlannedCase { case, .. }) in life.cases.iter().zip(&planned.cases) {
        if ![&timed.before, &timed.during, &timed.after]
            .into_iter()
            .all(whole)
        {
            return Some(format!(
                "life {number}: {} doesn't have {samples} samples before, during and after",
                case.name()
            ));
        }
    }
    (planned.counts_runs && life.programs.is_empty()).then(|| {
        format!("life {number}: the kernel counted no program, though the agent enforces by some")
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::numbers::samples;

    fn channel(records: &[Record]) -> Channel {
        let mut channel = Channel::default();
        for record in records {
            let line = serde_json::to_string(record).expect("it is data") + "\n";
            channel.push(line.as_bytes(), Duration::ZERO);
        }
        channel
    }

    fn told(lives: &[Life]) -> Vec<Record> {
        lives.iter().cloned().map(Record::Life).collect()
    }

    #[test]
    fn what_was_planned_and_came_whole_is_read() {
        let (plan, all) = samples::measured();
        assert_eq!(lives(&plan, &channel(&told(&all))), Ok(all));
    }

    #[test]
    fn lives_that_break_off_are_an_error_with_what_the_guest_said() {
        let (plan, all) = samples::measured();
        let mut records = told(&all[..1]);
        records.push(Record::Log {
            level: Level::Error,
            message: "life 1: no agent".to_owned(),
        });
        let wrong = lives(&plan, &channel(&records)).expect_err("one is missing");
        let of = plan.lives.len();
        assert_eq!(
            wrong,
            format!("life 1: no agent; 1 of {of} lives were measured")
        );
    }

    #[test]
    fn a_life_that_is_not_the_planned_one_is_an_error() {
        type Change = fn(&mut Vec<Life>);
        let changes: [(&str, Change); 7] = [
            ("life 1 came in the place of 0", |lives| lives.swap(0, 1)),
            ("lives were measured", |lives| lives.push(lives[0].clone())),
            ("life 0 has other cases than planned", |lives| {
                lives[0].cases.pop();
            }),
            ("before, during and after", |lives| {
                lives[0].cases[0].after.ns.pop();
            }),
            ("before, during and after", |lives| {
                lives[0].cases[0].during.ns[0] = 0;
            }),
            ("before, during and after", |lives| {
                lives[0].cases[0].during.reference_ns.pop();
            }),
            ("the kernel counted no program", |lives| {
                lives.iter_mut().for_each(|life| life.programs.clear());
            }),
        ];
        for (expected, change) in changes {
            let (plan, mut all) = samples::measured();
            change(&mut all);
            let wrong = lives(&plan, &channel(&told(&all))).expect_err(expected);
            assert!(wrong.contains(expected), "{wrong:?} lacks {expected:?}");
        }
    }
}
