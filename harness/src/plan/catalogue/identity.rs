//! What a file rule means: which file is at its path, what is beneath its folder, and which
//! access it denies. All of a tier's proofs share one life of the agent.

use protocol::plan::{Clause, Filesystem, PlannedArm, PlannedProof};
use serde_json::{Map, Value, json};

use super::{contains, differs, document, equals, lacks, limited, proof};

/// A tier, as far as the proofs differ by it.
#[derive(Clone, Copy)]
pub(super) struct Tier {
    /// In the ids of proofs and configurations.
    pub(super) name: &'static str,
    state: &'static str,
    /// What becomes of whoever does what is denied.
    pub(super) fate: &'static str,
    pub(super) outcome: &'static str,
    /// The hook that sees an open.
    open: &'static str,
    /// What comes before the name of a hook on names; the signal tier has none.
    names: Option<&'static str>,
}

/// BPF LSM programs deny.
pub(super) const LSM: Tier = Tier {
    name: "enforce",
    state: "ENFORCE",
    fate: "EPERM",
    outcome: "denied",
    open: "lsm/file_open",
    names: Some("lsm/inode_"),
};

/// Modified return values deny.
pub(super) const MODRET: Tier = Tier {
    name: "modret",
    state: "ENFORCE_MODRET",
    open: "fmod_ret/security_file_open",
    names: Some("fmod_ret/security_inode_"),
    ..LSM
};

/// A signal kills after the fact.
pub(super) const SIGNAL: Tier = Tier {
    name: "signal",
    state: "ENFORCE_SIGNAL",
    fate: "SIGKILL",
    outcome: "killed",
    open: "kprobe/security_file_open",
    names: None,
};

/// Under the BPF LSM.
pub(super) fn enforce() -> Vec<PlannedProof> {
    of_tier(LSM)
}

/// By modified return values.
pub(super) fn modret() -> Vec<PlannedProof> {
    of_tier(MODRET)
}

/// By a signal.
pub(super) fn signal() -> Vec<PlannedProof> {
    let mut proofs = of_tier(SIGNAL);
    proofs.push(term_can_be_ignored());
    proofs
}

fn of_tier(tier: Tier) -> Vec<PlannedProof> {
    let named = |id: &str, arms| {
        let configuration = format!("{}-identity", tier.name);
        proof(&format!("{}-{id}", tier.name), &configuration, arms)
    };
    let on_ext4 = |id: &str, arms| PlannedProof {
        filesystem: Some(Filesystem::Ext4),
        ..named(id, arms)
    };
    let names = match tier.names {
        Some(hooks) => named("guards-names", guards_names(tier, hooks)),
        None => named("leaves-names-open", leaves_names_open(tier)),
    };
    vec![
        named("follows-identity", follows_identity(tier)),
        names,
        named("holds-folder", holds_folder(tier, true)),
        named("splits-access", splits_access(tier)),
        on_ext4("knows-reused-inode-on-ext4", knows_reused_inode(tier)),
        on_ext4("denies-handle-on-ext4", denies_handle(tier)),
    ]
}

/// What of it is proven where the kernel is locked down, in this configuration.
pub(super) fn lockdown(tier: Tier, configuration: &str) -> Vec<PlannedProof> {
    let named = |id: &str, arms| proof(&format!("{configuration}-{id}"), configuration, arms);
    let names = tier
        .names
        .map(|hooks| named("guards-names", guards_names(tier, hooks)));
    let mut proofs = vec![named("follows-identity", follows_identity(tier))];
    proofs.extend(names);
    proofs.push(named("holds-folder", holds_folder(tier, false)));
    proofs
}

impl Tier {
    /// The event on an open that a rule denies.
    pub(super) fn event(self, rule: &str, matched: &str, access: &str) -> Value {
        self.event_of(self.open, rule, matched, access)
    }

    fn event_of(self, hook: &str, rule: &str, matched: &str, access: &str) -> Value {
        json!({"rule": rule, "hook": hook, "outcome": self.outcome, "matched": matched,
               "access": access})
    }

    /// An open for reading meets its fate, and none of the file comes out.
    pub(super) fn unread(self, arm: &str, rule: &str, matched: &str) -> PlannedArm {
        let event = self.event(rule, matched, "read");
        account(arm, self.fate, false, json!([event]), &[])
    }

    /// An act on names is denied; `hook` is the end of its hook's name.
    fn unnamed(self, arm: &str, hook: &str, rule: &str, matched: &str) -> PlannedArm {
        let hook = format!("{}{hook}", self.names.unwrap_or_default());
        let event = self.event_of(&hook, rule, matched, "write");
        account(arm, self.fate, false, json!([event]), &[])
    }

    /// What the report says of the tier and its limits for files.
    pub(super) fn report(self, limits: &[&str], no_limits: &[&str]) -> PlannedArm {
        let mut clauses = vec![equals("/runtime_state", self.state)];
        let file = "/classes/file/limits";
        clauses.extend(limits.iter().map(|limit| contains(file, *limit)));
        clauses.extend(no_limits.iter().map(|limit| lacks(file, *limit)));
        document("report", &clauses)
    }
}

/// An attempt's account: what came of it, whether it gave anything out, exactly these events,
/// and whatever else the proof looks at.
pub(super) fn account(
    arm: &str,
    fate: &str,
    leaked: bool,
    events: Value,
    also: &[Clause],
) -> PlannedArm {
    let mut clauses = vec![
        equals("/fate", fate),
        equals("/leaked", leaked),
        equals("/events", events),
    ];
    clauses.extend_from_slice(also);
    document(arm, &clauses)
}

/// A read that gives the file out, and that nobody tells of.
pub(super) fn read(arm: &str) -> PlannedArm {
    account(arm, "allowed", true, json!([]), &[])
}

/// Another act that succeeds without a word.
fn done(arm: &str, also: &[Clause]) -> PlannedArm {
    account(arm, "allowed", false, json!([]), also)
}

/// All of these succeed with no agent about.
fn all_allowed(arm: &str, acts: &[&str]) -> PlannedArm {
    let fates: Map<String, Value> = acts
        .iter()
        .map(|act| ((*act).to_owned(), "allowed".into()))
        .collect();
    document(arm, &[equals("", fates)])
}

fn follows_identity(tier: Tier) -> Vec<PlannedArm> {
    let files = ["created", "recreated", "replaced"];
    let mut arms = vec![all_allowed("before", &files[1..])];
    arms.extend(files.map(|file| tier.unread(&format!("{file}-at-once"), file, "name")));
    arms.push(match tier.names {
        Some(_) => tier.unnamed("second-name-at-once", "link", "created", "name"),
        None => done("second-name-at-once", &[]),
    });
    arms.push(match tier.names {
        // Nothing but its path is known of a file whose folder isn't there.
        Some(_) => read("in-new-folder-at-once"),
        None => {
            let hook = "tracepoint/syscalls/sys_enter_openat";
            let event = tier.event_of(hook, "unforeseen", "path", "read");
            let arm = "in-new-folder-at-once";
            account(arm, tier.fate, false, json!([event]), &[])
        }
    });
    let resolved = [
        "/created",
        "/recreated",
        "/replaced",
        "/later",
        "/unforeseen",
    ];
    let delays = resolved.map(|rule| differs(rule, Value::Null));
    arms.push(document("resolved", &delays));
    let known = ["created", "recreated", "replaced", "unforeseen", "later"];
    arms.extend(known.map(|file| tier.unread(file, file, "inode")));
    arms.push(read("benign"));
    arms.push(match tier.names {
        Some(_) => tier.unnamed("second-name", "link", "created", "inode"),
        None => tier.unread("second-name", "created", "inode"),
    });
    arms.push(read("exempt"));
    arms.push(all_allowed("after", &known));
    arms
}

/// The acts on names, each with the end of its hook's name, the rule that it meets, by what,
/// and what stands where afterwards if it isn't stopped.
fn acts_on_names() -> [(
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Value,
); 9] {
    let (present, spare) = ("present", "spare");
    let beside = |name: &str, content: &str| {
        let mut names = json!({"present": present, "spare": spare});
        names[name] = content.into();
        names
    };
    [
        ("create", "create", "unborn", "name", beside("unborn", "")),
        (
            "mknod",
            "mknod",
            "unborn",
            "name",
            beside("unborn", "no file"),
        ),
        (
            "symlink",
            "symlink",
            "unborn",
            "name",
            beside("unborn", "no file"),
        ),
        (
            "link-to-name",
            "link",
            "unborn",
            "name",
            beside("unborn", spare),
        ),
        (
            "rename-to-name",
            "rename",
            "unborn",
            "name",
            json!({"present": present, "unborn": spare}),
        ),
        (
            "link-from-name",
            "link",
            "present",
            "inode",
            beside("elsewhere", present),
        ),
        (
            "rename-from-name",
            "rename",
            "present",
            "inode",
            json!({"elsewhere": present, "spare": spare}),
        ),
        (
            "rename-over",
            "rename",
            "present",
            "inode",
            json!({"present": spare}),
        ),
        (
            "exchange",
            "rename",
            "present",
            "inode",
            json!({"present": spare, "spare": present}),
        ),
    ]
}

fn guards_names(tier: Tier, hooks: &str) -> Vec<PlannedArm> {
    let acts = acts_on_names();
    let names: Vec<&str> = acts.iter().map(|act| act.0).collect();
    let untouched = [equals(
        "/names",
        json!({"present": "present", "spare": "spare"}),
    )];
    let kept = [
        "creates_denied_name",
        "links_denied_file",
        "replaces_denied_name",
    ];
    let mut arms = vec![all_allowed("before", &names), tier.report(&[], &kept)];
    for (arm, hook, rule, matched, _) in acts {
        let event = tier.event_of(&format!("{hooks}{hook}"), rule, matched, "write");
        arms.push(account(arm, tier.fate, false, json!([event]), &untouched));
    }
    let renamed = equals("/names", json!({"present": "present", "other": "spare"}));
    let created = json!({"present": "present", "other": "spare", "unborn": ""});
    arms.extend([
        done("benign", &[renamed]),
        done("exempt", &[equals("/names", created)]),
        all_allowed("after", &names),
    ]);
    arms
}

/// The same acts where nobody is asked before them: all leave their traces, and only what
/// opens a file is told of.
fn leaves_names_open(tier: Tier) -> Vec<PlannedArm> {
    let acts = acts_on_names();
    let names: Vec<&str> = acts.iter().map(|act| act.0).collect();
    let limits = [
        "creates_before_kill",
        "creates_denied_name",
        "links_denied_file",
        "replaces_denied_name",
    ];
    let mut arms = vec![all_allowed("before", &names), tier.report(&limits, &[])];
    for (arm, hook, rule, _, after) in acts {
        let after = [equals("/names", after)];
        arms.push(match (arm, hook) {
            ("create", _) => {
                let event = tier.event(rule, "name", "write");
                account(arm, tier.fate, false, json!([event]), &after)
            }
            (_, "link") => limited("links_denied_file", done(arm, &after)),
            (_, "rename") => limited("replaces_denied_name", done(arm, &after)),
            _ => limited("creates_denied_name", done(arm, &after)),
        });
    }
    let renamed = equals("/names", json!({"present": "present", "other": "spare"}));
    let created = json!({"present": "present", "other": "spare", "unborn": ""});
    arms.extend([
        done("benign", &[renamed]),
        done("exempt", &[equals("/names", created)]),
        all_allowed("after", &names),
    ]);
    arms
}

/// With `across_mounts`, another file system is mounted in the folder.
fn holds_folder(tier: Tier, across_mounts: bool) -> Vec<PlannedArm> {
    let mut reads = vec![
        "beneath",
        "three-deep",
        "by-bind-mount",
        "deep",
        "list",
        "list-subfolder",
    ];
    if across_mounts {
        reads.push("in-a-mount");
    }
    let others = [
        "benign",
        "benign-deep",
        "benign-pipe",
        "too-deep",
        "linked-out-before",
    ];
    let moves = [
        ("create", "create", "folder"),
        ("rename-out", "rename", "folder"),
        ("rename-subfolder-out", "rename", "folder"),
        ("rename-folder", "rename", "inode"),
        ("link-out", "link", "folder"),
    ];
    let all = [&reads[..], &others, &moves.map(|act| act.0)].concat();
    let mut arms = vec![
        all_allowed("before", &all),
        tier.report(&["hardlink_out_of_folder"], &[]),
    ];
    arms.extend(reads.into_iter().map(|read| match read {
        // The rule is on the folder itself too.
        "list" => tier.unread(read, "folder", "inode"),
        _ => tier.unread(read, "folder", "folder"),
    }));
    arms.extend([
        read("benign"),
        read("benign-deep"),
        done("benign-pipe", &[]),
        tier.unread("too-deep", "folder rules", "too_deep"),
        limited("hardlink_out_of_folder", read("linked-out-before")),
        done("exempt-mkdir", &[]),
        done("exempt-create", &[]),
        tier.unread("new", "folder", "folder"),
    ]);
    if tier.names.is_some() {
        arms.extend(moves.map(|(arm, hook, matched)| tier.unnamed(arm, hook, "folder", matched)));
    }
    arms.extend([read("exempt"), all_allowed("after", &all)]);
    arms
}

fn splits_access(tier: Tier) -> Vec<PlannedArm> {
    let whole = [equals("/empty", false)];
    let stopped = |arm: &str, rule: &str, access: &str| {
        let event = tier.event(rule, "inode", access);
        // The signal comes after the file was truncated.
        let empty = arm == "unwritten-truncate" && tier.names.is_none();
        let also = [equals("/empty", empty)];
        account(arm, tier.fate, false, json!([event]), &also)
    };
    let gives = |arm: &str| account(arm, "allowed", true, json!([]), &whole);
    let during = [
        stopped("unread-read", "unread", "read"),
        stopped("unread-execute", "unread", "read"),
        stopped("unread-read-write", "unread", "read-write"),
        done("unread-write", &whole),
        done("unread-append", &whole),
        gives("unwritten-read"),
        gives("unwritten-execute"),
        stopped("unwritten-read-write", "unwritten", "read-write"),
        stopped("unwritten-write", "unwritten", "write"),
        stopped("unwritten-append", "unwritten", "write"),
        stopped("unwritten-truncate", "unwritten", "read-write"),
        gives("benign-read"),
        gives("benign-execute"),
        done("benign-write", &whole),
        done("benign-truncate", &[equals("/empty", true)]),
    ];
    let acts: Vec<&str> = during.iter().map(|arm| arm.arm.as_str()).collect();
    let (before, after) = (all_allowed("before", &acts), all_allowed("after", &acts));
    [vec![before], during.to_vec(), vec![after]].concat()
}

fn knows_reused_inode(tier: Tier) -> Vec<PlannedArm> {
    vec![
        read("before"),
        tier.unread("during", "gone", "inode"),
        read("benign"),
    ]
}

fn denies_handle(tier: Tier) -> Vec<PlannedArm> {
    vec![
        read("before"),
        tier.unread("known", "vault", "folder"),
        tier.unread("forgotten", "folder rules", "detached"),
        read("benign"),
        read("after"),
    ]
}

fn term_can_be_ignored() -> PlannedProof {
    let event = SIGNAL.event("term", "inode", "read");
    let arms = vec![
        read("before"),
        SIGNAL.report(&["catchable_signal"], &[]),
        account("during", "SIGTERM", false, json!([event]), &[]),
        limited(
            "catchable_signal",
            account("ignoring", "allowed", true, json!([event]), &[]),
        ),
        read("benign"),
        read("after"),
    ];
    proof("signal-term-can-be-ignored", "signal-term", arms)
}
