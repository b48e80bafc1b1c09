//! The report: its exact shape, and that readers see it whole or not at all.

use std::collections::BTreeMap;
use std::fs;

use aegisbpf::classes::hooks::HOOKS;
use aegisbpf::host::machine::{Agent, Facts, Seam};
use aegisbpf::posture::gate::{Decision, Refusal, Unenforced, Verdict};
use aegisbpf::posture::{Action, Blocker, Class, Limit, State, Tier};
use aegisbpf::report::document::{Report, Status, compose, hooks};
use aegisbpf::report::file::write;
use aegisbpf::verify::measurement::{Evidence, Measurement, Measurements};
use jiff::{SignedDuration, Timestamp};

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

fn moment() -> Timestamp {
    "2026-01-02T03:04:05.678901Z".parse().unwrap()
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
        validity: SignedDuration::from_secs(60),
    };
    compose(&facts(), moment(), decision, status).unwrap()
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
        let hook = &report["hooks"][hook.number as usize];
        assert_eq!(hook["attached"], true, "{hook}");
        assert_eq!(hook["fired"], false, "{hook}");
        assert_eq!(hook["verified_at"], serde_json::Value::Null, "{hook}");
        assert_eq!(hook["evidence"]["observed"], "allowed", "{hook}");
    }
}

#[test]
fn a_report_replaces_the_one_before_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/capabilities.json");
    for state in [State::EnforceSignal, State::Degraded] {
        write(&report(&decision(state), &measurements(true)), &path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(report["runtime_state"], state.name());
    }
    let entries = fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(entries, 1);
}
