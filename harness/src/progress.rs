//! What a person sees while something slow goes on, on standard error.
//!
//! In: steps and lines worth keeping. Out: on a terminal one line that changes, with the
//! lines above it; elsewhere plain lines, one for each step.

use std::{io::IsTerminal as _, sync::Mutex};

use indicatif::{ProgressBar, ProgressStyle};

use crate::tell;

/// Where slow work tells what it is at.
pub trait Progress: Sync {
    /// Something to remember: stays on the screen.
    fn line(&self, text: &str);
    /// What is being done now, and how much of it is done where that is known.
    fn step(&self, what: &str, percent: Option<u64>);
    /// Nothing is being done any more.
    fn idle(&self);
}

/// Standard error.
pub struct Terminal {
    bar: Option<ProgressBar>,
    last: Mutex<String>,
}

impl Terminal {
    /// Draws on a terminal, and prints lines elsewhere.
    pub fn new() -> Self {
        let style = ProgressStyle::with_template("{prefix} {wide_msg}");
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::no_length();
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        Self {
            bar,
            last: Mutex::default(),
        }
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for Terminal {
    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| tell::err(text)),
            None => tell::err(text),
        }
    }

    fn step(&self, what: &str, percent: Option<u64>) {
        if let Some(bar) = &self.bar {
            // It was cleared when the work before this ended.
            if bar.is_finished() {
                bar.reset();
            }
            bar.set_prefix(percent.map_or_else(|| "    ".to_owned(), |p| format!("{p:>3}%")));
            bar.set_message(what.to_owned());
            bar.tick();
            return;
        }
        // Percentages would fill a log; the step itself is worth one line.
        let mut last = self.last.lock().unwrap_or_else(|e| e.into_inner());
        if *last != what {
            tell::err(what);
            what.clone_into(&mut last);
        }
    }

    fn idle(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Keeps the lines worth keeping, for tests to read.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Lines(Mutex<Vec<String>>);

#[cfg(test)]
impl Lines {
    /// What was told so far.
    pub(crate) fn told(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[cfg(test)]
impl Progress for Lines {
    fn line(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
    fn step(&self, _: &str, _: Option<u64>) {}
    fn idle(&self) {}
}
