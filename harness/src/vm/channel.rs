//! The result channel's parser: from the bytes of the guest's second serial port to records.
//!
//! In: bytes as they arrive, in pieces of any size, with the time since launch. Out: one
//! [`Line`] for each line, in order, with the time at which it was complete. Nothing is
//! dropped in silence: what isn't a record is kept as [`Line::Broken`], so that the verdict
//! can't mistake a damaged channel for a clean one. It never panics, whatever comes in.

use std::time::Duration;

use protocol::record::Record;

/// Longest line that is kept. An agent's report is some ten kilobytes; a guest that writes
/// without end must not fill the host's memory.
const MAX_LINE: usize = 4 << 20;

/// How much of a broken line is kept to show it to a person.
const MAX_SHOWN: usize = 200;

/// One line on the channel.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A record as the protocol has it.
    Record(Record),
    /// Anything else.
    Broken {
        /// How it starts, made printable.
        text: String,
        /// Why it isn't a record.
        why: String,
    },
}

/// Everything that came through one boot's result channel.
#[derive(Debug, Clone, Default)]
pub struct Channel {
    lines: Vec<(Duration, Line)>,
    /// Bytes since the last line end, at most [`MAX_LINE`] of them.
    rest: Vec<u8>,
    /// Whether the line in `rest` outgrew [`MAX_LINE`] and lost bytes.
    overlong: bool,
    /// When the last byte came.
    last: Duration,
}

impl Channel {
    /// Takes the next bytes, and gives the lines that they complete.
    pub fn push(&mut self, bytes: &[u8], at: Duration) -> &[(Duration, Line)] {
        let before = self.lines.len();
        if !bytes.is_empty() {
            self.last = at;
        }
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        // `split` yields at least one piece, and all but the last end at a line end.
        let mut piece = pieces.next().unwrap_or_default();
        for next in pieces {
            self.keep(piece);
            self.complete(at);
            piece = next;
        }
        self.keep(piece);
        &self.lines[before..]
    }

    /// Says that no more bytes will come: a last line without its end is a cut record, even
    /// if what is there happens to parse.
    pub fn close(&mut self) -> &[(Duration, Line)] {
        let before = self.lines.len();
        if !self.rest.is_empty() {
            let text = shown(&self.rest);
            let why = "cut off before its line end".to_string();
            self.lines.push((self.last, Line::Broken { text, why }));
            self.rest.clear();
            self.overlong = false;
        }
        &self.lines[before..]
    }

    /// All lines so far.
    pub fn lines(&self) -> &[(Duration, Line)] {
        &self.lines
    }

    /// Whether a line has begun that isn't complete.
    pub fn has_partial_line(&self) -> bool {
        !self.rest.is_empty()
    }

    /// When the last byte came.
    pub fn last_arrival(&self) -> Duration {
        self.last
    }

    fn keep(&mut self, piece: &[u8]) {
        let room = MAX_LINE - self.rest.len();
        self.overlong |= piece.len() > room;
        self.rest.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn complete(&mut self, at: Duration) {
        if let Some(line) = parse(&self.rest, self.overlong) {
            self.lines.push((at, line));
        }
        self.rest.clear();
        self.overlong = false;
    }
}

/// One line without its end; none for a blank line, which says nothing.
fn parse(line: &[u8], overlong: bool) -> Option<Line> {
    // The guest's terminal may turn each line end into carriage return and line feed.
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return None;
    }
    if overlong {
        let text = shown(line);
        let why = format!("longer than {MAX_LINE} bytes");
        return Some(Line::Broken { text, why });
    }
    Some(match serde_json::from_slice(line) {
        Ok(record) => Line::Record(record),
        Err(error) => Line::Broken {
            text: shown(line),
            why: error.to_string(),
        },
    })
}

/// The start of a line, with what would move a cursor made visible.
fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(&line[..line.len().min(4 * MAX_SHOWN)])
        .chars()
        .take(MAX_SHOWN)
        .flat_map(|c| match c.is_control() {
            true => c.escape_debug().collect(),
            false => vec![c],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::record::{Level, Record};

    use super::*;

    const AT: Duration = Duration::from_millis(5);

    fn log(message: &str) -> Record {
        Record::Log {
            level: Level::Info,
            message: message.to_string(),
        }
    }

    fn bytes_of(records: &[Record]) -> Vec<u8> {
        records
            .iter()
            .flat_map(|record| {
                let mut line = serde_json::to_vec(record).expect("records serialize");
                line.push(b'\n');
                line
            })
            .collect()
    }

    fn read(bytes: &[u8]) -> Vec<Line> {
        let mut channel = Channel::default();
        channel.push(bytes, AT);
        channel.close();
        channel
            .lines()
            .iter()
            .map(|(_, line)| line.clone())
            .collect()
    }

    fn is_broken(line: &Line) -> bool {
        matches!(line, Line::Broken { .. })
    }

    #[test]
    fn a_record_counts_only_once_its_line_has_ended() {
        let mut channel = Channel::default();
        let bytes = bytes_of(&[Record::End { count: 1 }]);
        let (head, end) = bytes.split_at(bytes.len() - 1);
        assert!(channel.push(head, AT).is_empty());
        assert!(channel.has_partial_line());
        let later = Duration::from_millis(9);
        assert_eq!(
            channel.push(end, later),
            [(later, Line::Record(Record::End { count: 1 }))]
        );
        assert!(!channel.has_partial_line());
    }

    #[test]
    fn a_last_line_without_its_end_is_broken_even_if_it_parses() {
        let mut bytes = bytes_of(&[log("a"), Record::End { count: 1 }]);
        bytes.pop();
        let lines = read(&bytes);
        assert_eq!(lines.len(), 2);
        assert!(is_broken(&lines[1]), "{lines:?}");
    }

    #[test]
    fn carriage_returns_and_blank_lines_are_no_records() {
        let bytes = b"\r\n\n{\"record\":\"end\",\"count\":0}\r\n";
        assert_eq!(read(bytes), [Line::Record(Record::End { count: 0 })]);
    }

    #[test]
    fn what_is_no_record_is_kept_as_broken() {
        for bytes in [
            b"[    1.0] a kernel message\n".as_slice(),
            b"{\"record\":\"end\"}\n",
            b"{\"record\":\"end\",\"count\":0,\"more\":1}\n",
            b"{\"record\":\"end\",\"count\":0}{\"record\":\"end\",\"count\":0}\n",
            b"{\"record\":\"verdict\"}\n",
            b"\xff\xfe\n",
            b" \n",
        ] {
            let lines = read(bytes);
            assert!(lines.len() == 1 && is_broken(&lines[0]), "{lines:?}");
        }
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory_and_the_next_one_is_read() {
        let mut channel = Channel::default();
        for _ in 0..9 {
            channel.push(&vec![b'x'; MAX_LINE / 4], AT);
        }
        assert!(channel.rest.len() <= MAX_LINE);
        channel.push(b"\n", AT);
        channel.push(&bytes_of(&[Record::End { count: 0 }]), AT);
        let mut padded = bytes_of(&[Record::End { count: 0 }]);
        let end = padded.len() - 1;
        padded.splice(end..end, vec![b' '; MAX_LINE]);
        channel.push(&padded, AT);
        assert!(is_broken(&channel.lines()[2].1), "even if it parses");
        assert!(is_broken(&channel.lines()[0].1));
        assert_eq!(channel.lines()[1].1, Line::Record(Record::End { count: 0 }));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_lines(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), Just(b'\n'), Just(b'{'), Just(b'\r')], 0..300),
            cuts in proptest::collection::vec(0usize..300, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut channel = Channel::default();
            let mut from = 0;
            for cut in cuts {
                channel.push(&bytes[from..cut], AT);
                from = cut;
            }
            channel.push(&bytes[from..], AT);
            channel.close();
            let pieced: Vec<Line> = channel.lines().iter().map(|(_, line)| line.clone()).collect();
            prop_assert_eq!(pieced, read(&bytes));
        }

        #[test]
        fn records_survive_the_way_through_the_channel(
            messages in proptest::collection::vec(any::<String>(), 0..8),
        ) {
            let records: Vec<Record> = messages.iter().map(|message| log(message)).collect();
            let lines = read(&bytes_of(&records));
            prop_assert_eq!(lines, records.into_iter().map(Line::Record).collect::<Vec<_>>());
        }

        #[test]
        fn a_channel_cut_anywhere_gains_no_record(cut in 0usize..200) {
            let records = [log("one"), log("two"), Record::End { count: 2 }];
            let bytes = bytes_of(&records);
            let lines = read(&bytes[..cut.min(bytes.len())]);
            let whole = lines.iter().take_while(|line| !is_broken(line)).count();
            prop_assert!(lines.len() <= whole + 1);
            for (line, record) in lines.iter().zip(&records).take(whole) {
                prop_assert_eq!(line, &Line::Record(record.clone()));
            }
        }
    }
}
