//! The log: lines on stderr for people. Events, for machines, go to stdout. One call is one line,
//! whatever was put into it.
//!
//! A reader that stands still makes nobody wait: lines are left out then, and the next one that
//! gets out is preceded by how many. One that goes away ends nothing: with it would end
//! enforcement.

use std::fmt::{Display, Write as _};
use std::io::{self, Stderr, Write as _};
use std::os::fd::AsFd;
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::output::text;
use crate::output::writer::NonblockingWriter;

/// Something an operator may want to know.
pub fn info(message: impl Display) {
    plain(format_args!("aegisbpf: info: {message}"));
}

/// Something an operator should look into.
pub fn warn(message: impl Display) {
    plain(format_args!("aegisbpf: warning: {message}"));
}

/// Something that keeps a promise from being kept.
pub fn error(message: impl Display) {
    plain(format_args!("aegisbpf: error: {message}"));
}

/// A line as it is, for machines that were promised one on stderr.
pub fn plain(line: impl Display) {
    static LINES: LazyLock<Mutex<Lines<Stderr>>> =
        LazyLock::new(|| Mutex::new(Lines::new(io::stderr())));
    // Before it is this line's turn: what is told may want to tell something itself. What can't
    // be put into words is told as far as it can.
    let mut message = String::new();
    let _ = write!(message, "{line}");
    // Whoever panicked in there leaves an account that is still good.
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.tell(text::line(&message).as_bytes());
}

/// Lines on their way to whoever reads the log.
struct Lines<Fd> {
    out: NonblockingWriter<Fd>,
    /// Lines left out since one got out.
    left_out: u64,
}

impl<Fd: AsFd> Lines<Fd> {
    fn new(fd: Fd) -> Self {
        let (out, left_out) = (NonblockingWriter::new(fd), 0);
        Self { out, left_out }
    }

    /// Passes on a line, or leaves it out while the reader hasn't taken the one before.
    fn tell(&mut self, line: &[u8]) {
        self.pass_on();
        if self.out.is_stalled() {
            self.left_out += 1;
            return;
        }
        let untold = self.left_out;
        if untold > 0 {
            let notice =
                format!("aegisbpf: warning: {untold} lines were left out: nobody read them");
            self.add(notice.as_bytes());
        }
        self.add(line);
        if self.pass_on() {
            self.left_out -= untold;
        }
    }

    fn add(&mut self, line: &[u8]) {
        // Writing to memory doesn't fail.
        let _ = self.out.add(|out| out.write_all(&[line, b"\n"].concat()));
    }

    /// Writes what the reader takes now; whether that went well. That it didn't is told to
    /// nobody, since this is where all else that fails is told: the reader is gone, or the disk
    /// is full.
    fn pass_on(&mut self) -> bool {
        let written = self.out.flush().is_ok();
        if !written {
            self.out.give_up();
            self.left_out += 1;
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, pipe};

    use super::*;

    #[test]
    fn a_reader_that_went_away_ends_nothing() {
        let (reader, writer) = pipe().expect("a pipe");
        let mut lines = Lines::new(writer);
        drop(reader);
        for _ in 0..3 {
            lines.tell(b"to nobody");
            assert!(!lines.out.is_stalled());
        }
        assert_eq!(lines.left_out, 3);
    }

    #[test]
    fn a_full_disk_ends_nothing() {
        let full = File::options().write(true).open("/dev/full");
        let mut lines = Lines::new(full.expect("every Linux has it"));
        lines.tell(b"to nobody");
        assert!(!lines.out.is_stalled());
        assert_eq!(lines.left_out, 1);
    }

    #[test]
    fn a_reader_that_stands_still_gets_whole_lines_and_how_many_were_left_out() {
        let (mut reader, writer) = pipe().expect("a pipe");
        let mut lines = Lines::new(writer);
        // Longer than a pipe holds: no write may wait for the rest of it to be read.
        let long = "x".repeat(1 << 20) + "\nof two lines";
        lines.tell(long.as_bytes());
        assert!(lines.out.is_stalled());
        lines.tell(b"left out");
        lines.tell(b"left out too");
        let mut text = Vec::new();
        while lines.out.is_stalled() {
            let mut part = [0; 1 << 16];
            let length = reader.read(&mut part).expect("there is something");
            text.extend_from_slice(&part[..length]);
            lines.pass_on();
        }
        lines.tell(b"last");
        drop(lines);
        reader.read_to_end(&mut text).expect("the rest");
        let left_out = "aegisbpf: warning: 2 lines were left out: nobody read them";
        let expected = format!("{long}\n{left_out}\nlast\n");
        assert!(text == expected.as_bytes(), "{} bytes", text.len());
    }
}
