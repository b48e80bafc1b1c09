//! A harness that is asked to end, or ended, from outside: it takes its QEMU along, and what it may
//! still tell it tells.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::outcome::{Ending, Status};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::support::{
    Checkout, Group, Machine, Ran, Unbooted, Watched, guest_in_proof, mentioning, outliving,
    until_written,
};

/// As long as something that needs no time may take on a host that is busy.
const SOON: Duration = Duration::from_secs(30);

/// Starts a run, and returns once its machine has come so far as to write this file. With what it
/// has started, all of which names the checkout.
fn start(checkout: &Checkout, matrix: &mut Command, file: &str) -> (Group, Vec<Watched>) {
    let file = checkout.path("out").join(file);
    let folder = file.parent().expect("it is in a folder");
    fs::create_dir_all(folder).expect("a writable folder");
    let harness = Group::start(matrix.stdout(Stdio::piped()).stderr(Stdio::piped()));
    until_written(&file, &harness);
    let started = started_by(&harness, checkout);
    assert!(!started.is_empty(), "no QEMU runs");
    (harness, started)
}

fn started_by(harness: &Group, checkout: &Checkout) -> Vec<Watched> {
    let own = Pid::from_child(&harness.0);
    let all = mentioning(&checkout.path("")).into_iter();
    let others = all.filter(|pid| *pid != own);
    others.map(Watched::new).collect()
}

/// What became of a run that ends by itself now.
fn ran(mut harness: Group) -> Ran {
    let (mut stdout, mut stderr) = (String::new(), String::new());
    let mut pipes = (harness.0.stdout.take(), harness.0.stderr.take());
    let all = pipes.0.as_mut().expect("a pipe");
    all.read_to_string(&mut stdout).expect("text");
    let all = pipes.1.as_mut().expect("a pipe");
    all.read_to_string(&mut stderr).expect("text");
    let status = harness.0.wait().expect("our own child");
    Ran {
        code: status.code(),
        stdout,
        stderr,
    }
}

fn send(harness: &Group, signal: Signal) {
    kill_process(Pid::from_child(&harness.0), signal).expect("it runs");
}

/// A script that ends the first machine well, as far as that goes without a guest, and has the
/// second be in its proof until it is ended.
fn second_hangs() -> String {
    let hang = "echo >\"${records%/*}/in-proof\"; exec tail -f \"$PWD/kernels.toml\"";
    guest_in_proof(&format!(
        "case $records in */one/*) exit 1 ;; *) {hang} ;; esac"
    ))
}

#[test]
fn a_run_that_is_asked_to_end_keeps_what_it_has() {
    for (signal, code, name) in [
        (Signal::INT, 130, "SIGINT"),
        (Signal::TERM, 143, "SIGTERM"),
        (Signal::HUP, 129, "SIGHUP"),
    ] {
        let unbooted = Unbooted::new(&["one", "two", "three"], &second_hangs());
        let checkout = &unbooted.checkout;
        let mut matrix = unbooted.matrix();
        let (harness, qemu) = start(
            checkout,
            matrix.args(["--jobs", "1"]),
            "two/bpf-lsm/in-proof",
        );
        send(&harness, signal);
        let ran = ran(harness);
        ran.expect(code, &[&format!("{name}: ending the machines")]);
        for qemu in qemu {
            assert!(qemu.ended_within(SOON), "{name}");
        }
        assert!(ran.stdout.contains("3 kernels, 3 suites: "), "{ran:#?}");
        let results = checkout.results();
        let signal = code - 128;
        let endings = results.iter().map(|boot| boot.ending.clone());
        let interrupted = |started| Ending::Interrupted { signal, started };
        assert_eq!(
            endings.collect::<Vec<_>>(),
            [
                Some(Ending::Exited { code: 1 }),
                Some(interrupted(true)),
                Some(interrupted(false))
            ]
        );
        let proofs = results.iter().flat_map(|boot| &boot.proofs);
        assert!(proofs.map(|proof| proof.status).eq([Status::Incomplete; 3]));
        let not_run = format!("not run: interrupted by {name}");
        assert_eq!(results[2].faults, [not_run.as_str()]);
        let junit = checkout.out("junit.xml");
        assert!(junit.contains(&not_run), "{junit}");
        let records = checkout.out("records.jsonl");
        for kernel in ["one", "two"] {
            let hello = format!("{{\"kernel\":\"{kernel}\",\"boot\":\"bpf-lsm\",\"record\":{{");
            assert!(records.contains(&hello), "{records}");
        }
    }
}

#[test]
fn the_second_signal_ends_at_once() {
    // A file that never ends keeps the reports from being written.
    let hang = "echo >\"${records%/*}/in-proof\"; exec tail -f \"$PWD/kernels.toml\"";
    let script = format!("rm \"$records\"; mkfifo \"$records\"; {hang}");
    let unbooted = Unbooted::new(&["two"], &guest_in_proof(&script));
    let in_proof = "two/bpf-lsm/in-proof";
    let (mut harness, qemu) = start(&unbooted.checkout, &mut unbooted.matrix(), in_proof);
    send(&harness, Signal::INT);
    let told = BufReader::new(harness.0.stderr.take().expect("a pipe"));
    let mut told = told.lines().map(|line| line.expect("text"));
    assert!(told.any(|line| line.contains("SIGINT: ending the machines")));
    // It can still be stopped, which is no second signal to end.
    stop(&harness);
    send(&harness, Signal::CONT);
    send(&harness, Signal::INT);
    let status = harness.0.wait().expect("our own child");
    assert_eq!(status.signal(), Some(Signal::INT.as_raw()));
    for qemu in qemu {
        assert!(qemu.ended_within(SOON));
    }
}

#[test]
fn a_run_that_was_started_to_ignore_a_signal_goes_on() {
    let unbooted = Unbooted::new(&["two"], &second_hangs());
    let checkout = &unbooted.checkout;
    let matrix = unbooted.matrix();
    let mut nohup = Command::new("sh");
    nohup.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]);
    nohup.arg(matrix.get_program()).args(matrix.get_args());
    nohup.current_dir(checkout.path(""));
    for (name, value) in matrix.get_envs() {
        nohup.env(name, value.expect("nothing is taken away"));
    }
    let (harness, _qemu) = start(checkout, &mut nohup, "two/bpf-lsm/in-proof");
    send(&harness, Signal::HUP);
    send(&harness, Signal::TERM);
    ran(harness).expect(143, &["SIGTERM: ending the machines"]);
}

/// Stops a run and returns once it has stopped.
fn stop(harness: &Group) {
    send(harness, Signal::TSTP);
    let pid = Some(Pid::from_child(&harness.0));
    let stopped = waitpid(pid, WaitOptions::UNTRACED).expect("our own child");
    let (_, status) = stopped.expect("it has stopped");
    assert!(status.stopped(), "{status:?}");
}

/// The status of a process that names the checkout and isn't stopped.
fn still_running(checkout: &Checkout) -> Option<String> {
    let pids = mentioning(&checkout.path("")).into_iter();
    let mut status = pids.map(|pid| {
        let pid = pid.as_raw_nonzero();
        fs::read_to_string(format!("/proc/{pid}/status")).expect("it is there")
    });
    status.find(|status| !status.contains("State:\tT (stopped)"))
}

#[test]
fn a_machine_stops_with_the_harness_and_its_limit_with_it() {
    let unbooted = Unbooted::new(&["two"], &second_hangs());
    let checkout = &unbooted.checkout;
    let mut matrix = unbooted.matrix();
    let matrix = matrix.args(["--boot-limit", "5"]);
    let (harness, qemu) = start(checkout, matrix, "two/bpf-lsm/in-proof");
    stop(&harness);
    // A signal to stop is acted on when the process next runs, and that is no event for others.
    let asked = Instant::now();
    while let Some(running) = still_running(checkout) {
        assert!(asked.elapsed() < SOON, "{running}");
        assert!(!qemu[0].ended_within(Duration::from_millis(10)));
    }
    // Longer than the limit.
    assert!(!qemu[0].ended_within(Duration::from_secs(6)));
    send(&harness, Signal::CONT);
    send(&harness, Signal::TERM);
    ran(harness).expect(143, &["SIGTERM: ending the machines"]);
    let ending = checkout.boot().ending;
    let (signal, started) = (libc::SIGTERM, true);
    assert_eq!(ending, Some(Ending::Interrupted { signal, started }));
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_run_that_was_stopped_for_a_while_comes_to_the_same() {
    for launcher in ["qemu", "virtme-ng"] {
        let machine = Machine::new();
        let (harness, qemu) = start_qemu(&machine, launcher);
        stop(&harness);
        assert!(!qemu[0].ended_within(Duration::from_secs(1)));
        send(&harness, Signal::CONT);
        let ran = ran(harness);
        ran.expect(0, &["1 passed"]);
        assert!(!ran.stderr.contains("warning"), "{ran:#?}");
    }
}

#[test]
fn nothing_that_qemu_started_outlives_a_harness_that_was_killed() {
    // It executes nothing: while a process does, it has no command line to be found by.
    let child = "(read -r line <\"${records%/*}/never\")";
    let script = format!(
        "mkfifo \"${{records%/*}}/never\"; {child} & echo >\"${{records%/*}}/in-proof\"; wait"
    );
    let unbooted = Unbooted::new(&["two"], &guest_in_proof(&script));
    let in_proof = "two/bpf-lsm/in-proof";
    let (mut harness, started) = start(&unbooted.checkout, &mut unbooted.matrix(), in_proof);
    assert_eq!(started.len(), 2, "the script and its child");
    send(&harness, Signal::KILL);
    harness.0.wait().expect("our own child");
    let left = outliving(&unbooted.checkout.path(""), SOON);
    assert!(left.is_empty(), "{left:?}");
}

/// Starts a run of a guest that never ends, and returns once QEMU runs.
fn start_qemu(machine: &Machine, launcher: &str) -> (Group, Vec<Watched>) {
    let mut matrix = machine.matrix_by(launcher);
    matrix.args(["--boot=bpf-lsm", "--proof=enforce-denies-open"]);
    let console = Path::new("6.1/bpf-lsm/console.log");
    start(
        &machine.checkout,
        &mut matrix,
        console.to_str().expect("text"),
    )
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn no_qemu_outlives_a_harness_that_a_signal_ended() {
    for launcher in ["qemu", "virtme-ng"] {
        for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
            let machine = Machine::new().guest("HANGS");
            let (mut harness, qemu) = start_qemu(&machine, launcher);
            send(&harness, signal);
            let status = harness.0.wait().expect("our own child");
            assert!(!status.success(), "{signal:?}: {status}");
            for qemu in qemu {
                assert!(qemu.ended_within(SOON), "{signal:?} by {launcher}");
            }
        }
    }
}
