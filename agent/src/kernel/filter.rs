//! The filter: the first question that the kernel side asks about an act, answered from bits.
//!
//! In: what rules are about, each a number in a space. Out: bits, so that the answer "no" is never
//! wrong: they are set before a rule is added and cleared after it was removed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::Result;
use aya::maps::MapData;

use super::abi::{FILTER_BENEATH, FILTER_SUPERBLOCK, InodeKey};
use super::readback::Difference;
use super::shared::Shared;

/// The map of the filter's bytes, which the object names after the variable's section.
pub const MAP: &str = ".bss.filter";

/// Something that a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// An inode's number, or an address.
    pub number: u64,
    /// What kind of number that is: `FILTER_BENEATH`, `FILTER_SUPERBLOCK`, or the inode's device.
    pub space: u32,
}

impl Subject {
    /// An inode.
    pub fn inode(key: &InodeKey) -> Self {
        Self {
            number: key.ino,
            space: key.dev,
        }
    }

    /// All that is beneath a folder, by the address of its inode.
    pub fn beneath(address: u64) -> Self {
        Self {
            number: address,
            space: FILTER_BENEATH,
        }
    }

    /// A superblock, by its address.
    pub fn superblock(address: u64) -> Self {
        Self {
            number: address,
            space: FILTER_SUPERBLOCK,
        }
    }

    /// The places of its two bits, before they are cut to the filter's size; the first is of its
    /// number alone. `bpf/core/filter.h` computes the same.
    fn hashes(self) -> [u32; 2] {
        let hash = self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = hash ^ hash >> 29 ^ u64::from(self.space);
        let again = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        [hash, again].map(|hash| (hash >> 32) as u32)
    }
}

/// Bytes for each subject, which sets two bits: hardly one in some thousands is taken for another.
const BYTES_EACH: usize = 16;
/// Half a MiB; more would not stay in a processor's cache.
const MOST_BYTES: usize = 1 << 19;
/// A page: the kernel gives no less.
const FEWEST_BYTES: usize = 1 << 12;

/// How many bytes a filter for so many subjects has: a power of two.
pub fn bytes(subjects: usize) -> usize {
    let bytes = subjects.saturating_mul(BYTES_EACH);
    bytes.clamp(FEWEST_BYTES, MOST_BYTES).next_power_of_two()
}

/// The filter's bits, mapped into memory until it is dropped.
pub struct Filter {
    bytes: Shared<AtomicU8>,
    /// The bits that are set; `None` where that isn't known.
    held: Option<BTreeSet<u32>>,
}

impl Filter {
    /// Maps a filter of so many bytes, in which no bit is set.
    ///
    /// # Errors
    /// The kernel's, with the way out.
    pub fn map(map: &MapData, bytes: usize) -> Result<Self> {
        Ok(Self {
            // SAFETY: the map was made with so many entries of this size.
            bytes: unsafe { Shared::map(map, bytes) }?,
            held: Some(BTreeSet::new()),
        })
    }

    /// Sets the bits of these subjects. To be called before rules on them are added.
    pub fn add(&mut self, subjects: &[Subject]) {
        for bit in self.bits(subjects) {
            self.byte(bit).fetch_or(mask(bit), Ordering::SeqCst);
            if let Some(held) = &mut self.held {
                held.insert(bit);
            }
        }
    }

    /// Clears every bit but theirs. To be called after rules on others were removed.
    pub fn keep_only(&mut self, subjects: &[Subject]) {
        let wanted = self.bits(subjects);
        match self.held.take() {
            Some(held) => {
                for &bit in held.difference(&wanted) {
                    self.byte(bit).fetch_and(!mask(bit), Ordering::SeqCst);
                }
            }
            None => {
                let bytes = self.wanted(&wanted);
                for (byte, wanted) in self.bytes.entries().iter().zip(bytes) {
                    byte.store(wanted, Ordering::SeqCst);
                }
            }
        }
        self.held = Some(wanted);
    }

    /// Compares the bits with those that were set. Where they differ, the next
    /// [`Filter::keep_only`] writes them all.
    pub fn check(&mut self) -> Difference<u32> {
        let Some(held) = &self.held else {
            return Difference::none();
        };
        let difference = differing(&self.wanted(held), self.bytes.entries());
        if !difference.is_none() {
            self.held = None;
        }
        difference
    }

    /// Whether what rules are about has one of these bits.
    pub fn has_any(&self, subject: Subject, bits: &BTreeSet<u32>) -> bool {
        self.bits(&[subject]).iter().any(|bit| bits.contains(bit))
    }

    /// The bytes in which these bits are set.
    fn wanted(&self, bits: &BTreeSet<u32>) -> Vec<u8> {
        let mut bytes = vec![0; self.bytes.entries().len()];
        for &bit in bits {
            bytes[self.place(bit)] |= mask(bit);
        }
        bytes
    }

    fn bits(&self, subjects: &[Subject]) -> BTreeSet<u32> {
        let bits = u32::try_from(self.bytes.entries().len() * 8 - 1).unwrap_or(u32::MAX);
        let hashes = subjects.iter().flat_map(|subject| subject.hashes());
        hashes.map(|hash| hash & bits).collect()
    }

    fn place(&self, bit: u32) -> usize {
        (bit >> 3) as usize & (self.bytes.entries().len() - 1)
    }

    fn byte(&self, bit: u32) -> &AtomicU8 {
        &self.bytes.entries()[self.place(bit)]
    }
}

/// Which bits aren't set that are to be, and which are that aren't.
fn differing(wanted: &[u8], found: &[AtomicU8]) -> Difference<u32> {
    let (mut broken, mut foreign) = (Vec::new(), Vec::new());
    for ((place, wanted), found) in (0..).step_by(8).zip(wanted).zip(found) {
        let found = found.load(Ordering::SeqCst);
        if found != *wanted {
            let set = |byte: u8| (0..8).filter(move |bit| byte >> bit & 1 == 1);
            broken.extend(set(wanted & !found).map(|bit| place + bit));
            foreign.extend(set(found & !wanted).map(|bit| place + bit));
        }
    }
    Difference { broken, foreign }
}

fn mask(bit: u32) -> u8 {
    1 << (bit & 7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bit_that_is_missing_or_foreign_is_told_by_its_place() {
        let found = [0b1000_0001, 0, 0b10].map(AtomicU8::new);
        let difference = differing(&[0b1, 0b100, 0b10], &found);
        assert_eq!(difference.broken, [10]);
        assert_eq!(difference.foreign, [7]);
        assert!(differing(&[0x81, 0, 2], &found).is_none());
    }

    #[test]
    fn a_filter_grows_with_the_policy_up_to_half_a_mebibyte() {
        assert_eq!(bytes(0), 4096);
        assert_eq!(bytes(1000), 16_384);
        assert_eq!(bytes(40_000), 524_288);
        assert_eq!(bytes(usize::MAX), 524_288);
    }

    proptest! {
        #[test]
        fn sizes_are_powers_of_two_with_room(subjects in 0_usize..100_000) {
            let bytes = bytes(subjects);
            prop_assert!(bytes.is_power_of_two());
            prop_assert!(bytes * 8 >= subjects.min(1 << 22));
        }
    }
}
