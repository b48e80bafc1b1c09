//! File rules: from the tables of `[[deny.file]]` to rules on paths.
//!
//! In: the tables. Out: rules, and a finding for everything in them that makes no sense.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use super::paths::{self, shown};
use super::reader::Reader;
use crate::posture::Class;

/// Denies opening one file, or a folder with everything beneath it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRule {
    /// Its name in events and reports: as given, or `file[N]`.
    pub id: String,
    /// The path, taken literally but for `//`, `/./` and the final slash, which are gone.
    pub path: String,
    /// Whether the path had a final slash: the folder and everything beneath it.
    pub folder: bool,
    /// What is denied.
    pub access: Access,
}

/// What a file rule denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Opening for reading or to execute.
    Read,
    /// Opening for writing, truncating, creating, renaming over.
    Write,
    /// Both.
    #[default]
    ReadWrite,
}

impl Access {
    const ALL: [Self; 3] = [Self::Read, Self::Write, Self::ReadWrite];

    /// Its name in policies, events and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadWrite => "read-write",
        }
    }

    /// Whether reading is denied.
    pub fn reads(self) -> bool {
        self != Self::Write
    }

    /// Whether writing is denied.
    pub fn writes(self) -> bool {
        self != Self::Read
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|access| access.name() == name)
    }
}

/// The rules of `[[deny.file]]`.
pub(super) fn rules(
    reader: &mut Reader<'_, '_>,
    sections: &mut DeTable<'_>,
    ids: &mut HashMap<String, usize>,
) -> Vec<FileRule> {
    let keys = ["path", "access", "id"];
    let mut targets = HashMap::new();
    reader.rules(
        sections,
        Class::File,
        &keys,
        ids,
        |reader, table, id, offset| {
            let access = reader.access(table);
            let (path, folder) = reader.target(table, &mut targets, offset)?;
            Some(FileRule {
                id,
                path,
                folder,
                access,
            })
        },
    )
}

impl Reader<'_, '_> {
    fn access(&mut self, table: &DeTable<'_>) -> Access {
        let Some((name, offset)) = self.string(table, "access") else {
            return Access::default();
        };
        Access::from_name(name).unwrap_or_else(|| {
            let names = Access::ALL.map(|access| format!("{:?}", access.name()));
            self.findings.reject(
                offset,
                format!("access {}", shown(name)),
                "it isn't an access that a rule can deny",
                &format!(
                    "write one of {}, or leave it out for both",
                    names.join(", ")
                ),
            );
            Access::default()
        })
    }

    /// The rule's path, and whether it names a folder.
    fn target(
        &mut self,
        table: &DeTable<'_>,
        seen: &mut HashMap<paths::Spelling, usize>,
        rule: usize,
    ) -> Option<(String, bool)> {
        if !table.contains_key("path") {
            self.findings.missing(
                rule,
                "no path".to_owned(),
                "a rule denies what its path names",
                "write path = \"/…\" beneath, or remove the rule",
            );
        }
        let (value, offset) = self.string(table, "path")?;
        let spelling = paths::spelling(value);
        let valid = self.path("path", value, offset);
        if valid && spelling.path.is_empty() {
            self.findings.reject(
                offset,
                format!("path {}", shown(value)),
                "it is the root, so everything would be denied to everybody, to this agent too",
                "name the folders to deny, each with a final slash",
            );
        } else if paths::ends_in_dot(value) {
            self.findings.reject(
                offset,
                format!("path {}", shown(value)),
                "it ends in a dot, which doesn't say whether all beneath the folder is meant",
                "end it in a slash for the folder and everything beneath it, or in its name",
            );
        }
        if valid {
            let way_out = "make them one rule, with the access that both deny together";
            self.once(seen, spelling.clone(), "path", value, offset, way_out);
        }
        Some((spelling.path, spelling.final_slash))
    }
}
