//! What the maps were found to hold, against what the agent put there.
//!
//! In: what a map is to hold, and whoever reads its entries back, one by one. Out: which differ.
//! Pure.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// How what was found in a map differs from what is to be there.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference<K> {
    /// Keys that are missing, or have another value.
    pub broken: Vec<K>,
    /// Keys that nobody put there.
    pub foreign: Vec<K>,
}

impl<K> Difference<K> {
    /// No difference.
    pub fn none() -> Self {
        Self {
            broken: Vec::new(),
            foreign: Vec::new(),
        }
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.broken.is_empty() && self.foreign.is_empty()
    }
}

/// Compares what a map is to hold with what `read` finds there, entry by entry. One may come twice,
/// where somebody writes meanwhile.
///
/// # Errors
/// Those of `read`.
pub fn compare<K: Clone + Eq + Hash, V: PartialEq, E>(
    expected: &HashMap<K, V>,
    read: impl FnOnce(&mut dyn FnMut(K, &V)) -> Result<(), E>,
) -> Result<Difference<K>, E> {
    let mut intact = HashSet::with_capacity(expected.len());
    let mut foreign = Vec::new();
    read(&mut |key, value| match expected.get_key_value(&key) {
        Some((key, expected)) if expected == value => {
            intact.insert(key);
        }
        // It isn't intact, and so broken.
        Some(_) => {}
        None => foreign.push(key),
    })?;
    let broken = expected.keys().filter(|key| !intact.contains(key));
    let broken = broken.cloned().collect();
    Ok(Difference { broken, foreign })
}

/// What an index of the exempt cgroups was found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exempted {
    /// The index.
    pub index: u32,
    /// The cgroup's id; `None` where the kernel's memory can't be read.
    pub cgroup: Option<u64>,
}

/// Compares exempt cgroups, which stand from index 0 without a gap: broken are those that aren't
/// exempt though they are to be, and foreign those that are though nobody exempted them, each by its
/// id, which is 0 where that isn't known.
pub fn compare_exempt(expected: &[u64], found: &[Exempted]) -> Difference<u64> {
    let at = |index: u32| expected.get(index as usize).copied();
    let is_right = |slot: &Exempted| match (at(slot.index), slot.cgroup) {
        (Some(expected), Some(found)) => expected == found,
        (expected, None) => expected.is_some(),
        (None, Some(_)) => false,
    };
    let intact: HashSet<u32> = { found.iter() }
        .filter(|slot| is_right(slot))
        .map(|slot| slot.index)
        .collect();
    let broken = (0..).zip(expected);
    let broken = broken.filter(|(index, _)| !intact.contains(index));
    let foreign = found.iter().filter(|slot| !is_right(slot));
    Difference {
        broken: broken.map(|(_, id)| *id).collect(),
        foreign: foreign.map(|slot| slot.cgroup.unwrap_or(0)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compare(expected: &[(u8, u8)], found: &[(u8, u8)]) -> Difference<u8> {
        let expected: HashMap<u8, u8> = expected.iter().copied().collect();
        let read = |take: &mut dyn FnMut(u8, &u8)| {
            found.iter().for_each(|(key, value)| take(*key, value));
            Ok::<(), std::convert::Infallible>(())
        };
        let Ok(mut difference) = super::compare(&expected, read);
        difference.broken.sort_unstable();
        difference
    }

    #[test]
    fn what_is_missing_altered_or_foreign_is_told_and_nothing_else() {
        for (found, broken, foreign) in [
            (&[(1, 10), (2, 20), (3, 30)][..], &[][..], &[][..]),
            (&[(3, 30), (1, 10), (2, 20), (1, 10)], &[], &[]),
            (&[(1, 10), (3, 30)], &[2], &[]),
            (&[(1, 10), (2, 21), (3, 30)], &[2], &[]),
            (&[(1, 10), (2, 20), (3, 30), (4, 40)], &[], &[4]),
            (&[], &[1, 2, 3], &[]),
            (&[(4, 10)], &[1, 2, 3], &[4]),
        ] {
            let difference = compare(&[(1, 10), (2, 20), (3, 30)], found);
            assert_eq!(difference.broken, broken, "{found:?}");
            assert_eq!(difference.foreign, foreign, "{found:?}");
            assert_eq!(
                difference.is_none(),
                broken.is_empty() && foreign.is_empty()
            );
        }
    }

    #[test]
    fn an_exemption_is_right_only_in_its_place() {
        let slot = |index, cgroup| Exempted { index, cgroup };
        for (found, broken, foreign) in [
            (&[slot(0, Some(7)), slot(1, Some(8))][..], &[][..], &[][..]),
            (&[slot(0, Some(7))], &[8], &[]),
            (&[slot(0, Some(7)), slot(1, Some(9))], &[8], &[9]),
            (
                &[slot(0, Some(7)), slot(1, Some(8)), slot(2, Some(9))],
                &[],
                &[9],
            ),
            // Where no memory can be read, one too many shows all the same.
            (&[slot(0, None), slot(1, None)], &[], &[]),
            (&[slot(0, None), slot(1, None), slot(2, None)], &[], &[0]),
            (&[slot(1, None)], &[7], &[]),
        ] {
            let difference = compare_exempt(&[7, 8], found);
            assert_eq!(difference.broken, broken, "{found:?}");
            assert_eq!(difference.foreign, foreign, "{found:?}");
        }
    }

    proptest! {
        #[test]
        fn a_map_equals_itself_and_no_other(
            one: HashMap<u8, u8>,
            other: HashMap<u8, u8>,
        ) {
            let entries = |map: &HashMap<u8, u8>| -> Vec<(u8, u8)> {
                map.iter().map(|(key, value)| (*key, *value)).collect()
            };
            prop_assert!(compare(&entries(&one), &entries(&one)).is_none());
            prop_assert_eq!(compare(&entries(&one), &entries(&other)).is_none(), one == other);
        }
    }
}
