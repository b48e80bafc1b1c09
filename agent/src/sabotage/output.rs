//! Words of others, told as they are.

#[path = "../output/mod.rs"]
mod real;

pub use real::*;

use crate::sabotage::{self, Mutant};

pub mod text {
    //! Text.

    use std::borrow::Cow;
    use std::path::Path;

    use super::{Mutant, real, sabotage};

    pub use real::text::*;

    /// A name, as it is or as it can be read.
    pub fn name(bytes: &[u8]) -> String {
        match sabotage::is(Mutant::TellsNamesRaw) {
            true => String::from_utf8_lossy(bytes).into_owned(),
            false => real::text::name(bytes),
        }
    }

    /// A path, as it is or as it can be read.
    pub fn path(path: &Path) -> String {
        match sabotage::is(Mutant::LogsNamesRaw) {
            true => path.display().to_string(),
            false => real::text::path(path),
        }
    }

    /// A line, or what becomes of it.
    pub fn line(line: &str) -> Cow<'_, str> {
        // The choice itself is logged.
        match sabotage::is_wanted(Mutant::LogsNamesRaw) {
            true => line.into(),
            false => real::text::line(line),
        }
    }
}
