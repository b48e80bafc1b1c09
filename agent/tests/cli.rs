//! The command line with bad input: exit codes and messages. Nothing here gets as far as
//! BPF: every case ends before the machine is looked at.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const VALID: &str = "version = 1\n[[deny.file]]\npath = \"/etc/secret\"\n";

fn aegisbpf(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aegisbpf"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder with `policy.toml` in it.
fn policy(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

#[track_caller]
fn ends(output: &Output, code: i32, message: &str) {
    let stderr = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(message), "no {message:?} in: {stderr}");
}

#[test]
fn a_policy_that_does_not_parse_ends_run_with_line_and_column() {
    let (_folder, path) = policy("version = 1\n[[deny.file]\n");
    let output = aegisbpf(&["run", "--enforce", "--policy", &path]);
    ends(&output, 4, &format!("{path}:2:13: "));
}

#[test]
fn a_relative_path_ends_run_with_line_and_way_out() {
    let (_folder, path) = policy("version = 1\n[[deny.file]]\npath = \"etc/secret\"\n");
    let output = aegisbpf(&["run", "--audit", "--policy", &path]);
    ends(&output, 4, &format!("{path}:3:8: path \"etc/secret\""));
    ends(&output, 4, "start it with /");
}

#[test]
fn an_unknown_key_ends_run() {
    let (_folder, path) = policy("version = 1\nexempt = []\n");
    let output = aegisbpf(&["run", "--enforce", "--policy", &path]);
    ends(&output, 4, &format!("{path}:2:1: unknown key \"exempt\""));
}

#[test]
fn a_policy_that_cannot_be_read_is_named() {
    let output = aegisbpf(&["policy", "check", "/nonexistent/policy.toml"]);
    ends(
        &output,
        4,
        "/nonexistent/policy.toml: the policy can't be read",
    );
}

#[test]
fn wrong_usage_ends_with_2_and_says_why() {
    let (_folder, path) = policy(VALID);
    let run = ["run", "--policy", &path];
    let cases: [(&[&str], &str); 12] = [
        (&["run", "--enforce"], "--policy <FILE>"),
        (&run, "<--enforce|--audit>"),
        (
            &[&run[..], &["--enforce", "--audit"]].concat(),
            "cannot be used with",
        ),
        (
            &[&run[..], &["--enforce", "--enforce-fallback=modret,modret"]].concat(),
            "modret is named twice",
        ),
        (
            &[&run[..], &["--enforce", "--enforce-signal=CHLD"]].concat(),
            "\"CHLD\" is no signal that ends a process; use one of KILL, TERM",
        ),
        (
            &[&run[..], &["--enforce", "--verify-interval=0"]].concat(),
            "give seconds from 0.1 to 86400",
        ),
        (
            &[&run[..], &["--enforce", "--on-degraded=panic"]].concat(),
            "stay, exit",
        ),
        (
            &[&run[..], &["--enforce", "--enforce-fallback=off,signal"]].concat(),
            "off stands alone",
        ),
        (
            &[&run[..], &["--enforce", "--enforce-fallback=sigterm"]].concat(),
            "\"sigterm\" is no fallback",
        ),
        (
            &[&run[..], &["--enforce", "--enforce-gate-mode=open"]].concat(),
            "fail-closed, audit-fallback",
        ),
        (
            &[&run[..], &["--enforce", "--ready-fd=1"]].concat(),
            "use 3 or above",
        ),
        (
            &[&run[..], &["--enforce", "--ready-fd=999"]].concat(),
            "it isn't an open descriptor",
        ),
    ];
    for (arguments, message) in cases {
        ends(&aegisbpf(arguments), 2, message);
    }
}

/// Ends with this code though whoever read these streams is gone: neither by a panic, which is
/// 101 or, in what ships, an abort, nor by SIGPIPE.
#[track_caller]
fn ends_unread(arguments: &[&str], unread: &[&str], code: i32) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let stream = |name| match unread.contains(&name) {
        true => Stdio::from(writer.try_clone().unwrap()),
        false => Stdio::null(),
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_aegisbpf"));
    let command = command.args(arguments).stdin(Stdio::null());
    let command = command.stdout(stream("stdout")).stderr(stream("stderr"));
    let status = command.status().unwrap();
    assert_eq!(status.code(), Some(code), "{arguments:?}: {status}");
}

#[test]
fn a_reader_that_went_away_changes_no_exit_code() {
    let (_folder, invalid) = policy("version = 1\nexempt = []\n");
    for unread in [&["stderr"][..], &["stdout", "stderr"]] {
        for mode in ["--enforce", "--audit"] {
            ends_unread(&["run", mode, "--policy", &invalid], unread, 4);
        }
        ends_unread(&["policy", "check", &invalid], unread, 4);
        ends_unread(&["run", "--enforce"], unread, 2);
    }
}

#[test]
fn an_answer_that_nobody_reads_is_an_error_and_no_panic() {
    let (_folder, valid) = policy(VALID);
    for unread in [&["stdout"][..], &["stdout", "stderr"]] {
        ends_unread(&["policy", "check", &valid], unread, 1);
        ends_unread(&["policy", "check", "--json", &valid], unread, 1);
    }
}

#[test]
fn policy_check_accepts_and_counts() {
    let (_folder, path) = policy(VALID);
    let output = aegisbpf(&["policy", "check", &path]);
    assert_eq!(output.status.code(), Some(0));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("valid: rules: 1"), "{stdout}");
}

#[test]
fn policy_check_says_that_an_empty_policy_enforces_nothing() {
    let (_folder, path) = policy("version = 1\n");
    let output = aegisbpf(&["policy", "check", &path]);
    assert_eq!(output.status.code(), Some(0));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("enforces nothing"), "{stdout}");
}

#[test]
fn policy_check_tells_machines_every_error() {
    let (_folder, path) = policy("version = 3\n[[deny.file]]\npath = \"a\"\n");
    let output = aegisbpf(&["policy", "check", "--json", &path]);
    assert_eq!(output.status.code(), Some(4));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["valid"], false);
    let lines: Vec<_> = document["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["line"].as_u64())
        .collect();
    assert_eq!(lines, [Some(1), Some(3)]);
}

#[test]
fn policy_check_tells_people_every_error() {
    let (_folder, path) = policy("version = 3\n[[deny.file]\n[[deny.file]]\npath = \"a\"\n");
    let output = aegisbpf(&["policy", "check", &path]);
    for message in [
        ":1:11: version 3",
        ":2:13: unclosed",
        ":4:8: path \"a\"",
        "errors: 3",
    ] {
        ends(&output, 4, message);
    }
}

#[test]
fn help_documents_every_exit_code() {
    let output = aegisbpf(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let stdout = String::from_utf8(output.stdout).unwrap();
    for code in [
        "0  done",
        "1  ",
        "2  ",
        "3  the gate",
        "4  the policy",
        "77  ",
    ] {
        assert!(stdout.contains(code), "no {code:?} in: {stdout}");
    }
    assert!(!stdout.contains("canary runs"), "{stdout}");
}

/// What a canary answers to an errand, if it is released: the raw status of its child.
fn canary(act: &str, control: &Path, decoy: &Path, released: bool) -> Option<i32> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aegisbpf"))
        .arg("canary")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let scratch = control.with_file_name("scratch");
    let mut orders = child.stdin.take().unwrap();
    let paths = [control, decoy, &scratch].map(|path| path.display().to_string());
    writeln!(orders, "{act} {}", paths.join(" ")).unwrap();
    if released {
        writeln!(orders, "go").unwrap();
    }
    drop(orders);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(!scratch.exists(), "{act} left its scratch file");
    let answers = String::from_utf8(output.stdout).unwrap();
    let mut answers = answers.lines().map(|line| line.parse::<i32>().unwrap());
    assert!(answers.next().unwrap() > 0, "no pid");
    answers.next()
}

#[test]
fn a_canary_tells_its_fate_and_only_acts_when_released() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (control, decoy) = (file("control"), file("decoy"));
    fs::write(&control, "").unwrap();
    fs::write(&decoy, "").unwrap();
    let nowhere = file("missing/file");
    let exited = |code: i32| Some(code << 8);
    let enoent = exited(100 + libc::ENOENT);

    for act in ["openat", "openat2", "open", "creat", "link"] {
        assert_eq!(canary(act, &control, &decoy, true), exited(64), "{act}");
        assert_eq!(canary(act, &control, &nowhere, true), enoent, "{act}");
        assert_eq!(canary(act, &nowhere, &decoy, true), exited(65), "{act}");
        assert_eq!(canary(act, &control, &decoy, false), None, "{act}");
    }
    for act in ["create", "mknod", "symlink", "rename"] {
        let (free, other) = (file("free"), file("other"));
        assert_eq!(canary(act, &free, &other, true), exited(64), "{act}");
        assert!(!free.exists() && !other.exists(), "{act} left what it made");
        assert_eq!(canary(act, &free, &nowhere, true), enoent, "{act}");
        assert_eq!(canary(act, &nowhere, &other, true), exited(65), "{act}");
        assert_eq!(canary(act, &free, &other, false), None, "{act}");
    }
}
