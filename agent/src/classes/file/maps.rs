//! The maps of file rules: what they hold, and the edge that fills them.
//!
//! In: [`Contents`]. Out: the same in the kernel.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context as _, Result};
use aya::maps::{Array, MapData};

use crate::classes::alterations::Alterations;
use crate::kernel::abi::{InodeKey, InodeRules, NameKey, PathKey, Rule, Settings};
use crate::kernel::filter::Subject;
use crate::kernel::identity::Identity;
use crate::kernel::loader;
use crate::kernel::maps::{Key, Table, take_array};
use crate::kernel::readback::Difference;
use crate::posture::Action;

/// The names of the maps.
const SETTINGS: &str = "settings";
const BY_INODE: &str = "rules_by_inode";
const BY_NAME: &str = "rules_by_name";
const BY_PATH: &str = "rules_by_path";

/// What the maps are to hold. All kinds of rules include the decoys.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents {
    /// What becomes of a file whose folders can't be told, on file systems with a folder rule.
    pub unplaced: Action,
    /// Rules by inode, on files and on folders.
    pub inodes: HashMap<InodeKey, InodeRules>,
    /// Rules by name in a folder, which must be among the inodes and say so.
    pub names: HashMap<Name, Rule>,
    /// Rules by path.
    pub paths: HashMap<PathBytes, Rule>,
    /// Superblocks that have a folder with a rule on all beneath it, by their addresses.
    pub superblocks: Vec<u64>,
}

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// The folder.
    pub folder: InodeKey,
    name: Box<[u8]>,
}

impl Name {
    /// `None` if no file can have such a name.
    pub fn new(folder: InodeKey, name: &[u8]) -> Option<Self> {
        NameKey::new(folder, name)?;
        let name = name.into();
        Some(Self { folder, name })
    }
}

impl Key for Name {
    type Raw = NameKey;

    fn raw(&self) -> NameKey {
        let mut name = [0; size_of::<NameKey>() - size_of::<InodeKey>()];
        name[..self.name.len()].copy_from_slice(&self.name);
        let folder = self.folder;
        NameKey { folder, name }
    }

    fn from_raw(raw: NameKey) -> Self {
        Self {
            folder: raw.folder,
            name: up_to_nul(&raw.name),
        }
    }
}

/// A path, as written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathBytes(Box<[u8]>);

impl PathBytes {
    /// `None` if it is too long for a key.
    pub fn new(path: &[u8]) -> Option<Self> {
        PathKey::new(path)?;
        Some(Self(path.into()))
    }
}

impl Key for PathBytes {
    type Raw = PathKey;

    fn raw(&self) -> PathKey {
        let mut path = [0; size_of::<PathKey>()];
        path[..self.0.len()].copy_from_slice(&self.0);
        PathKey(path)
    }

    fn from_raw(raw: PathKey) -> Self {
        Self(up_to_nul(&raw.0))
    }
}

fn up_to_nul(bytes: &[u8]) -> Box<[u8]> {
    let end = bytes.iter().position(|byte| *byte == 0);
    bytes[..end.unwrap_or(bytes.len())].into()
}

impl Contents {
    /// Nothing, with this action on what can't be placed.
    pub fn new(unplaced: Action) -> Self {
        Self {
            unplaced,
            inodes: HashMap::new(),
            names: HashMap::new(),
            paths: HashMap::new(),
            superblocks: Vec::new(),
        }
    }

    /// What is known of a file, to add to.
    pub fn inode(&mut self, identity: &Identity) -> &mut InodeRules {
        let rules = self.inodes.entry(identity.inode).or_default();
        rules.generation = identity.generation;
        if identity.kept.is_some() {
            rules.address = identity.address;
        }
        rules
    }

    /// The rule on all that is beneath a folder, to add to.
    pub fn beneath(&mut self, identity: &Identity) -> &mut Rule {
        if !self.superblocks.contains(&identity.superblock) {
            self.superblocks.push(identity.superblock);
        }
        let rules = self.inode(identity);
        rules.address = identity.address;
        &mut rules.beneath
    }

    /// What the filter must say "perhaps" of.
    pub fn subjects(&self) -> impl Iterator<Item = Subject> {
        let inodes = self.inodes.keys().map(Subject::inode);
        let beneath = self.inodes.values();
        let beneath = beneath.filter(|rules| rules.beneath.access != 0);
        let beneath = beneath.map(|rules| Subject::beneath(rules.address));
        let superblocks = self.superblocks.iter().copied().map(Subject::superblock);
        inodes.chain(beneath).chain(superblocks)
    }
}

/// The maps.
pub struct Maps {
    settings: Array<MapData, Settings>,
    /// What was written there last.
    settings_held: Option<Settings>,
    /// Superblocks with a folder that has a rule on all beneath it, as the filter has them.
    superblocks: Vec<u64>,
    by_inode: Table<InodeKey, InodeRules>,
    by_name: Table<Name, Rule>,
    by_path: Table<PathBytes, Rule>,
}

impl Maps {
    /// Takes the maps out of the object.
    ///
    /// # Errors
    /// The object has no such map.
    pub fn take(maps: &mut loader::Maps) -> Result<Self> {
        Ok(Self {
            settings: take_array(maps, SETTINGS)?,
            settings_held: None,
            superblocks: Vec::new(),
            by_inode: Table::take(maps, BY_INODE)?,
            by_name: Table::take(maps, BY_NAME)?,
            by_path: Table::take(maps, BY_PATH)?,
        })
    }

    /// Makes the maps hold exactly `contents`, given that nobody else writes to them.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set(&mut self, contents: Contents) -> Result<()> {
        let settings = Settings {
            unplaced_action: contents.unplaced as u32,
        };
        if self.settings_held != Some(settings) {
            self.settings.set(0, settings, 0).context(SETTINGS)?;
            self.settings_held = Some(settings);
        }
        self.superblocks = contents.superblocks;
        // Names before the folders that refer to them.
        self.by_name.set(contents.names)?;
        self.by_inode.set(contents.inodes)?;
        self.by_path.set(contents.paths)
    }

    /// The rules on these inodes, and on names in them, by their numbers, as they were written.
    pub fn rules_on(&self, concerned: impl Fn(&InodeKey, &InodeRules) -> bool) -> BTreeSet<u32> {
        let Some(inodes) = self.by_inode.held() else {
            return BTreeSet::new();
        };
        let inodes = inodes.iter();
        let found: HashMap<&InodeKey, &InodeRules> = inodes
            .filter(|(key, rules)| concerned(key, rules))
            .collect();
        let on_them = found.values().flat_map(|rules| numbers(rules));
        let names = self.by_name.held().into_iter().flatten();
        let in_them = names.filter(|(name, _)| found.contains_key(&name.folder));
        on_them.chain(in_them.map(|(_, rule)| rule.id)).collect()
    }

    /// The rules that aren't asked where the filter says "no" of these subjects.
    pub fn rules_that_ask(&self, is_cleared: &dyn Fn(Subject) -> bool) -> BTreeSet<u32> {
        let superblocks = self.superblocks.iter().copied();
        let folders = superblocks.map(Subject::superblock).any(is_cleared);
        self.rules_on(|key, rules| {
            let beneath = rules.beneath.access != 0;
            is_cleared(Subject::inode(key))
                || beneath && (folders || is_cleared(Subject::beneath(rules.address)))
        })
    }

    /// Reads the maps back, and takes note of what differs from what was written.
    ///
    /// # Errors
    /// The kernel's.
    pub fn check(&mut self, alterations: &mut Alterations) -> Result<()> {
        let found = self.settings.get(&0, 0).context(SETTINGS)?;
        if self.settings_held.is_some_and(|held| held != found) {
            self.settings_held = None;
            let folders = self.rules_on(|_, rules| rules.beneath.access != 0);
            let difference = Difference {
                broken: vec![0],
                foreign: Vec::new(),
            };
            alterations.add(SETTINGS, &difference, folders);
        }
        let inodes = self.by_inode.check()?;
        let names = self.by_name.check();
        if let Some(altered) = &inodes {
            let broken = altered.broken();
            let on_them = broken.values().flat_map(|rules| numbers(rules));
            let written = names.as_ref().ok().and_then(Option::as_ref);
            let written = written.map(|altered| &altered.expected);
            let names = written.or(self.by_name.held()).into_iter().flatten();
            let in_them = names.filter(|(name, _)| broken.contains_key(&name.folder));
            let rules = on_them.chain(in_them.map(|(_, rule)| rule.id));
            alterations.add_loosening(BY_INODE, &altered.difference, rules);
        }
        if let Some(altered) = names? {
            let rules = altered.broken();
            let rules = rules.values().map(|rule| rule.id);
            alterations.add_loosening(BY_NAME, &altered.difference, rules);
        }
        if let Some(altered) = self.by_path.check()? {
            let rules = altered.broken();
            let rules = rules.values().map(|rule| rule.id);
            alterations.add_loosening(BY_PATH, &altered.difference, rules);
        }
        Ok(())
    }
}

/// The rules on a file and on all beneath a folder, by their numbers.
fn numbers(rules: &InodeRules) -> impl Iterator<Item = u32> + use<> {
    let rules = [rules.exact, rules.beneath].into_iter();
    rules.filter(|rule| rule.access != 0).map(|rule| rule.id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_the_same_when_they_come_back(bytes in proptest::collection::vec(1_u8.., 0..300)) {
            let folder = InodeKey::new(8, 1, 2);
            let name = Name::new(folder, &bytes);
            prop_assert_eq!(name.is_some(), bytes.len() < 256);
            if let Some(name) = name {
                prop_assert_eq!(Name::from_raw(name.raw()), name);
            }
            let path = PathBytes::new(&bytes);
            prop_assert_eq!(path.is_some(), bytes.len() < 256);
            if let Some(path) = path {
                prop_assert_eq!(PathBytes::from_raw(path.raw()), path);
            }
        }
    }
}
