//! Printing events, and keeping account of those that got nowhere.
//!
//! In: the event ring. Out: lines on stdout. A reader of events that goes away must not end
//! enforcement: what can't be printed is counted, and told in the log and the report. While one
//! stands still, events stay in the ring.

use std::io::{self, Stdout};

use aya::maps::{MapData, RingBuf};
use jiff::Timestamp;

use crate::output::event::{Clock, Event, RuleNames};
use crate::output::log;
use crate::output::notice::Notice;
use crate::output::writer::NonblockingWriter;

/// How many events are printed before the agent looks at its signals again.
const AT_ONCE: usize = 256;
/// More than the ring has room for: 256 KiB, and each event has room for a path of 256 bytes. Whoever
/// makes events as fast as they are printed mustn't keep the agent from verifying and stopping.
const IN_RING: usize = 1024;
/// How many are written together.
const BATCH: usize = 32;

/// The account of events.
#[derive(Debug)]
pub struct Printer {
    out: NonblockingWriter<Stdout>,
    /// Events that stdout didn't take.
    unprinted: u64,
    /// Lost events that the log knows of.
    told: u64,
    /// Why a rule wasn't kept, since somebody last asked.
    missed: Option<String>,
}

impl Default for Printer {
    fn default() -> Self {
        Self {
            out: NonblockingWriter::new(io::stdout()),
            unprinted: 0,
            told: 0,
            missed: None,
        }
    }
}

impl Printer {
    /// Whether it waits for the reader of stdout.
    pub fn is_stalled(&self) -> bool {
        self.out.is_stalled()
    }

    /// Passes on what waited.
    pub fn go_on(&mut self) {
        self.flush();
    }

    /// Gives up what the reader of stdout didn't take, and counts it.
    pub fn give_up(&mut self, ring: &mut RingBuf<MapData>) {
        self.unprinted += self.out.give_up();
        while ring.next().is_some() {
            self.unprinted += 1;
        }
    }

    /// How many events were taken out of the ring but not printed.
    pub fn unprinted(&self) -> u64 {
        self.unprinted
    }

    /// Counts notices that nobody is told of.
    pub fn untold(&mut self, notices: usize) {
        self.unprinted += notices as u64;
    }

    /// Prints some of what is in the ring, as far as stdout takes it; whether the ring is empty
    /// now.
    pub fn some(&mut self, ring: &mut RingBuf<MapData>, names: &impl RuleNames) -> bool {
        self.print(ring, names, AT_ONCE)
    }

    /// Prints all that is in the ring by now, as far as stdout takes it, and not what goes on coming.
    pub fn all(&mut self, ring: &mut RingBuf<MapData>, names: &impl RuleNames) {
        self.print(ring, names, IN_RING);
    }

    /// Why a rule wasn't kept, if an event since the last time said so.
    pub fn take_missed(&mut self) -> Option<String> {
        self.missed.take()
    }

    /// Prints a notice.
    pub fn notice(&mut self, notice: &Notice) {
        // What waits must not grow without end: the report says the same.
        if self.is_stalled() && !self.flush() {
            self.unprinted += 1;
            return;
        }
        let added = self.out.add(|out| notice.write(Timestamp::now(), out));
        if let Err(error) = added {
            self.unprinted += 1;
            log::error(format_args!("failed to print a notice: {error}"));
        }
        self.flush();
    }

    /// Tells the log of events that were lost since the last time; whether there were any.
    /// `in_ring` found the ring full, since the start.
    pub fn tell_lost(&mut self, in_ring: u64) -> bool {
        let lost = in_ring + self.unprinted;
        let new = lost - self.told;
        if new == 0 {
            return false;
        }
        self.told = lost;
        log::error(format_args!(
            "{new} events were lost, {lost} since the start: the ring was full, or stdout failed"
        ));
        true
    }

    fn print(&mut self, ring: &mut RingBuf<MapData>, names: &impl RuleNames, limit: usize) -> bool {
        let clock = Clock::now();
        let mut taken = 0;
        let empty = loop {
            if taken == limit || (taken % BATCH == 0 && !self.flush()) {
                break false;
            }
            let Some(record) = ring.next() else {
                break true;
            };
            taken += 1;
            match Event::read(&record, names, clock) {
                Some(event) => {
                    if event.missed() {
                        self.missed.get_or_insert_with(|| missed(&event));
                    }
                    if let Err(error) = self.out.add(|out| event.write(out)) {
                        self.unprinted += 1;
                        log::error(format_args!("failed to print an event: {error}"));
                    }
                }
                None => log::error("a record in the event ring isn't an event"),
            }
        };
        self.flush();
        empty
    }

    /// Passes on what waits; whether that is all.
    fn flush(&mut self) -> bool {
        self.out.flush().unwrap_or_else(|error| {
            self.unprinted += self.out.give_up();
            log::error(format_args!("failed to print events: {error}"));
            true
        })
    }
}

fn missed(event: &Event) -> String {
    format!(
        "{}: process {} broke the rule {}, and the signal helper returned {}",
        event.hook,
        event.tgid,
        event.rule,
        event.signal_result.unwrap_or_default()
    )
}
