//! Tables of text.
//!
//! In: rows of cells, and on which side each column's cells stand. Out: one line a row, each
//! column as wide as its widest cell. Pure.

use console::measure_text_width;

/// Between two columns.
const GAP: &str = "  ";

/// On which side of its column a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// The rows as lines, each with a line end and without blanks before it. Columns past the end of
/// `aligns` are aligned left; a row may be shorter than others.
#[must_use]
pub fn lay_out<R: AsRef<[C]>, C: AsRef<str>>(rows: &[R], aligns: &[Align]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (column, cell) in row.as_ref().iter().enumerate() {
            let width = measure_text_width(cell.as_ref());
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let aligns = aligns.iter().copied().chain(std::iter::repeat(Align::Left));
    let columns: Vec<(usize, Align)> = widths.into_iter().zip(aligns).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.as_ref().iter().zip(&columns);
        let cells = cells.map(|(cell, &(width, align))| padded(cell.as_ref(), width, align));
        text.push_str(cells.collect::<Vec<_>>().join(GAP).trim_end());
        text.push('\n');
    }
    text
}

/// A cell that is at least `width` characters wide on the screen. `format!` can't do this: it
/// counts the escapes of a coloured cell, which have no width there.
#[must_use]
pub fn padded(cell: &str, width: usize, align: Align) -> String {
    let padding = " ".repeat(width.saturating_sub(measure_text_width(cell)));
    match align {
        Align::Left => format!("{cell}{padding}"),
        Align::Right => format!("{padding}{cell}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_as_wide_as_its_widest_cell_and_no_line_ends_in_blanks() {
        let rows = [
            vec!["tier", "ns", "why"],
            vec!["lsm", "12000", ""],
            vec!["signal"],
        ];
        assert_eq!(
            lay_out(&rows, &[Align::Left, Align::Right]),
            "tier       ns  why\nlsm     12000\nsignal\n"
        );
        assert_eq!(lay_out::<[&str; 0], _>(&[], &[]), "");
    }

    #[test]
    fn width_is_in_characters_and_not_in_bytes() {
        let rows = [["µs", "a"], ["ns", "b"]];
        assert_eq!(lay_out(&rows, &[]), "µs  a\nns  b\n");
    }

    #[test]
    fn colour_has_no_width() {
        let rows = [["\u{1b}[31mFAIL\u{1b}[0m", "a"], ["ok", "b"]];
        assert_eq!(lay_out(&rows, &[]), "\u{1b}[31mFAIL\u{1b}[0m  a\nok    b\n");
    }
}
