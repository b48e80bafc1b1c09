//! The list of active LSMs: the kernel's, lowered by the seam if there is one.
//!
//! In: the kernel's list and, when `AEGIS_LSM_PATH` is set, the file that it names. Out: the
//! effective [`LsmList`]. The seam can hide an LSM and never add one, so it is safe in every
//! build: at worst, the agent claims less.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::sabotage::{self, Mutant};

/// Where the kernel lists its active LSMs.
pub const KERNEL_LIST: &str = "/sys/kernel/security/lsm";

/// The variable that names a file to lower the kernel's list with.
pub const SEAM: &str = "AEGIS_LSM_PATH";

/// The effective list of active LSMs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LsmList {
    /// In the kernel's order.
    Known(Vec<String>),
    /// Missing, empty or unreadable.
    Unreadable {
        /// What went wrong and the way out, for the log.
        reason: String,
    },
}

impl LsmList {
    /// Whether the BPF LSM is listed.
    pub fn has_bpf(&self) -> bool {
        matches!(self, Self::Known(names) if names.iter().any(|name| name == "bpf"))
    }

    /// The names, if the list could be read.
    pub fn names(&self) -> Option<&[String]> {
        match self {
            Self::Known(names) => Some(names),
            Self::Unreadable { .. } => None,
        }
    }

    /// Reads the kernel's list and lowers it by the seam's, if `seam` names one.
    pub fn read(kernel: &Path, seam: Option<&Path>) -> Self {
        let kernel = read_one(kernel);
        match seam {
            None => kernel,
            Some(seam) => lower(kernel, read_one(seam)),
        }
    }
}

/// The seam's file, where the environment names one.
pub fn seam_from_env() -> Option<PathBuf> {
    env::var_os(SEAM).map(PathBuf::from)
}

/// The list in a file's text: comma-separated whole tokens. `None` if it has none.
pub fn parse(text: &str) -> Option<Vec<String>> {
    let names: Vec<String> = text
        .trim()
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    (!names.is_empty()).then_some(names)
}

/// What both lists have. An unreadable one makes the outcome unreadable.
pub fn lower(kernel: LsmList, seam: LsmList) -> LsmList {
    match (kernel, seam) {
        (LsmList::Known(_), raised) if sabotage::is(Mutant::LetsSeamRaise) => raised,
        (LsmList::Known(kernel), LsmList::Known(seam)) => LsmList::Known(
            kernel
                .into_iter()
                .filter(|name| {
                    let within = |listed: &String| listed.contains(name.as_str());
                    seam.contains(name)
                        || sabotage::is(Mutant::MatchesSubstring) && seam.iter().any(within)
                })
                .collect(),
        ),
        (unreadable @ LsmList::Unreadable { .. }, _)
        | (_, unreadable @ LsmList::Unreadable { .. }) => unreadable,
    }
}

fn read_one(path: &Path) -> LsmList {
    let reason = match fs::read_to_string(path) {
        Ok(text) => match parse(&text) {
            Some(names) => return LsmList::Known(names),
            None => "it is empty".to_owned(),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => "there is no such file".to_owned(),
        Err(error) => error.to_string(),
    };
    LsmList::Unreadable {
        reason: format!("{}: {reason}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(text: &str) -> LsmList {
        LsmList::Known(parse(text).unwrap())
    }

    #[test]
    fn bpf_counts_only_as_a_whole_token() {
        assert!(known("lockdown,bpf\n").has_bpf());
        assert!(known("bpf").has_bpf());
        for text in ["notbpf", "bpf2,yama", "lockdown", "b,p,f", "BPF"] {
            assert!(!known(text).has_bpf(), "{text}");
        }
    }

    #[test]
    fn the_seam_lowers_and_never_raises() {
        let kernel = || known("lockdown,yama,bpf");
        assert!(!lower(kernel(), known("lockdown,yama")).has_bpf());
        assert!(lower(kernel(), known("bpf,selinux")).has_bpf());
        let without = lower(known("lockdown,yama"), known("lockdown,yama,bpf,selinux"));
        assert_eq!(without, known("lockdown,yama"));
    }

    #[test]
    fn an_empty_or_missing_list_is_unreadable() {
        assert_eq!(parse("\n"), None);
        assert_eq!(parse(" , ,"), None);
        let missing = LsmList::read(Path::new("/nonexistent/lsm"), None);
        assert!(matches!(missing, LsmList::Unreadable { .. }));
        assert!(!missing.has_bpf());
        let hidden = lower(known("bpf"), missing.clone());
        assert_eq!(hidden, missing);
    }

    proptest! {
        #[test]
        fn any_text_parses_to_tokens_or_nothing(text in ".*") {
            for name in parse(&text).unwrap_or_default() {
                prop_assert!(!name.is_empty() && !name.contains(','));
                prop_assert_eq!(name.trim(), &name);
            }
        }

        #[test]
        fn lowering_yields_what_both_have(
            kernel in "[a-c]{1,2}(,[a-c]{1,2}){0,5}",
            seam in "[a-c]{1,2}(,[a-c]{1,2}){0,5}",
        ) {
            let (kernel, seam) = (parse(&kernel).unwrap(), parse(&seam).unwrap());
            let both = lower(LsmList::Known(kernel.clone()), LsmList::Known(seam.clone()));
            for name in both.names().unwrap() {
                prop_assert!(kernel.contains(name) && seam.contains(name));
            }
        }
    }
}
