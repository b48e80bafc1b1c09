//! Standard output and standard error, as far as they take lines without waiting: a reader
//! that stands still must keep the agent neither from verifying nor from stopping.
//!
//! In: lines. Out: whole writes of no more than a pipe surely takes once it says that it takes
//! any (`PIPE_BUF`, from pipe(7)), so that none of them blocks.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Bytes that are written at once: `PIPE_BUF`.
const AT_ONCE: usize = 4096;

/// Whether a write of up to `PIPE_BUF` bytes wouldn't block. A closed reader is no reason to
/// wait: the write says so.
pub fn takes(fd: BorrowedFd) -> bool {
    let mut polled = [PollFd::new(&fd, PollFlags::OUT)];
    // A descriptor that can't be polled can't be waited for either.
    poll(&mut polled, Some(&Timespec::default())).map_or(true, |ready| ready > 0)
}

/// Prints the answer of a command that only gives one, and may wait for its reader.
///
/// # Errors
/// Standard output's, where `println!` would panic.
pub fn answer(text: impl Display) -> Result<()> {
    let mut out = io::stdout();
    let printed = writeln!(out, "{text}").and_then(|()| out.flush());
    printed.context("failed to print the answer")
}

/// Waits until the reader takes more; to be called within a runtime.
///
/// # Errors
/// The descriptor can't be waited for.
pub async fn room(fd: impl AsFd) -> io::Result<()> {
    let fd: OwnedFd = fd.as_fd().try_clone_to_owned()?;
    // SAFETY: the descriptor is this future's own, and is closed after its registration.
    let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::WRITABLE) };
    let fd = fd.map_err(|error| error.into_parts().1)?;
    fd.writable().await.map(drop)
}

/// Lines on their way out.
#[derive(Debug)]
pub struct NonblockingWriter<Fd> {
    fd: Fd,
    waiting: Vec<u8>,
    /// How many of the waiting lines aren't wholly out.
    lines: u64,
}

impl<Fd: AsFd> NonblockingWriter<Fd> {
    /// With nothing waiting.
    pub fn new(fd: Fd) -> Self {
        Self {
            fd,
            waiting: Vec::new(),
            lines: 0,
        }
    }

    /// Adds lines, without writing anything yet.
    ///
    /// # Errors
    /// What `write` gives.
    pub fn add(&mut self, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        let before = self.waiting.len();
        let written = write(&mut self.waiting);
        self.lines += lines(&self.waiting[before..]);
        written
    }

    /// Writes what can be written now; whether that is all.
    ///
    /// # Errors
    /// The descriptor's. What was waiting is given up then; [`NonblockingWriter::give_up`] counts it.
    pub fn flush(&mut self) -> io::Result<bool> {
        let mut done = 0;
        let all = loop {
            let rest = &self.waiting[done..];
            if rest.is_empty() {
                break true;
            }
            if !takes(self.fd.as_fd()) {
                break false;
            }
            done += rustix::io::write(&self.fd, whole_lines(rest))?;
        };
        self.lines -= lines(&self.waiting[..done]);
        self.waiting.drain(..done);
        Ok(all)
    }

    /// Whether lines wait for the reader.
    pub fn is_stalled(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Forgets what waits, and says how many lines that is.
    pub fn give_up(&mut self) -> u64 {
        self.waiting.clear();
        std::mem::take(&mut self.lines)
    }
}

/// How many lines end in the text.
fn lines(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// As many lines as are written at once; of a longer line, a part. So what is given up is given
/// up between two lines.
fn whole_lines(text: &[u8]) -> &[u8] {
    let at_once = &text[..text.len().min(AT_ONCE)];
    let last = at_once.iter().rposition(|byte| *byte == b'\n');
    last.map_or(at_once, |last| &at_once[..=last])
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, PipeWriter, Read as _, pipe};

    use super::*;

    fn outlet() -> (PipeReader, NonblockingWriter<PipeWriter>) {
        let (reader, writer) = pipe().expect("a pipe");
        (reader, NonblockingWriter::new(writer))
    }

    fn line(number: usize) -> String {
        format!("{number} {}\n", "x".repeat(700))
    }

    fn add(outlet: &mut NonblockingWriter<PipeWriter>, number: usize) {
        let line = line(number);
        outlet
            .add(|out| {
                out.extend(line.bytes());
                Ok(())
            })
            .expect("memory takes it");
    }

    #[test]
    fn a_reader_that_stands_still_makes_nobody_wait_and_loses_nothing() {
        let (mut reader, mut outlet) = outlet();
        // Far more than a pipe holds.
        for number in 0..1000 {
            add(&mut outlet, number);
        }
        assert!(!outlet.flush().expect("the reader is there"));
        assert!(outlet.is_stalled());
        let lines = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_io().build().expect("a runtime");
        runtime.block_on(async {
            while !outlet.flush().expect("the reader is there") {
                room(&outlet.fd).await.expect("a pipe can be waited for");
            }
        });
        assert!(!outlet.is_stalled());
        assert_eq!(outlet.give_up(), 0);
        drop(outlet);
        let text = lines.join().expect("it reads").expect("it reads on");
        assert_eq!(text, (0..1000).map(line).collect::<String>());
    }

    #[test]
    fn what_is_given_up_is_counted_by_the_line() {
        let (mut reader, mut outlet) = outlet();
        for number in 0..1000 {
            add(&mut outlet, number);
        }
        assert!(!outlet.flush().expect("the reader is there"));
        let given_up = outlet.give_up();
        assert!(!outlet.is_stalled());
        drop(outlet);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("what got out");
        let got_out = text.lines().count();
        assert_eq!(text, (0..got_out).map(line).collect::<String>());
        assert!(got_out > 0 && given_up > 0);
        assert_eq!(got_out as u64 + given_up, 1000);
    }

    #[test]
    fn lines_are_written_whole_unless_one_is_longer_than_all_that_is_written_at_once() {
        assert_eq!(whole_lines(b"one\ntwo\nthr"), b"one\ntwo\n");
        assert_eq!(whole_lines(b"one"), b"one");
        let long = vec![b'x'; AT_ONCE + 1];
        assert_eq!(whole_lines(&long).len(), AT_ONCE);
    }

    #[test]
    fn a_reader_that_went_away_is_an_error_and_no_wait() {
        let (reader, mut outlet) = outlet();
        drop(reader);
        add(&mut outlet, 1);
        add(&mut outlet, 2);
        let error = outlet.flush().expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(outlet.give_up(), 2);
    }
}
