//! Where the time of a configuration goes, for whoever wants to make the proofs quicker.

use std::time::Instant;

/// Laps, one for each phase.
pub struct Stopwatch {
    lap: Instant,
    laps: Vec<String>,
}

impl Stopwatch {
    /// Starts the first lap.
    pub fn start() -> Self {
        Self {
            lap: Instant::now(),
            laps: Vec::new(),
        }
    }

    /// Ends a lap, and starts the next.
    pub fn lap(&mut self, phase: &str) {
        let took = self.lap.elapsed().as_millis();
        self.laps.push(format!("{phase} {took} ms"));
        self.lap = Instant::now();
    }

    /// All laps, as a line.
    pub fn laps(&self) -> String {
        self.laps.join(", ")
    }
}
