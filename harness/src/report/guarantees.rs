//! `GUARANTEES.md` against the promises that it is written from, and what a run showed of them.
//!
//! In: the document's text, the kernels. Out: where it differs from what the promises say, and
//! which proof no kernel shows. [`render`] makes a table of a run. Pure.

pub mod render;

use proofs::Promise;

use crate::kernels::manifest::Kernel;
use crate::outcome::CROSS_BOOT;

/// A proof that a promise rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The suite in which it is planned: a boot, or the comparison of two.
    pub boot: &'static str,
    /// The proof's id, which another boot may have too.
    pub proof: String,
}

/// What a promise rests on.
#[must_use]
pub fn shown(promise: &Promise) -> Vec<Shown> {
    let proofs = (promise.proofs)().into_iter().map(|proof| Shown {
        boot: proof.boot.name(),
        proof: proof.id,
    });
    let comparison = promise.comparison.iter().map(|comparison| Shown {
        boot: CROSS_BOOT,
        proof: comparison.id.to_owned(),
    });
    proofs.chain(comparison).collect()
}

/// Where the document isn't the one that the promises make: the first line that differs, and the
/// way out.
#[must_use]
pub fn difference(text: &str, written: &str) -> Option<String> {
    if text == written {
        return None;
    }
    let mut lines = (1..).zip(text.lines().zip(written.lines()));
    let differing = lines.find(|(_, (is, should))| is != should);
    let whole = text.lines().count().min(written.lines().count());
    let (line, what) = match differing {
        Some((line, (is, should))) => (line, format!("is {is:?}, the promises say {should:?}")),
        None => (whole + 1, "one of the two ends here".to_owned()),
    };
    Some(format!(
        "GUARANTEES.md:{line}: {what}; it is written from harness/proofs by `cargo xtask \
         guarantees --write`"
    ))
}

/// Proofs that are planned on none of the kernels, as all skip them.
#[must_use]
pub fn on_no_kernel(kernels: &[Kernel]) -> Vec<String> {
    let shown = proofs::ALL.iter().flat_map(|promise| shown(promise));
    let nowhere = shown.filter(|shown| {
        let skips = |kernel: &Kernel| {
            let mut skips = kernel.skips.iter();
            skips.any(|skip| skip.is_of(shown.boot, &shown.proof))
        };
        kernels.iter().all(skips)
    });
    nowhere
        .map(|shown| {
            let Shown { boot, proof } = shown;
            format!("{proof} of {boot} is planned on no kernel of kernels.toml")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_as_written_has_no_difference() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
    }

    #[test]
    fn the_first_line_that_differs_is_told_and_so_is_a_cut_document() {
        let told = difference("a\nb\n", "a\nc\n").expect("a difference");
        assert!(told.starts_with("GUARANTEES.md:2: is \"b\", the promises say \"c\""));
        assert!(told.ends_with("--write`"));
        for (text, written) in [("a\n", "a\nb\n"), ("a\nb\n", "a\n")] {
            let told = difference(text, written).expect("a difference");
            assert!(
                told.starts_with("GUARANTEES.md:2: one of the two ends"),
                "{told}"
            );
        }
        // No line differs, and the document does.
        assert!(difference("a", "a\n").is_some());
    }

    #[test]
    fn a_proof_on_no_kernel_is_found() {
        let all: usize = proofs::ALL.iter().map(|promise| shown(promise).len()).sum();
        assert_eq!(on_no_kernel(&[]).len(), all);
    }
}
