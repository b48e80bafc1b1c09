//! Files of an overlay that are copied up while the agent is up: what the proofs on overlayfs
//! must show of them. That the copy was made, or not, is a clause of each arm.

use protocol::plan::{Clause, PlannedArm};
use serde_json::json;

use super::identity::{Tier, account};
use super::{document, equals, limited};

/// What is allowed while there is no agent.
const FILES: [&str; 9] = [
    "appended",
    "changed",
    "emptied",
    "folder~1deep",
    "linked",
    "neighbour",
    "original",
    "second-name",
    "without-handle",
];

/// By which the agent declares what gets past it here.
pub(super) const LIMIT: &str = "copied_up_by_overlay";

/// While the agent is absent.
pub(super) fn before() -> PlannedArm {
    all_allowed("before-copied-up")
}

/// While it is up.
pub(super) fn during(tier: Tier) -> Vec<PlannedArm> {
    let met = |arm: &str, rule: &str| stopped(tier, arm, (rule, "inode"), true);
    vec![
        // Denied by its path in the overlay, however it was copied up, and with its folder.
        copies("copy-up"),
        met("during-copied-up", "appended"),
        copies("copy-up-by-chmod"),
        met("during-copied-up-by-chmod", "changed"),
        copies("copy-up-with-folder"),
        met("during-copied-up-with-folder", "folder/deep"),
        copies("copy-up-without-handle"),
        met("during-copied-up-without-handle", "without-handle"),
        // Denied by its path in the lower folder: the copy is another file, which nobody makes
        // who may not read the first one.
        stopped(
            tier,
            "plain-copy-up-of-original",
            ("original", "inode"),
            false,
        ),
        copies("exempt-copy-up-of-original"),
        limited(LIMIT, gives("during-copy-of-original")),
        met("during-original", "original"),
        // To make an empty copy, the kernel has no need to read.
        limited(LIMIT, copies("copy-up-by-truncating")),
        limited(LIMIT, copies("during-copy-of-emptied")),
        met("during-emptied", "emptied"),
        copies("benign-copy-up"),
        gives("benign-copied-up"),
        // The overlay numbers two names of one lower file alike, even where one is a copy.
        stopped(tier, "during-second-name", ("linked", "inode"), false),
        copies("copy-up-of-second-name"),
        met("during-copied-up-second-name", "linked"),
        met("forgotten-copied-up", "appended"),
        met("forgotten-copied-up-by-chmod", "changed"),
        met("forgotten-copied-up-with-folder", "folder/deep"),
        // It has another number now, and its name still.
        stopped(
            tier,
            "forgotten-copied-up-without-handle",
            ("without-handle", "name"),
            true,
        ),
        met("forgotten-original", "original"),
        gives("forgotten-benign-copied-up"),
        // Made anew, its inode has the number of the copy: a declared limit, as that of `original`.
        limited(LIMIT, gives("forgotten-second-name")),
        // By its new number too, once the agent has looked.
        met("verified-copied-up-without-handle", "without-handle"),
    ]
}

/// After the agent stopped.
pub(super) fn after() -> PlannedArm {
    all_allowed("after-copied-up")
}

fn all_allowed(arm: &str) -> PlannedArm {
    document(
        arm,
        &FILES.map(|file| equals(&format!("/{file}"), "allowed")),
    )
}

/// Whether the file is in the upper folder now.
fn copied_up(copied_up: bool) -> [Clause; 1] {
    [equals("/copied_up", copied_up)]
}

/// An act on a copy, or one that makes it: nobody tells of it, and nothing comes out.
fn copies(arm: &str) -> PlannedArm {
    account(arm, "allowed", false, json!([]), &copied_up(true))
}

/// A read of a copy, which gives it out.
fn gives(arm: &str) -> PlannedArm {
    account(arm, "allowed", true, json!([]), &copied_up(true))
}

/// An act that meets its fate, with the rule and by what that one is on.
fn stopped(tier: Tier, arm: &str, (rule, matched): (&str, &str), is_copied_up: bool) -> PlannedArm {
    let events = json!([tier.event(rule, matched, "read")]);
    account(arm, tier.fate, false, events, &copied_up(is_copied_up))
}
