//! The edge to the BPF maps: typed, named once, and filled as a whole.
//!
//! In: the maps of the loaded object, and their wanted contents. Out: the same in the kernel.

use std::collections::HashMap;
use std::hash::Hash;

use anyhow::{Context as _, Result};
use aya::maps::{Array, HashMap as BpfHashMap, Map, MapData, MapError, RingBuf};
use aya::{Ebpf, Pod};

use crate::abi::{CanaryKey, InodeKey, PathKey, Rule};

/// What the maps are to hold. Both kinds of rules always include the decoys.
#[derive(Debug, Default, Clone)]
pub struct Contents {
    /// Rules by inode.
    pub inodes: HashMap<InodeKey, Rule>,
    /// Rules by path.
    pub paths: HashMap<PathKey, Rule>,
    /// Ids of exempt cgroups.
    pub exempt: Vec<u64>,
    /// Inodes of protected executables.
    pub protected: Vec<InodeKey>,
}

/// The maps that user space writes or reads.
pub struct Maps {
    rules_by_inode: BpfHashMap<MapData, InodeKey, Rule>,
    rules_by_path: BpfHashMap<MapData, PathKey, Rule>,
    exempt_cgroups: BpfHashMap<MapData, u64, u32>,
    protected_exes: BpfHashMap<MapData, InodeKey, u32>,
    canary_hits: BpfHashMap<MapData, CanaryKey, u64>,
    events_lost: Array<MapData, u64>,
}

impl Maps {
    /// Takes the maps out of the object, the event ring apart from the others.
    pub fn take(ebpf: &mut Ebpf) -> Result<(Self, RingBuf<MapData>)> {
        let maps = Self {
            rules_by_inode: take(ebpf, "rules_by_inode")?,
            rules_by_path: take(ebpf, "rules_by_path")?,
            exempt_cgroups: take(ebpf, "exempt_cgroups")?,
            protected_exes: take(ebpf, "protected_exes")?,
            canary_hits: take(ebpf, "canary_hits")?,
            events_lost: take(ebpf, "events_lost")?,
        };
        Ok((maps, take(ebpf, "events")?))
    }

    /// Makes the maps hold exactly `contents`.
    pub fn set(&mut self, contents: &Contents) -> Result<()> {
        // Exemptions and protections first: a new rule must not meet whom they spare.
        let exempt = contents.exempt.iter().map(|id| (*id, 1)).collect();
        sync(&mut self.exempt_cgroups, &exempt).context("exempt_cgroups")?;
        let protected = contents.protected.iter().map(|key| (*key, 1)).collect();
        sync(&mut self.protected_exes, &protected).context("protected_exes")?;
        sync(&mut self.rules_by_inode, &contents.inodes).context("rules_by_inode")?;
        sync(&mut self.rules_by_path, &contents.paths).context("rules_by_path")
    }

    /// Makes a process known as the canary of a hook.
    pub fn arm(&mut self, canary: CanaryKey) -> Result<()> {
        Ok(self.canary_hits.insert(canary, 0, 0)?)
    }

    /// Forgets a canary, and says how often its hook's program counted it.
    pub fn disarm(&mut self, canary: CanaryKey) -> Result<u64> {
        let hits = self.canary_hits.get(&canary, 0)?;
        self.canary_hits.remove(&canary)?;
        Ok(hits)
    }

    /// How many events found the ring full.
    pub fn events_lost(&self) -> Result<u64> {
        Ok(self.events_lost.get(&0, 0)?)
    }
}

fn take<T>(ebpf: &mut Ebpf, name: &str) -> Result<T>
where
    T: TryFrom<Map, Error = MapError>,
{
    let map = ebpf
        .take_map(name)
        .with_context(|| format!("the BPF object has no map {name}"))?;
    T::try_from(map).with_context(|| format!("the BPF object's map {name} has another type"))
}

/// Removes what isn't wanted, then writes what is, so that a full map still takes a swap.
fn sync<K, V>(map: &mut BpfHashMap<MapData, K, V>, wanted: &HashMap<K, V>) -> Result<()>
where
    K: Pod + Eq + Hash,
    V: Pod,
{
    let present: Vec<K> = map.keys().collect::<Result<_, _>>()?;
    for key in present.iter().filter(|key| !wanted.contains_key(key)) {
        map.remove(key)?;
    }
    for (key, value) in wanted {
        map.insert(key, value, 0)?;
    }
    Ok(())
}
