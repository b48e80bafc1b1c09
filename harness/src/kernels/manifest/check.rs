//! The manifest as it is written, and the checks that its values must pass.
//!
//! In: values with their place in the text. Out: checked values, or where and what is wrong.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::{Allow, Kernel, Skip, Source};

/// The file as it is written. Spans are kept where a later check can fail.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawManifest {
    #[serde(default)]
    pub(super) suites: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) defaults: RawDefaults,
    #[serde(default)]
    pub(super) kernel: Vec<RawKernel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawDefaults {
    flavour: Spanned<String>,
    memory_mib: Spanned<u32>,
}

impl Default for RawDefaults {
    fn default() -> Self {
        Self {
            flavour: Spanned::new(0..0, "cloud-amd64".to_owned()),
            memory_mib: Spanned::new(0..0, super::DEFAULT_MEMORY_MIB),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKernel {
    pub(super) name: Spanned<String>,
    debian: Option<Spanned<String>>,
    path: Option<Spanned<PathBuf>>,
    modules: Option<Spanned<PathBuf>>,
    flavour: Option<Spanned<String>>,
    memory_mib: Option<Spanned<u32>>,
    #[serde(default)]
    skip: Vec<Spanned<Skip>>,
    #[serde(default)]
    allow: Vec<Spanned<Allow>>,
}

/// Where in the text a check failed, and how.
pub(super) type Fault = (usize, String);

pub(super) fn check_suites(raw: Vec<Spanned<String>>) -> Result<Vec<String>, Fault> {
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

pub(super) fn check_kernel(
    raw: RawKernel,
    defaults: &RawDefaults,
    base: &Path,
    line: usize,
) -> Result<Kernel, Fault> {
    let start = raw.name.span().start;
    check_name(raw.name.get_ref()).map_err(|message| (start, message))?;
    let source = check_source(&raw, defaults, base)?;
    let memory = raw.memory_mib.as_ref().unwrap_or(&defaults.memory_mib);
    // Debian's kernels need about twice the least of this, but one's own may be small.
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
    let mut allows = Vec::new();
    for allow in raw.allow {
        let start = allow.span().start;
        let allow = allow.into_inner();
        // A short text would allow what nobody thought of.
        if allow.console.trim().len() < 8 {
            let message = format!(
                "allow: the text {:?} has fewer than 8 letters",
                allow.console
            );
            return Err((start, message));
        }
        if allow.reason.trim().is_empty() {
            let message = format!("allow: {:?} has no reason; say why", allow.console);
            return Err((start, message));
        }
        allows.push(allow);
    }
    Ok(Kernel {
        memory_mib: *memory.get_ref(),
        name: raw.name.into_inner(),
        source,
        skips,
        allows,
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
