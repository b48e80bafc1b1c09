//! Printing events, and keeping account of those that got nowhere.
//!
//! In: the event ring. Out: lines on stdout. A reader of events that goes away must not end
//! enforcement: what can't be printed is counted, and told in the log and the report.

use std::io::{self, BufWriter, Write as _};

use anyhow::Result;
use aya::maps::{MapData, RingBuf};
use jiff::Timestamp;

use crate::event::{Clock, Event};
use crate::log;
use crate::notice::Notice;
use crate::sabotage::{self, Mutant};
use crate::session::Session;

/// How many events are printed before the agent looks at its signals again.
const AT_ONCE: usize = 256;

/// The account of events.
#[derive(Debug, Default)]
pub struct Printer {
    /// Events that stdout didn't take.
    unprinted: u64,
    /// Lost events that the log knows of.
    told: u64,
    /// Why a rule wasn't kept, since somebody last asked.
    missed: Option<String>,
}

impl Printer {
    /// Events that got out of the ring and nowhere else.
    pub fn unprinted(&self) -> u64 {
        self.unprinted
    }

    /// Prints some of what is in the ring; whether it is empty now.
    pub fn some(&mut self, ring: &mut RingBuf<MapData>, session: &Session) -> bool {
        self.print(ring, session, AT_ONCE)
    }

    /// Prints all that is in the ring.
    pub fn all(&mut self, ring: &mut RingBuf<MapData>, session: &Session) {
        self.print(ring, session, usize::MAX);
    }

    /// Why a rule wasn't kept, if an event since the last time said so.
    pub fn take_missed(&mut self) -> Option<String> {
        self.missed.take()
    }

    /// Prints a notice.
    pub fn notice(&mut self, notice: &Notice) {
        let mut out = io::stdout().lock();
        let printed = notice
            .write(Timestamp::now(), &mut out)
            .and_then(|()| out.flush());
        if let Err(error) = printed {
            self.unprinted += 1;
            log::error(format_args!("failed to print a notice: {error}"));
        }
    }

    /// Tells the log of events that were lost since the last time; whether there were any.
    pub fn tell_lost(&mut self, session: &Session) -> Result<bool> {
        let lost = session.events_lost()? + self.unprinted;
        let new = lost - self.told;
        if new == 0 {
            return Ok(false);
        }
        self.told = lost;
        log::error(format_args!(
            "{new} events were lost, {lost} since the start: the ring was full, or stdout failed"
        ));
        Ok(true)
    }

    fn print(&mut self, ring: &mut RingBuf<MapData>, session: &Session, limit: usize) -> bool {
        let mut out = BufWriter::new(io::stdout().lock());
        let clock = Clock::now();
        let mut taken = 0;
        let mut outcome = Ok(());
        let empty = loop {
            if taken == limit {
                break false;
            }
            let Some(record) = ring.next() else {
                break true;
            };
            taken += 1;
            if sabotage::is(Mutant::DropsEverySecondEvent) && sabotage::is_second() {
                continue;
            }
            match Event::read(&record, session, clock) {
                Some(event) => {
                    if event.missed() {
                        self.missed.get_or_insert_with(|| missed(&event));
                    }
                    outcome = outcome.and_then(|()| event.write(&mut out));
                }
                None => log::error("a record in the event ring isn't an event"),
            }
        };
        if let Err(error) = outcome.and_then(|()| out.flush()) {
            // Which of the lines still got out isn't known: rather one too many than too few.
            self.unprinted += taken as u64;
            log::error(format_args!("failed to print events: {error}"));
        }
        empty
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
