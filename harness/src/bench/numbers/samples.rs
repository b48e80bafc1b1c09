//! A small plan with what two agents came to under it, for the tests of this module's neighbours.

use std::collections::BTreeMap;

use protocol::bench::{
    AgentBinary, BenchPlan, Case, EnforcingTier, Life, PlannedCase, PlannedLife, ProgramRuns,
    Samples, TimedCase,
};

/// Three lives of each of two agents: nothing but misses, with one rule in the LSM tier.
pub fn measured() -> (BenchPlan, Vec<Life>) {
    let mut plan = BenchPlan {
        samples: 3,
        patience_ms: 0,
        lives: Vec::new(),
    };
    let mut lives = Vec::new();
    // Percent of an operation without an agent, tested and other.
    for (turn, percents) in [[110, 150], [120, 160], [140, 130]].into_iter().enumerate() {
        for (agent, percent) in [AgentBinary::Tested, AgentBinary::Other]
            .into_iter()
            .zip(percents)
        {
            let counts_runs = turn == 2;
            let number = lives.len();
            plan.lives.push(PlannedLife {
                agent,
                tier: EnforcingTier::Lsm,
                rules: 1,
                folder_rules: 0,
                cases: vec![PlannedCase {
                    case: Case::Miss,
                    ops: 10,
                }],
                counts_runs,
            });
            lives.push(life(number, percent, counts_runs));
        }
    }
    (plan, lives)
}

fn life(number: usize, percent: u64, counts_runs: bool) -> Life {
    // The machine gets slower from life to life.
    let step = number as u64;
    let bare = 60_000 + step * 10_000;
    let samples = |ns| Samples {
        ns: vec![ns; 3],
        reference_ns: vec![300_000 + 30_000 * step; 3],
    };
    let program = |name: &str, runs| ProgramRuns {
        case: Case::Miss,
        ops: 40,
        name: name.to_owned(),
        kind: "lsm".to_owned(),
        runs,
        run_ns: runs * 250,
    };
    Life {
        number,
        start_us: 900_000 / (1 + step.min(1)) + 25_000 * step.saturating_sub(2),
        start_parts_us: BTreeMap::from([("load_us".to_owned(), 100 + step * 100 / 2)]),
        rss_bytes: 5_000_000,
        peak_bytes: 9_000_000 - step,
        cases: vec![TimedCase {
            case: Case::Miss,
            before: samples(bare),
            during: samples(bare * percent / 100),
            after: samples(bare),
        }],
        programs: match counts_runs {
            true => vec![program("on_file_open", 40), program("on_mkdir", 0)],
            false => Vec::new(),
        },
    }
}
