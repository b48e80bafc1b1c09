//! What the harness says: results on standard output, everything else on standard error.
//!
//! The library's macros end the process where nobody can be told, with an exit code that means
//! nothing here; the verdict of a run must not hang on who listens.

use std::io::{self, ErrorKind, Write};

use crate::exit::Result;

/// Writes results. A reader that has seen enough and closed the pipe is no error.
///
/// # Errors
/// They can't be written, e.g. to a full disk.
pub fn out(text: &str) -> Result {
    match write(io::stdout(), text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(anyhow::Error::new(error)
            .context("failed to write to standard output")
            .into()),
        _ => Ok(()),
    }
}

/// Writes a line about what goes on. Nobody is left to be told if that fails.
pub fn err(line: &str) {
    let _ = write(io::stderr(), &format!("{line}\n"));
}

fn write(mut stream: impl Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}
