//! What the agent tells on standard output, line by line, and waiting for the next line.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

/// The lines so far. Whoever reads the pipe adds to them; whoever waits, listens.
#[derive(Default)]
pub struct Told {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Default)]
struct Lines {
    told: Vec<Value>,
    ended: bool,
}

/// Hears every line from when it began to listen.
pub struct Listener<'a> {
    told: &'a Told,
    next: usize,
    limit: Duration,
}

/// Whoever reads the agent's standard output, standing still until this is dropped.
pub struct Held<'a>(#[expect(dead_code)] MutexGuard<'a, Lines>);

impl Told {
    /// Keeps whoever reads from reading on. Nobody can hear anything meanwhile.
    pub fn hold(&self) -> Held<'_> {
        Held(self.lines())
    }

    /// Adds a line.
    pub fn add(&self, line: Value) {
        self.lines().told.push(line);
        self.more.notify_all();
    }

    /// There will be no more.
    pub fn end(&self) {
        self.lines().ended = true;
        self.more.notify_all();
    }

    /// Listens from now on, to each line for no longer than the limit.
    pub fn listen(&self, limit: Duration) -> Listener<'_> {
        let next = self.lines().told.len();
        Listener {
            told: self,
            next,
            limit,
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        // A reader that panicked leaves whole lines.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener<'_> {
    /// The next line that is wanted; those before it are passed over.
    ///
    /// # Errors
    /// The limit passed, or the agent closed its standard output.
    pub fn hear(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + self.limit;
        let told = self.told;
        let mut lines = told.lines();
        loop {
            for line in &lines.told[self.next..] {
                self.next += 1;
                if wanted(line) {
                    return Ok(line.clone());
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.ended {
                bail!("the agent ended without telling of {what}");
            }
            if left.is_zero() {
                bail!("{what}: nothing within {} s", self.limit.as_secs_f32());
            }
            let waited = told.more.wait_timeout(lines, left);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_listener_hears_what_is_told_after_it_began_and_each_line_once() {
        let told = Told::default();
        told.add(json!(1));
        let mut listener = told.listen(LONG);
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=3).for_each(|line| told.add(json!(line))));
            let odd = |line: &Value| line.as_u64().is_some_and(|line| line % 2 == 1);
            assert_eq!(listener.hear("odd", odd).expect("told"), 1);
            assert_eq!(listener.hear("odd", odd).expect("told"), 3);
        });
        told.end();
        let heard = listener
            .hear("more", |_| true)
            .map_err(|error| error.to_string());
        assert_eq!(
            heard,
            Err("the agent ended without telling of more".to_owned())
        );
    }

    #[test]
    fn a_wait_for_what_nobody_tells_ends_at_its_limit() {
        let told = Told::default();
        let heard = told.listen(Duration::ZERO).hear("silence", |_| true);
        let error = heard.map_err(|error| error.to_string());
        assert_eq!(error, Err("silence: nothing within 0 s".to_owned()));
    }
}
