//! What became of the kernels that were asked for: ready, or why not. One that can't be had keeps
//! no other from being proven.

use anyhow::anyhow;

use crate::{
    exit::{ExitCode, Failure, Result},
    kernels::ReadyKernel,
    kernels::manifest::Kernel,
};

/// The kernels that were asked for, in that order within each list.
#[derive(Debug, Clone, PartialEq)]
pub struct Readied {
    /// At least one.
    pub ready: Vec<ReadyKernel>,
    /// The others.
    pub missing: Vec<MissingKernel>,
}

/// A kernel that could not be had, through nobody's mistake in `kernels.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct MissingKernel {
    /// As it stands in the manifest.
    pub kernel: Kernel,
    /// What it means if no kernel is left.
    pub code: ExitCode,
    /// Why, and the way out.
    pub why: String,
}

impl Readied {
    /// All of the kernels, for those who need every one.
    ///
    /// # Errors
    /// One is missing.
    pub fn all(self) -> Result<Vec<ReadyKernel>> {
        match self.missing.is_empty() {
            true => Ok(self.ready),
            false => Err(all_of_it(&self.missing)),
        }
    }

    /// What is left of a run that asked for kernels and got these.
    ///
    /// # Errors
    /// Not one is ready.
    pub(super) fn or_nothing(self) -> Result<Self> {
        match self.ready.is_empty() {
            true => Err(all_of_it(&self.missing)),
            false => Ok(self),
        }
    }
}

impl MissingKernel {
    /// Stands for the kernel where its boots are planned, none of which can be launched.
    #[must_use]
    pub fn unbootable(&self) -> ReadyKernel {
        ReadyKernel {
            name: self.kernel.name.clone(),
            source: self.kernel.source.clone(),
            release: String::new(),
            version_word: None,
            vmlinuz: std::path::PathBuf::new(),
            modules: None,
            package_version: None,
            replaced: None,
            memory_mib: self.kernel.memory_mib,
            skips: self.kernel.skips.clone(),
            allows: self.kernel.allows.clone(),
        }
    }
}

/// One error for all of them: what keeps several from being had is often the same.
fn all_of_it(missing: &[MissingKernel]) -> Failure {
    let mut reasons: Vec<&str> = Vec::new();
    for missing in missing {
        if !reasons.contains(&missing.why.as_str()) {
            reasons.push(&missing.why);
        }
    }
    let mut codes = missing.iter().map(|missing| missing.code);
    let first = codes.next().unwrap_or(ExitCode::Infrastructure);
    let code = match codes.all(|code| code == first) {
        true => first,
        false => ExitCode::Infrastructure,
    };
    Failure::new(code, anyhow!(reasons.join("\n")))
}
