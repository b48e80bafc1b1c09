//! From bytes to a tree, past everything that isn't TOML.
//!
//! In: the policy's bytes and text. Out: the tree as far as the parser recovers it, and a
//! finding for every line that it couldn't read.

use toml::de::DeTable;

use super::findings::Findings;
use super::paths::shown;

/// Notes where the bytes are no text. In the text each such place is one replacement
/// character.
pub(super) fn undecodable(bytes: &[u8], findings: &mut Findings<'_>) {
    let mut offset = 0;
    for chunk in bytes.utf8_chunks() {
        offset += chunk.valid().len();
        if chunk.invalid().is_empty() {
            continue;
        }
        findings.unreadable(
            offset,
            "bytes that aren't UTF-8".to_owned(),
            "TOML is UTF-8 text",
            "save the file as UTF-8",
        );
        offset += char::REPLACEMENT_CHARACTER.len_utf8();
    }
}

/// The tree of a text.
pub(super) fn tree<'a>(text: &'a str, findings: &mut Findings<'_>) -> DeTable<'a> {
    let (tree, errors) = DeTable::parse_recoverable(text);
    // In the file's order, so that of each line the first is told: the parser's later ones
    // follow from it.
    let mut errors: Vec<_> = errors
        .iter()
        .map(|error| (error.span().unwrap_or(0..0), error.message()))
        .collect();
    errors.sort_by_key(|(span, _)| span.start);
    for (span, message) in errors {
        match text.get(span.clone()) {
            Some(key) if message == "duplicate key" => findings.unreadable(
                span.start,
                format!("key {} a second time", shown(key)),
                "TOML takes a key once, so one of the two would be lost",
                "remove one of the two",
            ),
            // The parser's own words for this speak of quotes.
            Some("") if message.starts_with("string values must be quoted") => findings.unreadable(
                span.start,
                "a key without a value".to_owned(),
                "the file isn't TOML",
                "write its value, or remove the key",
            ),
            _ => findings.unreadable(
                span.start,
                message.lines().collect::<Vec<_>>().join(", "),
                "the file isn't TOML",
                "mend what stands there",
            ),
        }
    }
    tree.into_inner()
}
