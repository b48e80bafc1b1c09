//! Copies of a program on one hook are shown as one hook, which lists them.

use anyhow::{Context, Result};
use protocol::record::Observation;
use serde_json::{Value, json};

use super::Proof;
use crate::lab::{During, Lab, Seen};

/// See the module.
pub struct ShowsCopies;

const HOOK: &str = "fmod_ret/security_file_open";

impl Proof for ShowsCopies {
    fn ids(&self) -> &'static [&'static str] {
        &["modret-shows-copies"]
    }

    fn during(&self, _lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
        let document = shown(&super::running(agent)?.report()?)?;
        seen.other("report", Observation::Document { document });
        Ok(())
    }
}

/// The rows of the hook in a report, and how many copies there are to the first and fired.
fn shown(report: &Value) -> Result<Value> {
    let rows = report["hooks"].as_array().context("no hooks")?;
    let rows: Vec<&Value> = rows.iter().filter(|row| row["hook"] == HOOK).collect();
    let copies = rows.first().and_then(|row| row["copies"].as_array());
    let fired = copies.into_iter().flatten();
    let fired = fired.filter(|copy| copy["attached"] == true && copy["fired"] == true);
    let mut canaries: Vec<u64> = fired
        .clone()
        .filter_map(|copy| copy["evidence"]["pid"].as_u64())
        .collect();
    canaries.sort_unstable();
    canaries.dedup();
    Ok(json!({
        "rows": rows.len(),
        "copies": copies.map(Vec::len),
        "fired": fired.count(),
        // One for each copy: what one of them counted is no evidence for another.
        "canaries": canaries.len(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_copies_and_their_canaries_are_counted() {
        let copy = |fired: bool, pid: u32| json!({"attached": true, "fired": fired, "evidence": {"pid": pid}});
        let copies = [copy(true, 7), copy(true, 7), copy(false, 8)];
        let rows = json!([{"hook": "other"}, {"hook": HOOK, "copies": copies}]);
        let expected = json!({"rows": 1, "copies": 3, "fired": 2, "canaries": 1});
        assert_eq!(shown(&json!({ "hooks": rows })).expect("hooks"), expected);
        let rows = json!([{"hook": HOOK}, {"hook": HOOK}]);
        let expected = json!({"rows": 2, "copies": null, "fired": 0, "canaries": 0});
        assert_eq!(shown(&json!({ "hooks": rows })).expect("hooks"), expected);
    }
}
