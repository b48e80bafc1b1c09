//! The edge to the tally: what the kernel side counts, in the agent's own memory.
//!
//! In: the tally's map. Out: its numbers, without a call. See [`crate::kernel::real_time`] for what a
//! call would cost whoever is to be denied meanwhile.

use std::io;
use std::os::fd::AsFd as _;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result};
use aya::maps::MapData;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::kernel::abi;

/// The tally, mapped into memory until it is dropped.
pub struct Tally {
    at: NonNull<abi::Tally>,
}

/// Of the mapping; the kernel rounds it up to whole pages.
const LEN: usize = size_of::<abi::Tally>();

// SAFETY: it is memory that any thread may use; only atomics are in it.
unsafe impl Send for Tally {}

impl Tally {
    /// Maps it.
    ///
    /// # Errors
    /// The kernel's, with the way out.
    pub fn map(map: &MapData) -> Result<Self> {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: at no address of ours, so it takes nobody's place.
        let at = unsafe { mmap(ptr::null_mut(), LEN, protection, flags, map.fd().as_fd(), 0) };
        let at = at.map_err(io::Error::from);
        let at = at.context("failed to map the tally, which kernels do from 5.5 on")?;
        let at = NonNull::new(at.cast()).context("the tally was mapped nowhere")?;
        Ok(Self { at })
    }

    fn now(&self) -> &abi::Tally {
        // SAFETY: mapped until the drop, aligned to a page, as large as the one entry of the map
        // is, and all zeros at first; kernel side and agent change it by atomics only.
        unsafe { self.at.as_ref() }
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

    /// How many signals the kernel refused to send to whoever broke a rule.
    pub fn signals_refused(&self) -> u64 {
        self.now().signals_refused.load(Ordering::SeqCst)
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        // SAFETY: it was mapped so, and nobody can refer to it any more.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), LEN) };
    }
}
