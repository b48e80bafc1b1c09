//! Words for a shell, so that a person can repeat a command.

use std::ffi::OsStr;

/// One word quoted for a shell. A NUL can't stand in a path, so nothing is ever refused.
pub(super) fn quote(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    shlex::try_quote(&text).map_or_else(|_| text.to_string(), |quoted| quoted.into_owned())
}
