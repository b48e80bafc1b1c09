//! `GUARANTEES.md` as data: what is promised, in which state, with which fate, shown by which
//! proof.
//!
//! In: the document's text. Out: its promises, or what is wrong with its form and where.
//! [`check`] holds them against the catalogue of proofs, [`render`] against a run. Pure.

pub mod check;
pub mod render;

use std::fmt;

/// The id of the promise that the table of ways to a denied file makes.
pub const EVERY_WAY: &str = "every-way";

/// One promise: a heading `### `id``, a sentence or a few, and a table state × fate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// Its id.
    pub id: String,
    /// What it says.
    pub sentence: String,
    /// One row for each state that it is made for.
    pub rows: Vec<Row>,
    /// Of [`EVERY_WAY`] alone, which has a table of its own form: each line of a table, as it
    /// stands, with its number, counted from 1.
    pub ways: Vec<(usize, String)>,
    /// The line of its heading, counted from 1.
    pub line: usize,
}

/// One line of a promise's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The agent's state, as in its report.
    pub state: String,
    /// What becomes of the act that the promise is about.
    pub fate: String,
    /// The id of the proof that shows it.
    pub proof: String,
    /// Its line, counted from 1.
    pub line: usize,
}

/// Something wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The line in the document, counted from 1; none if it is about what isn't there.
    pub line: Option<usize>,
    /// What, and the way out.
    pub message: String,
}

impl Finding {
    fn at(line: usize, message: String) -> Self {
        let line = Some(line);
        Self { line, message }
    }

    fn missing(message: String) -> Self {
        Self {
            line: None,
            message,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "GUARANTEES.md:{line}: {}", self.message),
            None => write!(f, "GUARANTEES.md: {}", self.message),
        }
    }
}

const HEADING: &str = "### `";
const COLUMNS: &str = "| state | fate | proof |";
const RULE: &str = "| --- | --- | --- |";

/// Reads the document's promises. Other text, headings and tables may stand around them.
///
/// # Errors
/// Everything in the promises that isn't in their form.
pub fn parse(text: &str) -> Result<Vec<Promise>, Vec<Finding>> {
    let (mut promises, mut findings) = (Vec::<Promise>::new(), Vec::new());
    // Whether the lines belong to the promise that came last.
    let mut within = false;
    for (line, text) in (1..).zip(text.lines()) {
        if text.starts_with('#') {
            within = text.starts_with(HEADING);
            if !within {
                continue;
            }
            match text
                .strip_prefix(HEADING)
                .and_then(|id| id.strip_suffix('`'))
            {
                Some(id) => promises.push(Promise {
                    id: id.to_owned(),
                    sentence: String::new(),
                    rows: Vec::new(),
                    ways: Vec::new(),
                    line,
                }),
                None => {
                    within = false;
                    let message = "a promise's heading is its id alone: ### `id`";
                    findings.push(Finding::at(line, message.to_owned()));
                }
            }
            continue;
        }
        let Some(promise) = promises.last_mut().filter(|_| within) else {
            continue;
        };
        if promise.id == EVERY_WAY && text.contains('|') {
            promise.ways.push((line, text.to_owned()));
            continue;
        }
        match text {
            "" | COLUMNS | RULE => {}
            // A row needs no `|` at its beginning to be shown as one.
            _ if text.contains('|') => match row(text, line) {
                Some(row) => promise.rows.push(row),
                None => findings.push(Finding::at(
                    line,
                    "a promise's table has the lines | `STATE` | fate | `proof` |".to_owned(),
                )),
            },
            _ => {
                if !promise.sentence.is_empty() {
                    promise.sentence.push(' ');
                }
                promise.sentence.push_str(text);
            }
        }
    }
    if findings.is_empty() {
        Ok(promises)
    } else {
        Err(findings)
    }
}

fn row(text: &str, line: usize) -> Option<Row> {
    let cells = text.strip_prefix("| ")?.strip_suffix(" |")?;
    let cells: Vec<&str> = cells.split(" | ").collect();
    let [state, fate, proof] = cells[..] else {
        return None;
    };
    let code = |cell: &str| Some(cell.strip_prefix('`')?.strip_suffix('`')?.to_owned());
    Some(Row {
        state: code(state)?,
        fate: fate.to_owned(),
        proof: code(proof)?,
        line,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const TEXT: &str = "\
# Guarantees

Words | that are | no table.

### `denies-open`

A denied open doesn't
happen.

| state | fate | proof |
| --- | --- | --- |
| `ENFORCE` | `EPERM` | `enforce-denies-open` |
| `ENFORCE_SIGNAL` | killed | `kills-denied-open` |

## Limits

| `a` | b | `c` |
";

    pub(crate) fn promises() -> Vec<Promise> {
        parse(TEXT).expect("a document in its form")
    }

    #[test]
    fn a_promise_is_a_heading_a_sentence_and_a_table() {
        let row = |state: &str, fate: &str, proof: &str, line| Row {
            state: state.to_owned(),
            fate: fate.to_owned(),
            proof: proof.to_owned(),
            line,
        };
        let expected = Promise {
            id: "denies-open".to_owned(),
            sentence: "A denied open doesn't happen.".to_owned(),
            rows: vec![
                row("ENFORCE", "`EPERM`", "enforce-denies-open", 12),
                row("ENFORCE_SIGNAL", "killed", "kills-denied-open", 13),
            ],
            ways: Vec::new(),
            line: 5,
        };
        assert_eq!(promises(), [expected]);
    }

    #[test]
    fn of_the_table_of_ways_every_line_is_kept_wherever_it_stands_in_its_section() {
        let text = "### `every-way`\n\nWords.\n\n| way |\n| --- |\n\nAnd:\n\n  | more |\n\
                    | state | fate | proof |\nless | said\n\n## Limits\n\n| limit |\n";
        let promises = parse(text).expect("a document in its form");
        let kept: Vec<(usize, &str)> = promises[0]
            .ways
            .iter()
            .map(|(line, text)| (*line, text.as_str()))
            .collect();
        let expected = [
            (5, "| way |"),
            (6, "| --- |"),
            (10, "  | more |"),
            (11, "| state | fate | proof |"),
            (12, "less | said"),
        ];
        assert_eq!(kept, expected);
        assert_eq!(promises[0].sentence, "Words. And:");
    }

    #[test]
    fn a_row_without_its_first_stroke_is_no_sentence() {
        let row = "`ENFORCE` | `EPERM` | `unproven` |\n";
        let text = TEXT.replace("\n## Limits", &format!("{row}\n## Limits"));
        let findings = parse(&text).unwrap_err();
        assert_eq!(findings[0].line, Some(14));
    }

    #[test]
    fn what_is_not_in_form_is_told_with_its_line_and_all_at_once() {
        let text = TEXT.replace("| killed |", "| killed").replace(
            "### `denies-open`\n",
            "### `denies-open`\n\n### `other` too\n\n### `third`\n",
        );
        let findings = parse(&text).unwrap_err();
        let told: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert_eq!(
            told,
            [
                "GUARANTEES.md:7: a promise's heading is its id alone: ### `id`",
                "GUARANTEES.md:17: a promise's table has the lines | `STATE` | fate | `proof` |",
            ]
        );
    }
}
