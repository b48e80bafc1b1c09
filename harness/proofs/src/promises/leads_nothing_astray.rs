//! A user who owns a folder on the way to a rule's path puts there what he likes, and the rule never
//! comes to cover what isn't his by it.

use crate::promise::{Promise, Proof, Section, acts};
use protocol::plan::PlannedArm;
use serde_json::json;

use crate::arms::{all_allowed, document, done, equals, read, reasons};
use crate::sabotage::Mutant;
use crate::tier::Tier;

pub(super) const PROMISE: Promise = Promise {
    section: Section::Enforced,
    id: "leads-nothing-astray",
    text: "Whoever owns a folder on the way to a rule's path leads the rule to nothing of somebody \
           else's: not by a link to it or to where it is to be made, by one through `/proc`, nor by \
           a second name of it. Such a rule is listed as unenforced, with what isn't followed, and \
           what it was on before stays denied; links in a circle unsettle nothing else either. His own link to what is his own is followed.",
    proofs,
    comparison: None,
};

fn proofs() -> Vec<Proof> {
    let proof = |tier: Tier| {
        let acts = acts!(acts::LeadsNothingAstray(tier));
        let proof = Proof::of_tier(tier, PROMISE.id, tier.identity(), acts, arms(tier));
        match tier {
            Tier::Lsm => proof.catches(&[TRUSTS]),
            Tier::Modret | Tier::Signal => proof,
        }
    };
    Tier::ALL.map(proof).into()
}

/// What he does, in this order. Folders above those that a rule is on are what he moves: the agent
/// denies him the rest.
const TRICKS: [&str; 11] = [
    "circle",
    "missing",
    "proc",
    "folder-away",
    "folder-anew",
    "folder-link",
    "file-away",
    "file-anew",
    "file-name",
    "own-away",
    "own-link",
];

fn arms(tier: Tier) -> Vec<PlannedArm> {
    let unenforced = "/rules/unenforced";
    let astray = |rule: &str| reasons(unenforced, json!({"rule": rule}), "followed");
    vec![
        all_allowed("before", &["folder", "file", "own", "bystander", "second"]),
        all_allowed("tricks", &TRICKS),
        read("bystander"),
        read("second"),
        done("made", &[]),
        read("through-proc"),
        tier.unread("former-folder", "led-folder", "folder"),
        tier.unread("former-file", "led-file", "inode"),
        tier.unread("former-own", "led-own", "folder"),
        tier.unread("own", "led-own", "folder"),
        document(
            "report",
            &[
                equals("/runtime_state", tier.state()),
                astray("led-folder"),
                astray("led-file"),
                astray("led-missing"),
                astray("led-proc"),
                reasons(unenforced, json!({"rule": "led-circle"}), "link"),
            ],
        ),
        all_allowed("after", &["folder", "file", "own", "bystander", "second"]),
    ]
}

const TRUSTS: Mutant = Mutant::new(
    "trusts-every-folder",
    "whoever owns a folder on the way to a rule's path is taken for root",
    "bystander",
    "/fate: expected \"allowed\"",
);

#[cfg(feature = "acts")]
pub(super) mod acts {
    use std::fs;
    use std::os::unix::fs::chown;
    use std::path::{Path, PathBuf};

    use anyhow::{Context, Result, ensure};
    use protocol::record::Observation;
    use serde_json::{Map, Value, json};

    use super::TRICKS;
    use crate::acts::attempt::{Attempt, Verb, account};
    use crate::acts::lab::{During, Lab, Seen};
    use crate::acts::{Acts, rule, running};
    use crate::tier::Tier;

    /// See the promise.
    #[derive(Debug)]
    pub struct LeadsNothingAstray(pub Tier);

    /// He who owns `home`.
    const USER: u32 = 1000;

    const PROTECTED_HARDLINKS: &str = "/proc/sys/fs/protected_hardlinks";

    /// Root's, beside his.
    const FILES: [&str; 4] = ["root/d/file", "root/second", "root/through-proc", "root/x"];

    /// His.
    const HIS: [&str; 4] = [
        "home/p/d/file",
        "home/s/file",
        "home/own/in/d/file",
        "home/own/other/d/file",
    ];

    impl LeadsNothingAstray {
        fn path(&self, name: &str) -> PathBuf {
            self.0.ground("/srv", "astray").join(name)
        }

        fn read(&self, lab: &Lab, seen: &mut Seen, arm: &'static str, name: &str) -> Result<()> {
            let path = self.path(name);
            let read = Attempt::on(Verb::Read, &path).make(lab.ground.limit())?;
            seen.other(arm, account(read, json!({})));
            Ok(())
        }

        /// What comes of reading these, by the names that the plan has for them.
        fn fates(&self, lab: &Lab, files: &[(&str, &str)]) -> Result<Observation> {
            let mut document = Map::new();
            for (name, file) in files {
                let path = self.path(file);
                let fate = Attempt::on(Verb::Read, &path).fate(lab.ground.limit())?;
                document.insert((*name).to_owned(), fate);
            }
            let document = Value::Object(document);
            Ok(Observation::Document { document })
        }

        /// His acts.
        fn tricks(&self, lab: &Lab) -> Result<Map<String, Value>> {
            let link = |to: &str, path: &str| (Verb::Symlink, self.path(path), self.path(to));
            let moved = |path: &str, to: &str| (Verb::Rename, self.path(path), self.path(to));
            let through_proc = Path::new("/proc/self/root").join(
                self.path("root/through-proc")
                    .strip_prefix("/")
                    .context("an absolute path")?,
            );
            let acts = [
                link("home/circle", "home/circle"),
                link("root", "home/missing"),
                (Verb::Symlink, self.path("home/proc"), through_proc),
                moved("home/p", "home/q"),
                (Verb::Mkdir, self.path("home/p"), PathBuf::new()),
                link("root/d", "home/p/d"),
                moved("home/s", "home/t"),
                (Verb::Mkdir, self.path("home/s"), PathBuf::new()),
                (
                    Verb::Link,
                    self.path("root/second"),
                    self.path("home/s/file"),
                ),
                moved("home/own/in", "home/own/out"),
                link("home/own/other", "home/own/in"),
            ];
            let mut document = Map::new();
            for (name, (verb, path, to)) in TRICKS.iter().zip(&acts) {
                let act = Attempt::between(*verb, path, to).as_user(USER);
                let fate = act.fate(lab.ground.limit())?;
                document.insert((*name).to_owned(), fate);
            }
            Ok(document)
        }
    }

    impl Acts for LeadsNothingAstray {
        fn rules(&self) -> Result<String> {
            let rules = [
                ("led-folder", "home/p/d/"),
                ("led-file", "home/s/file"),
                ("led-own", "home/own/in/d/"),
                ("led-missing", "home/missing/new"),
                ("led-proc", "home/proc"),
                ("led-circle", "home/circle/x"),
            ];
            let path = |name| self.path(name).display().to_string();
            Ok(rules
                .map(|(id, name)| rule(id, &path(name), "read"))
                .concat())
        }

        fn before(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            let ground = self.0.ground("/srv", "astray");
            // Of another life of the agent, in which he had his way already.
            if ground.exists() {
                fs::remove_dir_all(&ground).context("clearing the ground")?;
            }
            for file in FILES.into_iter().chain(HIS) {
                let path = self.path(file);
                let folder = path.parent().context("a folder")?;
                fs::create_dir_all(folder).context("making the ground")?;
                fs::write(&path, file).with_context(|| format!("writing {file}"))?;
            }
            let folders = HIS.iter().flat_map(|file| Path::new(file).ancestors());
            for his in folders.filter(|path| path.starts_with("home")) {
                let path = ground.join(his);
                chown(&path, Some(USER), Some(USER))
                    .with_context(|| format!("giving him {}", his.display()))?;
            }
            // Debian lets nobody give a second name to what isn't his; other kernels do.
            fs::write(PROTECTED_HARDLINKS, "0").context(PROTECTED_HARDLINKS)?;
            let files = [
                ("folder", HIS[0]),
                ("file", HIS[1]),
                ("own", HIS[2]),
                ("bystander", FILES[0]),
                ("second", FILES[1]),
            ];
            seen.other("before", self.fates(lab, &files)?);
            Ok(())
        }

        fn during(&self, lab: &Lab, agent: &During, seen: &mut Seen) -> Result<()> {
            let running = running(agent)?;
            let mut heard = running.listen();
            let tricks = self.tricks(lab)?;
            let done = tricks.values().all(|fate| fate == "allowed");
            let document = Value::Object(tricks);
            seen.other("tricks", Observation::Document { document });
            // Or what follows would be waited for in vain.
            ensure!(done, "he was kept from some of it");
            // By the last trick, so that it has looked at what the others did too.
            heard.hear("his link to another folder of his", |line| {
                line["event"] == "resolved" && line["rule"] == "led-own" && line["present"] == true
            })?;
            let report = running.report()?;
            self.read(lab, seen, "bystander", FILES[0])?;
            self.read(lab, seen, "second", FILES[1])?;
            let new = self.path("root/new");
            let made = Attempt::on(Verb::Create, &new).make(lab.ground.limit())?;
            seen.other("made", account(made, json!({})));
            self.read(lab, seen, "through-proc", FILES[2])?;
            self.read(lab, seen, "former-folder", "home/q/d/file")?;
            self.read(lab, seen, "former-file", "home/t/file")?;
            self.read(lab, seen, "former-own", "home/own/out/d/file")?;
            self.read(lab, seen, "own", HIS[3])?;
            seen.other("report", Observation::Document { document: report });
            Ok(())
        }

        fn after(&self, lab: &Lab, seen: &mut Seen) -> Result<()> {
            let files = [
                ("folder", "home/q/d/file"),
                ("file", "home/t/file"),
                ("own", "home/own/out/d/file"),
                ("bystander", FILES[0]),
                ("second", FILES[1]),
            ];
            seen.other("after", self.fates(lab, &files)?);
            fs::write(PROTECTED_HARDLINKS, "1").context(PROTECTED_HARDLINKS)?;
            Ok(())
        }
    }
}
