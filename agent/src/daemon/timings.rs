//! Where the time of a start goes, for `--timings`.
//!
//! In: steps with how long each took. Out: one JSON line on stderr, microseconds a step.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::output::log;

/// A step of the start. Steps don't overlap; what is in none is the difference to the total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Until the agent's own code runs, to the kernel's clock tick of 10 ms.
    Process,
    /// Reading and checking the policy.
    Policy,
    /// Reading and parsing the kernel's BTF.
    Btf,
    /// Watching the ways to all that the rules name.
    Watch,
    /// Fitting the BPF object to the kernel, creating the maps, making the decoys.
    Object,
    /// `BPF_PROG_LOAD`.
    Load,
    /// Attaching.
    Attach,
    /// Canaries: starting, sending, waiting.
    Canary,
    /// Looking at the rules' targets.
    Resolve,
    /// Filling the maps.
    Fill,
    /// Writing the report.
    Report,
    /// Detaching what isn't relied on.
    Detach,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Process => "process_us",
            Self::Policy => "policy_us",
            Self::Watch => "watch_us",
            Self::Btf => "btf_us",
            Self::Object => "object_us",
            Self::Load => "load_us",
            Self::Attach => "attach_us",
            Self::Canary => "canary_us",
            Self::Resolve => "resolve_us",
            Self::Fill => "fill_us",
            Self::Report => "report_us",
            Self::Detach => "detach_us",
        }
    }
}

/// What was spent on each step.
#[derive(Debug, Default)]
pub struct Timings {
    spent: BTreeMap<Step, Duration>,
}

impl Timings {
    /// Does the step, and adds its time to what was spent on it.
    pub fn measure<T>(&mut self, step: Step, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        self.add(step, start.elapsed());
        done
    }

    /// Adds to what was spent on a step.
    pub fn add(&mut self, step: Step, took: Duration) {
        *self.spent.entry(step).or_default() += took;
    }

    /// Takes from what was spent on a step, where part of it was another one.
    pub fn without(&mut self, step: Step, took: Duration) {
        let spent = self.spent.entry(step).or_default();
        *spent = spent.saturating_sub(took);
    }

    /// Tells, as of now, since this process started.
    pub fn tell(&self) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let mut line = serde_json::Map::new();
        for (step, time) in &self.spent {
            line.insert(step.name().to_owned(), json!(micros(*time)));
        }
        match crate::host::since_start() {
            Ok(total) => line.insert("total_us".to_owned(), json!(micros(total))),
            Err(error) => line.insert("total_us".to_owned(), json!(format!("unknown: {error:#}"))),
        };
        log::plain(json!({ "timings": line }));
    }
}
