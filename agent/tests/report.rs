//! The report: its exact shape, and that readers see it whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use aegisbpf::classes::hooks::HOOKS;
use aegisbpf::host::machine::{Agent, Facts, Seam};
use aegisbpf::host::moment::Moment;
use aegisbpf::posture::gate::{Decision, Refusal, Unenforced, Verdict};
use aegisbpf::posture::{Action, Blocker, Class, Limit, State, Tier};
use aegisbpf::report::document::{Report, Status, compose};
use aegisbpf::report::file::{claim, remove, write};
use aegisbpf::report::hooks::hooks;
use aegisbpf::verify::measurement::{Evidence, Measurement, Measurements};
use jiff::SignedDuration;
use rustix::fs::{CWD, FileType, Mode, mknodat};

fn facts() -> Facts {
    Facts {
        boot_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        kernel_version: "6.1.0-56-cloud-amd64".to_owned(),
        lsm_enabled: Some(vec!["lockdown".to_owned(), "yama".to_owned()]),
        features: BTreeMap::from([("btf", true), ("cgroup_v2", true)]),
        test_seams: vec![Seam {
            name: "AEGIS_LSM_PATH",
            value: "/tmp/lsm".to_owned(),
        }],
        agent: Agent {
            version: "0.1.0",
            pid: 42,
            start_time: 170,
            bpf_object_sha256: "d474",
        },
    }
}

fn decision(state: State) -> Decision {
    Decision {
        state,
        refusal: None,
        audit_only: false,
        enforce_capable: false,
        blockers: vec![Blocker::BpfLsmDisabled],
        tiers: BTreeMap::from([(Class::File, Tier::Signal)]),
        enforced: 1,
        unenforced: vec![Unenforced {
            rule: "file[1]".to_owned(),
            reason: "too long".to_owned(),
        }],
    }
}

fn moment() -> Moment {
    Moment {
        time: "2026-01-02T03:04:05.678901Z".parse().unwrap(),
        boot: SignedDuration::from_millis(90_123),
    }
}

/// When the report is written.
fn later() -> Moment {
    let Moment { time, boot } = moment();
    let passed = SignedDuration::from_secs(7);
    Moment {
        time: time + passed,
        boot: boot + passed,
    }
}

/// The signal hooks as verified, or as attached and never fired.
fn measurements(fired: bool) -> Measurements {
    let mut known = Measurements::none();
    let (verdict, observed, hits) = if fired {
        (Verdict::Verified, "killed:SIGKILL", 1)
    } else {
        (Verdict::CanaryFailed, "allowed", 0)
    };
    for hook in HOOKS.iter().filter(|hook| hook.tier == Tier::Signal) {
        let measurement = Measurement {
            verdict,
            attached: true,
            verified_at: fired.then(moment),
            evidence: Some(Evidence {
                pid: 50,
                cgroup: 60,
                duration_us: 700,
                expected: "killed:SIGKILL".to_owned(),
                observed: observed.to_owned(),
                hits,
                recursion_misses: 0..0,
                sent: 1,
            }),
            reason: (!fired).then(|| "it wasn't killed".to_owned()),
        };
        known.set(hook, Action::Deny, measurement);
    }
    known
}

fn report(decision: &Decision, known: &Measurements) -> Report {
    let hooks = hooks(known, |_| "not tried: bpf isn't listed".to_owned());
    let status = Status {
        hooks,
        limits: BTreeMap::from([(Class::File, vec![Limit::TruncatesBeforeKill])]),
        events_lost: 0,
        events_repeated: 0,
        evidence: moment(),
        validity: SignedDuration::from_secs(60),
    };
    compose(&facts(), later(), decision, status).unwrap()
}

#[test]
fn a_signal_agent_reports_its_evidence() {
    let report = report(&decision(State::EnforceSignal), &measurements(true));
    insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap());
}

#[test]
fn a_hook_that_attached_and_never_fired_is_not_said_to_have_fired() {
    let refused = Decision {
        refusal: Some(Refusal::NoTier),
        tiers: BTreeMap::new(),
        enforced: 0,
        ..decision(State::Refused)
    };
    let report = serde_json::to_value(report(&refused, &measurements(false))).unwrap();
    assert_eq!(report["runtime_state"], "REFUSED");
    assert_eq!(report["hooks"][0]["attached"], false);
    assert_eq!(report["hooks"][0]["evidence"], serde_json::Value::Null);
    for hook in HOOKS.iter().filter(|hook| hook.tier == Tier::Signal) {
        let mut rows = report["hooks"].as_array().unwrap().iter();
        let hook = rows.find(|row| row["hook"] == hook.name).unwrap();
        assert_eq!(hook["attached"], true, "{hook}");
        assert_eq!(hook["fired"], false, "{hook}");
        assert_eq!(hook["verified_at"], serde_json::Value::Null, "{hook}");
        assert_eq!(hook["evidence"]["observed"], "allowed", "{hook}");
    }
}

#[test]
fn copies_of_a_program_are_one_hook_which_is_no_more_than_each_of_them() {
    use Verdict::{CanaryFailed, Rejected, Verified};

    const HOOK: &str = "fmod_ret/security_file_open";
    let copies: Vec<_> = HOOKS.iter().filter(|hook| hook.name == HOOK).collect();
    let measurement = |copy: usize, verdict| Measurement {
        verdict,
        attached: verdict != Rejected,
        verified_at: (verdict == Verified).then_some(if copy == 1 { moment() } else { later() }),
        evidence: None,
        reason: (verdict != Verified).then(|| format!("copy {copy}")),
    };
    for (verdicts, attached, fired, verified_at, reason) in [
        ([Verified; 3], true, true, Some(moment()), None),
        (
            [Verified, CanaryFailed, Verified],
            true,
            false,
            None,
            Some("copy 1"),
        ),
        (
            [Verified, CanaryFailed, Rejected],
            false,
            false,
            None,
            Some("copy 2"),
        ),
        (
            [Rejected, Rejected, Rejected],
            false,
            false,
            None,
            Some("copy 0"),
        ),
    ] {
        let mut known = Measurements::none();
        for (copy, verdict) in verdicts.into_iter().enumerate() {
            known.set(copies[copy], Action::Deny, measurement(copy, verdict));
        }
        let hooks = hooks(&known, |_| "not tried".to_owned());
        let rows: Vec<_> = hooks.iter().filter(|row| row.hook == HOOK).collect();
        let [row] = rows[..] else {
            panic!("{} rows", rows.len());
        };
        let found = &row.found;
        assert_eq!(
            (found.attached, found.fired),
            (attached, fired),
            "{verdicts:?}"
        );
        assert_eq!(found.verified_at, verified_at, "{verdicts:?}");
        let boot_ms = verified_at.map(Moment::boot_ms);
        assert_eq!(found.verified_at_boot_ms, boot_ms, "{verdicts:?}");
        assert_eq!(found.reason.as_deref(), reason, "{verdicts:?}");
        let programs: Vec<_> = row.copies.iter().map(|copy| copy.program).collect();
        let all: Vec<_> = copies.iter().map(|copy| copy.program).collect();
        assert_eq!(programs, all);
        for (copy, verdict) in row.copies.iter().zip(verdicts) {
            assert_eq!(copy.found.fired, verdict == Verified);
        }
    }
}

#[test]
fn a_hook_with_one_program_has_no_copies() {
    let hooks = hooks(&measurements(true), |_| "not tried".to_owned());
    let signal: Vec<_> = hooks
        .iter()
        .filter(|row| row.tier == Tier::Signal)
        .collect();
    assert!(!signal.is_empty() && signal.iter().all(|row| row.copies.is_empty()));
}

#[test]
fn a_report_replaces_the_one_before_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/capabilities.json");
    let place = claim(&path).unwrap();
    for state in [State::EnforceSignal, State::Degraded] {
        write(&report(&decision(state), &measurements(true)), &place).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(report["runtime_state"], state.name());
    }
    let entries = |folder: &str| {
        let entries = fs::read_dir(path.with_file_name(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.collect::<BTreeSet<_>>()
    };
    assert_eq!(
        entries("."),
        BTreeSet::from([".aegisbpf".into(), "capabilities.json".into()])
    );
    assert_eq!(
        entries(".aegisbpf"),
        BTreeSet::from(["capabilities.json.lock".into()])
    );
    remove(&place);
    assert!(!path.exists());
}

#[test]
fn a_report_s_place_is_one_agent_s_and_that_of_another_report_another_s() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capabilities.json");
    let first = claim(&path).unwrap();
    assert!(claim(&folder.path().join("other.json")).is_ok());
    let error = claim(&path).unwrap_err().to_string();
    assert!(error.starts_with("another agent reports to"), "{error}");
    drop(first);
    assert!(claim(&path).is_ok());
}

#[test]
fn whatever_is_at_the_report_s_name_is_replaced_and_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capabilities.json");
    let precious = folder.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    let place = claim(&path).unwrap();
    let report = report(&decision(State::EnforceSignal), &measurements(true));
    let pipe = || {
        let mode = Mode::from(0o666);
        mknodat(CWD, &path, FileType::Fifo, mode, 0).map_err(std::io::Error::from)
    };
    let link = || symlink(&precious, &path);
    for lay in [&link as &dyn Fn() -> std::io::Result<()>, &pipe] {
        lay().unwrap();
        write(&report, &place).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        remove(&place);
    }
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
}

#[test]
fn a_place_where_others_have_a_say_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let error = claim(&folder.path().join("capabilities.json")).unwrap_err();
    assert_eq!(aegisbpf::exit::of(&error), aegisbpf::exit::Exit::Usage);
    let text = error.to_string();
    assert!(
        text.contains("others than root may write to it; name a place"),
        "{text}"
    );
    assert!(!folder.path().join(".aegisbpf").exists());
}
