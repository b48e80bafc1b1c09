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
use serde::Deserialize;
use toml::Spanned;

use crate::exit::{Failure, Result};

mod select;
#[cfg(test)]
mod tests;

pub use select::select;

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
    /// The proof's id.
    pub proof: String,
    /// The boot; both without it.
    pub boot: Option<String>,
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

/// The file as it is written. Spans are kept where a later check can fail.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    #[serde(default)]
    suites: Vec<Spanned<String>>,
    #[serde(default)]
    defaults: RawDefaults,
    #[serde(default)]
    kernel: Vec<RawKernel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawDefaults {
    flavour: Spanned<String>,
    memory_mib: Spanned<u32>,
}

impl Default for RawDefaults {
    fn default() -> Self {
        Self {
            flavour: Spanned::new(0..0, "cloud-amd64".to_owned()),
            memory_mib: Spanned::new(0..0, 256),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKernel {
    name: Spanned<String>,
    debian: Option<Spanned<String>>,
    path: Option<Spanned<PathBuf>>,
    modules: Option<Spanned<PathBuf>>,
    flavour: Option<Spanned<String>>,
    memory_mib: Option<Spanned<u32>>,
    #[serde(default)]
    skip: Vec<Spanned<Skip>>,
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

/// Where in the text a check failed, and how.
type Fault = (usize, String);

fn check_suites(raw: Vec<Spanned<String>>) -> Result<Vec<String>, Fault> {
    let mut suites = Vec::new();
    for suite in raw {
        let start = suite.span().start;
        let suite = suite.into_inner();
        check_suite(&suite).map_err(|why| (start, format!("suite {suite:?} {why}")))?;
        if suites.contains(&suite) {
            return Err((start, format!("suite {suite:?} is there twice; remove one")));
        }
        suites.push(suite);
    }
    Ok(suites)
}

fn check_suite(suite: &str) -> Result<(), &'static str> {
    let (codename, pocket) = suite.split_once('-').unwrap_or((suite, ""));
    match codename {
        "sid" | "unstable" | "experimental" | "rc" => {
            return Err(
                "keeps a single version of a kernel, so the lock would go stale within \
                        days; name a release, e.g. \"trixie-backports\"",
            );
        }
        "stable" | "oldstable" | "oldoldstable" | "testing" => {
            return Err(
                "means another release each time Debian releases; name the release, \
                        e.g. \"bookworm\"",
            );
        }
        _ => {}
    }
    let is_word = !codename.is_empty() && codename.bytes().all(|b| b.is_ascii_lowercase());
    if is_word && matches!(pocket, "" | "security" | "updates" | "backports") {
        Ok(())
    } else {
        Err(
            "isn't a Debian suite; write a release's name in lower case, optionally followed \
             by -security, -updates or -backports, e.g. \"bookworm-security\"",
        )
    }
}

fn check_kernel(
    raw: RawKernel,
    defaults: &RawDefaults,
    base: &Path,
    line: usize,
) -> Result<Kernel, Fault> {
    let start = raw.name.span().start;
    check_name(raw.name.get_ref()).map_err(|message| (start, message))?;
    let source = check_source(&raw, defaults, base)?;
    let memory = raw.memory_mib.as_ref().unwrap_or(&defaults.memory_mib);
    // Below this Debian's kernels run out of memory while they unpack the initramfs.
    if !(64..=65_536).contains(memory.get_ref()) {
        return Err((
            memory.span().start,
            format!(
                "memory_mib = {} isn't between 64 and 65536",
                memory.get_ref()
            ),
        ));
    }
    let mut skips = Vec::new();
    for skip in raw.skip {
        let start = skip.span().start;
        let skip = skip.into_inner();
        if skip.reason.trim().is_empty() {
            let message = format!("the skip of {:?} has no reason; say why", skip.proof);
            return Err((start, message));
        }
        skips.push(skip);
    }
    Ok(Kernel {
        memory_mib: *memory.get_ref(),
        name: raw.name.into_inner(),
        source,
        skips,
        line,
    })
}

/// A kernel's name becomes a folder, a suite of the JUnit file and a word in globs.
fn check_name(name: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._+-".contains(&b);
    let first = name
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    if first && name.len() <= 64 && name.bytes().all(fits) {
        return Ok(());
    }
    Err(format!(
        "kernel name {name:?} doesn't fit in file names; use up to 64 letters, digits and ._+-, \
         the first a letter or digit"
    ))
}

fn check_source(raw: &RawKernel, defaults: &RawDefaults, base: &Path) -> Result<Source, Fault> {
    let start = raw.name.span().start;
    let name = raw.name.get_ref();
    match (&raw.debian, &raw.path) {
        (Some(series), None) => {
            if let Some(modules) = &raw.modules {
                let message = format!(
                    "kernel {name:?}: modules goes with path; a Debian kernel brings its own"
                );
                return Err((modules.span().start, message));
            }
            let flavour = raw.flavour.as_ref().unwrap_or(&defaults.flavour);
            check_series(series.get_ref())
                .map_err(|why| (series.span().start, format!("kernel {name:?}: {why}")))?;
            check_flavour(flavour.get_ref()).map_err(|why| (flavour.span().start, why))?;
            Ok(Source::Debian {
                series: series.get_ref().clone(),
                flavour: flavour.get_ref().clone(),
            })
        }
        (None, Some(path)) => {
            if let Some(flavour) = &raw.flavour {
                let message = format!("kernel {name:?}: flavour goes with debian; remove it");
                return Err((flavour.span().start, message));
            }
            Ok(Source::Path {
                vmlinuz: base.join(path.get_ref()),
                modules: raw.modules.as_ref().map(|m| base.join(m.get_ref())),
            })
        }
        (None, None) => Err((
            start,
            format!("kernel {name:?} has no source; add debian = \"SERIES\" or path = \"VMLINUZ\""),
        )),
        (Some(_), Some(path)) => Err((
            path.span().start,
            format!("kernel {name:?} has two sources; keep either debian or path"),
        )),
    }
}

fn check_series(series: &str) -> Result<(), String> {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    match series.split_once('.') {
        Some((major, minor)) if number(major) && number(minor) => Ok(()),
        _ => Err(format!(
            "{series:?} isn't a series; write two numbers, e.g. debian = \"6.12\""
        )),
    }
}

fn check_flavour(flavour: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if flavour.ends_with("amd64") && flavour.bytes().all(fits) {
        return Ok(());
    }
    Err(format!(
        "flavour {flavour:?} isn't the end of a kernel package's name for this architecture; \
         write e.g. \"cloud-amd64\" or \"amd64\""
    ))
}
