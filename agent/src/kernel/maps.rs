//! The edge to the BPF maps: typed, named once, and filled as a whole.
//!
//! In: the maps of the loaded object, and their wanted contents. Out: the same in the kernel.

use std::collections::HashMap;
use std::hash::Hash;

use anyhow::{Context as _, Result};
use aya::Pod;
use aya::maps::{Array, HashMap as BpfHashMap, Map, MapData, MapError, RingBuf};

use crate::kernel::abi::{
    Action, FolderRule, InodeKey, InodeRules, NameKey, PathKey, Rule, Settings,
};
use crate::kernel::identity::Identity;
use crate::kernel::loader;
use crate::kernel::tally::Tally;

/// What the maps are to hold. All kinds of rules include the decoys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// What becomes of a file whose folders can't be told, while there are folder rules.
    pub unplaced: Action,
    /// Rules by inode, on files and on folders.
    pub inodes: HashMap<InodeKey, InodeRules>,
    /// Rules on folders and all beneath them, by the address of the folder's inode.
    pub folders: HashMap<u64, FolderRule>,
    /// Rules by name in a folder, which must be among the inodes and say so.
    pub names: HashMap<NameKey, Rule>,
    /// Rules by path.
    pub paths: HashMap<PathKey, Rule>,
    /// Ids of exempt cgroups.
    pub exempt: Vec<u64>,
    /// Inodes of protected executables.
    pub protected: Vec<InodeKey>,
}

impl Contents {
    /// Nothing, with this action on what can't be placed.
    pub fn new(unplaced: Action) -> Self {
        Self {
            unplaced,
            inodes: HashMap::new(),
            folders: HashMap::new(),
            names: HashMap::new(),
            paths: HashMap::new(),
            exempt: Vec::new(),
            protected: Vec::new(),
        }
    }

    /// What is known of a file, to add to.
    pub fn inode(&mut self, identity: &Identity) -> &mut InodeRules {
        if identity.inode.address != 0 {
            self.inodes.entry(device(identity.inode.dev)).or_default();
        }
        let rules = self.inodes.entry(identity.inode).or_default();
        rules.generation = identity.generation;
        rules
    }
}

impl Contents {
    /// The rule on a folder and all beneath it, to add to.
    pub fn folder(&mut self, identity: &Identity) -> &mut FolderRule {
        let rule = self.folders.entry(identity.address).or_default();
        rule.ino = identity.inode.ino;
        rule.dev = identity.inode.dev;
        rule.generation = identity.generation;
        rule
    }
}

/// The key that says that a device's files are known by their inodes' addresses too.
fn device(dev: u32) -> InodeKey {
    InodeKey {
        ino: 0,
        address: 0,
        dev,
        zero: 0,
    }
}

/// The maps that user space writes or reads.
pub struct Maps {
    settings: Array<MapData, Settings>,
    rules_by_inode: BpfHashMap<MapData, InodeKey, InodeRules>,
    rules_by_folder: BpfHashMap<MapData, u64, FolderRule>,
    rules_by_name: BpfHashMap<MapData, NameKey, Rule>,
    rules_by_path: BpfHashMap<MapData, PathKey, Rule>,
    exempt_cgroups: BpfHashMap<MapData, u64, u32>,
    protected_exes: BpfHashMap<MapData, InodeKey, u32>,
    /// What was written last; `None` where that isn't known, or isn't to be believed.
    held: Option<Contents>,
}

impl Maps {
    /// Takes the maps out of the object, the event ring and the tally apart from the others.
    pub fn take(mut maps: loader::Maps) -> Result<(Self, RingBuf<MapData>, Tally)> {
        let taken = Self {
            settings: take(&mut maps, "settings")?,
            rules_by_inode: take(&mut maps, "rules_by_inode")?,
            rules_by_folder: take(&mut maps, "rules_by_folder")?,
            rules_by_name: take(&mut maps, "rules_by_name")?,
            rules_by_path: take(&mut maps, "rules_by_path")?,
            exempt_cgroups: take(&mut maps, "exempt_cgroups")?,
            protected_exes: take(&mut maps, "protected_exes")?,
            held: None,
        };
        let tally = Tally::map(loader::data(&find(&mut maps, "tally")?))?;
        Ok((taken, take(&mut maps, "events")?, tally))
    }

    /// Makes the maps hold exactly `contents`, given that nobody else writes to them.
    pub fn set(&mut self, contents: Contents) -> Result<()> {
        // If it fails in between, the maps hold what isn't known.
        let held = self.held.take();
        let held = held.as_ref();
        // Exemptions and protections first: a new rule must not meet whom they spare.
        let exempt = |contents: &Contents| contents.exempt.iter().map(|id| (*id, 1)).collect();
        let protected =
            |contents: &Contents| contents.protected.iter().map(|key| (*key, 1)).collect();
        sync(
            &mut self.exempt_cgroups,
            held.map(exempt).as_ref(),
            &exempt(&contents),
        )
        .context("exempt_cgroups")?;
        sync(
            &mut self.protected_exes,
            held.map(protected).as_ref(),
            &protected(&contents),
        )
        .context("protected_exes")?;
        let addressed = contents.inodes.keys().any(|key| key.address != 0);
        let settings = Settings {
            unplaced_action: contents.unplaced as u32,
            has_addressed_devices: u32::from(addressed),
        };
        self.settings.set(0, settings, 0).context("settings")?;
        let folders = held.map(|held| &held.folders);
        sync(&mut self.rules_by_folder, folders, &contents.folders).context("rules_by_folder")?;
        // Names before the folders that refer to them.
        let names = held.map(|held| &held.names);
        sync(&mut self.rules_by_name, names, &contents.names).context("rules_by_name")?;
        let inodes = held.map(|held| &held.inodes);
        sync(&mut self.rules_by_inode, inodes, &contents.inodes).context("rules_by_inode")?;
        let paths = held.map(|held| &held.paths);
        sync(&mut self.rules_by_path, paths, &contents.paths).context("rules_by_path")?;
        self.held = Some(contents);
        Ok(())
    }

    /// Believes no more that the maps hold what was written: the next [`Maps::set`] reads them
    /// first, and so undoes what somebody else did to them.
    pub fn doubt(&mut self) {
        self.held = None;
    }
}

fn find(maps: &mut loader::Maps, name: &str) -> Result<Map> {
    let map = maps.remove(name);
    map.with_context(|| format!("the BPF object has no map {name}"))
}

fn take<T>(maps: &mut loader::Maps, name: &str) -> Result<T>
where
    T: TryFrom<Map, Error = MapError>,
{
    T::try_from(find(maps, name)?)
        .with_context(|| format!("the BPF object's map {name} has another type"))
}

/// Removes what isn't wanted, then writes what is missing or differs. Removing first lets a
/// full map take a swap. Without `held`, what the map holds is read.
fn sync<K, V>(
    map: &mut BpfHashMap<MapData, K, V>,
    held: Option<&HashMap<K, V>>,
    wanted: &HashMap<K, V>,
) -> Result<()>
where
    K: Pod + Eq + Hash,
    V: Pod + PartialEq,
{
    let read: HashMap<K, V>;
    let held = match held {
        Some(held) => held,
        None => {
            read = map.iter().collect::<Result<_, _>>()?;
            &read
        }
    };
    for key in held.keys().filter(|key| !wanted.contains_key(key)) {
        map.remove(key)?;
    }
    for (key, value) in wanted {
        if held.get(key) != Some(value) {
            map.insert(key, value, 0)?;
        }
    }
    Ok(())
}
