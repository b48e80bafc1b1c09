//! What others chose, as text that does nothing but to be read: names of files and processes break
//! no line, do nothing to a terminal, and don't turn around what stands beside them.
//!
//! In: bytes of others, and lines with them in it. Out: text without control characters. A name is
//! written so that every other name is written otherwise.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::Serialize;

/// Whether a character does something else than to be read: it ends a line (U+2028 and U+2029 do
/// too), moves a terminal (C0, DEL, C1), or sets the direction of what follows.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// A name that others chose. What acts is written as in Rust, `\n` or `\u{1b}`, a byte that isn't
/// UTF-8 as `\xff`, and a backslash twice.
pub fn name(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                c if acts(c) => text.extend(c.escape_default()),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            // Writing to memory doesn't fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// A path with names that others chose, as [`name`].
pub fn path(path: &Path) -> String {
    name(path.as_os_str().as_bytes())
}

/// A line for people, in which nothing acts, whatever was put into it.
pub fn line(line: &str) -> Cow<'_, str> {
    if !line.contains(acts) {
        return line.into();
    }
    let mut text = String::with_capacity(line.len());
    for c in line.chars() {
        match acts(c) {
            true => text.extend(c.escape_default()),
            false => text.push(c),
        }
    }
    text.into()
}

/// JSON on one line, in which nothing acts.
///
/// # Errors
/// As [`serde_json::to_string`].
pub fn json(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(value).map(within_strings)
}

/// The same on many lines.
///
/// # Errors
/// As [`serde_json::to_string_pretty`].
pub fn json_pretty(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string_pretty(value).map(within_strings)
}

/// Escapes what acts in JSON and isn't escaped yet: from DEL on, which stands within strings only. A
/// parser gives back what was.
fn within_strings(json: String) -> String {
    if json.bytes().all(|byte| byte < 0x7f) {
        return json;
    }
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c >= '\u{7f}' && acts(c) {
            // All of them are below U+10000.
            true => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            false => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_acts_is_written_and_all_else_is_left() {
        for (bytes, text) in [
            (&b"plain name"[..], "plain name"),
            ("déjà vu, 漢字".as_bytes(), "déjà vu, 漢字"),
            (
                b"a\nENFORCE: 999 rules enforced",
                "a\\nENFORCE: 999 rules enforced",
            ),
            (b"\x1b[2J\r\t\x7f", "\\u{1b}[2J\\r\\t\\u{7f}"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            (
                "\u{202e}gpj\u{2066}\u{2028}".as_bytes(),
                "\\u{202e}gpj\\u{2066}\\u{2028}",
            ),
            (b"\xff\xc3", "\\xff\\xc3"),
            (b"\\xff", "\\\\xff"),
            (b"\\n", "\\\\n"),
        ] {
            assert_eq!(name(bytes), text);
        }
    }

    #[test]
    fn a_line_keeps_its_backslashes_and_is_one_line() {
        assert_eq!(line("as it is: \\n, 漢"), "as it is: \\n, 漢");
        assert_eq!(line("one\ntwo\u{1b}"), "one\\ntwo\\u{1b}");
    }

    #[test]
    fn json_is_read_as_it_was_and_its_own_line_ends_are_left() {
        let value = serde_json::json!({"a": "\u{7f}\u{9b}\u{202e}\u{2028}é\n\u{1b}"});
        assert_eq!(
            json(&value).unwrap(),
            r#"{"a":"\u007f\u009b\u202e\u2028é\n\u001b"}"#
        );
        let pretty = json_pretty(&value).unwrap();
        assert_eq!(pretty.lines().count(), 3);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&pretty).unwrap(),
            value
        );
    }

    proptest! {
        #[test]
        fn nothing_acts_in_any_of_it(bytes in prop::collection::vec(any::<u8>(), 0..40), text in any::<String>()) {
            prop_assert!(!name(&bytes).contains(acts));
            prop_assert!(!line(&text).contains(acts));
            let json = json(&text).unwrap();
            prop_assert!(!json.contains(acts));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn two_names_are_two_texts(
            one in prop::collection::vec(prop::sample::select(&b"\\xfnu{}0a\n\xff\xc3\xa9"[..]), 0..8),
            two in prop::collection::vec(prop::sample::select(&b"\\xfnu{}0a\n\xff\xc3\xa9"[..]), 0..8),
        ) {
            prop_assert_eq!(one == two, name(&one) == name(&two));
        }
    }

    #[test]
    fn every_single_byte_is_a_text_of_its_own() {
        let texts: BTreeSet<String> = (0..=u8::MAX).map(|byte| name(&[byte])).collect();
        assert_eq!(texts.len(), 256);
    }
}
