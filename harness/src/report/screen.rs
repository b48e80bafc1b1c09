//! What a stream can show: whether lines may be redrawn, and whether there may be colour.
//!
//! In: whether it is a terminal, and the environment. Out: a [`Screen`]. The decision is a
//! pure function; only [`Screen::of_stderr`] and [`Screen::of_stdout`] look around.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;

use console::Style;

/// What one of the two standard streams can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Lines may be redrawn.
    pub live: bool,
    /// Colour is welcome.
    pub colour: bool,
}

impl Screen {
    /// Where progress goes.
    #[must_use]
    pub fn of_stderr() -> Self {
        Self::around(std::io::stderr().is_terminal())
    }

    /// Where results go.
    #[must_use]
    pub fn of_stdout() -> Self {
        Self::around(std::io::stdout().is_terminal())
    }

    fn around(terminal: bool) -> Self {
        let variable = |name: &str| std::env::var_os(name);
        Self::decide(terminal, variable("NO_COLOR"), variable("TERM"))
    }

    /// `NO_COLOR` counts if it is set and not empty, as its convention has it.
    fn decide(terminal: bool, no_color: Option<OsString>, term: Option<OsString>) -> Self {
        let live = terminal && term.as_deref() != Some(OsStr::new("dumb"));
        let colour = live && no_color.is_none_or(|value| value.is_empty());
        Self { live, colour }
    }
}

/// Text in a colour, where there is any; its letters alone must say the same.
pub(super) fn paint(text: &str, style: Style, colour: bool) -> String {
    style.force_styling(colour).apply_to(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_needs_a_terminal_and_nobody_who_declines_it() {
        let decide = |terminal, no_color: Option<&str>, term: Option<&str>| {
            let screen = Screen::decide(terminal, no_color.map(Into::into), term.map(Into::into));
            (screen.live, screen.colour)
        };
        assert_eq!(decide(true, None, Some("xterm")), (true, true));
        assert_eq!(decide(true, Some(""), None), (true, true));
        assert_eq!(decide(true, Some("1"), Some("xterm")), (true, false));
        assert_eq!(decide(true, Some("0"), Some("xterm")), (true, false));
        assert_eq!(decide(true, None, Some("dumb")), (false, false));
        assert_eq!(decide(false, None, Some("xterm")), (false, false));
        assert_eq!(decide(false, Some("1"), None), (false, false));
    }

    #[test]
    fn without_colour_there_is_no_escape() {
        let red = || Style::new().red();
        assert_eq!(paint("FAIL", red(), false), "FAIL");
        assert_eq!(paint("FAIL", red(), true), "\u{1b}[31mFAIL\u{1b}[0m");
    }
}
