//! From what came of a boot to its result: the one way to a verdict, for a run and for whoever judges
//! its records again.
//!
//! In: what the boot was planned to be, its folder, and what came of it. Out: [`Done`].
//!
//! Records that are judged again are held against the plan that the run saved, and not against
//! this build's: the saved one is what their guest was asked, with the digest of the promises that
//! both were made of, and with every arm and what it must show. What is this build's own are the rules
//! of the verdict. So a verdict on old records may be another one where these rules have changed, and
//! never because the promises have.

use std::path::Path;
use std::time::Duration;

use crate::outcome::{BootResult, Ending};
use crate::run::engine::Done;
use crate::run::saved::{self, BootSpec, SavedEnding};
use crate::verdict::{self, Identity};
use crate::vm::Files;
use crate::vm::channel::Channel;

/// How much of the console goes into a report of trouble, in lines.
const CONSOLE_TAIL: usize = 40;

/// What came of a boot, beside the files in its folder.
#[derive(Debug)]
pub struct Came {
    /// All that the guest told; closed.
    pub channel: Channel,
    /// How QEMU ended.
    pub ending: Ending,
    /// From launch to the end of QEMU.
    pub duration: Duration,
    /// What is wrong with how all this was kept.
    pub faults: Vec<String>,
}

/// Judges a boot.
#[must_use]
pub fn boot(spec: &BootSpec, dir: &Path, came: Came) -> Done {
    let Came {
        channel,
        ending,
        duration,
        faults,
    } = came;
    let files = Files::of(dir);
    let console = saved::read_file(&files.console);
    let unreadable = console.as_ref().err().map(ToString::to_string);
    let console = verdict::explain::clean(&console.unwrap_or_default());
    let heard = verdict::complaints::without(&console, &spec.allows);
    let identity = Identity {
        nonce: &spec.nonce,
        promises_sha256: &spec.promises_sha256,
    };
    let mut judged = verdict::judge(&spec.plan, identity, &spec.skips, &channel, &ending, &heard);
    judged.faults.extend(faults);
    // A machine that got nowhere may have been refused by QEMU itself, which says why only here.
    if judged.release.is_none()
        && let Some(said) = last_words(&files.qemu)
    {
        judged.faults.push(format!("QEMU's last words: `{said}`"));
    }
    // Missing where QEMU never ran: the ending tells of that.
    if let Some(why) = unreadable.filter(|_| !never_ran(&ending)) {
        let path = files.console.display();
        judged
            .faults
            .push(format!("the console can't be read: {path}: {why}"));
    }
    let result = BootResult {
        suite: spec.suite.clone(),
        launcher: spec.launcher.clone(),
        accelerator: spec.accelerator.clone(),
        release: judged.release,
        package_version: spec.package_version.clone(),
        replaced_version: spec.replaced_version.clone(),
        provenance: spec.provenance.clone(),
        proofs: judged.proofs,
        faults: judged.faults,
        ending: Some(ending),
        duration,
        again: spec.again.clone(),
        dir: dir.to_owned(),
        console_tail: None,
    };
    let console_tail = (!result.is_clean()).then(|| verdict::explain::tail(&console, CONSOLE_TAIL));
    Done {
        result: BootResult {
            console_tail,
            ..result
        },
        documents: judged.documents,
    }
}

/// Judges a boot by what a run left in its folder, whatever state that is in.
#[must_use]
pub fn saved(spec: &BootSpec, dir: &Path) -> Done {
    let files = Files::of(dir);
    let mut faults = Vec::new();
    let ended = SavedEnding::read(&files.ending, &spec.nonce);
    let (ending, duration, arrivals) = match ended {
        Ok(saved) => (saved.ending, saved.duration, Some(saved.arrivals)),
        Err(error) => {
            let reason = format!(
                "{error:#}; the run broke off before this boot ended, or the file isn't as it left \
                 it; boot it again"
            );
            (Ending::Unknown { reason }, Duration::ZERO, None)
        }
    };
    let records = match saved::read_file(&files.records) {
        Ok(records) => records,
        // There never were any.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && never_ran(&ending) => {
            Vec::new()
        }
        Err(error) => {
            let path = files.records.display();
            faults.push(format!("the records can't be read: {path}: {error}"));
            Vec::new()
        }
    };
    let channel = replay(&records, arrivals.as_deref().unwrap_or_default());
    // Without this, records could come to be where there had been none.
    if let Some(arrivals) = arrivals
        && arrivals.len() != channel.lines().len()
    {
        faults.push(format!(
            "{} isn't as the run left it: it has {} lines, and {} came",
            files.records.display(),
            channel.lines().len(),
            arrivals.len()
        ));
    }
    let came = Came {
        channel,
        ending,
        duration,
        faults,
    };
    boot(spec, dir, came)
}

/// The channel as it was when these bytes had come, each line at its time. Lines without one came
/// at the last that there is.
fn replay(records: &[u8], arrivals: &[Duration]) -> Channel {
    let mut channel = Channel::default();
    let last = arrivals.last().copied().unwrap_or_default();
    for piece in records.split_inclusive(|byte| *byte == b'\n') {
        let at = arrivals.get(channel.lines().len()).copied();
        channel.push(piece, at.unwrap_or(last));
    }
    channel.close();
    channel
}

/// Whether there was no QEMU that could have left anything.
fn never_ran(ending: &Ending) -> bool {
    matches!(
        ending,
        Ending::NotStarted { .. } | Ending::Interrupted { started: false, .. }
    )
}

/// The last line of QEMU's log, if it said anything.
fn last_words(log: &Path) -> Option<String> {
    let log = verdict::explain::clean(&saved::read_file(log).unwrap_or_default());
    Some(verdict::explain::tail(&log, 1)).filter(|said| !said.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_replayed_came_at_its_time(
            pieces in proptest::collection::vec(
                (proptest::collection::vec(
                    prop_oneof![any::<u8>(), Just(b'\n'), Just(b'\r')], 0..40), 0_u64..9),
                0..12),
        ) {
            let (mut came, mut bytes, mut at) = (Channel::default(), Vec::new(), 0);
            for (piece, later) in pieces {
                at += later;
                came.push(&piece, Duration::from_nanos(at));
                bytes.extend(piece);
            }
            came.close();
            let arrivals: Vec<Duration> = came.lines().iter().map(|(at, _)| *at).collect();
            let replayed = replay(&bytes, &arrivals);
            prop_assert_eq!(replayed.lines(), came.lines());
        }

        #[test]
        fn no_bytes_and_no_times_are_too_odd(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\n')], 0..200),
            arrivals in proptest::collection::vec(any::<u64>().prop_map(Duration::from_nanos), 0..9),
        ) {
            let mut whole = Channel::default();
            whole.push(&bytes, Duration::ZERO);
            whole.close();
            let replayed = replay(&bytes, &arrivals);
            let lines = |channel: &Channel| -> Vec<_> {
                channel.lines().iter().map(|(_, line)| line.clone()).collect()
            };
            prop_assert_eq!(lines(&replayed), lines(&whole));
        }
    }
}
