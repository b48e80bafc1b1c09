//! Which lives of the agent are measured, and in which order.
//!
//! In: what is wanted. Out: the [`BenchPlan`] for the guest, the same for every kernel. Pure.

use protocol::bench::{AgentBinary, BenchPlan, Case, EnforcingTier, PlannedCase, PlannedLife};

/// The name of the boot that measures.
pub const BOOT: &str = "bench";

/// How many samples make a median.
const SAMPLES: usize = 31;

/// How many may be taken to have as many from while the machine was quiet.
const SAMPLES_AT_MOST: usize = 4 * SAMPLES;

/// For how long a boot may wait for the machine to be quiet, in milliseconds.
const PATIENCE_MS: u64 = 60_000;

/// A policy by its size, and what is timed under it.
struct Policy {
    rules: usize,
    folder_rules: usize,
    cases: &'static [Case],
}

/// The policies. One with 1,000 rules is there for its memory and its start alone; something is
/// timed under it so that the agent has settled by the time its memory is read.
const POLICIES: [Policy; 5] = [
    Policy {
        rules: 1,
        folder_rules: 0,
        cases: &[Case::Miss, Case::Unrelated, Case::Hit],
    },
    Policy {
        rules: 1,
        folder_rules: 1,
        cases: &[Case::MissDeep, Case::MissOtherFs],
    },
    Policy {
        rules: 1_000,
        folder_rules: 0,
        cases: &[Case::Unrelated],
    },
    Policy {
        rules: 10_000,
        folder_rules: 0,
        cases: &[Case::Miss],
    },
    Policy {
        rules: 10_000,
        folder_rules: 1,
        cases: &[Case::MissDeep, Case::MissOtherFs],
    },
];

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Measure {
    /// The tiers.
    pub tiers: Vec<EnforcingTier>,
    /// Only policies with as many file rules; empty means all.
    pub rules: Vec<usize>,
    /// Whether there is another agent to measure against.
    pub against: bool,
    /// How many lives each agent has under each policy in each tier.
    pub lives: usize,
    /// How many opens make a sample.
    pub ops: u32,
}

/// The numbers of file rules that there is a policy of, ascending.
#[must_use]
pub fn rules() -> Vec<usize> {
    let mut rules: Vec<usize> = POLICIES.iter().map(|policy| policy.rules).collect();
    rules.dedup();
    rules
}

/// Plans the lives. Agents take turns, so that what changes slowly meets both alike.
#[must_use]
pub fn plan(measure: &Measure) -> BenchPlan {
    let agents: &[AgentBinary] = match measure.against {
        true => &[AgentBinary::Tested, AgentBinary::Other],
        false => &[AgentBinary::Tested],
    };
    let wanted =
        |policy: &&Policy| measure.rules.is_empty() || measure.rules.contains(&policy.rules);
    let mut lives = Vec::new();
    for &tier in &measure.tiers {
        for policy in POLICIES.iter().filter(wanted) {
            for turn in 1..=measure.lives {
                lives.extend(agents.iter().map(|&agent| PlannedLife {
                    agent,
                    tier,
                    rules: policy.rules,
                    folder_rules: policy.folder_rules,
                    cases: cases(policy, measure.ops),
                    counts_runs: turn == measure.lives,
                }));
            }
        }
    }
    BenchPlan {
        samples: SAMPLES,
        samples_at_most: SAMPLES_AT_MOST,
        patience_ms: PATIENCE_MS,
        lives,
    }
}

fn cases(policy: &Policy, ops: u32) -> Vec<PlannedCase> {
    let cases = policy.cases.iter().map(|&case| PlannedCase {
        case,
        ops: match case {
            Case::Miss | Case::MissDeep | Case::MissOtherFs => ops,
            // The agent tells of each, which takes many times as long.
            Case::Hit => (ops / 8).max(1),
            // A tenth of the time of an open.
            Case::Unrelated => ops.saturating_mul(8),
        },
    });
    cases.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn measure() -> Measure {
        Measure {
            tiers: EnforcingTier::ALL.to_vec(),
            rules: Vec::new(),
            against: true,
            lives: 3,
            ops: 2_000,
        }
    }

    #[test]
    fn two_agents_take_turns_under_each_policy_in_each_tier() {
        let plan = plan(&measure());
        for pair in plan.lives.chunks(2) {
            let [tested, other] = pair else {
                panic!("one without the other: {pair:?}")
            };
            assert_eq!(tested.agent, AgentBinary::Tested);
            let same = PlannedLife {
                agent: AgentBinary::Other,
                ..tested.clone()
            };
            assert_eq!(*other, same);
        }
        let each = |life: &PlannedLife| (life.tier, life.rules, life.folder_rules);
        let different: BTreeSet<_> = plan.lives.iter().map(each).collect();
        assert_eq!(different.len(), 3 * POLICIES.len());
        assert_eq!(plan.lives.len(), different.len() * 3 * 2);
    }

    #[test]
    fn runs_are_counted_in_the_last_life_of_each_policy() {
        let plan = plan(&Measure {
            against: false,
            ..measure()
        });
        for lives in plan.lives.chunks(3) {
            let counting: Vec<bool> = lives.iter().map(|life| life.counts_runs).collect();
            assert_eq!(counting, [false, false, true]);
        }
    }

    #[test]
    fn every_case_is_timed_with_one_rule_and_every_miss_with_ten_thousand() {
        let timed = |rules| {
            let plan = plan(&Measure {
                rules: vec![rules],
                ..measure()
            });
            let cases = plan.lives.iter().flat_map(|life| life.cases.clone());
            cases.map(|planned| planned.case).collect::<BTreeSet<_>>()
        };
        let misses = [Case::Miss, Case::MissDeep, Case::MissOtherFs];
        let others = [Case::Hit, Case::Unrelated];
        assert_eq!(timed(1), misses.into_iter().chain(others).collect());
        assert_eq!(timed(10_000), misses.into());
        assert_eq!(rules(), [1, 1_000, 10_000]);
    }

    #[test]
    fn a_sample_has_an_operation_even_where_few_are_wanted() {
        let plan = plan(&Measure {
            ops: 1,
            ..measure()
        });
        let mut cases = plan.lives.iter().flat_map(|life| &life.cases);
        assert!(cases.all(|planned| planned.ops > 0));
    }
}
