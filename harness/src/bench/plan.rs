//! Which lives of the agent are measured, and in which order.
//!
//! In: what is wanted. Out: the [`BenchPlan`] for the guest, the same for every kernel. Pure.

use protocol::bench::{AgentBinary, BenchPlan, Case, EnforcingTier, PlannedCase, PlannedLife};

/// The name of the boot that measures.
pub const BOOT: &str = "bench";

/// How many samples make a number.
const SAMPLES: usize = 101;

/// For how long a boot may wait for the machine to be quiet, for each life, in milliseconds.
const PATIENCE_MS: u64 = 1_000;

/// A policy by its size, and what is timed under it.
struct Policy {
    rules: usize,
    folder_rules: usize,
    cases: &'static [Case],
}

impl Policy {
    /// How many lives, where one rule has as many: with many rules a start takes several times as
    /// long, and most of the time of a whole boot would go into these.
    fn lives(&self, with_one_rule: usize) -> usize {
        match self.rules {
            0..=1 => with_one_rule,
            _ => (with_one_rule * 3 / 5).max(2),
        }
    }
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
    /// How many lives each agent has under each policy of one file rule in each tier, at least 2.
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
            let lives_of_policy = policy.lives(measure.lives);
            for turn in 1..=lives_of_policy {
                lives.extend(agents.iter().map(|&agent| PlannedLife {
                    agent,
                    tier,
                    rules: policy.rules,
                    folder_rules: policy.folder_rules,
                    cases: cases(policy, measure.ops),
                    counts_runs: turn == lives_of_policy,
                }));
            }
        }
    }
    BenchPlan {
        samples: SAMPLES,
        patience_ms: PATIENCE_MS * lives.len() as u64,
        lives,
    }
}

fn cases(policy: &Policy, ops: u32) -> Vec<PlannedCase> {
    let cases = policy.cases.iter().map(|&case| PlannedCase {
        case,
        ops: match case {
            Case::Miss | Case::MissDeep | Case::MissOtherFs => ops,
            // The agent tells of many at once: in a sample of a few it would do so or not.
            Case::Hit => ops.saturating_mul(4),
            // A twentieth of the time of an open.
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
            lives: 5,
            ops: 400,
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
        // Two policies with one rule, three with more.
        assert_eq!(plan.lives.len(), 3 * 2 * (2 * 5 + 3 * 3));
    }

    #[test]
    fn runs_are_counted_in_the_last_life_of_each_policy() {
        let plan = plan(&Measure {
            against: false,
            ..measure()
        });
        let policies = plan.lives.chunk_by(|a, b| {
            (a.tier, a.rules, a.folder_rules) == (b.tier, b.rules, b.folder_rules)
        });
        for lives in policies {
            let (last, others) = lives.split_last().expect("no chunk is empty");
            assert!(last.counts_runs && others.iter().all(|life| !life.counts_runs));
        }
    }

    #[test]
    fn no_policy_has_but_a_first_life() {
        let plan = plan(&Measure {
            lives: 2,
            ..measure()
        });
        assert_eq!(plan.lives.len(), 3 * 2 * POLICIES.len() * 2);
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
