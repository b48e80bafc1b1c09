//! The tally: what the kernel side counts, and which canary is out.
//!
//! In: the tally's map. Out: its numbers, without a call.

use std::sync::atomic::Ordering;

use anyhow::Result;
use aya::maps::MapData;

use super::abi;
use super::shared::Shared;

/// The tally, mapped into memory until it is dropped.
pub struct Tally {
    shared: Shared<abi::Tally>,
}

impl Tally {
    /// Maps it.
    ///
    /// # Errors
    /// The kernel's, with the way out.
    pub fn map(map: &MapData) -> Result<Self> {
        // SAFETY: the map has one entry of this type, which is made of atomics.
        let shared = unsafe { Shared::map(map, 1) }?;
        Ok(Self { shared })
    }

    fn now(&self) -> &abi::Tally {
        &self.shared.entries()[0]
    }

    /// Makes a process known as the canary of a hook.
    pub fn arm(&mut self, hook: u32, tgid: u32) {
        let tally = self.now();
        tally.canary_hits.store(0, Ordering::SeqCst);
        tally
            .canary
            .store(abi::canary(hook, tgid), Ordering::SeqCst);
    }

    /// Forgets the canary, and says how often its hook's program counted it.
    pub fn disarm(&mut self) -> u64 {
        self.now().canary.store(0, Ordering::SeqCst);
        self.now().canary_hits.load(Ordering::SeqCst)
    }

    /// How many events found the ring full.
    pub fn events_lost(&self) -> u64 {
        self.now().events_lost.load(Ordering::SeqCst)
    }

    /// How many acts weren't told of, being like too many before.
    pub fn events_repeated(&self) -> u64 {
        self.now().events_repeated.load(Ordering::SeqCst)
    }

    /// How many signals the kernel refused to send to whoever broke a rule.
    pub fn signals_refused(&self) -> u64 {
        self.now().signals_refused.load(Ordering::SeqCst)
    }
}
