//! Who is spared whatever the class: exempt cgroups and protected executables.
//!
//! In: the policy, the cgroup hierarchy, the machine's files. Out: what the kernel side compares,
//! and what of it doesn't exist.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::alterations::Alterations;
use crate::host::cgroups::Hierarchy;
use crate::host::way::{Lost, Target, Ways};
use crate::kernel::abi::{InodeKey, device_name};
use crate::kernel::identity::Identify;
use crate::kernel::loader::{self, Fit};
use crate::kernel::maps::{Cgroup, CgroupArray, Table};
use crate::kernel::readback::{Difference, Exempted};
use crate::policy::{ExemptCgroup, Policy, PolicyError};

/// The names of the maps.
const EXEMPT: &str = "exempt_cgroups";
const PROTECTED: &str = "protected_exes";
pub(super) const ADDRESSED: &str = "addressed_devices";

/// Who is exempt or protected, as far as they exist now.
#[derive(Debug, Default)]
pub struct Spared {
    /// The exempt cgroups.
    pub exempt: Vec<Cgroup>,
    /// Inodes of protected executables.
    pub protected: Vec<InodeKey>,
}

/// Looks at the exempt cgroups and protected executables. Both come and go: what is missing while
/// the agent runs is only told, each as a line for the log, and looked for again.
///
/// # Errors
/// The kernel didn't say what a file is.
pub fn look(
    policy: &Policy,
    hierarchy: &Hierarchy,
    kernel: Option<&mut dyn Identify>,
) -> Result<(Spared, Vec<String>)> {
    let (mut spared, mut missing) = (Spared::default(), Vec::new());
    for cgroup in &policy.exempt_cgroups {
        match hierarchy.open(&cgroup.path) {
            Ok(found) => spared.exempt.push(found),
            Err(error) => missing.push(format!("exempt cgroup {:?}: {error:#}", cgroup.path)),
        }
    }
    let mut ways = Ways::new().context("failed to open the root of all paths")?;
    let mut found = Vec::new();
    for path in &policy.protected_executables {
        let why = match ways.follow(Path::new(path)).target {
            Ok(target) => {
                found.push(target);
                continue;
            }
            Err(Lost::Missing) => "no such file".to_owned(),
            Err(Lost::Astray(why)) => format!("not followed: {why}"),
            Err(Lost::Failed(error)) => error.to_string(),
        };
        missing.push(format!("protected executable {path:?}: {why}"));
    }
    let files: Vec<&File> = found.iter().map(Target::file).collect();
    if let (false, Some(kernel)) = (files.is_empty(), kernel) {
        let identities = kernel.identify_for_good(&files)?;
        spared.protected = identities.iter().map(|found| found.inode).collect();
    }
    Ok((spared, missing))
}

/// Which exempt cgroups don't exist, each an error in the policy. At start, one that doesn't
/// makes the policy invalid here: to run without an exemption that somebody relies on may
/// kill what must live.
///
/// # Errors
/// All of them.
pub fn check_exempt(policy: &Policy, hierarchy: &Hierarchy) -> Result<(), Vec<PolicyError>> {
    let check = |cgroup: &ExemptCgroup| {
        let error = hierarchy.open(&cgroup.path).err()?;
        Some(cgroup.error(format!("{error:#}")))
    };
    let errors: Vec<PolicyError> = policy.exempt_cgroups.iter().filter_map(check).collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// The maps of who is spared, and of the devices whose inodes have addresses in their keys.
pub struct Maps {
    exempt: CgroupArray,
    protected: Table<InodeKey, u32>,
    addressed: Table<u32, u32>,
}

impl Maps {
    /// Takes the maps out of the object. `fit` is what they were made by.
    ///
    /// # Errors
    /// The object has no such map.
    pub fn take(maps: &mut loader::Maps, fit: &Fit) -> Result<Self> {
        // Room for one is made where nobody is exempt.
        let size = fit.entries.get(EXEMPT).copied().unwrap_or(0).max(1);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        Ok(Self {
            exempt: CgroupArray::take(maps, EXEMPT, size)?,
            protected: Table::take(maps, PROTECTED)?,
            addressed: Table::take(maps, ADDRESSED)?,
        })
    }

    /// Makes the maps hold exactly this. `inodes` are all that stand in keys of rules.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set<'a>(
        &mut self,
        spared: &'a Spared,
        inodes: impl Iterator<Item = &'a InodeKey>,
    ) -> Result<()> {
        let keys = inodes.chain(&spared.protected);
        let addressed = keys.filter(|key| key.address != 0);
        let addressed: HashMap<u32, u32> = addressed.map(|key| (key.dev, 1)).collect();
        self.addressed.set(addressed)?;
        self.exempt.set(&spared.exempt).context("exempt_cgroups")?;
        self.protected
            .set(spared.protected.iter().map(|key| (*key, 1)).collect())
    }

    /// Reads the maps back; `exempted` are the cgroups that were found exempt. Gives the devices
    /// whose files the kernel side may have looked up by another key than the rules' own.
    ///
    /// # Errors
    /// The kernel's.
    pub fn check(
        &mut self,
        exempted: &[Exempted],
        alterations: &mut Alterations,
    ) -> Result<Difference<u32>> {
        let exempt = self.exempt.check(exempted);
        alterations.add_spared(EXEMPT, &exempt, |id| match id {
            0 => "a cgroup".to_owned(),
            id => format!("the cgroup {id}"),
        });
        if let Some(altered) = self.protected.check()? {
            let file = |key: &InodeKey| format!("inode {} of {}", key.ino, device_name(key.dev));
            alterations.add_spared(PROTECTED, &altered.difference, file);
        }
        let addressed = self.addressed.check()?;
        Ok(addressed.map_or_else(Difference::none, |altered| altered.difference))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_exempt_cgroup_that_does_not_exist_is_told_with_its_place() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("here")).unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        let text = "version = 1\nexempt_cgroups = [\n  \"/gone\", \"/here\", \"/file\"\n]\n";
        let policy = crate::policy::parse(text.as_bytes()).unwrap();
        let hierarchy = Hierarchy::at(root.path().to_owned());

        let errors = check_exempt(&policy, &hierarchy).unwrap_err();
        let places: Vec<_> = errors
            .iter()
            .map(|error| (error.line, error.column))
            .collect();
        assert_eq!(places, [(3, 3), (3, 21)]);
        let shown = errors[0].display("p.toml");
        let start = "p.toml:3:3: exempt cgroup \"/gone\": ";
        assert!(
            shown.starts_with(start) && shown.contains("No such file"),
            "{shown}"
        );
    }
}
