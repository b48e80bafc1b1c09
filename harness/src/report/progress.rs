//! Progress on standard error while a matrix runs.
//!
//! In: [`Event`]s. Out: on a terminal one line for each running boot, redrawn in place, and
//! above them one line for each boot that ended; elsewhere only the latter, with no escapes.

use std::collections::HashMap;
use std::io::Write;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::screen::Screen;
use super::summary::{self, Word};
use crate::event::{Event, Phase};
use crate::outcome::{BootResult, Status, SuiteId};

/// How often the elapsed times move on.
const TICK: Duration = Duration::from_millis(250);

/// Shows events on standard error until the last sender is gone.
#[derive(Debug)]
#[must_use = "finish() waits for the last lines"]
pub struct Progress {
    thread: JoinHandle<()>,
}

impl Progress {
    /// Starts to show what comes.
    pub fn start(events: Receiver<Event>, screen: Screen) -> Self {
        let thread = std::thread::spawn(move || {
            if screen.live {
                let mut live = Live::new(ProgressDrawTarget::stderr(), screen.colour);
                events.iter().for_each(|event| live.take(&event));
            } else {
                let mut out = std::io::stderr();
                events
                    .iter()
                    .for_each(|event| plain(&event, screen.colour, &mut out));
            }
        });
        Self { thread }
    }

    /// Waits until everything sent is shown. Every sender must be dropped first: as long as
    /// there is one, there may be another event.
    pub fn finish(self) {
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// What an event leaves on the screen for good.
fn lines(event: &Event, colour: bool) -> Vec<String> {
    match event {
        Event::BootFinished(result) => finished(result, colour),
        Event::Notice(text) => text.lines().map(String::from).collect(),
        Event::BootStarted { .. } | Event::PhaseChanged { .. } | Event::ProofFinished { .. } => {
            Vec::new()
        }
    }
}

fn finished(result: &BootResult, colour: bool) -> Vec<String> {
    let word = summary::word(result);
    let mut lines = vec![format!(
        "{} {}: {} in {:.1} s",
        word.painted(Word::Fail.text().len(), colour),
        result.suite,
        summary::counts([result]),
        result.duration.as_secs_f64()
    )];
    lines.extend(result.faults.iter().map(|fault| format!("     {fault}")));
    for group in summary::groups(result) {
        let explained = group.status == Status::Incomplete && !result.faults.is_empty();
        if group.status == Status::Skipped || explained {
            continue;
        }
        let ids = group.ids.join(", ");
        lines.push(format!("     {ids}"));
        lines.extend(group.reasons.iter().map(|why| format!("       {why}")));
    }
    lines
}

fn plain(event: &Event, colour: bool, out: &mut impl Write) {
    let mut text = lines(event, colour).join("\n");
    if !text.is_empty() {
        text.push('\n');
        // Whoever closed standard error doesn't want progress; the run goes on.
        let _ = out.write_all(text.as_bytes());
    }
}

/// The running boots, each on its line.
struct Live {
    all: MultiProgress,
    running: HashMap<SuiteId, ProgressBar>,
    style: ProgressStyle,
    colour: bool,
}

impl Live {
    fn new(target: ProgressDrawTarget, colour: bool) -> Self {
        let template = "     {prefix:24} {msg:48} {pos:>2}/{len} proofs {elapsed:>4}";
        // The template is a constant that the tests draw with; a plain bar would do as well.
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self {
            all: MultiProgress::with_draw_target(target),
            running: HashMap::new(),
            style,
            colour,
        }
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::BootStarted { suite, planned } => {
                let bar = self.all.add(ProgressBar::new(*planned as u64));
                bar.set_style(self.style.clone());
                bar.set_prefix(suite.to_string());
                bar.enable_steady_tick(TICK);
                self.running.insert(suite.clone(), bar);
            }
            Event::PhaseChanged { suite, phase } => {
                if let Some(bar) = self.running.get(suite) {
                    bar.set_message(phase_text(phase));
                }
            }
            Event::ProofFinished { suite, .. } => {
                if let Some(bar) = self.running.get(suite) {
                    bar.inc(1);
                }
            }
            Event::BootFinished(result) => {
                if let Some(bar) = self.running.remove(&result.suite) {
                    bar.finish_and_clear();
                    self.all.remove(&bar);
                }
            }
            Event::Notice(_) => {}
        }
        for line in lines(event, self.colour) {
            // As for plain lines: a terminal that is gone must not end the run.
            let _ = self.all.println(line);
        }
    }
}

fn phase_text(phase: &Phase) -> String {
    match phase {
        Phase::Launching => "launching".to_string(),
        Phase::Booting => "booting".to_string(),
        Phase::Proving(id) => id.clone(),
        Phase::Ending => "ending".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::report::samples;

    fn events() -> Vec<Event> {
        let mut events = vec![Event::Notice(
            "KVM can't run a kernel here; using TCG".into(),
        )];
        for result in samples::results() {
            let suite = result.suite.clone();
            let planned = result.proofs.len();
            let id = result.proofs[0].id.clone();
            let phase = |phase| Event::PhaseChanged {
                suite: suite.clone(),
                phase,
            };
            events.push(Event::BootStarted {
                suite: suite.clone(),
                planned,
            });
            events
                .extend([Phase::Launching, Phase::Booting, Phase::Proving(id.clone())].map(phase));
            events.push(Event::ProofFinished { suite, id });
            events.push(Event::BootFinished(Box::new(result)));
        }
        events
    }

    #[test]
    fn plain_lines_tell_each_boots_end_and_every_failures_reasons() {
        let mut out = Vec::new();
        for event in events() {
            plain(&event, false, &mut out);
        }
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn a_closed_standard_error_ends_nothing() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        for event in events() {
            plain(&event, false, &mut Closed);
        }
    }

    #[test]
    fn each_running_boot_has_a_line_with_its_phase_and_proofs() {
        let mut live = Live::new(ProgressDrawTarget::hidden(), false);
        let mut events = events().into_iter();
        for event in events.by_ref().take(6) {
            live.take(&event);
        }
        let bar = &live.running[&samples::suite("6.12", "no-bpf-lsm")];
        assert_eq!(bar.prefix(), "6.12/no-bpf-lsm");
        assert_eq!(bar.message(), "promotes-to-enforce-signal");
        assert_eq!((bar.position(), bar.length()), (1, Some(3)));
        for event in events {
            live.take(&event);
        }
        assert!(live.running.is_empty());
    }

    #[test]
    fn events_of_an_unknown_boot_are_no_panic() {
        let mut live = Live::new(ProgressDrawTarget::hidden(), false);
        for event in events().into_iter().rev() {
            live.take(&event);
        }
    }

    #[test]
    fn it_ends_with_the_last_sender() {
        let (sender, receiver) = mpsc::channel();
        let screen = Screen {
            live: false,
            colour: false,
        };
        let progress = Progress::start(receiver, screen);
        sender.send(Event::Notice(String::new())).unwrap();
        drop(sender);
        progress.finish();
    }
}
