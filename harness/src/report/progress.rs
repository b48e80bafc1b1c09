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
use crate::columns::{self, Align};
use crate::outcome::{BootResult, Status, SuiteId};
use crate::run::event::{Event, Phase};

/// How often the elapsed times move on.
const TICK: Duration = Duration::from_millis(250);

/// A running boot: which, its phase, proofs done of those planned, time since launch. What
/// is too long for the terminal is cut from the phase.
const TEMPLATE: &str = "     {prefix:22} {wide_msg} {pos:>2}/{len:<2} {elapsed:>4}";

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
            let mut out = std::io::stderr();
            if screen.live {
                let mut live = Live::new(ProgressDrawTarget::stderr(), out, screen.colour);
                events.iter().for_each(|event| live.take(&event));
            } else {
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
    let width = Word::Fail.text().len();
    let mut lines = vec![format!(
        "{} {}: {} in {:.1} s",
        columns::padded(&word.painted(colour), width, Align::Left),
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
    write(&lines(event, colour), out);
}

fn write(lines: &[String], out: &mut impl Write) {
    let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    // Whoever closed standard error doesn't want progress; the run goes on.
    let _ = out.write_all(text.as_bytes());
}

/// The running boots, each on its line, and what stays above them.
struct Live<W> {
    all: MultiProgress,
    out: W,
    running: HashMap<SuiteId, ProgressBar>,
    style: ProgressStyle,
    colour: bool,
}

impl<W: Write> Live<W> {
    fn new(target: ProgressDrawTarget, out: W, colour: bool) -> Self {
        // A test holds the constant to be a template; a plain bar would do as well.
        let style =
            ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self {
            all: MultiProgress::with_draw_target(target),
            out,
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
        let lines = lines(event, self.colour);
        if !lines.is_empty() {
            // The bars make room meanwhile. Their own way of printing pads lines instead of
            // ending them, which spoils whatever is written next.
            self.all.suspend(|| write(&lines, &mut self.out));
        }
    }
}

fn phase_text(phase: &Phase) -> String {
    match phase {
        Phase::Launching => "launching".to_string(),
        Phase::Booting => "booting".to_string(),
        Phase::Proving(id) => id.clone(),
        Phase::Measuring(lives) => format!("{lives} lives measured"),
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
    fn the_template_is_one() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }

    #[test]
    fn each_running_boot_has_a_line_with_its_phase_and_proofs() {
        let mut live = Live::new(ProgressDrawTarget::hidden(), Vec::new(), false);
        let all = events();
        let mut events = all.iter();
        for event in events.by_ref().take(6) {
            live.take(event);
        }
        let bar = &live.running[&samples::suite("6.12", "no-bpf-lsm")];
        assert_eq!(bar.prefix(), "6.12/no-bpf-lsm");
        assert_eq!(bar.message(), "promotes-to-enforce-signal");
        assert_eq!((bar.position(), bar.length()), (1, Some(3)));
        for event in events {
            live.take(event);
        }
        assert!(live.running.is_empty());
        let mut same = Vec::new();
        all.iter().for_each(|event| plain(event, false, &mut same));
        assert_eq!(
            live.out, same,
            "what stays is the same as without a terminal"
        );
    }

    #[test]
    fn events_of_an_unknown_boot_are_no_panic() {
        let mut live = Live::new(ProgressDrawTarget::hidden(), Vec::new(), false);
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
