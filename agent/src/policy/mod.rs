//! The policy: from the TOML that an operator writes to rules that make sense.
//!
//! In: the file's bytes. Out: a [`Policy`], or every error found, each with its place, what
//! is wrong, why it matters and the way out. Pure: it doesn't look at the machine. What only
//! the machine can tell, such as a cgroup that doesn't exist, comes back as a [`PolicyError`]
//! through [`ExemptCgroup::error`].
//!
//! How a file flows: `syntax` makes a tree of it, as far as it can → `document` walks the
//! tree and judges each value, with a module a class for the rules (`file`), `reader` for values of
//! any kind and `paths` for those that are paths → `findings` puts what they found into the file's order, with line and column from `places`.

mod document;
mod file;
mod findings;
mod paths;
mod places;
mod reader;
mod syntax;

use serde::Serialize;

pub use file::{Access, FileRule};
use findings::Findings;
use places::Places;

/// The most rules that a policy may have.
pub const MAX_RULES: usize = 65_536;

/// The most cgroups that a policy may exempt; the kernel side looks at no more (`EXEMPT_MAX` in
/// `bpf/core/exempt.h`).
pub const MAX_EXEMPT_CGROUPS: usize = 256;

/// A valid policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The file rules, in the order of the file.
    pub files: Vec<FileRule>,
    /// Cgroups that no rule applies to, nor to their descendants.
    pub exempt_cgroups: Vec<ExemptCgroup>,
    /// Executables whose processes are never signalled.
    pub protected_executables: Vec<String>,
}

impl Policy {
    /// How many rules it has.
    pub fn rules(&self) -> usize {
        self.files.len()
    }
}

/// A cgroup that no rule applies to, with its place in the policy: whether it exists is only
/// known on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExemptCgroup {
    /// An absolute path within the cgroup v2 hierarchy.
    pub path: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
}

impl ExemptCgroup {
    /// What is wrong with it on this machine.
    pub fn error(&self, why: String) -> PolicyError {
        PolicyError {
            line: self.line,
            column: self.column,
            what: format!("exempt cgroup {}", paths::shown(&self.path)),
            why,
            way_out: "create it first, or remove it from the policy".to_owned(),
        }
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

/// Parses a policy, and collects every error in what it says.
pub fn parse(bytes: &[u8]) -> Result<Policy, Vec<PolicyError>> {
    let text = String::from_utf8_lossy(bytes);
    let places = Places::new(&text);
    let mut findings = Findings::new(&places);
    if text.as_bytes() != bytes {
        syntax::undecodable(bytes, &mut findings);
    }
    let tree = syntax::tree(&text, &mut findings);
    let policy = document::policy(tree, &mut findings);
    findings.into_result(policy)
}
