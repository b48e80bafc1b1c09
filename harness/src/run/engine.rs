//! Runs planned boots side by side and judges each.
//!
//! In: jobs, who composes their commands, a number of slots. Out: events while it runs, and one judged
//! result a job, whatever happened to the others.

use std::fs;
use std::path::Path;
use std::sync::mpsc::Sender;

use anyhow::{Context, Result, bail};
use protocol::record::Record;

use crate::exit::ExitCode;
use crate::kernels::manifest::Allow;
use crate::outcome::{BootResult, Ending, Provenance};
use crate::run::event::{Event, Phase};
use crate::run::judge::{self, Came};
use crate::run::plan::PlannedBoot;
use crate::run::saved::{BootSpec, SavedEnding};
use crate::run::side_by_side::side_by_side;
use crate::verdict::{DeclaredSkip, Documents};
use crate::vm::channel::{Channel, Line};
use crate::vm::interrupt::{self, Interrupt};
use crate::vm::{self, Composer, Files, Machine};

/// One boot, ready to go.
#[derive(Debug, Clone)]
pub struct Job {
    /// What was planned.
    pub boot: PlannedBoot,
    /// The machine to boot.
    pub machine: Machine,
    /// Skips declared for this boot.
    pub skips: Vec<DeclaredSkip>,
    /// What the kernel may say on its console.
    pub allows: Vec<Allow>,
    /// The kernel's package version, if it came from a package.
    pub package_version: Option<String>,
    /// The version that the lock had before, if it was replaced.
    pub replaced_version: Option<String>,
    /// What is put to the proofs.
    pub provenance: Provenance,
    /// The harness's own command line that repeats this boot.
    pub again: String,
    /// Why it can't be launched, if it can't.
    pub obstacle: Option<String>,
}

/// A judged boot, with the documents that the agent wrote in it.
#[derive(Debug, Clone)]
pub struct Done {
    /// The verdict.
    pub result: BootResult,
    /// The agent's documents, by proof and arm.
    pub documents: Documents,
}

/// Runs all jobs in the order given, so many at a time that their machines have no more processors
/// than there are slots; a machine that has more runs alone.
///
/// A job that can't even be started is judged like any other: nothing stops the rest, but a signal
/// that asks the run to end. Then those that run are ended and those that don't aren't begun, and
/// all are judged.
///
/// # Errors
/// The signals can't be caught; nothing has run then.
pub fn run(
    jobs: Vec<Job>,
    composer: &Composer,
    slots: usize,
    events: &Sender<Event>,
) -> Result<Vec<Done>> {
    let notices = events.clone();
    let tell = move |line| {
        // As below.
        let _ = notices.send(Event::Notice(line));
    };
    interrupt::during(tell, |interrupt| {
        side_by_side(
            jobs,
            slots,
            |job| job.machine.processors,
            |job| {
                let judged = boot(&job, composer, interrupt, events);
                // A reporter that has gone away must not end the run.
                let _ = events.send(Event::BootFinished(Box::new(judged.result.clone())));
                judged
            },
        )
    })
}

/// The exit code of a run that was asked to end before it was done, if it was.
#[must_use]
pub fn interrupted(done: &[Done]) -> Option<ExitCode> {
    let endings = done.iter().filter_map(|done| done.result.ending.as_ref());
    let mut signals = endings.filter_map(|ending| match ending {
        Ending::Interrupted { signal, .. } => Some(*signal),
        _ => None,
    });
    signals.next().map(ExitCode::of_signal)
}

/// Those with most processors first, one after the other, so that no slot stays free until another
/// is too; of these the longest, so that no long boot is left alone at the end. Newer kernels boot
/// slower, so their release is the estimate.
pub fn longest_first(jobs: &mut [Job]) {
    let numbers = |job: &Job| {
        let release = &job.boot.plan.machine.release;
        let numbers: Vec<u32> = release
            .split(|c: char| !c.is_ascii_digit())
            .map_while(|number| number.parse().ok())
            .collect();
        numbers
    };
    jobs.sort_by_cached_key(|job| std::cmp::Reverse((job.machine.processors, numbers(job))));
}

/// One boot from launch to verdict.
fn boot(job: &Job, composer: &Composer, interrupt: &Interrupt, events: &Sender<Event>) -> Done {
    let suite = &job.boot.suite;
    let tell = |event| {
        // As above: the run goes on without anyone watching.
        let _ = events.send(event);
    };
    tell(Event::BootStarted {
        suite: suite.clone(),
        planned: job.boot.plan.proofs.len(),
    });
    tell(Event::PhaseChanged {
        suite: suite.clone(),
        phase: Phase::Launching,
    });
    let started = interrupt.stopwatch();
    let mut channel = Channel::default();
    let launched = launch(job, composer, interrupt, &mut channel, &tell);
    channel.close();
    let ending = launched.unwrap_or_else(|error| Ending::NotStarted {
        reason: format!("{error:#}"),
    });
    let duration = started.elapsed();
    let spec = BootSpec::of(job, composer.launcher());
    let saved = SavedEnding::new(&spec.nonce, &ending, duration, &channel);
    let dir = &job.machine.dir;
    // Without it the records can't be judged again, and a run that keeps less than it must isn't clean.
    let unsaved = saved.write(&Files::of(dir).ending).err();
    let came = Came {
        channel,
        ending,
        duration,
        faults: unsaved.iter().map(|error| format!("{error:#}")).collect(),
    };
    judge::boot(&spec, dir, came)
}

fn launch(
    job: &Job,
    composer: &Composer,
    interrupt: &Interrupt,
    channel: &mut Channel,
    tell: &impl Fn(Event),
) -> Result<Ending> {
    let suite = &job.boot.suite;
    let machine = &job.machine;
    fs::create_dir_all(&machine.dir)
        .with_context(|| format!("making {}", machine.dir.display()))?;
    let files = Files::of(&machine.dir);
    for file in [
        &files.console,
        &files.records,
        &files.qemu,
        &files.command,
        &files.ending,
    ] {
        remove_stale(file)?;
    }
    if let Some(signal) = interrupt.to_end() {
        return Ok(Ending::Interrupted {
            signal,
            started: false,
        });
    }
    if let Some(obstacle) = &job.obstacle {
        bail!("{obstacle}");
    }
    let composed = composer.compose(machine)?;
    fs::write(&files.command, vm::command_text(&job.again, &composed))
        .with_context(|| format!("writing {}", files.command.display()))?;
    tell(Event::PhaseChanged {
        suite: suite.clone(),
        phase: Phase::Booting,
    });
    vm::boot(machine, &composed, interrupt, |bytes, at| {
        for (_, line) in channel.push(bytes, at) {
            let Line::Record(record) = line else { continue };
            match record {
                Record::ProofStarted { id, .. } | Record::Phase { id: Some(id), .. } => {
                    tell(Event::PhaseChanged {
                        suite: suite.clone(),
                        phase: Phase::Proving(id.clone()),
                    })
                }
                Record::ProofFinished { id, .. } => tell(Event::ProofFinished {
                    suite: suite.clone(),
                    id: id.clone(),
                }),
                Record::End { .. } => tell(Event::PhaseChanged {
                    suite: suite.clone(),
                    phase: Phase::Ending,
                }),
                Record::Life(life) => tell(Event::PhaseChanged {
                    suite: suite.clone(),
                    phase: Phase::Measuring(life.number + 1),
                }),
                Record::Hello(_)
                | Record::Phase { id: None, .. }
                | Record::Preliminary { .. }
                | Record::Evidence { .. }
                | Record::Log { .. } => {}
            }
        }
    })
}

/// What an earlier run left here must not be taken for this run's.
fn remove_stale(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing the old {}", file.display()))
        }
        _ => Ok(()),
    }
}
