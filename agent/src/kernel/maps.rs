//! The edge to the BPF maps: each filled as a whole.
//!
//! In: the maps of the loaded object, and what each is to hold. Out: the same in the kernel.

use std::collections::HashMap;
use std::hash::Hash;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use aya::Pod;
use aya::maps::{Array, HashMap as BpfHashMap, Map, MapData, MapError};

use super::abi::InodeKey;
use super::bpf_call;
use super::loader;
use super::readback::{Difference, Exempted};
use crate::kernel::readback;

/// A key as this side keeps it; in the kernel it may be padded to a fixed length.
pub trait Key: Clone + Eq + Hash {
    /// As the kernel side has it.
    type Raw: Pod;

    /// To the kernel's form.
    fn raw(&self) -> Self::Raw;

    /// From the kernel's form.
    fn from_raw(raw: Self::Raw) -> Self;
}

impl Key for u32 {
    type Raw = Self;

    fn raw(&self) -> Self {
        *self
    }

    fn from_raw(raw: Self) -> Self {
        raw
    }
}

impl Key for InodeKey {
    type Raw = Self;

    fn raw(&self) -> Self {
        *self
    }

    fn from_raw(raw: Self) -> Self {
        raw
    }
}

/// A hash map of the object.
pub struct Table<K: Key, V: Pod> {
    name: &'static str,
    map: BpfHashMap<MapData, K::Raw, V>,
    fd: OwnedFd,
    /// What was written last; `None` where that isn't known, or isn't to be believed.
    held: Option<HashMap<K, V>>,
}

impl<K: Key, V: Pod + PartialEq> Table<K, V> {
    /// Takes a map out of the object; it is empty.
    ///
    /// # Errors
    /// The object has no such map.
    pub fn take(maps: &mut loader::Maps, name: &'static str) -> Result<Self> {
        let map = find(maps, name)?;
        let fd = loader::data(&map).fd().as_fd().try_clone_to_owned()?;
        let map = BpfHashMap::try_from(map);
        Ok(Self {
            name,
            fd,
            map: map.with_context(|| other_type(name))?,
            held: Some(HashMap::new()),
        })
    }

    /// Makes the map hold exactly this, given that nobody else writes to it. Removes what isn't
    /// wanted, then writes what is missing or differs: removing first lets a full map take a swap.
    ///
    /// # Errors
    /// The kernel's. What the map holds then is read the next time.
    pub fn set(&mut self, wanted: HashMap<K, V>) -> Result<()> {
        let held = match self.held.take() {
            Some(held) => held,
            None => self.read().with_context(|| self.name)?,
        };
        self.sync(&held, &wanted).with_context(|| self.name)?;
        self.held = Some(wanted);
        Ok(())
    }

    /// Reads the map back. Where it isn't as it was written, gives what was, and the next
    /// [`Table::set`] reads it first, and so undoes what somebody else did to it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn check(&mut self) -> Result<Option<Altered<K, V>>> {
        // Not known after an error, and read by the next `set` in any case.
        let Some(held) = &self.held else {
            return Ok(None);
        };
        let difference = readback::compare(held, |found| {
            bpf_call::entries(&self.fd, |key: &K::Raw, value| {
                found(K::from_raw(*key), value)
            })
        });
        let difference = difference.with_context(|| self.name)?;
        if difference.is_none() {
            return Ok(None);
        }
        let expected = self.held.take().unwrap_or_default();
        Ok(Some(Altered {
            expected,
            difference,
        }))
    }

    /// What was written last, where that is known.
    pub fn held(&self) -> Option<&HashMap<K, V>> {
        self.held.as_ref()
    }

    fn read(&self) -> Result<HashMap<K, V>, MapError> {
        let entries = self.map.iter();
        entries
            .map(|entry| entry.map(|(key, value)| (K::from_raw(key), value)))
            .collect()
    }

    fn sync(&mut self, held: &HashMap<K, V>, wanted: &HashMap<K, V>) -> Result<(), MapError> {
        for key in held.keys().filter(|key| !wanted.contains_key(key)) {
            self.map.remove(&key.raw())?;
        }
        for (key, value) in wanted {
            if held.get(key) != Some(value) {
                self.map.insert(key.raw(), value, 0)?;
            }
        }
        Ok(())
    }
}

/// A map that isn't as it was written.
#[derive(Debug)]
pub struct Altered<K, V> {
    /// What was written.
    pub expected: HashMap<K, V>,
    /// How what was found differs.
    pub difference: Difference<K>,
}

impl<K: Key, V> Altered<K, V> {
    /// The entries that are missing or have another value, as they were written.
    pub fn broken(&self) -> HashMap<&K, &V> {
        let broken = self.difference.broken.iter();
        let broken = broken.filter_map(|key| self.expected.get_key_value(key));
        broken.collect()
    }
}

/// An array of cgroups, filled from index 0 without a gap.
pub struct CgroupArray {
    map: OwnedFd,
    /// Their ids; `None` where that isn't known, or isn't to be believed.
    held: Option<Vec<u64>>,
    /// How many indexes may be taken.
    taken: u32,
    /// How many there are.
    size: u32,
}

/// A cgroup by its id, with a descriptor of its folder.
#[derive(Debug)]
pub struct Cgroup {
    /// Its id.
    pub id: u64,
    /// Its folder, open in whatever way.
    pub folder: OwnedFd,
}

impl CgroupArray {
    /// Takes the map out of the object; it is empty, and has room for so many.
    ///
    /// # Errors
    /// The object has no such map.
    pub fn take(maps: &mut loader::Maps, name: &str, size: u32) -> Result<Self> {
        let map = find(maps, name)?;
        let map = loader::data(&map).fd().as_fd().try_clone_to_owned()?;
        Ok(Self {
            map,
            held: Some(Vec::new()),
            taken: 0,
            size,
        })
    }

    /// Makes the array hold exactly these.
    ///
    /// # Errors
    /// The kernel's: one of them is no cgroup, or is gone.
    pub fn set(&mut self, cgroups: &[Cgroup]) -> Result<()> {
        let ids: Vec<u64> = cgroups.iter().map(|cgroup| cgroup.id).collect();
        if self.held.as_ref() == Some(&ids) {
            return Ok(());
        }
        self.held = None;
        let mut index = 0;
        for cgroup in cgroups {
            bpf_call::put_descriptor(&self.map, index, &cgroup.folder)
                .with_context(|| format!("failed to exempt the cgroup {}", cgroup.id))?;
            index += 1;
        }
        for index in index..self.taken {
            bpf_call::delete_index(&self.map, index).context("failed to end an exemption")?;
        }
        self.taken = index;
        self.held = Some(ids);
        Ok(())
    }

    /// Compares what it was found to hold. Where that isn't what was written, the next
    /// [`CgroupArray::set`] writes all of it.
    pub fn check(&mut self, found: &[Exempted]) -> Difference<u64> {
        let Some(held) = &self.held else {
            return Difference::none();
        };
        let difference = readback::compare_exempt(held, found);
        if !difference.is_none() {
            self.held = None;
            self.taken = self.size;
        }
        difference
    }
}

/// Takes an array out of the object.
///
/// # Errors
/// The object has no such map, or it is of another type.
pub fn take_array<V: Pod>(
    maps: &mut loader::Maps,
    name: &'static str,
) -> Result<Array<MapData, V>> {
    let array = Array::try_from(find(maps, name)?);
    array.with_context(|| other_type(name))
}

/// Takes a map out of the object.
///
/// # Errors
/// There is no such map.
pub fn find(maps: &mut loader::Maps, name: &str) -> Result<Map> {
    let map = maps.remove(name);
    map.with_context(|| format!("the BPF object has no map {name}"))
}

/// What is wrong with a map that can't be taken for what it is meant to be.
pub fn other_type(name: &str) -> String {
    format!("the BPF object's map {name} has another type")
}
