//! The results as JSON, for programs: `results.json` and `--json`.
//!
//! In: judged boots. Out: one versioned document, which this module also reads back. New
//! fields may be added within a version; a changed meaning raises it.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::outcome::BootResult;

/// Version of the document.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Written<'a> {
    schema_version: u32,
    results: &'a [BootResult],
}

#[derive(Deserialize)]
struct Read {
    results: Vec<BootResult>,
}

/// Only the version, so that a document of another one gives that as its error.
#[derive(Deserialize)]
struct Version {
    schema_version: u32,
}

/// The whole document, indented, with a line end.
pub fn render(results: &[BootResult]) -> Result<String> {
    let document = Written {
        schema_version: VERSION,
        results,
    };
    let mut text =
        serde_json::to_string_pretty(&document).context("failed to write the results as JSON")?;
    text.push('\n');
    Ok(text)
}

/// Reads a document back.
pub fn parse(text: &str) -> Result<Vec<BootResult>> {
    let Version { schema_version } =
        serde_json::from_str(text).context("failed to read the results' version")?;
    ensure!(
        schema_version == VERSION,
        "the results have version {schema_version}, this program reads version {VERSION}"
    );
    let read: Read = serde_json::from_str(text).context("failed to read the results")?;
    Ok(read.results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn results_survive_the_way_through_json() {
        let results = samples::results();
        assert_eq!(parse(&render(&results).unwrap()).unwrap(), results);
    }

    #[test]
    fn another_version_is_refused_by_its_number() {
        let text = render(&[]).unwrap().replace(": 1", ": 2");
        assert_eq!(
            parse(&text).unwrap_err().to_string(),
            "the results have version 2, this program reads version 1"
        );
        assert!(parse("{}").is_err());
        assert!(parse("").is_err());
    }
}
