//! Opening files: what file rules resolve to, what the maps hold of them, the decoys, and how an
//! event tells of an open.

mod acts;
pub mod contents;
pub mod decoys;
pub mod event;
pub mod former;
mod hold;
pub mod limits;
pub mod maps;
pub mod mounted;
pub mod resolve;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;

pub use acts::{Act, Failure};
use limits::FolderRules;
use resolve::ResolvedRule;

use super::Moved;
use super::need::Need;
use crate::classes::file::contents::of as contents_of;
use crate::classes::file::former::room;
use crate::classes::file::mounted::hold;
use crate::classes::file::resolve::resolve;
use crate::host::Mount;
use crate::kernel::filesystem;
use crate::kernel::identity::{Identify, Watch};
use crate::output::{log, text};
use crate::policy::FileRule;
use crate::posture::Action;
use crate::posture::gate::RuleFacts;

/// The file rules of a policy, as far as they are resolved.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<ResolvedRule>,
    /// Whether a rule was ever known by its path alone.
    by_path: bool,
}

impl Rules {
    /// Rules of which nothing is known yet.
    pub fn new(rules: Vec<FileRule>) -> Self {
        Self {
            rules: rules.into_iter().map(ResolvedRule::unknown).collect(),
            by_path: false,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The paths whose meaning may change.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.rules
            .iter()
            .map(|resolved| Path::new(&resolved.rule.path))
    }

    /// Whether one of them is on a folder and all beneath it.
    pub fn has_folders(&self) -> bool {
        self.rules.iter().any(|resolved| resolved.rule.folder)
    }

    /// What the policy has of rules on folders, as far as limits hang on it.
    fn folder_rules(&self) -> FolderRules {
        let mut rules = self.rules.iter();
        match rules.any(|resolved| resolved.mounted.loose.is_some()) {
            true => FolderRules::LooseMounts,
            false if self.has_folders() => FolderRules::HoldMounts,
            false => FolderRules::None,
        }
    }

    /// What can be had by another mount than the one beneath a rule's folder, a line a rule.
    pub fn loose_mounts(&self) -> impl Iterator<Item = String> {
        self.rules.iter().filter_map(|resolved| {
            let loose = resolved.mounted.loose.as_ref()?;
            let others = match loose.others {
                0 => String::new(),
                others => format!(" ({others} more mounts beneath it are such)"),
            };
            Some(format!(
                "rule {}: what is mounted on {} {}: it is denied there, and can be had by another \
                 mount{others}",
                resolved.rule.id,
                text::path(&loose.point),
                loose.why
            ))
        })
    }

    /// Looks at the targets of the rules on these paths, and, where rules on folders are among them,
    /// at what is mounted beneath all folders; which lead elsewhere now.
    ///
    /// # Errors
    /// The kernel didn't say what a file is, or what is mounted.
    pub fn resolve(
        &mut self,
        concerned: &dyn Fn(&Path) -> bool,
        mounts: &dyn Fn() -> Result<Vec<Mount>>,
        kernel: &mut dyn Identify,
    ) -> Result<Vec<Moved>> {
        let paths = self.paths().map(concerned).enumerate();
        let which: Vec<usize> = paths
            .filter_map(|(number, concerned)| concerned.then_some(number))
            .collect();
        let forgetful = |rules: &[ResolvedRule]| -> BTreeSet<usize> {
            let forgot = rules.iter().map(|resolved| resolved.formers.forgot());
            let forgot = forgot.enumerate().filter(|(_, forgot)| *forgot);
            forgot.map(|(number, _)| number).collect()
        };
        let before = forgetful(&self.rules);
        let moved = resolve(&mut self.rules, &which, kernel)?;
        let mut moved: BTreeSet<usize> = moved.into_iter().collect();
        for number in forgetful(&self.rules).difference(&before) {
            let rule = &self.rules[*number].rule;
            log::warn(format_args!(
                "rule {}: {} led to more files that may still be there than are remembered ({}); what \
                 it led to since may be opened where it is now",
                rule.id,
                text::path(Path::new(&rule.path)),
                room(self.rules.len())
            ));
        }
        if which.iter().any(|number| self.rules[*number].rule.folder) {
            // After the folders: what is mounted in between wakes the watcher.
            moved.extend(hold(&mut self.rules, &mounts()?, kernel)?);
        }
        self.by_path |= self.rules.iter().any(ResolvedRule::is_known_by_path_alone);
        let moved = moved.into_iter().map(|number| {
            let resolved = &self.rules[number];
            Moved {
                rule: resolved.rule.id.clone(),
                path: resolved.rule.path.clone(),
                present: resolved.target.is_ok(),
            }
        });
        Ok(moved.collect())
    }

    /// The rules, as the gate sees them.
    pub fn facts(&self, memory_readable: bool) -> impl Iterator<Item = RuleFacts> {
        let rules = self.rules.iter();
        rules.map(move |resolved| resolved.facts(memory_readable))
    }

    /// Which hooks they need.
    pub fn needs(&self) -> BTreeSet<Need> {
        let mut needs = BTreeSet::new();
        if !self.rules.is_empty() {
            needs.insert(Need::Always);
        }
        if self
            .rules
            .iter()
            .any(|resolved| resolved.rule.access.writes())
        {
            needs.insert(Need::Writing);
        }
        if self.by_path {
            needs.insert(Need::PathOnly);
        }
        needs
    }

    /// What the maps are to hold.
    pub fn contents(&self, action: Action) -> maps::Contents {
        contents_of(&self.rules, action)
    }

    /// A rule's id and path, by its number in the maps.
    pub fn name(&self, number: u32) -> Option<(String, String)> {
        let resolved = self.rules.get(number as usize)?;
        Some((resolved.rule.id.clone(), resolved.rule.path.clone()))
    }

    /// What keeps the inodes in memory that the maps know the rules by.
    pub fn kept(&self) -> BTreeSet<Watch> {
        let known = self.rules.iter().flat_map(ResolvedRule::known);
        known.filter_map(|identity| identity.kept).collect()
    }

    /// What the rules and their targets leave to be done, by which a tier's limits go.
    pub fn leave(&self) -> limits::Leave {
        let mut known = self.rules.iter().flat_map(ResolvedRule::known);
        limits::Leave {
            folder_rules: self.folder_rules(),
            snapshots: known.any(|identity| filesystem::has_snapshots(identity.filesystem)),
            former_targets: self.rules.iter().any(|resolved| resolved.formers.forgot()),
        }
    }

    /// How many subjects the filter must have room for. Hardly a rule has more than one former target;
    /// where many do, the filter says "perhaps" a little more often.
    pub fn subjects(&self) -> usize {
        // The target and the former one, and the folders that it is in as written and canonical. Of
        // what is mounted, its inode, all beneath it, and its file system.
        4 * self.rules.len() + decoys::Decoys::RULES + 3 * self.most_mounted()
    }

    /// How much that is mounted beneath folders there must be room for.
    fn most_mounted(&self) -> usize {
        match self.has_folders() {
            true => mounted::MOST,
            false => 0,
        }
    }

    /// How large the maps must be, whatever the paths come to lead to.
    pub fn entries(&self) -> BTreeMap<&'static str, usize> {
        let (rules, decoys) = (self.rules.len(), decoys::Decoys::RULES);
        BTreeMap::from([
            (
                "rules_by_inode",
                (3 + room(rules)) * rules + decoys + self.most_mounted(),
            ),
            ("rules_by_name", 2 * rules + decoys),
            ("rules_by_path", rules + decoys),
        ])
    }
}
