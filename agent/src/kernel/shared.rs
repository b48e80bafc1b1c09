//! Memory that the kernel side and the agent share: the entries of an array map.
//!
//! In: a map that was made to be mapped. Out: its entries, without a call on the map. See
//! [`crate::kernel::real_time`] for what such a call costs whoever is to be denied meanwhile.

use std::io;
use std::os::fd::AsFd as _;
use std::ptr::{self, NonNull};

use anyhow::{Context as _, Result};
use aya::maps::MapData;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Entries of a type that both sides change by atomics only, mapped until this is dropped.
pub struct Shared<T> {
    at: NonNull<T>,
    count: usize,
}

// SAFETY: it is memory that any thread may use, and `T` is only ever lent out.
unsafe impl<T: Sync> Send for Shared<T> {}

impl<T> Shared<T> {
    /// Maps the first `count` entries.
    ///
    /// # Safety
    /// The map has that many entries of the size of `T`, for which all bytes are valid and which
    /// is changed by atomics only.
    ///
    /// # Errors
    /// The kernel's, with the way out.
    pub unsafe fn map(map: &MapData, count: usize) -> Result<Self> {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        let length = count * size_of::<T>();
        // SAFETY: at no address of ours, so it takes nobody's place.
        let at = unsafe {
            mmap(
                ptr::null_mut(),
                length,
                protection,
                flags,
                map.fd().as_fd(),
                0,
            )
        };
        let at = at.map_err(io::Error::from);
        let at = at.context("failed to map a BPF map into memory, which kernels do from 5.5 on")?;
        let at = NonNull::new(at.cast()).context("a BPF map was mapped nowhere")?;
        Ok(Self { at, count })
    }

    /// The entries.
    pub fn entries(&self) -> &[T] {
        // SAFETY: mapped until the drop, aligned to a page, and as long as the caller of `map`
        // said.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.count) }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: it was mapped so, and nobody can refer to it any more.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), self.count * size_of::<T>()) };
    }
}
