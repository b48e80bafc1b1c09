//! The list of active LSMs, as the posture takes it: the kernel's, lowered by the seam's.
//!
//! In: the text of each. Out: the effective [`LsmList`]. The seam can hide an LSM and never add
//! one, so it is safe in every build: at worst, the agent claims less. Pure.

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
        (LsmList::Known(kernel), LsmList::Known(seam)) => {
            let names = kernel.into_iter().filter(|name| seam.contains(name));
            LsmList::Known(names.collect())
        }
        (unreadable @ LsmList::Unreadable { .. }, _)
        | (_, unreadable @ LsmList::Unreadable { .. }) => unreadable,
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
        let missing = LsmList::Unreadable {
            reason: "missing".to_owned(),
        };
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
