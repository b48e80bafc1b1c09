//! Measures what the agent costs: the planned lives, one after the other.
//!
//! In: the plan of a boot that measures. Out: a record for each life, with every sample as it was
//! read. Each case is timed right before the agent starts, while it runs, and right after it has
//! ended; what was timed after a life serves as what was timed before the next, where that has the
//! same cases. Nothing else happens in the guest meanwhile: whoever times is a process of its own,
//! and records are sent only between two lives.

mod ground;
mod timer;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use protocol::bench::{
    AgentBinary, BenchPlan, Case, EnforcingTier, Life, PlannedCase, PlannedLife, ProgramRuns,
    Samples, TimedCase,
};
use protocol::record::Level;
use serde_json::Value;

use crate::channel::Channel;
use ground::Ground;
use proofs::acts::agent::{Agent, Ended, Running, Start};
use proofs::acts::bpf_objects;
use proofs::acts::cgroup::Place;
use proofs::configuration::{self, Configuration};
pub use timer::serve;
use timer::{Answer, Operation, Timer};

/// Switches the kernel's counting of runs on and off.
const COUNTS_RUNS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// For how long the samples of one case may wait for the machine. Where it isn't quiet for longer,
/// it is so before the life, or after it, as well.
const PATIENCE_OF_A_CASE: Duration = Duration::from_secs(1);

/// Goes through all lives, up to the first that couldn't be measured, and says why that was.
///
/// # Errors
/// Only a broken result channel; everything else is told through it.
pub fn run(plan: &BenchPlan, limit: Duration, channel: &mut Channel) -> Result<()> {
    match measure(plan, limit, channel) {
        Err(error) if !error.is::<BrokenChannel>() => {
            channel.log(Level::Error, &format!("{error:#}"))
        }
        other => other,
    }
}

/// The result channel itself failed, so there is nobody to tell.
#[derive(Debug)]
struct BrokenChannel;

impl std::fmt::Display for BrokenChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("telling of a life")
    }
}

fn measure(plan: &BenchPlan, limit: Duration, channel: &mut Channel) -> Result<()> {
    let mut bench = Bench::make(plan, limit)?;
    let mut last: Option<(Vec<PlannedCase>, SamplesByCase)> = None;
    for (number, planned) in plan.lives.iter().enumerate() {
        let before = match last.take() {
            Some((cases, samples)) if cases == planned.cases => samples,
            _ => bench.time_without_agent(planned)?,
        };
        let doing = || {
            format!(
                "life {number}: the {} agent, {}, {} file rules, {} folder rules",
                planned.agent.name(),
                planned.tier.name(),
                planned.rules,
                planned.folder_rules
            )
        };
        let observed = bench.observe_life(planned).with_context(doing)?;
        let after = bench.time_without_agent(planned).with_context(doing)?;
        let life = observed.into_life(number, planned, &before, &after);
        channel.life(life).context(BrokenChannel)?;
        last = Some((planned.cases.clone(), after));
    }
    Ok(())
}

/// Samples by case.
type SamplesByCase = BTreeMap<Case, Samples>;

/// What stays the same from life to life.
struct Bench {
    ground: Ground,
    plain: Timer,
    exempt: Timer,
    samples: usize,
    /// For how long the machine may still be waited for.
    patience: Duration,
    limit: Duration,
}

/// What was seen during a life.
struct Observed {
    start: Duration,
    ended: Ended,
    memory: Memory,
    during: SamplesByCase,
    programs: Vec<ProgramRuns>,
}

impl Bench {
    fn make(plan: &BenchPlan, limit: Duration) -> Result<Self> {
        let most = |rules: fn(&PlannedLife) -> usize| plan.lives.iter().map(rules).max();
        let files = most(|life| life.rules).unwrap_or_default();
        let folders = most(|life| life.folder_rules).unwrap_or_default();
        Ok(Self {
            ground: Ground::make(files, folders)?,
            plain: Timer::start(Place::Plain, limit)?,
            exempt: Timer::start(Place::Exempt, limit)?,
            samples: plan.samples,
            patience: Duration::from_millis(plan.patience_ms),
            limit,
        })
    }

    fn time_without_agent(&mut self, planned: &PlannedLife) -> Result<SamplesByCase> {
        let mut samples = SamplesByCase::new();
        for &PlannedCase { case, ops } in &planned.cases {
            let taken = self.take(planned.tier, case, Operation::without_agent(case), ops);
            let taken = taken.with_context(|| format!("timing {} without an agent", case.name()));
            samples.insert(case, taken?.samples);
        }
        Ok(samples)
    }

    fn take(
        &mut self,
        tier: EnforcingTier,
        case: Case,
        operation: Operation,
        ops: u32,
    ) -> Result<Answer> {
        let timer = match (case, tier) {
            (Case::Hit, EnforcingTier::Signal) => &mut self.exempt,
            _ => &mut self.plain,
        };
        let path = self.ground.path(case);
        let patience = self.patience.min(PATIENCE_OF_A_CASE);
        let taken = timer.take(operation, &path, ops, self.samples, patience)?;
        self.patience = self.patience.saturating_sub(taken.waited);
        Ok(taken)
    }

    fn observe_life(&mut self, planned: &PlannedLife) -> Result<Observed> {
        let configuration = configuration(planned.tier);
        let policy = self.ground.policy(planned.rules, planned.folder_rules);
        let agent = Agent::prepare(&configuration, &policy, self.limit)?
            .program(match planned.agent {
                AgentBinary::Tested => protocol::AGENT_PATH,
                AgentBinary::Other => protocol::OTHER_AGENT_PATH,
            })
            // Whoever read its events would be timed along with each hit.
            .stdout(Stdio::null);
        let starting = Instant::now();
        let running = match agent.start()? {
            Start::Ready(running) => running,
            Start::Ended(ended) => return Err(ended.error("before it was ready, it")),
        };
        let start = starting.elapsed();
        let seen = self.observe_running(planned, &running);
        let ended = running.stop()?;
        let (memory, during, programs) = seen?;
        if !ended.status.success() {
            return Err(ended.error("asked to stop, it"));
        }
        Ok(Observed {
            start,
            ended,
            memory,
            during,
            programs,
        })
    }

    /// Everything that is read while an agent runs.
    fn observe_running(
        &mut self,
        planned: &PlannedLife,
        running: &Running,
    ) -> Result<(Memory, SamplesByCase, Vec<ProgramRuns>)> {
        check_report(planned, &running.report()?)?;
        let (hits, misses): (Vec<_>, Vec<_>) = planned
            .cases
            .iter()
            .copied()
            .partition(|planned| planned.case == Case::Hit);
        let mut during = SamplesByCase::new();
        self.time_during(planned, &misses, &mut during)?;
        let memory = Memory::of(running.pid())?;
        // The agent still has to tell of them when they are over.
        self.time_during(planned, &hits, &mut during)?;
        let programs = match planned.counts_runs {
            true => self.count_runs(planned)?,
            false => Vec::new(),
        };
        Ok((memory, during, programs))
    }

    fn time_during(
        &mut self,
        planned: &PlannedLife,
        cases: &[PlannedCase],
        during: &mut SamplesByCase,
    ) -> Result<()> {
        for &PlannedCase { case, ops } in cases {
            let operation = Operation::during(case, planned.tier);
            let taken = self.take(planned.tier, case, operation, ops);
            let taken = taken.with_context(|| format!("timing {} during it", case.name()));
            during.insert(case, taken?.samples);
        }
        Ok(())
    }

    /// Has the kernel count while each case is done once more. What that takes counts for nothing
    /// else: each run then looks at the clock twice.
    fn count_runs(&mut self, planned: &PlannedLife) -> Result<Vec<ProgramRuns>> {
        let switch = |on: &str| {
            fs::write(COUNTS_RUNS, on).with_context(|| format!("writing {on} to {COUNTS_RUNS}"))
        };
        switch("1")?;
        let counted = self.runs_of_cases(planned);
        switch("0")?;
        counted
    }

    fn runs_of_cases(&mut self, planned: &PlannedLife) -> Result<Vec<ProgramRuns>> {
        let mut counted = Vec::new();
        for &PlannedCase { case, ops } in &planned.cases {
            let before = bpf_objects::runs()?;
            let operation = Operation::during(case, planned.tier);
            let taken = self.take(planned.tier, case, operation, ops)?;
            let after = bpf_objects::runs()?;
            let ops = u64::from(ops) * taken.repeats;
            counted.extend(after.into_iter().map(|(id, now)| {
                // The agent may have loaded it since.
                let (runs, run_ns) = before
                    .get(&id)
                    .map_or((0, 0), |before| (before.runs, before.run_ns));
                ProgramRuns {
                    case,
                    ops,
                    name: now.name,
                    kind: now.kind,
                    runs: now.runs.saturating_sub(runs),
                    run_ns: now.run_ns.saturating_sub(run_ns),
                }
            }));
        }
        Ok(counted)
    }
}

impl Observed {
    fn into_life(
        self,
        number: usize,
        planned: &PlannedLife,
        before: &SamplesByCase,
        after: &SamplesByCase,
    ) -> Life {
        let of = |samples: &SamplesByCase, case| samples.get(&case).cloned().unwrap_or_default();
        let timed = |planned: &PlannedCase| TimedCase {
            case: planned.case,
            before: of(before, planned.case),
            during: of(&self.during, planned.case),
            after: of(after, planned.case),
        };
        Life {
            number,
            start_us: u64::try_from(self.start.as_micros()).unwrap_or(u64::MAX),
            start_parts_us: start_parts(&self.ended.stderr),
            rss_bytes: self.memory.resident,
            peak_bytes: self.memory.peak,
            cases: planned.cases.iter().map(timed).collect(),
            programs: self.programs,
        }
    }
}

/// How the agent is started for a tier.
fn configuration(tier: EnforcingTier) -> Configuration<'static> {
    match tier {
        EnforcingTier::Lsm => configuration::BENCH_LSM,
        EnforcingTier::Modret => configuration::BENCH_MODRET,
        EnforcingTier::Signal => configuration::BENCH_SIGNAL,
    }
}

/// Checks that the agent enforces all that is measured, in the tier that is measured.
///
/// # Errors
/// Anything else would be given out as what that tier costs.
fn check_report(planned: &PlannedLife, report: &Value) -> Result<()> {
    let state = configuration(planned.tier).state;
    if report["runtime_state"] != state {
        bail!(
            "its report says {}, where {state} is measured",
            report["runtime_state"]
        );
    }
    let enforced = &report["rules"]["enforced"];
    let rules = planned.rules + planned.folder_rules;
    if *enforced != rules {
        bail!(
            "its report says that {enforced} of {rules} rules are enforced; the others: {}",
            report["rules"]["unenforced"]
        );
    }
    Ok(())
}

/// The parts of a start out of what the agent said on standard error: `{"timings": {"NAME": US}}`.
/// What isn't so is left out.
fn start_parts(stderr: &str) -> BTreeMap<String, u64> {
    let documents = stderr.lines().map(serde_json::from_str::<Value>);
    let mut parts =
        documents
            .filter_map(Result::ok)
            .filter_map(|mut line| match line["timings"].take() {
                Value::Object(parts) => Some(parts),
                _ => None,
            });
    let parts = parts.next().unwrap_or_default().into_iter();
    parts
        .filter_map(|(name, us)| Some((name, us.as_u64()?)))
        .collect()
}

/// The resident memory of a process, in bytes.
#[derive(Debug, PartialEq, Eq)]
struct Memory {
    resident: u64,
    peak: u64,
}

impl Memory {
    fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(Path::new(&path));
        let status = status.with_context(|| format!("reading {path}"))?;
        Self::parse(&status).with_context(|| format!("{path} has no VmRSS or VmHWM"))
    }

    fn parse(status: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
            Some(kib * 1024)
        };
        Some(Self {
            resident: bytes("VmRSS:")?,
            peak: bytes("VmHWM:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn memory_is_read_in_bytes_and_never_guessed() {
        let status = "Name:\tx\nVmHWM:\t    9216 kB\nVmRSS:\t    4096 kB\nRssAnon:\t 1 kB\n";
        let memory = Memory {
            resident: 4096 * 1024,
            peak: 9216 * 1024,
        };
        assert_eq!(Memory::parse(status), Some(memory));
        for lacking in ["Name:\tx\n", "VmRSS:\t1 kB\n", "VmRSS:\t1\nVmHWM:\t1 kB\n"] {
            assert_eq!(Memory::parse(lacking), None, "{lacking:?}");
        }
    }

    #[test]
    fn the_parts_of_a_start_are_found_among_other_lines() {
        let stderr = "aegisbpf: warning: {\n{\"other\":1}\n\
                      {\"timings\":{\"load_us\":7,\"total_us\":\"unknown\",\"btf_us\":3}}\n";
        let parts = [("btf_us", 3), ("load_us", 7)].map(|(name, us)| (name.to_owned(), us));
        assert_eq!(start_parts(stderr), BTreeMap::from(parts));
        assert_eq!(start_parts("nothing"), BTreeMap::new());
    }

    #[test]
    fn only_an_agent_that_enforces_all_in_the_tier_is_measured() {
        let planned = PlannedLife {
            agent: AgentBinary::Tested,
            tier: EnforcingTier::Modret,
            rules: 2,
            folder_rules: 1,
            cases: Vec::new(),
            counts_runs: false,
        };
        let report = |state: &str, enforced: usize| json!({"runtime_state": state, "rules": {"enforced": enforced, "unenforced": []}});
        let check = |state, enforced| check_report(&planned, &report(state, enforced));
        assert!(check("ENFORCE_MODRET", 3).is_ok());
        assert!(check("ENFORCE", 3).is_err());
        assert!(check("AUDIT_FALLBACK", 3).is_err());
        assert!(check("ENFORCE_MODRET", 2).is_err());
        assert!(check_report(&planned, &json!({})).is_err());
    }
}
