//! A user keeps no agent from starting, and leads nothing that it writes elsewhere: he locks all
//! that he can open, and puts links and pipes where a report is to go.

use protocol::plan::{Expectation, PlannedArm};
use serde_json::json;

use crate::arms::{arm, contains, document, equals, lacks};
use crate::boot::Boot;
use crate::configuration::SMP_ENFORCE;
use crate::promise::{Promise, Proof, Section, acts};
use crate::sabotage::{Mutant, Sweeps};

pub(super) const PROMISE: Promise = Promise {
    section: Section::Claimed,
    id: "starts-against-users",
    text: "A user without privileges keeps no agent from starting. Its lock and what it hasn't \
           written whole are in a folder of root's beside the report, `.aegisbpf`, that nobody else \
           may enter: whoever locks all that he can open makes no difference. Where others than root \
           have a say in the report's folder or in one on the way to it, a link of theirs included, \
           the agent refuses with exit code 2 before it touches anything there, and says whose folder \
           it is: a link at the report's name has no other file overwritten, and a pipe there makes \
           it wait for nobody. A folder on the way may be sticky, as /tmp is, if what follows in it \
           is root's.",
    proofs,
    comparison: None,
};

/// The end of a start that got as far as the policy's cgroups, which it needs its report's place
/// for.
const PAST_CLAIM: i32 = 4;

fn proofs() -> Vec<Proof> {
    let acts = acts!(acts::StartsAgainstUsers::default());
    let proof = Proof::new(PROMISE.id, Boot::Smp, &SMP_ENFORCE, acts, arms());
    vec![proof.swept(Sweeps::REFUSAL).catches(MUTANTS)]
}

fn arms() -> Vec<PlannedArm> {
    let exit = |name: &str, code| arm(name, Expectation::Exit { code });
    let refused = |name: &str| {
        let clauses = [
            equals("/exit", 2),
            equals("/names_place", true),
            equals("/precious", "precious"),
            // Nothing is made there.
            equals("/new", json!([])),
        ];
        document(name, &clauses)
    };
    let held = [
        // What anybody may open is his.
        contains("/held", "policy.toml"),
        lacks("/held", ".aegisbpf"),
        equals("/closed", json!({"user": 0, "mode": "700"})),
    ];
    vec![
        exit("first-start", PAST_CLAIM),
        document("held", &held),
        exit("second-start", PAST_CLAIM),
        refused("link-at-its-name"),
        refused("pipe-at-its-name"),
        refused("sticky-folder"),
        refused("user-on-the-way"),
        refused("link-on-the-way"),
        exit("sticky-on-the-way", PAST_CLAIM),
        document(
            "during",
            &[equals("/state", "ENFORCE"), equals("/held", true)],
        ),
    ]
}

const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "locks-in-the-open",
        "the report's lock is a file that everybody may open",
        "second-start",
        "another agent reports to",
    )
    .breaking_off(),
    Mutant::new(
        "trusts-any-folder",
        "the report goes into any folder, whoever may write to it",
        "link-at-its-name",
        "/exit: expected 2",
    ),
];

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::collections::BTreeSet;
    use std::fs::{self, Permissions};
    use std::io;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, PoisonError};

    use anyhow::{Context, Result};
    use protocol::record::Observation;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use serde_json::json;

    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::locks::{Locks, USER};
    use crate::acts::{Acts, running};

    const GROUND: &str = "/srv/against-users";

    /// A policy that is wrong only on this machine, which shows once the report's place is claimed.
    const POLICY: &str = "version = 1\nexempt_cgroups = [\"/there-is-none\"]\n";

    /// See the promise.
    #[derive(Debug, Default)]
    pub struct StartsAgainstUsers {
        /// From before the start until it is up.
        locks: Mutex<Option<Locks>>,
    }

    /// Somewhere for a report.
    struct Trap {
        arm: &'static str,
        /// What is laid there by whom.
        lay: fn() -> Result<()>,
        report: &'static str,
        /// Where nothing must be made.
        folder: &'static str,
        /// What the agent must name.
        place: &'static str,
    }

    const TRAPS: [Trap; 5] = [
        Trap {
            arm: "link-at-its-name",
            lay: || {
                let folder = user_folder("link")?;
                link(&at("precious"), &folder.join("report.json"))
            },
            report: "link/report.json",
            folder: "link",
            place: "link: ",
        },
        Trap {
            arm: "pipe-at-its-name",
            lay: || {
                let pipe = user_folder("pipe")?.join("report.json");
                let mode = Mode::from(0o666);
                mknodat(CWD, &pipe, FileType::Fifo, mode, 0).context("making a pipe")
            },
            report: "pipe/report.json",
            folder: "pipe",
            place: "pipe: ",
        },
        Trap {
            arm: "sticky-folder",
            lay: || sticky_folder("sticky").map(drop),
            report: "sticky/report.json",
            folder: "sticky",
            place: "sticky: ",
        },
        Trap {
            arm: "user-on-the-way",
            lay: || {
                let folder = user_folder("way")?.join("root");
                fs::create_dir(folder).context("making a folder in the user's")
            },
            report: "way/root/report.json",
            folder: "way/root",
            place: "way: ",
        },
        Trap {
            arm: "link-on-the-way",
            lay: || {
                fs::create_dir(at("root")).context("making root's folder")?;
                link(&at("root"), &sticky_folder("crowd")?.join("link"))
            },
            report: "crowd/link/report.json",
            folder: "root",
            place: "crowd/link: ",
        },
    ];

    fn at(name: &str) -> PathBuf {
        Path::new(GROUND).join(name)
    }

    /// A folder of the user's.
    fn user_folder(name: &str) -> Result<PathBuf> {
        let folder = at(name);
        fs::create_dir(&folder).context("making the user's folder")?;
        chown(&folder, Some(USER), Some(USER)).context("giving it to the user")?;
        Ok(folder)
    }

    /// A folder of root's in which everybody may make names, as /tmp.
    fn sticky_folder(name: &str) -> Result<PathBuf> {
        let folder = at(name);
        fs::create_dir(&folder).context("making a sticky folder")?;
        fs::set_permissions(&folder, Permissions::from_mode(0o1777)).context("its mode")?;
        Ok(folder)
    }

    /// A link of the user's.
    fn link(target: &Path, name: &Path) -> Result<()> {
        symlink(target, name).context("making a link")?;
        std::os::unix::fs::lchown(name, Some(USER), Some(USER)).context("giving it to the user")
    }

    fn names(folder: &Path) -> Result<BTreeSet<PathBuf>> {
        let names = fs::read_dir(folder).context("listing a folder")?;
        let names = names.map(|entry| Ok(entry?.path()));
        names.collect::<io::Result<_>>().context("listing a folder")
    }

    impl Acts for StartsAgainstUsers {
        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            // Another life of the configuration may have laid it.
            let _ = fs::remove_dir_all(GROUND);
            fs::create_dir(GROUND).context("making the ground")?;
            fs::write(at("precious"), "precious").context("writing what is precious")?;

            let report = lab.agent.report_path();
            let first = lab.agent.ends_with(POLICY, report)?;
            seen.other("first-start", first.observation());
            let folder = report.parent().context("a report without a folder")?;
            let locks = Locks::take(&[folder], lab.ground.limit())?;
            let closed = fs::symlink_metadata(folder.join(".aegisbpf"));
            let closed = closed.map_or(json!(null), |closed| {
                json!({"user": closed.uid(), "mode": format!("{:o}", closed.mode() & 0o7777)})
            });
            let held = locks.held.iter().map(|path| path.strip_prefix(folder));
            let held: Vec<&Path> = held.filter_map(Result::ok).collect();
            let document = json!({"held": held, "closed": closed});
            seen.other("held", Observation::Document { document });
            let second = lab.agent.ends_with(POLICY, report)?;
            seen.other("second-start", second.observation());
            *self.locks.lock().unwrap_or_else(PoisonError::into_inner) = Some(locks);

            for trap in TRAPS {
                (trap.lay)()?;
                let folder = at(trap.folder);
                let laid = names(&folder)?;
                let ended = lab.agent.ends_with(POLICY, &at(trap.report))?;
                let new: Vec<_> = names(&folder)?.difference(&laid).cloned().collect();
                let place = format!("{GROUND}/{}", trap.place);
                let document = json!({
                    "exit": ended.status.code(),
                    "names_place": ended.stderr.contains(&place),
                    "precious": fs::read_to_string(at("precious")).context("reading it")?,
                    "new": new,
                });
                seen.other(trap.arm, Observation::Document { document });
            }
            let folder = sticky_folder("shared")?.join("root");
            fs::create_dir(&folder).context("making root's folder in a sticky one")?;
            let ended = lab.agent.ends_with(POLICY, &folder.join("report.json"))?;
            seen.other("sticky-on-the-way", ended.observation());
            Ok(())
        }

        fn during(&self, _lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let report = running(agent)?.report()?;
            let locks = self
                .locks
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            let held = locks.map(|mut locks| locks.are_held()).transpose()?;
            let document = json!({"state": report["runtime_state"], "held": held});
            seen.other("during", Observation::Document { document });
            Ok(())
        }
    }
}
