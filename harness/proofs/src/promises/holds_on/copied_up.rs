//! Files of an overlay that are copied up while the agent is up, as a part of
//! [`super`]: what becomes of them, of a file that is denied in the lower folder
//! itself, of a second name, and of a neighbour.
//!
//! The agent stands still meanwhile, so that each is met by what it knew before; only at the
//! end it has looked again. Whether a file was copied up is told with each step: the plan says
//! where it must be.

use protocol::plan::{Clause, PlannedArm};
use serde_json::json;

use crate::arms::{account, document, equals, limited};
use crate::tier::Tier;

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
    account(
        arm,
        tier.fate_word(),
        false,
        events,
        &copied_up(is_copied_up),
    )
}

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use serde_json::{Map, Value, json};

    use crate::acts::agent::Running;
    use crate::acts::attempt::{Attempt, Verb, account};
    use crate::acts::filesystems::overlay::{self, Layers, SECOND_NAME, WITHOUT_HANDLE};
    use crate::acts::lab::{Lab, Seen};
    use crate::acts::paused::Paused;
    use crate::acts::reports::Reports;

    /// See the promise.
    pub struct CopiedUp<'a> {
        /// Where it takes place.
        pub lab: &'a Lab<'a>,
        /// The folders of the overlay.
        pub layers: &'a Layers,
    }

    /// By which path a step goes to its file, and who goes it.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Way {
        /// Through the overlay.
        Overlay,
        /// The same, as a process that is exempt.
        Exempt,
        /// In the lower folder itself.
        Lower,
    }

    /// A step: the arm, what is done, by which way, and to which file.
    type Step = (&'static str, Verb, Way, &'static str);

    const COPIES: [Step; 20] = [
        ("copy-up", Verb::Append, Way::Exempt, "appended"),
        ("during-copied-up", Verb::Read, Way::Overlay, "appended"),
        ("copy-up-by-chmod", Verb::Chmod, Way::Overlay, "changed"),
        (
            "during-copied-up-by-chmod",
            Verb::Read,
            Way::Overlay,
            "changed",
        ),
        (
            "copy-up-with-folder",
            Verb::Chmod,
            Way::Overlay,
            "folder/deep",
        ),
        (
            "during-copied-up-with-folder",
            Verb::Read,
            Way::Overlay,
            "folder/deep",
        ),
        (
            "copy-up-without-handle",
            Verb::Chmod,
            Way::Overlay,
            WITHOUT_HANDLE,
        ),
        (
            "during-copied-up-without-handle",
            Verb::Read,
            Way::Overlay,
            WITHOUT_HANDLE,
        ),
        (
            "plain-copy-up-of-original",
            Verb::Append,
            Way::Overlay,
            "original",
        ),
        (
            "exempt-copy-up-of-original",
            Verb::Append,
            Way::Exempt,
            "original",
        ),
        (
            "during-copy-of-original",
            Verb::Read,
            Way::Overlay,
            "original",
        ),
        ("during-original", Verb::Read, Way::Lower, "original"),
        (
            "copy-up-by-truncating",
            Verb::Truncate,
            Way::Overlay,
            "emptied",
        ),
        (
            "during-copy-of-emptied",
            Verb::Read,
            Way::Overlay,
            "emptied",
        ),
        ("during-emptied", Verb::Read, Way::Lower, "emptied"),
        ("benign-copy-up", Verb::Append, Way::Overlay, "neighbour"),
        ("benign-copied-up", Verb::Read, Way::Overlay, "neighbour"),
        ("during-second-name", Verb::Read, Way::Overlay, SECOND_NAME),
        (
            "copy-up-of-second-name",
            Verb::Chmod,
            Way::Overlay,
            SECOND_NAME,
        ),
        (
            "during-copied-up-second-name",
            Verb::Read,
            Way::Overlay,
            SECOND_NAME,
        ),
    ];

    /// Once the kernel has forgotten the overlay's own inodes, and makes them anew.
    const FORGOTTEN: [Step; 7] = [
        ("forgotten-copied-up", Verb::Read, Way::Overlay, "appended"),
        (
            "forgotten-copied-up-by-chmod",
            Verb::Read,
            Way::Overlay,
            "changed",
        ),
        (
            "forgotten-copied-up-with-folder",
            Verb::Read,
            Way::Overlay,
            "folder/deep",
        ),
        (
            "forgotten-copied-up-without-handle",
            Verb::Read,
            Way::Overlay,
            WITHOUT_HANDLE,
        ),
        ("forgotten-original", Verb::Read, Way::Lower, "original"),
        (
            "forgotten-benign-copied-up",
            Verb::Read,
            Way::Overlay,
            "neighbour",
        ),
        (
            "forgotten-second-name",
            Verb::Read,
            Way::Overlay,
            SECOND_NAME,
        ),
    ];

    /// Once the agent has looked at its rules' files again.
    const VERIFIED: Step = (
        "verified-copied-up-without-handle",
        Verb::Read,
        Way::Overlay,
        WITHOUT_HANDLE,
    );

    impl CopiedUp<'_> {
        /// Copies them up, and tries to read them.
        ///
        /// # Errors
        /// A step couldn't be tried.
        pub fn copy_up(&self, agent: &Running, seen: &mut Seen) -> Result<()> {
            let overlay = self.layers.merged.parent().context("no folder above")?;
            // A file that it were looking at could not be forgotten below.
            let limit = self.lab.ground.limit();
            let paused = Paused::stop_holding_nothing(agent.pid(), overlay, limit)?;
            for step in COPIES {
                self.take(step, seen)?;
            }
            rustix::fs::sync();
            fs::write("/proc/sys/vm/drop_caches", "2").context("dropping caches")?;
            for step in FORGOTTEN {
                self.take(step, seen)?;
            }
            let mut reports = Reports::watch(agent)?;
            let mut known = agent.report()?["generated_at"].take();
            drop(paused);
            // It may have been about to write the first of them when it was made to stand still.
            for what in ["a newer report", "one that was begun since"] {
                let mut newer = reports.next(what, |report| report["generated_at"] != known)?;
                known = newer["generated_at"].take();
            }
            self.take(VERIFIED, seen)
        }

        /// What comes of reading each through the overlay.
        ///
        /// # Errors
        /// It couldn't be tried.
        pub fn read_all(&self, arm: &str, seen: &mut Seen) -> Result<()> {
            let mut document = Map::new();
            for name in overlay::to_copy_up() {
                let path = self.layers.merged.join(name);
                let read = Attempt::on(Verb::Read, &path);
                document.insert(name.to_owned(), read.fate(self.lab.ground.limit())?);
            }
            let document = Value::Object(document);
            seen.other(arm, Observation::Document { document });
            Ok(())
        }

        fn take(&self, (arm, verb, way, name): Step, seen: &mut Seen) -> Result<()> {
            let folder = match way {
                Way::Overlay | Way::Exempt => &self.layers.merged,
                Way::Lower => &self.layers.lower,
            };
            let path = folder.join(name);
            let attempt = Attempt::on(verb, &path);
            let attempt = match way {
                Way::Exempt => attempt.exempt(),
                Way::Overlay | Way::Lower => attempt,
            };
            let made = attempt.make(self.lab.ground.limit())?;
            let copied_up = self.layers.is_copied_up(name)?;
            seen.other(arm, account(made, json!({"copied_up": copied_up})));
            Ok(())
        }
    }
}
