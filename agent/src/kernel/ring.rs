//! The edge to the event ring: waiting on it without blocking signals and verification.
//!
//! In: the ring's map. Out: its records, one at a time, or a wait for the next.

use anyhow::{Context as _, Result};
use aya::maps::{MapData, RingBuf};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The event ring in a tokio runtime.
pub struct EventRing {
    ring: AsyncFd<RingBuf<MapData>>,
}

impl EventRing {
    /// Watches a ring; to be called within the runtime.
    pub fn watch(ring: RingBuf<MapData>) -> Result<Self> {
        // SAFETY: the descriptor is the ring's map, which the ring owns and neither closes
        // nor replaces before it is dropped, and it is dropped after its registration.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) };
        let ring = ring.map_err(|error| error.into_parts().1);
        Ok(Self {
            ring: ring.context("failed to watch the event ring")?,
        })
    }

    /// Waits until there are records, then lets `read` take some. `read` says whether it
    /// took the last one; if not, the next wait ends at once.
    pub async fn readable(
        &mut self,
        read: impl FnOnce(&mut RingBuf<MapData>) -> bool,
    ) -> Result<()> {
        let guard = self.ring.readable_mut().await;
        let mut guard = guard.context("failed to wait for events")?;
        if read(guard.get_inner_mut()) {
            guard.clear_ready();
        }
        Ok(())
    }

    /// The ring, for reading what is there without waiting.
    pub fn now(&mut self) -> &mut RingBuf<MapData> {
        self.ring.get_mut()
    }
}
