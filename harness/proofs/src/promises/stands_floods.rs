//! A user on each processor who does what is denied as fast as he can: the agent goes on verifying, tells
//! of what others do, accounts for all, and stops when it is told to.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::{Expectation, PlannedArm};
use serde_json::json;

use crate::arms::{allowed, arm, differs, document, equals};
use crate::boot::Boot;
use crate::sabotage::{Mutant, Sweeps};
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Processors,
    id: "stands-floods",
    text: "While a user without privileges opens a denied file on both processors as fast as he can, \
           each try meets its fate; the agent verifies all the same, keeps its state, and writes its \
           report no more than twice a second, but for eight times at first and once for each \
           verification; another's try is told of. His own are told of up to some, 2,048 at once and \
           64 a second; the events, `events_lost` and `events_repeated` in the report together are as \
           many as his tries. `SIGTERM` in the midst of such a flood on its own processor stops the \
           agent as ever.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let id = format!("smp-{}-{}", tier.name(), PROMISE.id);
        let acts = acts!(acts::StandsFloods(tier));
        let proof = Proof::new(id, Boot::Smp, tier.smp_flooded(), acts, arms(tier))
            .swept(Sweeps::STOPS_ALONE);
        match tier {
            Tier::Lsm => proof.catches(&[FORGETS]),
            Tier::Modret | Tier::Signal => proof,
        }
    };
    Tier::ALL.map(proof).into()
}

fn arms(tier: Tier) -> Vec<PlannedArm> {
    let mut meanwhile = vec![
        equals("/verified", true),
        equals("/states", json!([tier.state()])),
        equals("/writes_bounded", true),
    ];
    let mut flood = vec![
        equals("/fates", json!([tier.fate_word()])),
        equals("/outcomes", json!([tier.outcome()])),
        equals("/accounts_for_all", true),
    ];
    // To start a process for each try takes long: on some machines all of them are told of.
    if tier.prevents() {
        meanwhile.push(equals("/repeats_counted", true));
        flood.push(differs("/lost", 0));
    }
    vec![
        document("before", &[equals("/fates", json!(["allowed"]))]),
        document("meanwhile", &meanwhile),
        tier.unread("another", "file[0]", "inode"),
        document("flood", &flood),
        arm("exit", Expectation::Exit { code: 0 }),
        allowed("after"),
    ]
}

const FORGETS: Mutant = Mutant::new(
    "forgets-repeats",
    "repeats in a flood are neither told of nor counted",
    "flood",
    "/accounts_for_all: expected true",
);

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::collections::BTreeSet;
    use std::time::{Duration, Instant};

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use rustix::thread::{CpuSet, sched_setaffinity};
    use serde_json::{Value, json};

    use crate::acts::attempt::{Attempt, Verb, account};
    use crate::acts::cgroup::Place;
    use crate::acts::flood::{Flood, Tries};
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::reports::{self, Reports};
    use crate::acts::{Acts, running};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct StandsFloods(pub Tier);

    /// He who floods.
    const USER: u32 = 1000;

    /// One for each processor.
    const USERS: usize = 2;

    /// How many verifications are waited for.
    const VERIFICATIONS: usize = 3;

    impl StandsFloods {
        fn tries(&self) -> Tries {
            match self.0.prevents() {
                true => Tries::Himself,
                false => Tries::ByChildren,
            }
        }

        fn flood(&self, lab: &Lab) -> Result<Flood> {
            Flood::start(USERS, lab.ground.secret(), USER, self.tries())
        }
    }

    impl Acts for StandsFloods {
        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            let came = self.flood(lab)?.end(lab.ground.limit())?;
            let document = json!({"fates": came.fates});
            seen.other("before", Observation::Document { document });
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            let limit = lab.ground.limit();
            let before = running.report()?;
            let mut reports = Reports::watch(running)?;
            let began = Instant::now();
            let flood = self.flood(lab)?;
            let worked = processor_time(running.pid())?;
            let (mut evidence, mut states) = (BTreeSet::new(), BTreeSet::new());
            reports.next("verifications in the flood", |report| {
                states.insert(report["runtime_state"].to_string().replace('"', ""));
                evidence.extend(reports::oldest_evidence(report));
                evidence.len() > VERIFICATIONS
            })?;
            // Once as many are told of as may be at once: else it is only early.
            let repeated = match self.0.prevents() {
                true => reports.next("repeats in the flood", |report| {
                    number(report, "events_repeated").is_ok_and(|number| number > 0)
                        || began.elapsed() > Duration::from_secs(20)
                })?,
                false => running.report()?,
            };
            let another = Attempt::on(Verb::Read, lab.ground.secret()).make(limit)?;
            let came = flood.end(limit)?;
            let took = began.elapsed();
            let share =
                (processor_time(running.pid())? - worked).as_secs_f64() / took.as_secs_f64();
            let share = (share * 100.0).round();
            let writes = reports.written();
            let bounded = 8 + 2 * (took.as_secs() + 1) + VERIFICATIONS as u64 + took.as_secs() + 1;
            let repeats_counted = number(&repeated, "events_repeated")? > 0;
            let document = json!({
                "verified": evidence.len() > VERIFICATIONS,
                "states": states,
                "writes_bounded": writes <= bounded,
                "writes": writes,
                "agents_share_percent": share,
                "repeats_counted": repeats_counted,
            });
            seen.other("meanwhile", Observation::Document { document });
            seen.other("another", account(another, json!({})));
            // It may have been about to write the first of them when the flood ended.
            let mut after = running.report()?;
            for what in ["a report after the flood", "one that was begun since"] {
                let known = after["generated_at"].take();
                after = reports.next(what, |report| report["generated_at"] != known)?;
            }
            let counted = |report: &Value| -> Result<i64> {
                Ok(number(report, "events_lost")? + number(report, "events_repeated")?)
            };
            let document = json!({
                "fates": came.fates,
                "pids": came.pids,
                "tries": came.tries,
                "lost": counted(&after)? - counted(&before)?,
            });
            seen.other("flood", Observation::Document { document });
            // To detach is to rewrite the code that the flood runs through. Emulators lose their way
            // where another processor does that, and real ones have no less to do on one.
            let mut one = CpuSet::new();
            one.set(0);
            let pid = rustix::process::Pid::from_raw(running.pid().cast_signed());
            sched_setaffinity(pid, &one).context("keeping the agent to a processor")?;
            let flood =
                Flood::start_on(Some(&one), USERS, lab.ground.secret(), USER, self.tries())?;
            running.terminate()?;
            seen.other("exit", running.ends()?);
            flood.end(limit)?;
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            seen.act("after", lab.ground.open_secret(Place::Plain)?);
            Ok(())
        }

        fn ends_agent(&self) -> bool {
            true
        }
    }

    /// How long a process has run on any processor.
    fn processor_time(pid: u32) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("its times")?;
        // Behind the name, which may have anything in it, from the third field on: user and system
        // time are the 14th and 15th, in hundredths of a second.
        let (_, behind) = stat.rsplit_once(')').context("its times")?;
        let times = behind.split_whitespace().skip(11).take(2);
        let times: Result<Vec<u64>, _> = times.map(str::parse).collect();
        let ticks: u64 = times.context("its times")?.iter().sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    fn number(report: &Value, member: &str) -> Result<i64> {
        let number = report[member].as_i64();
        number.with_context(|| format!("a report without {member}"))
    }
}
