//! The boot as a whole: the machine, deaths, damage to the channel, and `end`.

use super::*;

#[test]
fn a_channel_cut_at_any_byte_is_never_green() {
    let bytes = bytes(&ended(records()));
    for cut in 0..bytes.len() {
        for close in [true, false] {
            let mut channel = Channel::default();
            channel.push(&bytes[..cut], Duration::ZERO);
            if close {
                channel.close();
            }
            let judged = judged(&channel, &[], &CLEAN_END, "");
            assert!(!judged.faults.is_empty(), "{cut}");
        }
    }
}

#[test]
fn without_a_hello_from_the_planned_machine_nothing_is_judged() {
    let wrong = |change: fn(&mut Hello)| {
        with(|records| {
            let mut hello = hello();
            change(&mut hello);
            records[0] = Record::Hello(Box::new(hello));
        })
    };
    for (judged, fault) in [
        (
            of(&[]),
            "incomplete: the guest never said hello; QEMU ended with exit code 0",
        ),
        (
            with(|records| drop(records.remove(0))),
            "incomplete: the first record isn't the guest's hello",
        ),
        (
            with(|records| records.swap(0, 1)),
            "incomplete: the first record isn't the guest's hello",
        ),
        (
            wrong(|h| h.nonce = "n-0".into()),
            "nonce: expected `n-1`, saw `n-0`",
        ),
        (
            wrong(|h| h.version = 7),
            "protocol version: expected `5`, saw `7`",
        ),
        (
            wrong(|h| h.release = "6.12.0-9-cloud-amd64".into()),
            "kernel release: expected `6.1.0-9-cloud-amd64`, saw `6.12.0-9-cloud-amd64`",
        ),
        (
            wrong(|h| h.mismatches.push("BTF is missing".into())),
            "the guest found: BTF is missing",
        ),
    ] {
        let reason = format!("not judged: {fault}");
        let unjudged: (Status, &[&str]) = (Status::Incomplete, &[&reason]);
        assert_judged(&judged, [unjudged; 3], &[fault]);
        assert!(judged.documents.is_empty());
    }
}

#[test]
fn a_kernel_that_complains_without_a_taint_is_at_fault() {
    let judged_with = |console| judged(&channel(&ended(records())), &[], &CLEAN_END, console);
    assert!(judged_with("reboot: Power down\n").faults.is_empty());
    let stalled = judged_with("[ 30.0] rcu: INFO: rcu_sched self-detected stall on CPU\n");
    assert_eq!(
        stalled.faults,
        ["the kernel complained: `rcu: INFO: rcu_sched self-detected stall on CPU`"]
    );
}

#[test]
fn a_console_that_does_not_reach_its_end_is_never_quiet() {
    let whole = format!("Linux version 6.1\n{}", whole_console(NONCE));
    let channel = channel(&ended(records()));
    let judged_with = |console: &str| judge(&plan(), IDENTITY, &[], &channel, &CLEAN_END, console);
    assert_eq!(judged_with(&whole).faults, [""; 0]);
    // At the byte before the kernel's last line ends.
    for cut in 0..whole.len() - 1 {
        let judged = judged_with(&whole[..cut]);
        assert!(
            judged.faults[0].starts_with("the console is cut off"),
            "{cut}"
        );
    }
    let of_another_boot = judged_with(&whole_console("n-0"));
    assert!(of_another_boot.faults[0].contains("the guest's last line isn't there"));
}

#[test]
fn noise_before_hello_is_no_hello() {
    let mut noisy = b"SeaBIOS\n".to_vec();
    noisy.extend(bytes(&ended(records())));
    let mut channel = Channel::default();
    channel.push(&noisy, Duration::ZERO);
    let judged = judged(&channel, &[], &CLEAN_END, "");
    assert_eq!(statuses(&judged), [Status::Incomplete; 3]);
    assert!(judged.faults[0].starts_with("incomplete: the first line isn't the guest's hello"));
}

#[test]
fn a_death_before_hello_is_infrastructure_and_explained() {
    let judged = judged(&channel(&[]), &[], &Ending::Hung { limit_s: 60 }, PANIC);
    assert_eq!(statuses(&judged), [Status::Incomplete; 3]);
    assert_eq!(
        judged.faults,
        [
            "incomplete: the guest never said hello; kernel panic: `Kernel panic - not syncing: \
          Attempted to kill init!`; the guest hung: not done after 60 s, the whole boot's limit"
        ]
    );
}

#[test]
fn a_death_after_hello_and_before_any_proof_is_infrastructure() {
    let judged = judged(&channel(&records()[..1]), &[], &CLEAN_END, PANIC);
    assert_eq!(statuses(&judged), [Status::Incomplete; 3]);
}

#[test]
fn a_panic_after_some_proofs_is_not_all_of_them_succeeded() {
    let records = records();
    let said = "kernel panic: `Kernel panic - not syncing: Attempted to kill init!`; \
                QEMU ended with exit code 0";
    let fault = format!("incomplete: no `end` record; {said}");
    let after = |last: &Record| {
        let upto = position(&records, last);
        judged(&channel(&records[..=upto]), &[], &CLEAN_END, PANIC)
    };
    // Between two configurations: no proof is to blame, and the run isn't clean.
    let never = format!("it never started; {said}");
    assert_judged(
        &after(&finished(KILLS, Outcome::Observed, None, 0)),
        [PASSED, PASSED, (Status::Incomplete, &[&never])],
        &[&fault],
    );
    // After the last proof: all passed, and the run still isn't clean.
    let last = finished(REFUSES, Outcome::Observed, None, 0);
    assert_judged(&after(&last), [PASSED; 3], &[&fault]);
}

/// The good guest's records until the second proof is under way.
fn until_kills_ran() -> Vec<Record> {
    let mut records = records();
    let upto = position(&records, &about("signal", Some(KILLS), Phase::During));
    records.truncate(upto + 1);
    records
}

fn killed_from_outside() -> Ending {
    Ending::Killed {
        signal: 9,
        sender: None,
        out_of_memory: false,
    }
}

#[test]
fn a_machine_that_the_host_ended_breaks_no_promise() {
    let lost = Ending::Lost {
        reason: "writing to /out: No space left on device".into(),
    };
    for (ending, said) in [
        (killed_from_outside(), "QEMU was killed by SIGKILL"),
        (lost, "No space left on device"),
        (Ending::Exited { code: 1 }, "QEMU ended with exit code 1"),
    ] {
        let judged = judged(&channel(&until_kills_ran()), &[], &ending, "");
        assert_eq!(judged.proofs[1].status, Status::Incomplete, "{ending:?}");
        let why = &reasons(&judged, KILLS)[0];
        let words = "the machine was ended from outside while it ran; ";
        assert!(why.starts_with(words) && why.contains(said), "{why}");
    }
    // A guest that had died by itself takes the blame with it.
    let judged = judged(
        &channel(&until_kills_ran()),
        &[],
        &killed_from_outside(),
        PANIC,
    );
    assert_eq!(judged.proofs[1].status, Status::Failed);
}

#[test]
fn an_ending_that_nobody_knows_is_never_quiet_and_breaks_no_promise() {
    let reason = "reading ending.json: No such file".to_string();
    let unknown = Ending::Unknown { reason };
    let said = "how the machine ended isn't known: reading ending.json: No such file";
    let whole = judged(&channel(&ended(records())), &[], &unknown, "");
    assert_judged(&whole, [PASSED; 3], &[said]);
    let cut = judged(&channel(&until_kills_ran()), &[], &unknown, "");
    assert_eq!(cut.proofs[1].status, Status::Incomplete);
    let words = format!("the machine may have been ended from outside while it ran; {said}");
    assert_eq!(reasons(&cut, KILLS)[0], words);
    // What had been seen before stays seen.
    let dead = judged(&channel(&until_kills_ran()), &[], &unknown, PANIC);
    assert_eq!(dead.proofs[1].status, Status::Failed);
}

#[test]
fn a_boot_that_was_interrupted_keeps_what_it_has_shown() {
    let interrupted = |started| Ending::Interrupted { signal: 2, started };
    let while_it_ran = judged(&channel(&until_kills_ran()), &[], &interrupted(true), "");
    let said = "interrupted by SIGINT while it ran";
    let ended = format!("the machine was ended from outside while it ran; {said}");
    let left = format!(
        "not reached: the machine was ended from outside while {KILLS} was running, in its phase \
         during; {said}"
    );
    let fault = format!("incomplete: no `end` record; {said}");
    assert_judged(
        &while_it_ran,
        [
            (Status::Incomplete, &[&left]),
            (Status::Incomplete, &[&ended]),
            (Status::Incomplete, &[&left]),
        ],
        &[&fault],
    );
    let not_run = judged(&channel(&[]), &[], &interrupted(false), "");
    let said = "not run: interrupted by SIGINT";
    let unjudged = format!("not judged: {said}");
    let proof: (Status, &[&str]) = (Status::Incomplete, &[&unjudged]);
    assert_judged(&not_run, [proof; 3], &[said]);
}

#[test]
fn a_host_that_could_not_keep_all_of_it_is_no_clean_boot() {
    let lost = Ending::Lost {
        reason: "writing to /out: No space left on device".into(),
    };
    let judged = judged(&channel(&ended(records())), &[], &lost, "");
    let fault = "the host lost what the guest told: writing to /out: No space left on device; \
                 make room, or take another --out";
    assert_judged(&judged, [PASSED; 3], &[fault]);
}

#[test]
fn a_broken_line_is_a_fault_and_spoils_the_proof_in_which_it_came() {
    let mut damaged = Vec::new();
    let records = ended(records());
    let within = position(&records, &evidence(KILLS, "during", seen(KILLED)));
    for (number, record) in records.iter().enumerate() {
        if number == within {
            damaged.extend_from_slice(b"[    3.1] a kernel message\n");
        }
        damaged.extend(bytes(std::slice::from_ref(record)));
    }
    let mut channel = Channel::default();
    channel.push(&damaged, Duration::ZERO);
    let judged = judged(&channel, &[], &CLEAN_END, "");
    assert_eq!(
        statuses(&judged),
        [Status::Passed, Status::Incomplete, Status::Passed]
    );
    assert_eq!(judged.faults.len(), 1);
    assert!(judged.faults[0].starts_with("incomplete: line 17 of the result channel is no record"));
}

#[test]
fn endless_noise_is_summed_up() {
    let mut channel = channel(&records());
    for _ in 0..1000 {
        channel.push(b"noise\n", Duration::ZERO);
    }
    let judged = judged(&channel, &[], &CLEAN_END, "");
    assert_eq!(judged.faults.len(), 5);
    assert_eq!(
        judged.faults[4],
        "incomplete: 1000 broken lines on the result channel in all"
    );
}

#[test]
fn end_must_count_what_came() {
    let mut records = records();
    let arrived = records.len() as u64;
    let count = arrived + 1;
    records.push(Record::End { count });
    let fault =
        format!("incomplete: the guest sent {count} records before `end`, {arrived} arrived");
    assert_judged(&of(&records), [PASSED; 3], &[&fault]);
}

#[test]
fn nothing_comes_after_end() {
    let mut records = ended(records());
    records.push(records[1].clone());
    assert_judged(
        &of(&records),
        [PASSED; 3],
        &["something came on the result channel after `end`"],
    );
}

#[test]
fn the_exit_code_neither_passes_nor_fails_a_whole_transcript() {
    let channel = channel(&ended(records()));
    for ending in [
        CLEAN_END,
        Ending::Exited { code: 255 },
        killed_from_outside(),
    ] {
        let quiet = "reboot: Restarting system\n";
        assert_judged(&judged(&channel, &[], &ending, quiet), [PASSED; 3], &[]);
    }
}

#[test]
fn a_kernel_that_panics_after_all_is_told_is_no_clean_boot() {
    // It ends QEMU just as a restart does, so that only the console knows.
    let judged = judged(&channel(&ended(records())), &[], &CLEAN_END, PANIC);
    let said = "Kernel panic - not syncing: Attempted to kill init!";
    let fault = format!("the kernel complained: `{said}`");
    assert_judged(&judged, [PASSED; 3], &[&fault]);
}

#[test]
fn a_guest_that_hangs_after_all_is_told_is_no_clean_boot() {
    let channel = channel(&ended(records()));
    let judged = judged(&channel, &[], &Ending::Hung { limit_s: 3 }, "");
    let fault = "the guest told all, and then hung: it was ended after 3 s";
    assert_judged(&judged, [PASSED; 3], &[fault]);
}

#[test]
fn a_kernel_that_complained_before_any_proof_is_not_judged() {
    let judged = with(|records| {
        let mut hello = hello();
        hello.tainted = 1 << 9;
        records[0] = Record::Hello(Box::new(hello));
    });
    assert!(
        judged.faults[0].contains("W (kernel warning)"),
        "{:?}",
        judged.faults
    );
    assert_eq!(statuses(&judged), [Status::Incomplete; 3]);
}
