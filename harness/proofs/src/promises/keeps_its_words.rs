//! What the agent says is its own: a user who gives files, folders and processes names with line ends
//! and control characters in them adds no line to its log and no words of his to its events, and does
//! nothing to the terminal of whoever reads them.

use protocol::plan::{Expectation, PlannedArm};
use serde_json::json;

use crate::arms::{arm, document, equals};
use crate::boot::Boot;
use crate::configuration::{ENFORCE, FAIL_CLOSED};
use crate::promise::{Promise, Proof, Section, acts};
use crate::sabotage::{Mutant, Sweeps};

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "keeps-its-words",
    text: "Nobody puts words into what the agent says. In log, events and report a name that somebody \
           chose, of a process, a file or a folder, has its line ends, control characters and marks \
           of direction written as `\\n`, `\\u{1b}`, `\\u{202e}`, each byte that isn't UTF-8 as \
           `\\xff`, and each backslash twice: a folder that is called `ENFORCE: 999 rules enforced` \
           behind a line end makes no such line, and two names are never told as one.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let event = acts!(acts::NamesItself);
    let event = Proof::new(
        "keeps-its-words-in-events",
        Boot::BpfLsm,
        &ENFORCE,
        event,
        vec![document(
            "event",
            &[equals("/comms", json!([TOLD_PROCESS]))],
        )],
    );
    let log = acts!(acts::NamesFolder);
    let log = Proof::new(
        "keeps-its-words-in-the-log",
        Boot::NoBpfLsm,
        &FAIL_CLOSED,
        log,
        in_log(),
    );
    vec![
        event.swept(Sweeps::REPORT).catches(&[IN_EVENTS]),
        log.swept(Sweeps::REFUSAL).catches(&[IN_LOG]),
    ]
}

/// The name of a process, of which the kernel keeps 15 bytes: a line end, a mark of direction, ESC,
/// a control character beyond ASCII, a byte that isn't UTF-8, a backslash.
#[cfg(feature = "acts")]
const PROCESS: &[u8] = b"\nOK\xe2\x80\xae\x1b[2J\xc2\x9b\xff\\";

/// As it is to be told.
const TOLD_PROCESS: &str = r"\nOK\u{202e}\u{1b}[2J\u{9b}\xff\\";

/// The name of a folder on the way to a rule's path.
#[cfg(feature = "acts")]
const FOLDER: &[u8] = b"x\nENFORCE: 999 rules enforced\x1b[2J\xff";

/// As it is to be told.
#[cfg(feature = "acts")]
const TOLD_FOLDER: &str = r"x\nENFORCE: 999 rules enforced\u{1b}[2J\xff";

fn in_log() -> Vec<PlannedArm> {
    let log = [
        equals("/told", true),
        equals("/forged", json!([])),
        equals("/acting", json!([])),
    ];
    vec![
        arm("exit", Expectation::Exit { code: 3 }),
        document("log", &log),
    ]
}

const IN_EVENTS: Mutant = Mutant::new(
    "tells-names-raw",
    "a process's name is told as it is",
    "event",
    "/comms: expected",
);

const IN_LOG: Mutant = Mutant::new(
    "logs-names-raw",
    "the log has what it was given, line ends and all",
    "log",
    "/forged: expected []",
);

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::collections::BTreeSet;
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;
    use std::os::unix::process::CommandExt as _;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use serde_json::json;

    use super::{FOLDER, PROCESS, TOLD_FOLDER};
    use crate::acts::cgroup::Place;
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, rule, running, wait};

    /// A process that is called something opens the denied file.
    #[derive(Debug)]
    pub struct NamesItself;

    impl Acts for NamesItself {
        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let mut heard = running(agent)?.listen();
            let program = Path::new("/srv").join(OsStr::from_bytes(PROCESS));
            // Another proof of this life may have made it.
            let _ = fs::remove_file(&program);
            // A process is called as the file that it executes.
            symlink("/proc/self/exe", &program).context("making the program's name")?;
            let mut child = Command::new(&program)
                // The guest reads its arguments as text.
                .arg0("act")
                .arg("act")
                .args([&Place::Plain.dir(), lab.ground.secret()])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .context("starting the process that opens the file")?;
            let pid = child.id();
            wait::ended(
                &mut child,
                lab.ground.limit(),
                "the process that opens the file",
            )?;
            let event = heard.hear("the process that opens the file", |line| {
                line["tgid"] == pid && line["comm"].is_string()
            })?;
            fs::remove_file(&program).context("removing the program's name")?;
            let document = json!({"comms": [event["comm"]]});
            seen.other("event", Observation::Document { document });
            Ok(())
        }
    }

    /// A folder on the way to a rule's path that can't be watched, which the log tells.
    #[derive(Debug)]
    pub struct NamesFolder;

    const GROUND: &str = "/srv/words";
    const WATCHES: &str = "/proc/sys/fs/inotify/max_user_watches";

    /// The kernel's limit of watches, which is put right again when this is dropped.
    struct NoWatches {
        before: String,
    }

    impl NoWatches {
        fn set() -> Result<Self> {
            let before = fs::read_to_string(WATCHES).context("reading the limit of watches")?;
            fs::write(WATCHES, "0").context("setting the limit of watches")?;
            Ok(Self { before })
        }
    }

    impl Drop for NoWatches {
        fn drop(&mut self) {
            if let Err(error) = fs::write(WATCHES, &self.before) {
                eprintln!("the limit of watches can't be put right: {error}");
            }
        }
    }

    impl Acts for NamesFolder {
        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            // Another life of the configuration may have laid it.
            let _ = fs::remove_dir_all(GROUND);
            let folder = Path::new(GROUND).join(OsStr::from_bytes(FOLDER));
            fs::create_dir_all(&folder).context("making the folder")?;
            fs::write(folder.join("file"), "file").context("making the file")?;
            // A policy is UTF-8, and whoever owns a folder on its path says where it leads.
            symlink(&folder, link()).context("making the link")?;
            let path = link().join("file").display().to_string();
            let policy = format!("version = 1\n{}", rule("words", &path, "read"));
            let unwatched = NoWatches::set()?;
            let ended = lab.agent.ends_with(&policy, lab.agent.report_path());
            drop(unwatched);
            let ended = ended?;
            seen.other("exit", ended.observation());
            let log = &ended.stderr;
            let forged: Vec<&str> = log
                .lines()
                .filter(|line| line.starts_with("ENFORCE: 999"))
                .collect();
            let acting = log.chars().filter(|c| *c != '\n' && c.is_control());
            let acting: BTreeSet<u32> = acting.map(u32::from).collect();
            let document = json!({
                "told": log.contains(&format!("{GROUND}/{TOLD_FOLDER}: ")),
                "forged": forged,
                "acting": acting,
            });
            seen.other("log", Observation::Document { document });
            Ok(())
        }

        fn during(&self, _lab: &Lab, _agent: &During, _seen: &mut Seen) -> Result<()> {
            Ok(())
        }
    }

    fn link() -> PathBuf {
        Path::new(GROUND).join("link")
    }
}
