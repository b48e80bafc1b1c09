//! Set-up on machines that lack something, down to nothing at all.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{ChildStderr, Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{Checkout, Group, Ran, Tools, pretend_artifacts};

/// A run in a root of its own with this folder as the whole PATH.
fn harness(checkout: &Checkout, tools: &Tools, arguments: &[&str]) -> Command {
    pretend_artifacts(&checkout.path("target/artifacts"));
    let mut command = checkout.harness("matrix");
    command.args(arguments).env("PATH", tools.only());
    command.env("XDG_CACHE_HOME", checkout.path("cache"));
    command
}

#[test]
fn what_is_missing_comes_with_the_exact_commands_and_nothing_is_installed() {
    let checkout = Checkout::new();
    let tools = Tools::all();
    tools.put("apt-get", "echo \"$*\" >>$HERE/calls");
    fs::remove_file(tools.path("qemu-system-x86_64")).expect("it was put there");
    let direct = [
        "--launcher=qemu",
        "--prebuilt=target/artifacts",
        "--no-setup",
    ];
    let sudo = if rustix::process::geteuid().is_root() {
        ""
    } else {
        "sudo "
    };
    Ran::of(&mut harness(&checkout, &tools, &direct)).expect(
        69,
        &[&format!(
            "error: qemu-system-x86 missing, and --no-setup forbids installing; run: \
             {sudo}apt-get update && {sudo}apt-get install --no-install-recommends -y \
             qemu-system-x86\n"
        )],
    );
    assert!(!tools.path("calls").exists());
    assert!(!checkout.path("cache").exists());
}

#[test]
fn the_launcher_of_the_user_s_choice_is_never_replaced_by_the_other() {
    let checkout = Checkout::new();
    let tools = Tools::all();
    let by_default = ["--prebuilt=target/artifacts", "--no-setup"];
    let venv = checkout.path("cache/aegisbpf/virtme-ng-1.42");
    Ran::of(&mut harness(&checkout, &tools, &by_default)).expect(
        69,
        &[
            "virtme-ng==1.42 missing, and --no-setup forbids installing",
            &format!(
                "/usr/bin/python3 -m venv --clear {0} && {0}/bin/pip",
                venv.display()
            ),
        ],
    );
}

/// A machine that lacks QEMU, whose `apt-get` brings it once a word comes through `go`.
fn slow_apt_get() -> Tools {
    let tools = Tools::all();
    fs::remove_file(tools.path("qemu-system-x86_64")).expect("it was put there");
    tools.put(
        "apt-get",
        "echo \"$*\" >>$HERE/calls
read -r word <$HERE/go
printf '#!/bin/sh\\n' >$HERE/qemu-system-x86_64
/bin/chmod +x $HERE/qemu-system-x86_64",
    );
    tools.put("env", "exec /usr/bin/env \"$@\"");
    tools.put("sudo", "shift; exec \"$@\"");
    tools.put("true", "");
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, tools.path("go"), FileType::Fifo, mode, 0).expect("a writable folder");
    tools
}

/// A run that sets up, with what it says.
struct SettingUp {
    run: Group,
    said: BufReader<ChildStderr>,
}

impl SettingUp {
    fn start(checkout: &Checkout, tools: &Tools, out: &str) -> Self {
        let direct = ["--launcher=qemu", "--prebuilt=target/artifacts"];
        let mut command = harness(checkout, tools, &direct);
        command.args(["--offline", "--kernel=6.1", "--out", out]);
        let mut run = Group::start(command.stdout(Stdio::null()).stderr(Stdio::piped()));
        let said = BufReader::new(run.0.stderr.take().expect("it is piped"));
        Self { run, said }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("text");
        line
    }

    /// Its exit code, and the rest of what it says.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).expect("text");
        (self.run.0.wait().expect("our own child").code(), rest)
    }
}

#[test]
fn two_set_ups_at_once_install_once_and_the_second_says_that_it_waits() {
    let checkout = Checkout::new();
    let tools = slow_apt_get();
    let mut first = SettingUp::start(&checkout, &tools, "first");
    // Said once it holds the lock.
    let installs = "setting up: installing qemu-system-x86\n";
    assert_eq!(first.line(), installs);
    let mut second = SettingUp::start(&checkout, &tools, "second");
    let waits = "waiting for another run that sets up this machine";
    let waits = format!("{waits} (pid {})\n", first.run.0.id());
    assert_eq!(second.line(), waits);
    let go = fs::OpenOptions::new().write(true).open(tools.path("go"));
    writeln!(go.expect("apt-get reads it"), "go").expect("apt-get reads it");
    for run in [first, second] {
        let (code, rest) = run.end();
        // Set up, and so come to the next thing that is missing here.
        assert_eq!(code, Some(3), "{rest}");
        assert!(rest.contains("the cache lacks 6.1"), "{rest}");
    }
    let calls = fs::read_to_string(tools.path("calls")).expect("apt-get was called");
    assert_eq!(calls.lines().count(), 1, "{calls}");
    let install = "install --no-install-recommends --yes qemu-system-x86";
    assert!(calls.contains(install), "{calls}");
}
