//! What a rule's path led to before: a file that was renamed away is still the denied one, for as long
//! as it is there.
//!
//! In: what the path led to, each time that it leads elsewhere. Out: the former targets that the maps
//! are to hold, a bounded number for each rule. What one rule's path is put through takes nothing from
//! another rule.

use crate::kernel::identity::{Identity, Watch};

/// How many a rule may have, where there are few rules.
const MOST: usize = 8;
/// How many it may have however many rules there are.
const FEWEST: usize = 2;
/// How many all rules have together, where that leaves each more than the fewest.
const ALL: usize = 16_384;

/// How many former targets each of so many rules may have.
#[must_use]
pub fn room(rules: usize) -> usize {
    (ALL / rules.max(1)).clamp(FEWEST, MOST)
}

/// A rule's former targets, the oldest first.
#[derive(Debug, Default)]
pub struct Formers {
    all: Vec<Identity>,
    /// Whether there was no room for one that may still be there.
    forgot: bool,
}

impl Formers {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Identity> {
        self.all.iter()
    }

    /// Whether one that may still be there isn't among them, as there was no room.
    #[must_use]
    pub fn forgot(&self) -> bool {
        self.forgot
    }

    /// Takes note of what the path led to. Where there is no room, the oldest goes of which nobody
    /// knows whether it is there, and if all are, the newcomer: they were there before whoever filled
    /// the room.
    pub fn add(&mut self, gone: Identity, room: usize) {
        self.all.retain(|known| !known.is_same_as(&gone));
        if self.all.len() >= room {
            self.forgot = true;
            let Some(unknown) = self.all.iter().position(|known| known.kept.is_none()) else {
                return;
            };
            self.all.remove(unknown);
        }
        self.all.push(gone);
    }

    /// Drops what the path leads to now.
    pub fn found(&mut self, target: &Identity) {
        self.all.retain(|known| !known.is_same_as(target));
    }

    /// Drops what isn't there any more.
    pub fn drop_gone(&mut self, mut exists: impl FnMut(Watch) -> bool) {
        self.all.retain(|known| known.kept.is_none_or(&mut exists));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::abi::InodeKey;

    fn file(number: u64, kept: bool) -> Identity {
        Identity {
            inode: InodeKey::new(8, 1, number),
            generation: 7,
            address: 0x1000 + number,
            superblock: 0x100,
            filesystem: 0xef53,
            kept: kept.then(|| Watch(i32::try_from(number).unwrap())),
        }
    }

    fn numbers(formers: &Formers) -> Vec<u64> {
        formers.iter().map(|former| former.inode.ino).collect()
    }

    #[test]
    fn few_rules_have_much_room_and_many_have_some() {
        for (rules, expected) in [
            (0, 8),
            (1, 8),
            (2048, 8),
            (4096, 4),
            (10_000, 2),
            (1 << 20, 2),
        ] {
            assert_eq!(room(rules), expected, "{rules}");
        }
    }

    #[test]
    fn every_former_target_is_remembered_as_long_as_there_is_room() {
        let mut formers = Formers::default();
        for number in 1..=3 {
            formers.add(file(number, true), 3);
        }
        assert_eq!(
            (numbers(&formers), formers.forgot()),
            (vec![1, 2, 3], false)
        );
        // Once it is back it is none, and there is room again.
        formers.found(&file(2, true));
        formers.add(file(4, true), 3);
        formers.add(file(4, true), 3);
        assert_eq!(
            (numbers(&formers), formers.forgot()),
            (vec![1, 3, 4], false)
        );
    }

    #[test]
    fn where_there_is_no_room_the_first_ones_stay_and_that_is_known() {
        let mut formers = Formers::default();
        for number in 1..=4 {
            formers.add(file(number, true), 2);
        }
        assert_eq!((numbers(&formers), formers.forgot()), (vec![1, 2], true));
    }

    #[test]
    fn what_is_gone_takes_no_room_and_what_may_be_takes_it_last() {
        let mut formers = Formers::default();
        formers.add(file(1, true), 2);
        formers.add(file(2, true), 2);
        formers.drop_gone(|watch| watch != Watch(1));
        formers.add(file(3, true), 2);
        assert_eq!((numbers(&formers), formers.forgot()), (vec![2, 3], false));

        let mut formers = Formers::default();
        formers.add(file(1, true), 2);
        formers.add(file(2, false), 2);
        formers.drop_gone(|_| true);
        formers.add(file(3, true), 2);
        assert_eq!((numbers(&formers), formers.forgot()), (vec![1, 3], true));
    }
}
