//! Notices: what the agent tells of itself on stdout, between the events of its programs.
//!
//! In: what changed. Out: one JSON object a line.

use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;

use crate::output::text;
use crate::posture::State;

/// One notice. `event` says which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Notice {
    /// The state is another one.
    State {
        /// What it was.
        from: State,
        /// What it is.
        to: State,
        /// Why.
        reason: String,
    },
    /// What a rule's path leads to changed, and the maps hold what it leads to now.
    Resolved {
        /// The rule's id.
        rule: String,
        /// Its path.
        path: String,
        /// Whether there is a file now.
        present: bool,
        /// From when the agent was told of a change until the maps held it, microseconds.
        delay_us: u64,
    },
    /// Somebody altered what the agent had put into a map; it is put right.
    Altered {
        /// The map.
        map: String,
        /// What was found.
        reason: String,
    },
    /// The report couldn't be written, or can be again.
    Report {
        /// Whether it is written now.
        written: bool,
        /// Why not.
        reason: Option<String>,
    },
}

/// A notice with its time, as it is printed.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    notice: &'a Notice,
    time: String,
}

impl Notice {
    /// Writes the notice as one line.
    pub fn write(&self, now: Timestamp, out: &mut impl Write) -> io::Result<()> {
        let line = Line {
            notice: self,
            time: format!("{now:.6}"),
        };
        out.write_all(text::json(&line)?.as_bytes())?;
        out.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_lines_of_json_with_their_kind_and_time() {
        let mut lines = Vec::new();
        for notice in [
            Notice::State {
                from: State::Enforce,
                to: State::Degraded,
                reason: "lsm/file_open: gone".to_owned(),
            },
            Notice::Resolved {
                rule: "file[0]".to_owned(),
                path: "/etc/secret".to_owned(),
                present: true,
                delay_us: 180,
            },
            Notice::Altered {
                map: "rules_by_inode".to_owned(),
                reason: "one entry".to_owned(),
            },
            Notice::Report {
                written: false,
                reason: Some("no room".to_owned()),
            },
        ] {
            notice.write(Timestamp::UNIX_EPOCH, &mut lines).unwrap();
        }
        insta::assert_snapshot!(String::from_utf8(lines).unwrap(), @r#"
        {"event":"state","from":"ENFORCE","to":"DEGRADED","reason":"lsm/file_open: gone","time":"1970-01-01T00:00:00.000000Z"}
        {"event":"resolved","rule":"file[0]","path":"/etc/secret","present":true,"delay_us":180,"time":"1970-01-01T00:00:00.000000Z"}
        {"event":"altered","map":"rules_by_inode","reason":"one entry","time":"1970-01-01T00:00:00.000000Z"}
        {"event":"report","written":false,"reason":"no room","time":"1970-01-01T00:00:00.000000Z"}
        "#);
    }
}
