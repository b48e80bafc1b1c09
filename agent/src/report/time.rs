//! How times are written in a report.

use jiff::Timestamp;
use serde::Serializer;

/// RFC 3339 in UTC, to the millisecond.
pub(super) fn time<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}
