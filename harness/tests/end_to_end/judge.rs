//! `cargo xtask judge`: what a run saved gives the run's own results, and what was damaged since is
//! never green.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use harness::outcome::{Ending, Status};
use harness::report::json;
use protocol::record::{Observation, Outcome, Phase, Record};
use rustix::fs::{FlockOperation, flock};

use crate::support::{
    Checkout, Group, Machine, Ran, Unbooted, guest_in_proof, guest_that_tells, until_written,
};

/// A proof with one arm, a document.
const PROOF: &str = "no-pretend";
const CONFIGURATION: &str = "seam-signal";

/// What a guest tells of [`PROOF`] after its hello when all is well.
fn whole() -> Vec<Record> {
    let document = serde_json::json!({
        "runtime_state": "ENFORCE_SIGNAL",
        "enforce_capable": false,
        "enforce_blockers": ["BPF_LSM_DISABLED"],
    });
    let phase = |phase| Record::Phase {
        configuration: CONFIGURATION.to_owned(),
        id: Some(PROOF.to_owned()),
        phase,
    };
    let mut records = vec![
        Record::ProofStarted {
            id: PROOF.to_owned(),
            configuration: CONFIGURATION.to_owned(),
        },
        phase(Phase::During),
        Record::Evidence {
            id: PROOF.to_owned(),
            arm: "report".to_owned(),
            observation: Observation::Document { document },
        },
        phase(Phase::After),
        Record::ProofFinished {
            id: PROOF.to_owned(),
            outcome: Outcome::Observed,
            reason: None,
            took_us: 1,
            tainted: 0,
        },
    ];
    // The hello is one more.
    let count = records.len() as u64 + 1;
    records.push(Record::End { count });
    records
}

/// The guest's end and the kernel's.
fn ends() -> String {
    let last = protocol::last_line("'$nonce'");
    format!("printf '%s\\n' '{last}' 'reboot: Restarting system' >>\"$console\"; exit 0")
}

/// A run of one machine, in which all is well.
fn green() -> Checkout {
    let unbooted = Unbooted::new(&["mine"], &guest_that_tells(&whole(), &ends()));
    Ran::of(&mut unbooted.matrix_of(PROOF)).expect(0, &[]);
    unbooted.checkout
}

fn judge(checkout: &Checkout, more: &[&str]) -> Ran {
    judge_folder(checkout, checkout.path("out").as_os_str(), more)
}

fn judge_folder(checkout: &Checkout, folder: &OsStr, more: &[&str]) -> Ran {
    Ran::of(checkout.harness("judge").arg(folder).args(more))
}

/// Checks that a run's folder gives the run's own results once more, to the last field.
#[track_caller]
fn expect_same(checkout: &Checkout, code: i32) {
    let ran = judge(checkout, &["--json"]);
    ran.expect(code, &[]);
    let judged = json::parse(&ran.stdout).expect("results of this version");
    assert_eq!(judged, checkout.results());
}

#[test]
fn a_run_comes_out_the_same_whatever_it_came_to() {
    let all_is_well = guest_that_tells(&whole(), &ends());
    let complains = format!("echo 'WARNING: odd' >>\"$console\"; {}", ends());
    let says_nothing = "echo 'no such machine: q35' >&2; exit 1".to_owned();
    for (qemu, code) in [
        (all_is_well, 0),
        (guest_that_tells(&whole(), &complains), 3),
        (guest_that_tells(&whole()[..3], "exit 0"), 1),
        (guest_that_tells(&whole()[..3], "kill -KILL $$"), 3),
        // The last record is cut.
        (
            guest_that_tells(&whole(), "printf '{' >>\"$records\"; exit 0"),
            3,
        ),
        (says_nothing, 3),
    ] {
        let unbooted = Unbooted::new(&["mine"], &qemu);
        Ran::of(&mut unbooted.matrix_of(PROOF)).expect(code, &[]);
        expect_same(&unbooted.checkout, code);
    }
}

#[test]
fn a_kernel_that_could_not_be_booted_comes_out_the_same() {
    let unbooted = Unbooted::new(&["one", "two"], "exit 1");
    let image = unbooted.checkout.path("out/one/initramfs.cpio");
    // A folder where its image is to be written.
    fs::create_dir_all(&image).expect("a writable folder");
    Ran::of(&mut unbooted.matrix()).expect(3, &[]);
    expect_same(&unbooted.checkout, 3);
}

/// What a change is made to, the change, the code that it must lead to, and a text of standard output.
type Damage = (&'static str, fn(&str) -> Option<String>, i32, &'static str);

/// Each done alone to the folder of a run in which all was well.
const DAMAGES: &[Damage] = &[
    (
        RECORDS,
        |text| Some(text.replace("\"enforce_capable\":false", "\"enforce_capable\":true")),
        1,
        "report: /enforce_capable: expected false, saw true",
    ),
    (
        RECORDS,
        |text| Some(text[..text.len() - 9].to_owned()),
        3,
        "cut off before its line end",
    ),
    (
        RECORDS,
        |text| Some(without(text, "\"record\":\"end\"")),
        3,
        "no `end` record",
    ),
    (
        RECORDS,
        |text| Some(without(text, "\"record\":\"evidence\"")),
        3,
        "report: no evidence came",
    ),
    (
        RECORDS,
        |text| Some(format!("{text}{text}")),
        3,
        "something came on the result channel after `end`",
    ),
    (
        RECORDS,
        |text| Some(format!("{text}{{\"record\":\"end\",\"count\":5}}\n")),
        3,
        "it has 8 lines, and 7 came",
    ),
    (RECORDS, |_| Some(String::new()), 3, "never said hello"),
    (RECORDS, |_| None, 3, "the records can't be read"),
    (
        RECORDS,
        |text| Some(text.replace("\"nonce\":\"", "\"nonce\":\"0")),
        3,
        "nonce: expected `",
    ),
    (
        RECORDS,
        |text| Some(text.replace(proofs::SOURCE_SHA256, "0")),
        3,
        "sources of the promises: expected `",
    ),
    (
        CONSOLE,
        |text| Some(format!("[    1.0] WARNING: CPU: 0\n{text}")),
        3,
        "the kernel complained: `WARNING: CPU: 0`",
    ),
    (
        CONSOLE,
        |text| Some(without(text, "reboot")),
        3,
        "the console is cut off",
    ),
    (CONSOLE, |_| None, 3, "the console can't be read"),
    (ENDING, |_| None, 3, "how the machine ended isn't known"),
    (
        ENDING,
        |text| Some(text[..text.len() / 2].to_owned()),
        3,
        "how the machine ended isn't known",
    ),
    (
        ENDING,
        |text| Some(text.replace("\"nonce\":\"", "\"nonce\":\"0")),
        3,
        "it is of another boot, whose nonce was 0",
    ),
    (
        ENDING,
        |text| Some(text.replace("\"schema_version\":1", "\"schema_version\":2")),
        3,
        "it has version 2, this program reads version 1",
    ),
    (
        PLAN,
        |text| Some(text.replace("\"nonce\":\"", "\"nonce\":\"0")),
        3,
        "nonce: expected `0",
    ),
    (
        PLAN,
        |text| Some(text.replace("\"value\":false", "\"value\":true")),
        1,
        "report: /enforce_capable: expected true, saw false",
    ),
    // One suite more than there are boots.
    (
        PLAN,
        |text| {
            let more =
                "\"suites\":[{\"suite\":{\"kernel\":\"mine\",\"boot\":\"lockdown\"},\"proofs\":1},";
            Some(text.replace("\"suites\":[", more))
        },
        3,
        "",
    ),
    (
        PLAN,
        |text| Some(text.replace("\"proofs\":1}]", "\"proofs\":2}]")),
        3,
        "",
    ),
];

/// Those after which nothing can be judged, with a text of standard error.
const NO_PLAN: &[Damage] = &[
    (
        PLAN,
        |_| None,
        3,
        "out has no plan.json: it is no folder of a run",
    ),
    (
        PLAN,
        |text| Some(text[..text.len() / 2].to_owned()),
        3,
        "plan.json: it isn't as the run wrote it",
    ),
    (PLAN, |_| Some(String::new()), 3, "run the matrix again"),
    (
        PLAN,
        |_| Some("[".repeat(100_000)),
        3,
        "isn't as the run wrote it",
    ),
    (
        PLAN,
        |text| Some(text.replace("\"schema_version\":1", "\"schema_version\":2")),
        3,
        "it has version 2, this program reads version 1",
    ),
    (
        PLAN,
        |text| Some(text.replace("\"kernels\":", "\"more\":0,\"kernels\":")),
        3,
        "unknown field `more`",
    ),
    (
        PLAN,
        |text| {
            let boots = text.split_once("\"boots\":[")?.1.strip_suffix("]}\n")?;
            Some(text.replace("\"boots\":[", &format!("\"boots\":[{boots},")))
        },
        3,
        "mine/bpf-lsm is there twice",
    ),
];

const RECORDS: &str = "mine/bpf-lsm/records.jsonl";
const CONSOLE: &str = "mine/bpf-lsm/console.log";
const ENDING: &str = "mine/bpf-lsm/ending.json";
const PLAN: &str = "plan.json";

/// A text without the lines that have this in them.
fn without(text: &str, part: &str) -> String {
    let lines = text.split_inclusive('\n');
    lines.filter(|line| !line.contains(part)).collect()
}

#[test]
fn one_change_to_what_was_saved_is_found() {
    let checkout = green();
    let found = |ran: &Ran, text: &str| ran.stdout.contains(text);
    each(&checkout, DAMAGES, found);
    each(&checkout, NO_PLAN, |ran, text| ran.stderr.contains(text));
    // What was put back is green again, so each was red for its own reason.
    expect_same(&checkout, 0);
}

#[track_caller]
fn each(checkout: &Checkout, damages: &[Damage], found: impl Fn(&Ran, &str) -> bool) {
    for (number, (name, change, code, text)) in damages.iter().enumerate() {
        let path = checkout.path("out").join(name);
        let before = fs::read_to_string(&path).expect("the run wrote it");
        match change(&before) {
            Some(after) => {
                assert_ne!(after, before, "change {number} changes {name}");
                fs::write(&path, after).expect("a writable folder");
            }
            None => fs::remove_file(&path).expect("a writable folder"),
        }
        let ran = judge(checkout, &[]);
        fs::write(&path, before).expect("a writable folder");
        ran.expect(*code, &[]);
        assert!(found(&ran, text), "{name}: {text:?} isn't in {ran:#?}");
        assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
    }
}

#[test]
fn a_run_of_other_promises_is_held_against_its_own_plan() {
    let checkout = green();
    for name in [PLAN, RECORDS] {
        let path = checkout.path("out").join(name);
        let text = fs::read_to_string(&path).expect("the run wrote it");
        let other = text.replace(proofs::SOURCE_SHA256, "0123");
        assert_ne!(text, other, "{name}");
        fs::write(&path, other).expect("a writable folder");
    }
    let ran = judge(&checkout, &[]);
    ran.expect(0, &["other promises than this build's (sources 0123, not "]);
}

#[test]
fn what_is_no_file_or_has_no_end_is_not_read() {
    let checkout = green();
    for name in [RECORDS, CONSOLE, ENDING, PLAN] {
        let path = checkout.path("out").join(name);
        let before = fs::read(&path).expect("the run wrote it");
        fs::remove_file(&path).expect("a writable folder");
        let pipe = Command::new("mkfifo").arg(&path).status();
        assert!(pipe.expect("coreutils").success());
        judge(&checkout, &[]).expect(3, &[]);
        fs::remove_file(&path).expect("a writable folder");
        // It takes no room on the disk.
        let long = File::create(&path).expect("a writable folder");
        long.set_len(1 << 34).expect("a sparse file");
        let ran = judge(&checkout, &[]);
        ran.expect(3, &[]);
        let said = ran.stdout + &ran.stderr;
        assert!(said.contains("it has more than 134217728 bytes"), "{said}");
        fs::write(&path, before).expect("a writable folder");
    }
    expect_same(&checkout, 0);
}

#[test]
fn a_folder_that_is_none_of_a_run_s_is_refused_with_the_way_out() {
    let checkout = green();
    let nowhere = checkout.path("nowhere");
    let way_out = "give the folder of a run (`cargo xtask matrix --out`)";
    for folder in [nowhere, checkout.path("kernels.toml")] {
        let ran = judge_folder(&checkout, folder.as_os_str(), &[]);
        ran.expect(2, &[way_out]);
    }
    let of_boot = checkout.path("out/mine/bpf-lsm");
    let ran = judge_folder(&checkout, of_boot.as_os_str(), &[]);
    ran.expect(
        3,
        &["is the folder of one boot; give the folder of the whole run"],
    );
    for name in ["sabotage.json", "sweep.json", "bench.json"] {
        let other = checkout.path(name).with_extension("");
        fs::create_dir(&other).expect("a writable folder");
        fs::write(other.join(name), "").expect("a writable folder");
        let ran = judge_folder(&checkout, other.as_os_str(), &[]);
        let words = format!("but {name}: only runs of `cargo xtask matrix` are judged again");
        ran.expect(3, &[&words]);
    }
}

#[test]
fn a_run_that_goes_on_is_not_judged() {
    let checkout = green();
    let lock = File::open(checkout.path("out/.lock")).expect("the run made it");
    flock(&lock, FlockOperation::LockExclusive).expect("nobody else has it");
    judge(&checkout, &[]).expect(3, &["out is being written by another run, pid "]);
}

#[test]
fn a_run_that_was_killed_is_never_green_though_all_it_told_was() {
    let hang = "echo >\"${records%/*}/in-proof\"; exec tail -f \"$PWD/kernels.toml\"";
    let then = format!("case $records in */one/*) ;; *) {hang} ;; esac; {}", ends());
    let unbooted = Unbooted::new(&["one", "two", "three"], &guest_that_tells(&whole(), &then));
    let checkout = &unbooted.checkout;
    let file = checkout.path("out/two/bpf-lsm/in-proof");
    fs::create_dir_all(file.parent().expect("it is in a folder")).expect("a writable folder");
    let mut harness = Group::start(unbooted.matrix_of(PROOF).args(["--jobs", "1"]));
    until_written(&file, &harness);
    harness.0.kill().expect("it runs");
    harness.0.wait().expect("our own child");

    let ran = judge(checkout, &["--json"]);
    ran.expect(3, &[]);
    let results = json::parse(&ran.stdout).expect("results of this version");
    let [one, two, three] = &results[..] else {
        panic!("{results:#?}");
    };
    assert!(one.is_clean(), "{one:#?}");
    for boot in [two, three] {
        assert!(!boot.is_clean(), "{boot:#?}");
        assert!(
            matches!(boot.ending, Some(Ending::Unknown { .. })),
            "{boot:#?}"
        );
    }
    assert_eq!(
        two.proofs[0].status,
        Status::Passed,
        "its records are whole"
    );
    assert_eq!(three.proofs[0].status, Status::Incomplete);
    // Without its plan the two that are missing couldn't be known of.
    fs::remove_file(checkout.path("out/plan.json")).expect("the run wrote it");
    judge(checkout, &[]).expect(3, &["has no plan.json"]);
}

#[test]
fn an_interrupted_run_ends_as_it_did() {
    let hang = "echo >\"${records%/*}/in-proof\"; exec tail -f \"$PWD/kernels.toml\"";
    let unbooted = Unbooted::new(&["one", "two"], &guest_in_proof(hang));
    let file = unbooted.checkout.path("out/one/bpf-lsm/in-proof");
    fs::create_dir_all(file.parent().expect("it is in a folder")).expect("a writable folder");
    let mut harness = Group::start(unbooted.matrix().args(["--jobs", "1"]));
    until_written(&file, &harness);
    let pid = rustix::process::Pid::from_child(&harness.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    assert_eq!(harness.0.wait().expect("our own child").code(), Some(143));
    expect_same(&unbooted.checkout, 143);
}

#[test]
fn reports_are_written_where_asked_and_nowhere_else() {
    let checkout = green();
    let names = ["junit.xml", "results.json", "records.jsonl"];
    for name in names {
        fs::write(checkout.path("out").join(name), "the run's").expect("a writable folder");
    }
    let table = judge(&checkout, &[]);
    table.expect(0, &[]);
    assert!(
        table.stdout.contains("1 kernel, 1 suite: 1 passed"),
        "{table:#?}"
    );
    let elsewhere: PathBuf = checkout.path("elsewhere");
    let out = elsewhere.to_str().expect("UTF-8");
    judge(&checkout, &["--out", out]).expect(0, &[]);
    for name in names {
        assert_eq!(checkout.out(name), "the run's");
        let written = fs::read_to_string(elsewhere.join(name)).expect("written there");
        assert!(written.contains(PROOF), "{name}: {written}");
    }
    // Not in the place of what is judged.
    let part = checkout.path("out/mine/bpf-lsm");
    let ran = judge(&checkout, &["--out", part.to_str().expect("UTF-8")]);
    ran.expect(
        2,
        &["is a part of the run that is judged; name another folder"],
    );
    // Asked for, they take the place of the run's.
    let own = checkout.path("out");
    judge(&checkout, &["--out", own.to_str().expect("UTF-8")]).expect(0, &[]);
    expect_same(&checkout, 0);
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_real_run_comes_out_the_same_with_its_comparison_of_boots() {
    let machine = Machine::new();
    let mut matrix = machine.matrix_by("qemu");
    let more = ["seam-is-faithful", "enforce-denies-open"];
    matrix.args(more.map(|proof| ["--proof", proof]).as_flattened());
    Ran::of(matrix.args(["--boot", "bpf-lsm", "--boot", "no-bpf-lsm"])).expect(0, &[]);
    let suites = machine.checkout.results();
    assert!(suites.iter().any(|boot| boot.suite.boot == "cross-boot"));
    expect_same(&machine.checkout, 0);
}
