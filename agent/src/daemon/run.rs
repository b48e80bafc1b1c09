//! `aegisbpf run`: start, tell readiness, print events, verify again, stop clean.
//!
//! In: the arguments of `run`. Out: an exit code; the report, events on stdout, the log. The
//! order at start is a promise: programs attached with decoys only, canaries, gate, real
//! rules, report on disk, `ready`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context as _, Result};
use aya::maps::{MapData, RingBuf};
use jiff::SignedDuration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::pace::{Allowance, Effort};
use super::timings::{Step, Timings};
use crate::classes::{hooks, spared};
use crate::daemon::pressure;
use crate::daemon::ready::Ready;
use crate::daemon::session::{Reporting, Session};
use crate::exit::{Ending, Exit};
use crate::follow::{Changed, Unwatched, Watcher};
use crate::host::machine::Machine;
use crate::host::status::Status;
use crate::kernel::ring::EventRing;
use crate::output::log;
use crate::output::notice::Notice;
use crate::output::printer::Printer;
use crate::output::text;
use crate::output::writer;
use crate::policy::{self, Policy, PolicyError};
use crate::posture::gate::{Asked, Decision, Refusal};
use crate::posture::lsm_list::LsmList;
use crate::posture::{State, Tier};
use crate::report::file;

/// Below this, a reader who takes his time would find every report expired.
const SHORTEST_VALIDITY: SignedDuration = SignedDuration::from_secs(10);

/// How many rules that aren't enforced the log names at the start, one a line.
const UNENFORCED_TOLD: usize = 20;

/// What `run` is asked to do.
#[derive(Debug)]
pub struct Request {
    /// The policy's file.
    pub policy: PathBuf,
    /// Mode, fallbacks, gate mode.
    pub asked: Asked,
    /// Where to tell readiness.
    pub ready: Option<Ready>,
    /// How often the claim's evidence is renewed.
    pub verify_interval: Duration,
    /// What to do when the evidence is lost.
    pub on_degraded: OnDegraded,
    /// Where the time of the start is to be told: how long it took until the agent's own code ran.
    pub process_took: Option<Duration>,
}

/// What to do when the evidence for a claim is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OnDegraded {
    /// Run on, and say so.
    Stay,
    /// Stop, with an exit code that says so.
    Exit,
}

/// Runs the agent until it is told to stop.
pub fn run(request: Request) -> Result<Exit> {
    let mut timings = Timings::default();
    if let Some(process) = request.process_took {
        timings.add(Step::Process, process);
    }
    pressure::ignore_limits();
    let policy = timings.measure(Step::Policy, || load_policy(&request.policy))?;
    if policy.rules() == 0 {
        log::warn("the policy has no rules: nothing is enforced");
    }
    let machine = Machine::look(&hooks::functions())?;
    // Held until the end: a second agent would delete and replace what this one claims.
    let claim = Rc::new(file::claim(&file::path())?);
    // A report of an earlier agent must not outlive the start of this one.
    file::remove(&claim);
    // Before anything is attached: a policy that can't be kept here ends the start.
    spared::check_exempt(&policy, &machine.hierarchy)
        .map_err(|errors| invalid(&request.policy, &errors))?;
    let outlived = pressure::outlive_used_up_memory();
    if let Err(error) = &outlived {
        log::warn(format_args!(
            "when memory runs out, the kernel may kill the agent ({error}): its oom_score_adj can't be \
             lowered to -1000; CAP_SYS_RESOURCE allows that, or start it with that score"
        ));
    }
    // A renewal that is late by as much again still comes in time.
    let validity = SignedDuration::try_from(2 * request.verify_interval)?;
    let report = Reporting {
        claim: Rc::clone(&claim),
        validity: validity.max(SHORTEST_VALIDITY),
        outlives_used_up_memory: outlived.is_ok(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("failed to start the runtime")?;
    let follower = {
        let _within = runtime.enter();
        // Before the rules' targets are looked at: a change after the look wakes it.
        timings.measure(Step::Watch, || Follower::start(paths_of(&policy)))
    };
    let (mut session, ring) =
        Session::start(request.asked.clone(), policy, machine, report, &mut timings)?;
    let decision = session.decision().clone();
    if decision.audit_only && decision.tiers.is_empty() {
        return Err(Ending::error(
            Exit::Unmeasurable,
            "nothing can be measured: no hook attached and fired, not even to watch; the \
             warnings above say why",
        ));
    }
    announce(&decision);
    if decision.state == State::Refused {
        session.detach();
        session.report(0)?;
        return Err(Ending::error(
            Exit::Refused,
            refusal(&decision, session.lsm_list(), &request.asked.fallbacks),
        ));
    }
    let ring = ring.context("a verified hook without an event ring")?;
    let outcome = runtime.block_on(serve(session, ring, follower, request, timings));
    // On every end: a report must not outlive what it speaks of.
    file::remove(&claim);
    outcome
}

/// Reads and checks a policy; every error goes to the log.
pub fn load_policy(path: &Path) -> Result<Policy> {
    policy::parse(&read_policy(path)?).map_err(|errors| invalid(path, &errors))
}

/// Logs everything that is wrong with a policy, and makes it the end.
fn invalid(path: &Path, errors: &[PolicyError]) -> anyhow::Error {
    let file = path.display().to_string();
    for error in errors {
        log::error(error.display(&file));
    }
    let count = errors.len();
    Ending::error(
        Exit::Policy,
        format!("{file}: invalid policy, errors: {count}"),
    )
}

/// Reads a policy's bytes.
pub fn read_policy(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| {
        let why = format!("{}: the policy can't be read: {error}", path.display());
        Ending::error(Exit::Policy, why)
    })
}

async fn serve(
    mut session: Session,
    ring: RingBuf<MapData>,
    mut follower: Follower,
    request: Request,
    mut timings: Timings,
) -> Result<Exit> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to handle SIGINT")?;
    let mut hangup = hangup()?;
    let mut ring = EventRing::watch(ring)?;
    let mut printer = Printer::default();
    let every = request.verify_interval;
    let mut renewal = interval_at(Instant::now() + every, every);
    renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);

    timings.measure(Step::Fill, || session.fill())?;
    timings.measure(Step::Report, || session.report(0))?;
    if let Some(ready) = request.ready {
        ready.tell()?;
    }
    if request.process_took.is_some() {
        timings.tell();
    }
    let mut publisher = Publisher::new(Instant::now());
    // When the agent may go on with what users make it do.
    let (mut printing, mut looking) = (Effort::none(Instant::now()), Effort::none(Instant::now()));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = hung_up(&mut hangup) => break,
            () = sleep_until(publisher.due()), if publisher.is_owing() => {
                publisher.publish(&mut session, &mut printer, []);
            }
            room = writer::room(io::stdout()), if printer.is_stalled() => {
                room.context("failed to wait for the reader of standard output")?;
                printer.go_on();
            }
            printed = printed(&mut ring, &mut printer, &session, printing.over()),
                    if !printer.is_stalled() => {
                let began = printed?;
                let lost = printer.tell_lost(session.events_lost());
                let missed = printer.take_missed();
                let missed = missed.and_then(|why| session.missed(&why));
                if lost || missed.is_some() {
                    publisher.publish(&mut session, &mut printer, missed);
                }
                printing.add(began.elapsed(), Instant::now());
            }
            changed = changed(&mut follower, looking.over()) => {
                let changed = changed?;
                let began = Instant::now();
                // First watched, then looked at: so nothing in between is missed.
                follower.watch(session.paths());
                match session.resolve_again(&changed) {
                    Ok(notices) if notices.is_empty() => {}
                    Ok(notices) => publisher.publish(&mut session, &mut printer, notices),
                    Err(error) => log::error(format_args!("failed to resolve again: {error:#}")),
                }
                looking.add(began.elapsed(), Instant::now());
            }
            _ = renewal.tick() => match session.refresh() {
                Ok(changed) => {
                    // The canaries' own events, and what else was told meanwhile.
                    printer.all(ring.now(), &session);
                    let missed = printer.take_missed();
                    let missed = missed.and_then(|why| session.missed(&why));
                    publisher.renew(&mut session, &mut printer, changed.into_iter().chain(missed));
                }
                // Not renewed, the report expires, and readers know that they don't know.
                Err(error) => log::error(format_args!("failed to verify again: {error:#}")),
            }
        }
        if request.on_degraded == OnDegraded::Exit && session.decision().state == State::Degraded {
            break;
        }
        // Where there is always something to do, the runtime would look at its clock and at signals
        // only now and then.
        tokio::task::yield_now().await;
    }
    publisher.give_up(&mut printer);
    log::info("stopping");
    let degraded = session.decision().state == State::Degraded;
    session.detach();
    printer.all(ring.now(), &session);
    printer.give_up(ring.now());
    printer.tell_lost(session.events_lost());
    if degraded && request.on_degraded == OnDegraded::Exit {
        anyhow::bail!("the evidence for enforcement is lost, and --on-degraded=exit was given");
    }
    Ok(Exit::Done)
}

/// Handles SIGHUP. `None` if whoever started the agent has it ignore that, as nohup(1) does: a
/// handler would undo it.
fn hangup() -> Result<Option<Signal>> {
    if Status::read()?.ignores(libc::SIGHUP) {
        return Ok(None);
    }
    let hangup = signal(SignalKind::hangup()).context("failed to handle SIGHUP")?;
    Ok(Some(hangup))
}

/// Ends when SIGHUP comes, never if it is ignored.
async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => {
            hangup.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// The watcher, if there is one, and what it was said to be blind to.
struct Follower {
    watcher: Option<Watcher>,
    told: HashSet<Unwatched>,
}

impl Follower {
    /// Watches the ways to these paths. Without a watcher, changes are noticed at each
    /// verification only, and the log says so.
    fn start<'a>(paths: impl Iterator<Item = &'a Path>) -> Self {
        let watcher = Watcher::new().map_err(|error| {
            log::warn(format_args!(
                "changes on the way to a rule's path are noticed at each verification only: \
                 {error:#}"
            ));
        });
        let mut follower = Self {
            watcher: watcher.ok(),
            told: HashSet::new(),
        };
        follower.watch(paths);
        follower
    }

    fn watch<'a>(&mut self, paths: impl Iterator<Item = &'a Path>) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let unwatched = watcher.set(paths);
        for blind in &unwatched {
            if !self.told.contains(blind) {
                log::warn(format_args!(
                    "{}: changes there are noticed at each verification only: {}; {}",
                    text::path(&blind.folder),
                    blind.why,
                    blind.way_out
                ));
            }
        }
        self.told = unwatched.into_iter().collect();
    }

    async fn changed(&mut self) -> Result<Changed> {
        match &mut self.watcher {
            Some(watcher) => watcher.changed().await,
            None => std::future::pending().await,
        }
    }
}

/// The paths whose meaning may change.
fn paths_of(policy: &Policy) -> impl Iterator<Item = &Path> {
    let files = policy.files.iter().map(|rule| &rule.path);
    files.chain(&policy.protected_executables).map(Path::new)
}

/// Waits for events, not before `from`, and prints some; when it began to.
async fn printed(
    ring: &mut EventRing,
    printer: &mut Printer,
    session: &Session,
    from: Instant,
) -> Result<Instant> {
    sleep_until(from).await;
    let mut began = from;
    let print = |ring: &mut RingBuf<MapData>| {
        began = Instant::now();
        printer.some(ring, session)
    };
    ring.readable(print).await?;
    Ok(began)
}

/// Waits for a change on the way to a rule's path, not before `from`: what comes in between is told
/// together.
async fn changed(follower: &mut Follower, from: Instant) -> Result<Changed> {
    sleep_until(from).await;
    follower.changed().await
}

/// How often the report is written at most, but for the first few times: users can make it change.
const WRITES: Duration = Duration::from_millis(500);
const WRITES_AT_ONCE: u32 = 8;

/// More notices than may reasonably wait for a report.
const WAITING: usize = 1024;

/// Renews the report, then tells of what is new in it: whoever hears of it and looks, finds it.
struct Publisher {
    writes: Allowance,
    due: Option<Instant>,
    waiting: Vec<Notice>,
}

impl Publisher {
    fn new(now: Instant) -> Self {
        Self {
            writes: Allowance::new(WRITES, WRITES_AT_ONCE, now),
            due: None,
            waiting: Vec::new(),
        }
    }

    /// Whether something isn't published yet.
    fn is_owing(&self) -> bool {
        self.due.is_some()
    }

    /// From when on it may be.
    fn due(&self) -> Instant {
        self.due.unwrap_or_else(Instant::now)
    }

    /// Renews the report as soon as it may be written again, and then tells of these.
    fn publish(
        &mut self,
        session: &mut Session,
        printer: &mut Printer,
        notices: impl IntoIterator<Item = Notice>,
    ) {
        self.add(printer, notices);
        match self.writes.take(Instant::now()) {
            Ok(()) => self.write(session, printer),
            Err(due) => self.due = Some(due),
        }
    }

    /// Renews the report now: it is due, whoever makes it change meanwhile.
    fn renew(
        &mut self,
        session: &mut Session,
        printer: &mut Printer,
        notices: impl IntoIterator<Item = Notice>,
    ) {
        self.add(printer, notices);
        self.write(session, printer);
    }

    /// Counts what can't be published any more.
    fn give_up(&mut self, printer: &mut Printer) {
        printer.untold(self.waiting.len());
        self.waiting.clear();
    }

    fn add(&mut self, printer: &mut Printer, notices: impl IntoIterator<Item = Notice>) {
        self.waiting.extend(notices);
        let beyond = self.waiting.len().saturating_sub(WAITING);
        self.waiting.drain(..beyond);
        printer.untold(beyond);
    }

    fn write(&mut self, session: &mut Session, printer: &mut Printer) {
        self.due = None;
        if let Some(notice) = session.renew_report(printer.unprinted()) {
            printer.notice(&notice);
        }
        for notice in self.waiting.drain(..) {
            printer.notice(&notice);
        }
    }
}

fn announce(decision: &Decision) {
    log::info(format_args!(
        "{}: {} rules enforced, {} not; blockers: {}",
        decision.state.name(),
        decision.enforced,
        decision.unenforced.len(),
        blockers(decision)
    ));
    let (told, rest) = decision
        .unenforced
        .split_at(decision.unenforced.len().min(UNENFORCED_TOLD));
    for unenforced in told {
        log::warn(format_args!(
            "rule {}: {}",
            unenforced.rule, unenforced.reason
        ));
    }
    if !rest.is_empty() {
        log::warn(format_args!(
            "{} more rules are not enforced; the report lists them all",
            rest.len()
        ));
    }
}

fn blockers(decision: &Decision) -> String {
    if decision.blockers.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<&str> = decision
        .blockers
        .iter()
        .map(|blocker| blocker.name())
        .collect();
    names.join(", ")
}

fn refusal(decision: &Decision, lsm_list: &LsmList, fallbacks: &[Tier]) -> String {
    if decision.refusal == Some(Refusal::RuleBeyondTier) {
        return "the gate refused: the rules above are beyond the only tier that works here; \
                change them, or let them be watched with --enforce-gate-mode=audit-fallback"
            .to_owned();
    }
    let weaker = match fallbacks {
        [] => {
            "opt in to a weaker tier with --enforce-fallback=modret,signal, or to watching only with"
        }
        _ => "opt in to watching only with",
    };
    // What mends the cause comes before what makes do with less.
    let (cause, second) = match lsm_list {
        LsmList::Unreadable { reason } => (
            format!("; the LSM list can't be read: {reason}"),
            "or else ",
        ),
        LsmList::Known(_) => (String::new(), ""),
    };
    format!(
        "the gate refused: what was asked for can't be kept here (blockers: {}){cause}; \
         {second}{weaker} --enforce-gate-mode=audit-fallback",
        blockers(decision)
    )
}
