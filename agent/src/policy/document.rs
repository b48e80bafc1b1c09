//! From a TOML tree to a policy.
//!
//! In: the tree. Out: the policy that it spells, and a finding for everything in it that
//! makes no sense. The policy is good only if nothing was found.

use std::collections::HashMap;

use toml::de::{DeTable, DeValue};

use super::findings::Findings;
use super::paths::{self, shown};
use super::reader::Reader;
use super::{ExemptCgroup, MAX_EXEMPT_CGROUPS, Policy, file};
use crate::posture::Class;

/// The way out where two say the same.
const KEEP_ONE: &str = "remove one of the two";

/// The policy that a tree spells.
pub(super) fn policy(mut tree: DeTable<'_>, findings: &mut Findings<'_>) -> Policy {
    let mut reader = Reader { findings };
    reader.only(
        &tree,
        "a policy",
        &["version", "exempt_cgroups", "protected_executables", "deny"],
    );
    reader.version(&tree);
    let exempt_cgroups = reader.exempt_cgroups(&tree);
    let protected_executables = reader.protected_executables(&tree);
    let (mut policy, mut ids) = (Policy::default(), HashMap::new());
    if let Some(mut sections) = reader.sections(&mut tree) {
        policy.files = file::rules(&mut reader, &mut sections, &mut ids);
    }
    Policy {
        exempt_cgroups,
        protected_executables,
        ..policy
    }
}

impl Reader<'_, '_> {
    fn version(&mut self, tree: &DeTable<'_>) {
        let way_out = "write version = 1";
        let Some(version) = tree.get("version") else {
            let why = "without it nobody knows which rules of writing it follows";
            let what = "no version".to_owned();
            return self.findings.missing(0, what, why, way_out);
        };
        let DeValue::Integer(number) = version.get_ref() else {
            return self.wrong_type("version", version, "an integer", way_out);
        };
        if i64::from_str_radix(number.as_str(), number.radix()) != Ok(1) {
            self.findings.reject(
                version.span().start,
                format!("version {number}"),
                "this agent knows version 1 only",
                "write version = 1, or use the agent that the policy was written for",
            );
        }
    }

    fn exempt_cgroups(&mut self, tree: &DeTable<'_>) -> Vec<ExemptCgroup> {
        let mut seen = HashMap::new();
        let mut cgroups = Vec::new();
        for (value, offset) in self.strings(tree, "exempt_cgroups") {
            let path = paths::spelling(value).path;
            let valid = self.path("exempt cgroup", value, offset);
            if valid && path.is_empty() {
                self.findings.reject(
                    offset,
                    format!("exempt cgroup {}", shown(value)),
                    "it is the root, whose descendants are exempt too, so no rule would apply to \
                     anybody",
                    "name the cgroups that must be exempt",
                );
            }
            let (line, column) = self.findings.place(offset);
            if valid {
                let key = path.clone();
                self.once(&mut seen, key, "exempt cgroup", value, offset, KEEP_ONE);
            }
            if cgroups.len() == MAX_EXEMPT_CGROUPS {
                self.findings.reject(
                    offset,
                    format!("exempt cgroup {}", shown(value)),
                    &format!(
                        "a policy may exempt {MAX_EXEMPT_CGROUPS}, and this is the first beyond"
                    ),
                    "exempt a cgroup above several of them",
                );
            }
            cgroups.push(ExemptCgroup { path, line, column });
        }
        cgroups
    }

    fn protected_executables(&mut self, tree: &DeTable<'_>) -> Vec<String> {
        let kind = "protected executable";
        let mut seen = HashMap::new();
        let mut executables = Vec::new();
        for (value, offset) in self.strings(tree, "protected_executables") {
            let path = paths::spelling(value).path;
            let valid = self.path(kind, value, offset);
            if paths::ends_as_folder(value) {
                self.findings.reject(
                    offset,
                    format!("{kind} {}", shown(value)),
                    "it ends as a folder does, and no folder is executed",
                    "name each executable",
                );
            }
            if valid {
                self.once(&mut seen, path.clone(), kind, value, offset, KEEP_ONE);
            }
            executables.push(path);
        }
        executables
    }

    /// Takes the tables of rules, a table a class, out of the tree: of many rules the tree takes far
    /// more memory than all that is kept of them, so each is given back once it is read.
    fn sections<'t>(&mut self, tree: &mut DeTable<'t>) -> Option<DeTable<'t>> {
        let deny = tree.remove("deny")?;
        if !deny.get_ref().is_table() {
            let way_out = "write [[deny.file]] above each rule";
            self.wrong_type("deny", &deny, "a table", way_out);
        }
        let DeValue::Table(sections) = deny.into_inner() else {
            return None;
        };
        let classes: Vec<&str> = Class::ALL.iter().map(|class| class.name()).collect();
        self.only(&sections, "[deny]", &classes);
        Some(sections)
    }
}
