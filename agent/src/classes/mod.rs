//! What rules can be about, a folder a class, and what the rest of the agent asks of all of them.
//!
//! In: rules of a policy. Out: what they resolve to, what the maps are to hold, the decoys, the
//! hooks. A new class is a folder here, a field in each struct of this module, and rows in the
//! tables of [`hooks`] and [`crate::posture`].

pub mod alterations;
pub mod file;
pub mod hooks;
pub mod need;
pub mod spared;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use crate::host::Mount;
use crate::kernel::abi::{self, RawEvent};
use crate::kernel::filter::{self, Filter, Subject};
use crate::kernel::identity::{Identify, Watch};
use crate::kernel::loader::{self, Fit};
use crate::kernel::maps::find;
use crate::kernel::readback::Exempted;
use crate::policy::Policy;
use crate::posture::Action;
use crate::posture::gate::RuleFacts;
use crate::posture::{Class, Limit, Tier};
use alterations::Alterations;
use hooks::Hook;
use need::Need;

/// The rules of every class, as far as they are resolved.
#[derive(Debug, Default)]
pub struct Rules {
    file: file::Rules,
}

/// A rule whose path leads elsewhere than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The rule's id.
    pub rule: String,
    /// Its path.
    pub path: String,
    /// Whether there is something now.
    pub present: bool,
}

impl Rules {
    /// Takes the rules out of a policy; nothing is known of their targets yet.
    pub fn take(policy: &mut Policy) -> Self {
        Self {
            file: file::Rules::new(std::mem::take(&mut policy.files)),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.file.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The paths whose meaning may change.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.file.paths()
    }

    /// Looks at the targets of the rules on these paths, and at what is mounted beneath folders; which
    /// lead elsewhere now. `mounts` reads the mount table, where rules on folders are among them.
    ///
    /// # Errors
    /// The kernel didn't say what a file is, or what is mounted.
    pub fn resolve(
        &mut self,
        concerned: &dyn Fn(&Path) -> bool,
        mounts: &dyn Fn() -> Result<Vec<Mount>>,
        kernel: &mut dyn Identify,
    ) -> Result<Vec<Moved>> {
        self.file.resolve(concerned, mounts, kernel)
    }

    /// The rules, as the gate sees them.
    pub fn facts(&self, memory_readable: bool) -> Vec<RuleFacts> {
        self.file.facts(memory_readable).collect()
    }

    /// The classes that have rules; every class for a policy without any, so that its posture
    /// still says what could be enforced.
    pub fn classes(&self) -> Vec<Class> {
        let in_use = |class: &Class| self.is_empty() || !self.needs(*class).is_empty();
        Class::ALL.into_iter().filter(in_use).collect()
    }

    /// Which hooks of a class the rules need.
    pub fn needs(&self, class: Class) -> BTreeSet<Need> {
        if self.is_empty() {
            return BTreeSet::from([Need::Always]);
        }
        match class {
            Class::File => self.file.needs(),
        }
    }

    /// What the maps are to hold of the rules, beside who is spared.
    pub fn contents(&self, action: Action) -> Contents {
        Contents {
            spared: spared::Spared::default(),
            file: self.file.contents(action),
        }
    }

    /// What keeps the inodes in memory that the maps know the rules by.
    pub fn kept(&self) -> BTreeSet<Watch> {
        self.file.kept()
    }

    /// A rule's id and what it names, by its number in the maps.
    pub fn name(&self, number: u32) -> Option<(String, String)> {
        self.file.name(number)
    }

    /// What can be had by another mount than the one beneath a rule's folder, a line a rule.
    pub fn loose_mounts(&self) -> impl Iterator<Item = String> {
        self.file.loose_mounts()
    }

    /// What a tier doesn't stop of a class's acts.
    pub fn limits(&self, class: Class, tier: Tier) -> Vec<Limit> {
        match class {
            Class::File => file::limits::of(tier, self.file.leave()),
        }
    }

    /// How maps and programs are fitted to the rules and to who is spared.
    pub fn fit(&self, policy: &Policy, signal: u32) -> Fit {
        let bytes = filter::bytes(self.file.subjects());
        let mut entries = self.file.entries();
        entries.extend([
            ("exempt_cgroups", policy.exempt_cgroups.len()),
            ("protected_exes", policy.protected_executables.len()),
        ]);
        let constants = BTreeMap::from([
            ("filter_mask", u32::try_from(bytes - 1).unwrap_or(u32::MAX)),
            ("has_folder_rules", u32::from(self.file.has_folders())),
            ("enforce_signal", signal),
        ]);
        Fit {
            entries,
            value_sizes: BTreeMap::from([(filter::MAP, bytes)]),
            constants,
        }
    }
}

/// What the maps are to hold.
#[derive(Debug)]
pub struct Contents {
    /// Who is spared.
    pub spared: spared::Spared,
    /// File rules.
    pub file: file::maps::Contents,
}

/// The maps that hold something of the policy.
pub struct Maps {
    filter: Filter,
    spared: spared::Maps,
    file: file::maps::Maps,
}

impl Maps {
    /// Takes the maps out of the object. `fit` is what they were made by.
    ///
    /// # Errors
    /// The object has no such map, or the kernel doesn't map the filter into memory.
    pub fn take(maps: &mut loader::Maps, fit: &Fit) -> Result<Self> {
        let filter = find(maps, filter::MAP)?;
        let bytes = fit
            .value_sizes
            .get(filter::MAP)
            .copied()
            .unwrap_or_default();
        Ok(Self {
            filter: Filter::map(loader::data(&filter), bytes)?,
            spared: spared::Maps::take(maps, fit)?,
            file: file::maps::Maps::take(maps)?,
        })
    }

    /// Makes the maps hold exactly `contents`, given that nobody else writes to them.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set(&mut self, contents: Contents) -> Result<()> {
        let subjects: Vec<Subject> = contents.file.subjects().collect();
        // Who is spared first: a new rule must not meet them.
        self.spared
            .set(&contents.spared, contents.file.inodes.keys())?;
        self.filter.add(&subjects);
        self.file.set(contents.file)?;
        self.filter.keep_only(&subjects);
        Ok(())
    }

    /// Reads the maps back, and adds what differs from what was written to `alterations`, as far as it
    /// comes. `exempted` are the cgroups that were found exempt. The next [`Maps::set`] puts it right.
    ///
    /// # Errors
    /// The kernel's.
    pub fn check(&mut self, exempted: &[Exempted], alterations: &mut Alterations) -> Result<()> {
        let devices = self.spared.check(exempted, alterations)?;
        let filter = self.filter.check();
        let cleared: BTreeSet<u32> = filter.broken.iter().copied().collect();
        let is_cleared = |subject| self.filter.has_any(subject, &cleared);
        let rules = self.file.rules_that_ask(&is_cleared);
        alterations.add(filter::MAP, &filter, rules);
        let differ =
            |device: &u32| devices.broken.contains(device) || devices.foreign.contains(device);
        let rules = self.file.rules_on(|key, _| differ(&key.dev));
        alterations.add(spared::ADDRESSED, &devices, rules);
        self.file.check(alterations)
    }
}

/// An act of any class: how the canary meets a decoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// On a file.
    File(file::Act),
}

impl From<file::Act> for Act {
    fn from(act: file::Act) -> Self {
        Self::File(act)
    }
}

impl Act {
    /// The name by which the canary is told of it; no two acts share one.
    pub fn name(self) -> &'static str {
        match self {
            Self::File(act) => act.name(),
        }
    }

    /// The act of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        let mut acts = file::Act::ALL.into_iter();
        acts.find(|act| act.name() == name).map(Self::File)
    }

    /// Does it to the target, and leaves everything as it was.
    ///
    /// # Errors
    /// The system call's, or that of what is around it.
    pub fn attempt(self, target: &Path, scratch: &Path) -> Result<(), file::Failure> {
        match self {
            Self::File(act) => act.attempt(target, scratch),
        }
    }
}

/// What a canary is sent to do.
#[derive(Debug, Clone)]
pub struct Errand {
    /// The act.
    pub act: Act,
    /// What no rule denies. The act on it must succeed.
    pub control: PathBuf,
    /// What a rule denies. The outcome of the act on it shows what the hook does.
    pub decoy: PathBuf,
    /// A name that is free for the other end of the act.
    pub scratch: PathBuf,
}

/// The decoys of every class.
#[derive(Debug)]
pub struct Decoys {
    file: file::decoys::Decoys,
}

impl Decoys {
    /// Makes them.
    ///
    /// # Errors
    /// There is no room for them.
    pub fn make() -> Result<Self> {
        let file = file::decoys::Decoys::make()?;
        Ok(Self { file })
    }

    /// Asks the kernel what the decoys are to the hooks. No rule names one before.
    ///
    /// # Errors
    /// The kernel doesn't tell.
    pub fn identify(&mut self, kernel: &mut dyn Identify) -> Result<()> {
        self.file.identify(kernel)
    }

    /// What the canary is to do for a hook, and with which rule's action.
    pub fn errand(&self, hook: &Hook, action: Action) -> Errand {
        match hook.act {
            Act::File(act) => self.file.errand(act, hook.sees_path(), action),
        }
    }

    /// Adds the decoys' rules to what the maps are to hold.
    pub fn add_rules(&self, contents: &mut Contents) {
        self.file.add_rules(&mut contents.file);
    }

    /// The id and path of a decoy's rule, for events.
    pub fn rule_name(&self, number: u32) -> Option<(&'static str, PathBuf)> {
        self.file.rule_name(number)
    }
}

/// What an event tells that its class alone has.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ClassEvent {
    /// Of an act on a file.
    File(file::event::FileEvent),
}

impl ClassEvent {
    /// Reads the class's fields of a record. `None` if they aren't ours.
    pub fn read(class: Class, raw: &RawEvent) -> Option<Self> {
        match class {
            Class::File => file::event::FileEvent::read(raw).map(Self::File),
        }
    }
}

/// The name of what isn't a rule of the policy but denies like one, by its number in the maps.
pub fn unwritten_rule(number: u32) -> Option<&'static str> {
    (number == abi::UNPLACED_RULE).then_some("folder rules")
}
