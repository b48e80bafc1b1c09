//! Byte offsets to lines and columns, without reading the file from its start each time.
//!
//! In: the policy's text, then offsets in it. Out: places, as an editor shows them.

/// How many bytes lie between two remembered counts.
const STEP: usize = 1024;

/// Where the lines of a text begin, and how many characters come before every step.
pub(super) struct Places<'a> {
    text: &'a [u8],
    line_starts: Vec<usize>,
    characters: Vec<usize>,
}

impl<'a> Places<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let text = text.as_bytes();
        let after = |(at, byte): (usize, &u8)| (*byte == b'\n').then_some(at + 1);
        let breaks = text.iter().enumerate().filter_map(after);
        let line_starts = std::iter::once(0).chain(breaks).collect();
        let mut characters = vec![0];
        let mut count = 0;
        for step in text.chunks(STEP) {
            count += starts(step);
            characters.push(count);
        }
        Self {
            text,
            line_starts,
            characters,
        }
    }

    /// The line of an offset, counted from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// The line of an offset, and its column in characters, both counted from 1. What lies
    /// past the end of the text is at its end.
    pub(super) fn place(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        let line = self.line(offset);
        let start = self.line_starts[line - 1];
        (
            line,
            self.characters_before(offset) - self.characters_before(start) + 1,
        )
    }

    fn characters_before(&self, offset: usize) -> usize {
        let step = offset / STEP;
        self.characters[step] + starts(&self.text[step * STEP..offset])
    }
}

/// How many characters begin in these bytes: each has one byte that continues none.
fn starts(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| (**byte as i8) >= -0x40).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, counted from the start.
    fn slowly(text: &str, offset: usize) -> (usize, usize) {
        let before = &text[..offset];
        let line = before.rsplit('\n').next().unwrap();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }

    #[test]
    fn an_offset_past_the_end_is_at_the_end() {
        assert_eq!(Places::new("").place(7), (1, 1));
        assert_eq!(Places::new("ab\nc").place(usize::MAX), (2, 2));
    }

    proptest! {
        #[test]
        fn a_place_is_what_counting_from_the_start_gives(
            lines in prop::collection::vec("[aä🦀]{0,900}", 0..8),
            at in any::<prop::sample::Index>(),
        ) {
            let text = lines.join("\n");
            let places = Places::new(&text);
            let mut offset = at.index(text.len() + 1);
            while !text.is_char_boundary(offset) {
                offset -= 1;
            }
            prop_assert_eq!(places.place(offset), slowly(&text, offset));
        }
    }
}
