//! The policy: from the TOML that an operator writes to rules that make sense.
//!
//! In: the file's bytes. Out: a [`Policy`], or every error found, each with its place, what
//! is wrong, why it matters and the way out. Pure: it doesn't look at the machine.

use std::collections::HashMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use toml::Spanned;

/// The longest path that the kernel takes, without the NUL.
const PATH_MAX: usize = 4095;

/// A valid policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The file rules, in the order of the file.
    pub files: Vec<FileRule>,
    /// Cgroups that no rule applies to, nor to their descendants: absolute paths within the
    /// cgroup v2 hierarchy.
    pub exempt_cgroups: Vec<String>,
    /// Executables whose processes are never signalled.
    pub protected_executables: Vec<String>,
}

impl Policy {
    /// How many rules it has.
    pub fn rules(&self) -> usize {
        self.files.len()
    }
}

/// Denies opening one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRule {
    /// Its name in events and reports: as given, or `file[N]`.
    pub id: String,
    /// The file's path, taken literally, without a final slash.
    pub path: String,
    /// Whether it is a folder, with everything beneath it.
    pub folder: bool,
    /// What is denied.
    pub access: Access,
}

/// What a rule denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Reading, and executing.
    Read,
    /// Writing, and creating or replacing.
    Write,
    /// Both.
    #[default]
    ReadWrite,
}

impl Access {
    /// Whether reading is denied.
    pub fn reads(self) -> bool {
        self != Self::Write
    }

    /// Whether writing is denied.
    pub fn writes(self) -> bool {
        self != Self::Read
    }
}

/// One thing that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// Why it can't be accepted.
    pub why: String,
    /// What to do instead.
    pub way_out: String,
}

impl PolicyError {
    /// The error as one line, for the file that the operator named.
    pub fn display(&self, file: &str) -> String {
        let Self { line, column, .. } = self;
        format!(
            "{file}:{line}:{column}: {}: {}; {}",
            self.what, self.why, self.way_out
        )
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: Spanned<i64>,
    #[serde(default)]
    exempt_cgroups: Vec<Spanned<String>>,
    #[serde(default)]
    protected_executables: Vec<Spanned<String>>,
    #[serde(default)]
    deny: DenySection,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct DenySection {
    #[serde(default)]
    file: Vec<FileSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSection {
    path: Spanned<String>,
    id: Option<Spanned<String>>,
    #[serde(default)]
    access: Access,
}

/// Parses a policy, and collects every error in what it says.
pub fn parse(bytes: &[u8]) -> Result<Policy, Vec<PolicyError>> {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
            let mut checker = Checker::new(&valid);
            checker.reject(
                valid.len()..valid.len(),
                "bytes that aren't UTF-8".to_owned(),
                "TOML is UTF-8 text",
                "save the file as UTF-8",
            );
            return Err(checker.errors);
        }
    };
    let mut checker = Checker::new(text);
    let document: Document = match toml::from_str(text) {
        Ok(document) => document,
        Err(error) => {
            checker.reject(
                error.span().unwrap_or(0..0),
                error.message().lines().collect::<Vec<_>>().join(", "),
                "the file isn't a policy as this version knows it",
                "mend or remove what stands there",
            );
            return Err(checker.errors);
        }
    };
    let policy = checker.document(document);
    if checker.errors.is_empty() {
        Ok(policy)
    } else {
        checker
            .errors
            .sort_by_key(|error| (error.line, error.column));
        Err(checker.errors)
    }
}

/// Walks a document that has the right shape, and notes what makes no sense.
struct Checker<'a> {
    text: &'a str,
    errors: Vec<PolicyError>,
}

impl<'a> Checker<'a> {
    fn new(text: &'a str) -> Self {
        let errors = Vec::new();
        Self { text, errors }
    }

    fn document(&mut self, document: Document) -> Policy {
        if *document.version.get_ref() != 1 {
            self.reject(
                document.version.span(),
                format!("version {}", document.version.get_ref()),
                "this agent knows version 1 only",
                "write version = 1, or use the agent that the policy was written for",
            );
        }
        for cgroup in &document.exempt_cgroups {
            self.cgroup(cgroup);
        }
        self.unique("exempt cgroup", &document.exempt_cgroups);
        for path in &document.protected_executables {
            self.path("protected executable", path);
        }
        self.unique("protected executable", &document.protected_executables);
        let files = self.files(document.deny.file);
        Policy {
            files,
            exempt_cgroups: inner(document.exempt_cgroups),
            protected_executables: inner(document.protected_executables),
        }
    }

    fn files(&mut self, sections: Vec<FileSection>) -> Vec<FileRule> {
        let (mut paths, mut ids, mut rules) = (Vec::new(), Vec::new(), Vec::new());
        for (index, section) in sections.into_iter().enumerate() {
            self.path("path", &section.path);
            let id = match section.id {
                Some(id) => {
                    self.id(&id);
                    let name = id.get_ref().clone();
                    ids.push(id);
                    name
                }
                None => {
                    let name = format!("file[{index}]");
                    ids.push(Spanned::new(section.path.span(), name.clone()));
                    name
                }
            };
            rules.push(FileRule {
                id,
                path: section.path.get_ref().trim_end_matches('/').to_owned(),
                folder: section.path.get_ref().ends_with('/'),
                access: section.access,
            });
            paths.push(section.path);
        }
        self.unique("path", &paths);
        self.unique("id", &ids);
        rules
    }

    fn id(&mut self, id: &Spanned<String>) {
        let name = id.get_ref();
        if name.is_empty() || name.chars().any(char::is_control) {
            self.reject(
                id.span(),
                format!("id {name:?}"),
                "events and reports name a rule by its id",
                "give it printable characters, or leave it out",
            );
        }
    }

    fn cgroup(&mut self, cgroup: &Spanned<String>) {
        let value = cgroup.get_ref();
        let named = |name: &str| !matches!(name, "" | ".");
        if value.starts_with('/') && !value.split('/').any(named) {
            self.reject(
                cgroup.span(),
                format!("exempt cgroup {value:?}"),
                "it is the root, whose descendants are exempt too, so no rule would apply to anybody",
                "name the cgroups that must be exempt",
            );
            return;
        }
        self.path("exempt cgroup", cgroup);
    }

    /// What holds for every path in a policy.
    fn path(&mut self, kind: &str, path: &Spanned<String>) {
        let value = path.get_ref();
        let what = format!("{kind} {value:?}");
        let (why, way_out) = if value.contains('\0') {
            ("no path on Linux holds a NUL", "remove it")
        } else if !value.starts_with('/') {
            (
                "it is relative, and the agent has no folder of yours to start from",
                "start it with /",
            )
        } else if value.split('/').any(|component| component == "..") {
            (
                "it has a `..`, which means another file when a folder on the way is a link",
                "write the path without it",
            )
        } else if value.ends_with('/') && kind != "path" {
            (
                "it ends in a slash, and whole folders can't be named yet",
                "remove the slash, and name one thing",
            )
        } else if value.len() > PATH_MAX {
            ("the kernel takes paths of up to 4095 bytes", "shorten it")
        } else {
            return;
        };
        self.reject(path.span(), what, why, way_out);
    }

    fn unique(&mut self, kind: &str, values: &[Spanned<String>]) {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for value in values {
            let line = self.place(value.span().start).0;
            if let Some(first) = seen.insert(value.get_ref(), line) {
                self.reject(
                    value.span(),
                    format!("{kind} {:?} a second time", value.get_ref()),
                    &format!("line {first} has it already"),
                    "remove one of the two",
                );
            }
        }
    }

    fn reject(&mut self, span: Range<usize>, what: String, why: &str, way_out: &str) {
        let (line, column) = self.place(span.start);
        self.errors.push(PolicyError {
            line,
            column,
            what,
            why: why.to_owned(),
            way_out: way_out.to_owned(),
        });
    }

    /// Line and column of a byte offset.
    fn place(&self, offset: usize) -> (usize, usize) {
        let bytes = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        (
            line,
            String::from_utf8_lossy(&bytes[start..]).chars().count() + 1,
        )
    }
}

fn inner(values: Vec<Spanned<String>>) -> Vec<String> {
    values.into_iter().map(Spanned::into_inner).collect()
}
