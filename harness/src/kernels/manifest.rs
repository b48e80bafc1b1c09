//! `kernels.toml`: which kernels to prove the promises on, and where they come from.
//!
//! In: the file's text. Out: a [`Manifest`] in which every value has been checked and every
//! path made absolute, or one error with the line, what is wrong there, and the way out.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use globset::Glob;
use serde::{Deserialize, Serialize};

use crate::exit::{Failure, Result};

mod check;
mod select;
#[cfg(test)]
mod tests;

use check::{RawManifest, check_kernel, check_suites};
pub use select::select;

/// The guest's memory where nobody says otherwise, which is enough for every proof on every kernel
/// of Debian's.
pub const DEFAULT_MEMORY_MIB: u32 = 256;

/// The checked contents of `kernels.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Debian suites to look in, e.g. `bookworm-security`.
    pub suites: Vec<String>,
    /// The kernels, in the order in which they were written; never empty.
    pub kernels: Vec<Kernel>,
    /// How errors name the file.
    pub file: String,
}

/// One `[[kernel]]`, with the defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    /// Fit for file names and for the names of test suites.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// The guest's memory.
    pub memory_mib: u32,
    /// Skips declared for it.
    pub skips: Vec<Skip>,
    /// What it may say on its console.
    pub allows: Vec<Allow>,
    /// The line of its name in the file, for later errors about it.
    pub line: usize,
}

/// Where a kernel comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// The newest build of a series that the suites have, pinned by `kernels.lock`.
    Debian {
        /// e.g. `6.12`.
        series: String,
        /// The end of the package's name, e.g. `cloud-amd64`.
        flavour: String,
    },
    /// A kernel of the user's own.
    Path {
        /// A bzImage.
        vmlinuz: PathBuf,
        /// The folder with its modules.
        modules: Option<PathBuf>,
    },
}

/// A proof that is known not to run on a kernel. The guest must confirm it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skip {
    /// The proof's id, or a glob for the ids of several that share the reason.
    pub proof: String,
    /// The boot; every boot without it.
    pub boot: Option<String>,
    /// Why; never empty.
    pub reason: String,
}

/// A complaint on the console that is known not to be about what is proven here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// A text that the line has in it; never empty.
    pub console: String,
    /// Why; never empty.
    pub reason: String,
}

/// What is wrong in the manifest, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// How the user knows the file.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong, and the way out.
    pub message: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            message,
        } = self;
        write!(f, "{file}:{line}:{column}: {message}")
    }
}

impl std::error::Error for Invalid {}

impl Skip {
    /// Whether it is of this proof of this boot.
    #[must_use]
    pub fn is_of(&self, boot: &str, proof: &str) -> bool {
        let glob = Glob::new(&self.proof).ok();
        self.boot.as_deref().is_none_or(|only| only == boot)
            && glob.is_some_and(|glob| glob.compile_matcher().is_match(proof))
    }
}

impl Kernel {
    /// Whether it comes from Debian, and so has a place in the lock.
    pub fn is_debian(&self) -> bool {
        matches!(self.source, Source::Debian { .. })
    }
}

impl Manifest {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| {
                format!(
                    "cannot read {}; run this inside the repository",
                    path.display()
                )
            })
            .map_err(Failure::usage)?;
        let file = path
            .file_name()
            .map_or_else(|| path.display().to_string(), |n| n.display().to_string());
        let base = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, &file, base).map_err(Failure::usage)
    }

    /// Checks the file's text. `file` is its name in errors; paths in it start at `base`.
    pub fn parse(text: &str, file: &str, base: &Path) -> Result<Self, Invalid> {
        let at = |start: usize, message: String| locate(text, file, start, message);
        let raw: RawManifest = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            at(start, error.message().trim_end().to_owned())
        })?;
        let suites = check_suites(raw.suites).map_err(|(start, message)| at(start, message))?;
        let mut names = BTreeSet::new();
        let mut kernels = Vec::new();
        for kernel in raw.kernel {
            let start = kernel.name.span().start;
            if !names.insert(kernel.name.get_ref().clone()) {
                let name = kernel.name.get_ref();
                return Err(at(
                    start,
                    format!("kernel {name:?} is there twice; rename or remove one"),
                ));
            }
            let line = at(start, String::new()).line;
            let kernel = check_kernel(kernel, &raw.defaults, base, line)
                .map_err(|(start, message)| at(start, message))?;
            if matches!(kernel.source, Source::Debian { .. }) && suites.is_empty() {
                let message = format!(
                    "kernel {:?} comes from Debian, but no suite is named; \
                     add e.g. suites = [\"bookworm\", \"bookworm-security\"]",
                    kernel.name
                );
                return Err(at(start, message));
            }
            kernels.push(kernel);
        }
        if kernels.is_empty() {
            return Err(at(
                0,
                "no kernel is named; add a [[kernel]] with name = \"6.12\" and debian = \"6.12\""
                    .to_owned(),
            ));
        }
        Ok(Self {
            suites,
            kernels,
            file: file.to_owned(),
        })
    }

    /// An error about one of the kernels, e.g. `kernels.toml:14: kernel "6.9": …`.
    pub fn about(&self, kernel: &Kernel, message: impl fmt::Display) -> anyhow::Error {
        anyhow!(
            "{}:{}: kernel {:?}: {message}",
            self.file,
            kernel.line,
            kernel.name
        )
    }
}

/// Turns a byte offset into the place that an editor shows.
fn locate(text: &str, file: &str, start: usize, message: String) -> Invalid {
    let before = text.get(..start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Invalid {
        file: file.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message,
    }
}
