//! What an agent gives out: its report, its events, its standard error.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::acts::told::Told;

/// Kept of standard error when the agent ends badly.
const STDERR_TAIL: usize = 4096;

pub(super) fn read_report(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("reading the report {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("parsing {}", path.display()))
}

/// Reads all that it tells, and passes each line on as it comes.
pub(super) fn read_events(stdout: impl Read, told: &Told) -> Result<Vec<Value>> {
    let events = read_lines(stdout, told);
    told.end();
    events
}

fn read_lines(stdout: impl Read, told: &Told) -> Result<Vec<Value>> {
    BufReader::new(stdout)
        .lines()
        .map(|line| {
            let line = line.context("reading the agent's events")?;
            let event: Value = serde_json::from_str(&line)
                .with_context(|| format!("an event that isn't JSON: {line}"))?;
            told.add(event.clone());
            Ok(event)
        })
        .collect()
}

pub(super) fn read_text(mut stream: impl Read) -> String {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if let Err(error) = read {
        text.push_str(&format!("\n(reading it broke off: {error})"));
    }
    text
}

/// The last [`STDERR_TAIL`] bytes or a little less, cut at a character.
pub(super) fn tail(text: &str) -> &str {
    let mut from = text.len().saturating_sub(STDERR_TAIL);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_json_is_an_error() {
        assert!(read_events(&b"{}\n{}\n"[..], &Told::default()).is_ok());
        assert!(read_events(&b"{}\nready\n"[..], &Told::default()).is_err());
    }

    #[test]
    fn a_tail_is_cut_at_a_character() {
        let text = "\u{e9}".repeat(STDERR_TAIL);
        let tail = tail(&text);
        assert!(tail.len() <= STDERR_TAIL && text.ends_with(tail));
        assert_eq!(super::tail("short"), "short");
    }
}
