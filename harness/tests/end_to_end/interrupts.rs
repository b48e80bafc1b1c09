//! A harness that is ended from outside takes its QEMU along.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::support::{Group, Machine, Watched, mentioning};

/// Starts a run of a guest that never ends, and returns once QEMU runs.
fn start(machine: &Machine) -> (Group, Vec<Watched>) {
    let folder = machine.checkout.path("out/6.1/bpf-lsm");
    fs::create_dir_all(&folder).expect("a writable folder");
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC).expect("inotify");
    inotify::add_watch(&watch, &folder, inotify::WatchFlags::CREATE).expect("it is there");
    let mut matrix = machine.matrix_by("qemu");
    matrix.args(["--boot=bpf-lsm", "--proof=enforce-denies-open"]);
    let harness = Group::start(matrix.stdout(Stdio::null()).stderr(Stdio::null()));
    let own = Pid::from_child(&harness.0);
    let ended = pidfd_open(own, PidfdFlags::empty()).expect("our own child");
    // QEMU itself makes the console's file, and nobody else does.
    while !folder.join("console.log").exists() {
        let mut fds = [
            PollFd::new(&watch, PollFlags::IN),
            PollFd::new(&ended, PollFlags::IN),
        ];
        poll(&mut fds, None).expect("both can be polled");
        assert!(fds[1].revents().is_empty(), "the run ended before QEMU ran");
        rustix::io::read(&watch, &mut [0_u8; 4096]).expect("something was made");
    }
    let started = mentioning(&machine.checkout.path(""));
    let qemu: Vec<Watched> = started
        .into_iter()
        .filter(|pid| *pid != own)
        .map(Watched::new)
        .collect();
    (harness, qemu)
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn no_qemu_outlives_a_harness_that_a_signal_ended() {
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let machine = Machine::new().guest("HANGS");
        let (mut harness, qemu) = start(&machine);
        assert!(!qemu.is_empty(), "no QEMU runs");
        kill_process(Pid::from_child(&harness.0), signal).expect("it runs");
        let status = harness.0.wait().expect("our own child");
        assert!(!status.success(), "{signal:?}: {status}");
        for qemu in qemu {
            assert!(qemu.ended_within(Duration::from_secs(30)), "{signal:?}");
        }
    }
}
