//! Set-up on machines that lack something, down to nothing at all.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{Checkout, Ran, Tools};

/// A run in a root of its own with this folder as the whole PATH.
fn harness(checkout: &Checkout, tools: &Tools, arguments: &[&str]) -> Command {
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

#[test]
fn two_set_ups_at_once_install_once_and_the_second_says_that_it_waits() {
    let checkout = Checkout::new();
    let tools = Tools::all();
    fs::remove_file(tools.path("qemu-system-x86_64")).expect("it was put there");
    // It comes with the installation, which lasts until the test says so.
    tools.put(
        "apt-get",
        "echo \"$*\" >>$HERE/calls
read -r word <$HERE/go
printf '#!/bin/sh\\n' >$HERE/qemu-system-x86_64
/bin/chmod +x $HERE/qemu-system-x86_64",
    );
    tools.put("env", "exec /usr/bin/env \"$@\"");
    tools.put("sudo", "shift; exec \"$@\"");
    let go = tools.path("go");
    mknodat(CWD, &go, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a writable folder");
    let arguments = [
        "--launcher=qemu",
        "--prebuilt=target/artifacts",
        "--offline",
        "--kernel=6.1",
    ];
    let start = |out: &str| {
        let mut command = harness(&checkout, &tools, &arguments);
        command.args(["--out", out]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the harness was built");
        let said = BufReader::new(child.stderr.take().expect("it is piped"));
        (child, said)
    };
    let line = |said: &mut BufReader<_>| {
        let mut line = String::new();
        said.read_line(&mut line).expect("text");
        line
    };
    let (mut first, mut first_said) = start("first");
    // Said once it holds the lock.
    assert_eq!(
        line(&mut first_said),
        "setting up: installing qemu-system-x86\n"
    );
    let (mut second, mut second_said) = start("second");
    let waits = format!(
        "waiting for another run that sets up this machine (pid {})\n",
        first.id()
    );
    assert_eq!(line(&mut second_said), waits);
    let opened = fs::OpenOptions::new().write(true).open(&go);
    writeln!(opened.expect("apt-get reads it"), "go").expect("apt-get reads it");
    for (child, said) in [
        (&mut first, &mut first_said),
        (&mut second, &mut second_said),
    ] {
        let mut rest = String::new();
        said.read_to_string(&mut rest).expect("text");
        let code = child.wait().expect("our own child").code();
        // Set up, and so come to the next thing that is missing here.
        assert_eq!(code, Some(3), "{rest}");
        assert!(rest.contains("the cache lacks 6.1"), "{rest}");
    }
    let calls = fs::read_to_string(tools.path("calls")).expect("apt-get was called");
    assert_eq!(calls.lines().count(), 1, "{calls}");
    assert!(
        calls.contains("install --no-install-recommends --yes qemu-system-x86"),
        "{calls}"
    );
}
