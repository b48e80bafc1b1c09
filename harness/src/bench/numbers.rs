//! From the lives that were measured to what an operation, a start and an agent cost.
//!
//! In: planned lives with what was read in each. Out: a row for each tier, policy and case, and one
//! for each tier and number of rules. Pure.
//!
//! A life is a pair: one number of the samples during it, and one of those right before and right
//! after it together. Two things beside the guest make samples longer, and are kept out of it:
//! - On a core whose other thread is busy everything takes up to twice as long. Only samples count
//!   that were taken while the machine was about as quick, as the work of the processor alone shows
//!   that stood around each: the quickest at which there are enough of both. A life without is left
//!   out, unless that would leave none.
//! - Another process of the host has the guest's processor for some milliseconds. A sample is
//!   shorter than that, so one that is half as long again as the lower quartile doesn't count, and
//!   the mean of the others does, with all that the guest's kernel puts off and does later.
//!
//! A row's ratio is the median of the ratios of its lives, and its spread the distance from the
//! lowest of these to the highest, as a part of the ratio.

use std::collections::{BTreeMap, BTreeSet};

use protocol::bench::{
    AgentBinary, BenchPlan, Case, EnforcingTier, Life, PlannedLife, Samples, TimedCase,
};
use serde::Serialize;

/// What an operation costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// As in `kernels.toml`.
    pub kernel: String,
    /// `tested`, or `other` for the one that it is measured against.
    pub agent: AgentBinary,
    /// The tier.
    pub tier: EnforcingTier,
    /// What the rules are about.
    pub class: &'static str,
    /// The operation.
    pub case: Case,
    /// How many files the policy names.
    pub rules: usize,
    /// How many folders the policy names.
    pub folder_rules: usize,
    /// Nanoseconds without an agent, the median of all lives.
    pub bare_ns: f64,
    /// Nanoseconds with it, the median of all lives.
    pub ns: f64,
    /// The median of the lives' own ratios.
    pub ratio: f64,
    /// The highest of the lives' ratios less the lowest, as a part of `ratio`.
    pub spread: f64,
    /// How many lives these come of.
    pub lives: usize,
    /// How much longer than at the best of times the work of the processor alone took meanwhile:
    /// 1 on a quiet machine, about 2 on one whose other processors are busy.
    pub slowdown: f64,
    /// `ratio` as a multiple of the other agent's, if there is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quotient: Option<f64>,
    /// The BPF programs that there were, and what the kernel counted of each.
    pub programs: Vec<Program>,
}

/// What the kernel counted of a program.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Program {
    /// Its name, of which the kernel keeps 15 bytes.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// How often it ran for one operation.
    pub runs_per_op: f64,
    /// Nanoseconds a run; none if it never ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns_per_run: Option<f64>,
}

/// What an agent costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgentRow {
    /// As in `kernels.toml`.
    pub kernel: String,
    /// As in [`Row`].
    pub agent: AgentBinary,
    /// The tier.
    pub tier: EnforcingTier,
    /// How many files the policy names; it names no folder.
    pub rules: usize,
    /// Its resident memory while it runs, the median of all lives.
    pub rss_bytes: u64,
    /// The most that its resident memory ever was, in any life.
    pub peak_bytes: u64,
    /// Milliseconds from before a start until `ready`, the median of all lives but the first.
    pub start_ms: f64,
    /// The same of the quickest start, which what else the machine did held up the least.
    pub least_start_ms: f64,
    /// Where the time of those starts went as the agent told it, the median of each part, in
    /// microseconds.
    pub start_parts_us: BTreeMap<String, u64>,
}

/// All numbers of one or more kernels.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Numbers {
    /// What operations cost.
    pub rows: Vec<Row>,
    /// What agents cost.
    pub agent: Vec<AgentRow>,
}

/// Works out a kernel's numbers from its lives, which are as planned.
#[must_use]
pub fn of_kernel(kernel: &str, plan: &BenchPlan, lives: &[Life]) -> Numbers {
    let lives: Vec<(&PlannedLife, &Life)> = plan.lives.iter().zip(lives).collect();
    let cases = lives.iter().flat_map(|(_, life)| &life.cases);
    let samples = cases.flat_map(|timed| [&timed.before, &timed.during, &timed.after]);
    let references = samples.flat_map(|samples| &samples.reference_ns);
    let references: Vec<f64> = references.map(|&ns| ns as f64).collect();
    // Not the least: one can be short by chance.
    let best = quantile(&references, 20);
    let mut numbers = Numbers::default();
    let mut seen = BTreeSet::new();
    for (planned, _) in &lives {
        if !seen.insert(policy(planned)) {
            continue;
        }
        let same = lives
            .iter()
            .filter(|(other, _)| policy(other) == policy(planned));
        let same: Vec<(&PlannedLife, &Life)> = same.copied().collect();
        for (place, _) in planned.cases.iter().enumerate() {
            numbers.rows.push(row(kernel, best, place, &same));
        }
        if planned.folder_rules == 0 {
            numbers.agent.push(agent_row(kernel, planned, &same));
        }
    }
    compare(&mut numbers.rows);
    numbers
}

/// What lives have in common that are measured to the same end.
fn policy(planned: &PlannedLife) -> (AgentBinary, EnforcingTier, usize, usize) {
    let PlannedLife {
        agent,
        tier,
        rules,
        folder_rules,
        ..
    } = planned;
    (*agent, *tier, *rules, *folder_rules)
}

/// The row of the case that stands at `place` in these lives of one policy. `best` is how long the
/// work of the processor alone takes at the best of times, in nanoseconds.
fn row(kernel: &str, best: f64, place: usize, lives: &[(&PlannedLife, &Life)]) -> Row {
    let planned = lives[0].0;
    let case = planned.cases[place].case;
    let of_life = |(planned, life): &(&PlannedLife, &Life)| {
        Pair::of(&life.cases[place], planned.cases[place].ops)
    };
    let pairs = comparable(lives.iter().map(of_life).collect());
    let ratios: Vec<f64> = pairs.iter().map(|pair| pair.with / pair.bare).collect();
    let ratio = median(&ratios);
    let highest = ratios.iter().copied().fold(f64::MIN, f64::max);
    let lowest = ratios.iter().copied().fold(f64::MAX, f64::min);
    let programs = lives.iter().flat_map(|(_, life)| &life.programs);
    Row {
        kernel: kernel.to_owned(),
        agent: planned.agent,
        tier: planned.tier,
        class: "file",
        case,
        rules: planned.rules,
        folder_rules: planned.folder_rules,
        bare_ns: median(&each(&pairs, |pair| pair.bare)),
        ns: median(&each(&pairs, |pair| pair.with)),
        ratio,
        spread: (highest - lowest) / ratio,
        lives: pairs.len(),
        slowdown: median(&each(&pairs, |pair| pair.reference)) / best,
        quotient: None,
        programs: programs
            .filter(|program| program.case == case)
            .map(|program| Program {
                name: program.name.clone(),
                kind: program.kind.clone(),
                runs_per_op: program.runs as f64 / program.ops as f64,
                ns_per_run: (program.runs > 0).then(|| program.run_ns as f64 / program.runs as f64),
            })
            .collect(),
    }
}

fn agent_row(kernel: &str, planned: &PlannedLife, lives: &[(&PlannedLife, &Life)]) -> AgentRow {
    // The first start is another thing: under TCG its code is translated then.
    let later: Vec<&Life> = lives.iter().skip(1).map(|(_, life)| *life).collect();
    let parts: BTreeSet<&String> = later
        .iter()
        .flat_map(|life| life.start_parts_us.keys())
        .collect();
    let median_part = |name: &String| {
        let told = later
            .iter()
            .filter_map(|life| life.start_parts_us.get(name));
        median(&told.map(|&us| us as f64).collect::<Vec<_>>()) as u64
    };
    let starts = each(&later, |life| life.start_us as f64 / 1000.0);
    AgentRow {
        kernel: kernel.to_owned(),
        agent: planned.agent,
        tier: planned.tier,
        rules: planned.rules,
        rss_bytes: median(&each(lives, |(_, life)| life.rss_bytes as f64)) as u64,
        peak_bytes: lives
            .iter()
            .map(|(_, life)| life.peak_bytes)
            .max()
            .unwrap_or_default(),
        start_ms: median(&starts),
        least_start_ms: starts.iter().copied().fold(f64::INFINITY, f64::min),
        start_parts_us: parts
            .into_iter()
            .map(|name| (name.clone(), median_part(name)))
            .collect(),
    }
}

/// Gives each row of the tested agent its quotient, where the other agent has the same row.
fn compare(rows: &mut [Row]) {
    let key = |row: &Row| (row.tier, row.case, row.rules, row.folder_rules);
    let others = rows.iter().filter(|row| row.agent == AgentBinary::Other);
    let others: BTreeMap<_, f64> = others.map(|row| (key(row), row.ratio)).collect();
    for row in rows {
        if row.agent == AgentBinary::Tested {
            row.quotient = others.get(&key(row)).map(|other| row.ratio / other);
        }
    }
}

/// A life's nanoseconds an operation, without and with an agent.
#[derive(Debug, Clone, PartialEq)]
struct Pair {
    bare: f64,
    with: f64,
    /// How long the work of the processor alone took during the life, in nanoseconds.
    reference: f64,
    /// Whether the machine was as quick without the agent as with it.
    is_comparable: bool,
}

/// By how much two stretches of the same work may differ for the machine to have been as quick in
/// both. On a core whose other thread is busy it is half as quick.
const SAME_SPEED: f64 = 1.15;

/// How many samples are enough for a number of them.
const ENOUGH: usize = 5;

/// A sample's nanoseconds, and those of the work of the processor alone around it.
type Sample = (f64, f64);

impl Pair {
    fn of(timed: &TimedCase, ops: u32) -> Self {
        let samples = |taken: &[&Samples]| -> Vec<Sample> {
            let numbers = taken
                .iter()
                .flat_map(|samples| samples.ns.iter().zip(&samples.reference_ns));
            let an_op = |ns: u64| ns as f64 / f64::from(ops);
            numbers
                .map(|(&ns, &reference)| (an_op(ns), reference as f64))
                .collect()
        };
        let with = samples(&[&timed.during]);
        let bare = samples(&[&timed.before, &timed.after]);
        match at_same_speed(&with, &bare) {
            Some((with, bare)) => Self::of_samples(&with, &bare, true),
            None => Self::of_samples(&with, &bare, false),
        }
    }

    fn of_samples(with: &[Sample], bare: &[Sample], is_comparable: bool) -> Self {
        Self {
            bare: undisturbed_mean(&each(bare, |(ns, _)| *ns)),
            with: undisturbed_mean(&each(with, |(ns, _)| *ns)),
            reference: median(&each(with, |(_, reference)| *reference)),
            is_comparable,
        }
    }
}

/// The samples of both kinds that were taken while the machine was about as quick, at the quickest
/// at which there are enough of either; none if there are never.
fn at_same_speed(with: &[Sample], bare: &[Sample]) -> Option<(Vec<Sample>, Vec<Sample>)> {
    let all = with.iter().chain(bare);
    let mut references: Vec<f64> = all.map(|(_, reference)| *reference).collect();
    references.sort_by(f64::total_cmp);
    references.into_iter().find_map(|quickest| {
        let counting = |samples: &[Sample]| -> Option<Vec<Sample>> {
            let as_quick = samples
                .iter()
                .filter(|(_, reference)| (quickest..=quickest * SAME_SPEED).contains(reference));
            let counting: Vec<Sample> = as_quick.copied().collect();
            (counting.len() >= ENOUGH.min(samples.len())).then_some(counting)
        };
        Some((counting(with)?, counting(bare)?))
    })
}

/// The pairs that are comparable, or all if none is.
fn comparable(pairs: Vec<Pair>) -> Vec<Pair> {
    match pairs.iter().any(|pair| pair.is_comparable) {
        true => pairs
            .into_iter()
            .filter(|pair| pair.is_comparable)
            .collect(),
        false => pairs,
    }
}

fn each<T>(items: &[T], number: impl Fn(&T) -> f64) -> Vec<f64> {
    items.iter().map(number).collect()
}

/// The middle one, or the mean of the two in the middle; not a number for nothing.
fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// The mean of those that are less than half as long again as the lower quartile; not a number for
/// nothing.
fn undisturbed_mean(numbers: &[f64]) -> f64 {
    let limit = quantile(numbers, 4) * 1.5;
    let undisturbed: Vec<f64> = numbers
        .iter()
        .copied()
        .filter(|number| *number <= limit)
        .collect();
    undisturbed.iter().sum::<f64>() / undisturbed.len() as f64
}

/// The one that one in `parts` of the others is below; not a number for nothing.
fn quantile(numbers: &[f64], parts: usize) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = sorted.len().saturating_sub(1) / parts;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
pub(super) mod samples;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_one_whatever_the_order() {
        assert_eq!(median(&[3.0, 100.0, 1.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), 3.0);
        assert_eq!(median(&[5.0]), 5.0);
        assert!(median(&[]).is_nan());
    }

    fn samples(of: &[(u64, u64)]) -> Samples {
        Samples {
            ns: of.iter().map(|(ns, _)| *ns).collect(),
            reference_ns: of.iter().map(|(_, reference)| *reference).collect(),
        }
    }

    fn timed(before: (u64, u64), during: &[(u64, u64)], after: (u64, u64)) -> TimedCase {
        TimedCase {
            case: Case::Miss,
            before: samples(&[before; 6]),
            during: samples(during),
            after: samples(&[after; 6]),
        }
    }

    #[test]
    fn samples_in_which_another_process_ran_do_not_count_and_all_others_do() {
        let numbers = [10.0, 40.0, 11.0, 12.0, 40.0, 13.0, 40.0, 14.0];
        assert_eq!(undisturbed_mean(&numbers), 12.0);
        assert_eq!(undisturbed_mean(&[5.0]), 5.0);
        assert!(undisturbed_mean(&[]).is_nan());
        assert_eq!(quantile(&[9.0, 2.0, 9.0, 9.0, 3.0], 4), 3.0);
    }

    #[test]
    fn what_is_before_and_after_a_life_counts_alike() {
        let before_and_after = [(1_000, 1_200), (1_200, 1_000)];
        for (before, after) in before_and_after {
            let timed = timed((before, 100), &[(1_320, 104); 6], (after, 108));
            let pair = Pair::of(&timed, 10);
            assert_eq!(
                (pair.bare, pair.with, pair.is_comparable),
                (110.0, 132.0, true)
            );
        }
    }

    #[test]
    fn samples_count_that_were_taken_while_the_machine_was_as_quick() {
        let quiet = [(1_100, 100); 6];
        let busy = [(9_000, 200); 6];
        // With both there is enough at the quicker.
        let pair = Pair::of(
            &timed((1_000, 100), &[quiet, busy].concat(), (2_000, 200)),
            1,
        );
        assert_eq!(
            (pair.with, pair.bare, pair.reference),
            (1_100.0, 1_000.0, 100.0)
        );
        // Without an agent it was never as quick.
        let pair = Pair::of(
            &timed((2_000, 201), &[quiet, busy].concat(), (2_000, 201)),
            1,
        );
        assert_eq!(
            (pair.with, pair.bare, pair.is_comparable),
            (9_000.0, 2_000.0, true)
        );
        let pair = Pair::of(&timed((2_000, 200), &quiet, (2_000, 200)), 1);
        assert!(!pair.is_comparable, "{pair:?}");
        // Four of six are too few.
        let few = [&quiet[..4], &busy[..2]].concat();
        let pair = Pair::of(&timed((1_000, 100), &few, (1_000, 100)), 1);
        assert!(!pair.is_comparable, "{pair:?}");
    }

    #[test]
    fn a_life_on_a_machine_of_two_speeds_is_left_out_unless_all_are() {
        let pair = |with, is_comparable| Pair {
            bare: 1.0,
            with,
            reference: 1.0,
            is_comparable,
        };
        let mixed = vec![pair(1.1, true), pair(2.0, false), pair(1.2, true)];
        assert_eq!(comparable(mixed), [pair(1.1, true), pair(1.2, true)]);
        let none = vec![pair(1.1, false), pair(2.0, false)];
        assert_eq!(comparable(none.clone()), none);
    }

    #[test]
    fn a_ratio_is_the_median_of_the_lives_own_and_not_of_all_samples() {
        let (plan, lives) = samples::measured();
        let numbers = of_kernel("6.1", &plan, &lives);
        let rows = numbers.rows.iter();
        let miss = rows.clone().filter(|row| row.case == Case::Miss);
        let [tested, other] = &miss.collect::<Vec<_>>()[..] else {
            panic!("{numbers:#?}")
        };
        // Lives at 1.1, 1.2 and 1.4 on a machine that got slower from each to the next.
        assert!((tested.ratio - 1.2).abs() < 1e-9, "{tested:#?}");
        assert!((tested.spread - 0.3 / 1.2).abs() < 1e-9, "{tested:#?}");
        assert!((other.ratio - 1.5).abs() < 1e-9, "{other:#?}");
        let quotient = tested.quotient.expect("there is another agent");
        assert!((quotient - 0.8).abs() < 1e-9, "{quotient}");
        assert_eq!(other.quotient, None);
    }

    #[test]
    fn a_first_start_does_not_count_and_a_peak_is_the_highest() {
        let (plan, lives) = samples::measured();
        let numbers = of_kernel("6.1", &plan, &lives);
        let tested = &numbers.agent[0];
        assert_eq!(tested.start_ms, 475.0);
        assert_eq!(tested.peak_bytes, 9_000_000);
        assert_eq!(tested.rss_bytes, 5_000_000);
        assert_eq!(tested.start_parts_us["load_us"], 250);
    }

    #[test]
    fn a_program_that_never_ran_has_no_time_a_run() {
        let (plan, lives) = samples::measured();
        let numbers = of_kernel("6.1", &plan, &lives);
        let [ran, idle] = &numbers.rows[0].programs[..] else {
            panic!("{numbers:#?}")
        };
        assert_eq!((ran.runs_per_op, ran.ns_per_run), (1.0, Some(250.0)));
        assert_eq!((idle.runs_per_op, idle.ns_per_run), (0.0, None));
    }
}
