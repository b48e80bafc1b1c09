//! Two reports that are the same posture, and everything that must break that.

use serde_json::json;

use super::*;
use crate::outcome::Ending;

fn real() -> Value {
    json!({
        "schema_version": 1,
        "generated_at": "2026-01-01T00:00:00.000Z",
        "generated_at_boot_ms": 3000,
        "valid_until": "2026-01-01T00:01:00.000Z",
        "valid_until_boot_ms": 63000,
        "boot_id": "9f0a",
        "kernel_version": "6.1.0-9-cloud-amd64",
        "runtime_state": "ENFORCE_SIGNAL",
        "audit_only": false,
        "enforce_capable": false,
        "enforce_blockers": ["BPF_LSM_DISABLED"],
        "lsm_enabled": ["lockdown", "yama"],
        "features": {"btf": true, "bpf_lsm": false, "none": null},
        "hooks": [
            {
                "hook": "tracepoint/syscalls/sys_enter_openat",
                "class": "file",
                "tier": "signal",
                "attached": true,
                "fired": true,
                "verified_at": "2026-01-01T00:00:00.000Z",
    "verified_at_boot_ms": 3000,
                "evidence": {
                    "pid": 77, "cgroup": 4242, "duration_us": 900, "fate": "SIGKILL", "hits": 1
                },
                "reason": null
            },
            {
                "hook": "lsm/file_open",
                "class": "file",
                "tier": "lsm",
                "attached": false,
                "fired": false,
                "verified_at": null,
    "verified_at_boot_ms": null,
                "evidence": null,
                "reason": "not tried"
            },
            {
                "hook": "fmod_ret/security_file_open",
                "class": "file",
                "tier": "modret",
                "attached": true,
                "fired": true,
                "verified_at": "2026-01-01T00:00:00.000Z",
    "verified_at_boot_ms": 3000,
                "evidence": {
                    "pid": 78, "cgroup": 4243, "duration_us": 901, "fate": "EPERM", "hits": 1
                },
                "reason": null,
                "copies": [{
                    "program": "modret_file_open",
                    "attached": true,
                    "fired": true,
                    "verified_at": "2026-01-01T00:00:00.000Z",
    "verified_at_boot_ms": 3000,
                    "evidence": {
                        "pid": 78, "cgroup": 4243, "duration_us": 901, "fate": "EPERM", "hits": 1
                    },
                    "reason": null
                }]
            }
        ],
        "rules": {
            "total": 2, "enforced": 1,
            "unenforced": [{"rule": "file:/later", "reason": "pending"}]
        },
        "classes": {"file": {"tier": "signal"}},
        "test_seams": [],
        "survives_agent_death": {"links_pinned": false, "deadman_ms": null},
        "agent": {
            "version": "0.1.0", "pid": 71, "start_time": 312, "bpf_object_sha256": "ab12"
        }
    })
}

/// The same posture in another boot: all that may differ does.
fn seam() -> Value {
    let mut report = real();
    for (pointer, value) in [
        ("/generated_at", json!("2026-01-01T00:09:00.000Z")),
        ("/generated_at_boot_ms", json!(4000)),
        ("/valid_until", json!("2026-01-01T00:10:00.000Z")),
        ("/valid_until_boot_ms", json!(64000)),
        ("/boot_id", json!("17bc")),
        ("/hooks/0/verified_at", json!("2026-01-01T00:09:00.000Z")),
        ("/hooks/0/verified_at_boot_ms", json!(4000)),
        ("/hooks/0/evidence/pid", json!(99)),
        ("/hooks/0/evidence/cgroup", json!(5151)),
        ("/hooks/0/evidence/duration_us", json!(1200)),
        (
            "/hooks/2/copies/0/verified_at",
            json!("2026-01-01T00:09:00.000Z"),
        ),
        ("/hooks/2/copies/0/verified_at_boot_ms", json!(4000)),
        ("/hooks/2/copies/0/evidence/pid", json!(98)),
        ("/hooks/2/copies/0/evidence/cgroup", json!(5150)),
        ("/hooks/2/copies/0/evidence/duration_us", json!(1201)),
        ("/agent/pid", json!(93)),
        ("/agent/start_time", json!(407)),
        (
            "/test_seams",
            json!([{"name": "AEGIS_LSM_PATH", "value": "/lsm"}]),
        ),
    ] {
        *report.pointer_mut(pointer).expect(pointer) = value;
    }
    report
}

fn may_differ(pointer: &str) -> bool {
    [
        "/generated_at",
        "/generated_at_boot_ms",
        "/valid_until",
        "/valid_until_boot_ms",
        "/boot_id",
        "/agent/pid",
        "/agent/start_time",
        "/test_seams",
    ]
    .contains(&pointer)
        || (pointer.starts_with("/hooks/")
            && [
                "verified_at",
                "verified_at_boot_ms",
                "evidence/pid",
                "evidence/cgroup",
                "evidence/duration_us",
            ]
            .iter()
            .any(|end| pointer.ends_with(end)))
}

/// The pointer of every leaf; an empty list or object is one.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                leaves(member, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(elements) if !elements.is_empty() => {
            for (number, element) in elements.iter().enumerate() {
                leaves(element, &format!("{at}/{number}"), found);
            }
        }
        _ => found.push(at.to_string()),
    }
}

fn all_leaves(report: &Value) -> Vec<String> {
    let mut found = Vec::new();
    leaves(report, "", &mut found);
    found
}

/// Another value of the same kind, so that only the comparison can see it.
fn flipped(value: &Value) -> Value {
    match value {
        Value::Null => json!(5),
        Value::Bool(flag) => json!(!flag),
        Value::Number(number) => json!(number.as_u64().expect("small numbers") + 1),
        Value::String(text) => json!(format!("{text}x")),
        Value::Array(elements) => {
            let mut elements = elements.clone();
            elements.push(json!("more"));
            json!(elements)
        }
        Value::Object(_) => json!({"more": 1}),
    }
}

fn remove_at(report: &mut Value, pointer: &str) {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer below the root");
    match report.pointer_mut(parent).expect(parent) {
        Value::Object(members) => drop(members.remove(name)),
        Value::Array(elements) => drop(elements.remove(name.parse().expect("an index"))),
        _ => panic!("{parent} holds nothing"),
    }
}

#[test]
fn the_same_posture_in_two_boots_is_equal() {
    assert_eq!(differences(&real(), &seam()), Vec::<String>::new());
}

#[test]
fn flipping_any_field_that_may_not_differ_turns_it_red() {
    let mut flips = 0;
    for pointer in all_leaves(&real()) {
        let mut report = seam();
        let value = report.pointer_mut(&pointer);
        // `/test_seams` is a leaf only where it is empty.
        let Some(value) = value else { continue };
        *value = flipped(value);
        let found = differences(&real(), &report);
        assert_eq!(
            found.is_empty(),
            may_differ(&pointer),
            "{pointer}: {found:?}"
        );
        flips += 1;
    }
    assert!(flips > 40, "{flips}");
}

#[test]
fn flipping_a_field_in_the_real_report_turns_it_red_too() {
    for pointer in all_leaves(&real()).iter().filter(|p| !may_differ(p)) {
        let mut report = real();
        let value = report.pointer_mut(pointer).expect(pointer);
        *value = flipped(value);
        assert!(!differences(&report, &seam()).is_empty(), "{pointer}");
    }
}

#[test]
fn a_field_missing_on_both_sides_is_not_equal_to_itself() {
    // These are the agent's own additions: not required, and still compared.
    let free = |pointer: &str| {
        pointer.starts_with("/features/")
            || pointer.starts_with("/classes")
            || pointer.starts_with("/rules/unenforced/")
            || pointer.starts_with("/lsm_enabled/")
            || pointer.starts_with("/enforce_blockers/")
            || pointer.ends_with("/reason")
            || pointer.ends_with("/evidence/fate")
            || pointer.ends_with("/evidence/hits")
    };
    for pointer in all_leaves(&real()) {
        let (mut left, mut right) = (real(), seam());
        remove_at(&mut left, &pointer);
        remove_at(&mut right, &pointer);
        let found = differences(&left, &right);
        assert_eq!(found.is_empty(), free(&pointer), "{pointer}: {found:?}");
    }
}

#[test]
fn a_field_added_or_missing_on_one_side_turns_it_red() {
    for parent in [
        "",
        "/agent",
        "/rules",
        "/features",
        "/hooks/0",
        "/hooks/0/evidence",
    ] {
        let mut report = seam();
        let members = report.pointer_mut(parent).and_then(Value::as_object_mut);
        members.expect(parent).insert("new".into(), json!(null));
        let found = differences(&real(), &report);
        assert_eq!(found.len(), 1, "{parent}: {found:?}");
        assert!(found[0].starts_with(&format!("{parent}/new: no-bpf-lsm has nothing")));
        assert!(!differences(&report, &real()).is_empty());
    }
}

#[test]
fn an_element_added_on_either_side_turns_it_red() {
    for pointer in [
        "/enforce_blockers",
        "/lsm_enabled",
        "/hooks",
        "/rules/unenforced",
    ] {
        let grown = |mut report: Value| {
            let list = report.pointer_mut(pointer).and_then(Value::as_array_mut);
            let list = list.expect(pointer);
            list.push(list[0].clone());
            report
        };
        assert_eq!(differences(&real(), &grown(seam())).len(), 1, "{pointer}");
        assert_eq!(differences(&grown(real()), &seam()).len(), 1, "{pointer}");
    }
}

#[test]
fn what_is_removed_in_one_place_is_compared_in_every_other() {
    for (pointer, value) in [
        ("/rules/pid", json!(1)),
        ("/agent/boot_id", json!("x")),
        ("/hooks/0/pid", json!(1)),
        ("/hooks/2/copies/0/pid", json!(1)),
        ("/features/generated_at", json!(1)),
        ("/hooks/0/evidence/verified_at", json!(1)),
    ] {
        let mut report = seam();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let members = report.pointer_mut(parent).and_then(Value::as_object_mut);
        members.expect(parent).insert(name.into(), value);
        assert_eq!(differences(&real(), &report).len(), 1, "{pointer}");
    }
}

#[test]
fn each_side_must_be_the_side_it_stands_for() {
    assert_eq!(
        differences(&seam(), &seam()),
        ["no-bpf-lsm: /test_seams must be empty"]
    );
    assert_eq!(
        differences(&real(), &real()),
        ["bpf-lsm: /test_seams must name the seam"]
    );
}

#[test]
fn a_hook_that_fired_must_show_its_evidence() {
    let without = |mut report: Value| {
        report["hooks"][0]["evidence"] = json!(null);
        report
    };
    let found = differences(&without(real()), &without(seam()));
    assert!(found.contains(&"no-bpf-lsm: /hooks/0/evidence can't be null".to_string()));
    assert!(found.contains(&"bpf-lsm: /hooks/0/evidence/pid is missing".to_string()));
}

#[test]
fn reports_without_hooks_or_of_another_shape_are_not_equal() {
    let mut left = real();
    let mut right = seam();
    left["hooks"] = json!([]);
    right["hooks"] = json!([]);
    assert!(differences(&left, &right).contains(&"no-bpf-lsm: /hooks is empty".to_string()));
    for odd in [json!(null), json!([]), json!("report"), json!({})] {
        assert!(!differences(&odd, &odd).is_empty(), "{odd}");
    }
}

#[test]
fn reasons_read_well() {
    let mut report = seam();
    report["runtime_state"] = json!("ENFORCE");
    report["enforce_blockers"] = json!([]);
    assert_eq!(
        differences(&real(), &report),
        [
            "/enforce_blockers/0: no-bpf-lsm has \"BPF_LSM_DISABLED\", bpf-lsm through the seam \
             has nothing",
            "/runtime_state: no-bpf-lsm has \"ENFORCE_SIGNAL\", bpf-lsm through the seam has \
             \"ENFORCE\"",
        ]
    );
}

fn boot(name: &str) -> BootResult {
    BootResult {
        suite: SuiteId {
            kernel: "6.1".into(),
            boot: name.into(),
        },
        launcher: "qemu".into(),
        accelerator: "tcg".into(),
        release: Some("6.1.0-9-cloud-amd64".into()),
        package_version: None,
        replaced_version: None,
        provenance: crate::report::samples::provenance(),
        proofs: vec![],
        faults: vec!["of the boot".into()],
        ending: Some(Ending::Exited { code: 0 }),
        duration: Duration::from_secs(3),
        again: format!("cargo xtask matrix --kernel 6.1 --boot {name} --agent '/my agent'"),
        dir: "elsewhere".into(),
        console_tail: Some("of the boot".into()),
    }
}

fn documents(proof: &str, report: Value) -> Documents {
    Documents::from([((proof.to_string(), ARM.to_string()), report)])
}

fn judged(real: &Documents, seam: &Documents) -> BootResult {
    let (real_boot, seam_boot) = (boot("no-bpf-lsm"), boot("bpf-lsm"));
    judge(
        Side {
            result: &real_boot,
            documents: real,
        },
        Side {
            result: &seam_boot,
            documents: seam,
        },
        "6.1/cross-boot".into(),
    )
}

#[test]
fn the_suite_has_one_proof_and_nothing_of_either_boots_trouble() {
    let real = documents(REAL_PROMOTION, real());
    let suite = judged(&real, &documents(SEAM_PROMOTION, seam()));
    assert_eq!(suite.suite.to_string(), "6.1/cross-boot");
    assert_eq!(
        suite.again,
        "cargo xtask matrix --kernel 6.1 --agent '/my agent' --boot bpf-lsm --boot no-bpf-lsm"
    );
    assert_eq!(suite.proofs.len(), 1);
    assert_eq!(suite.proofs[0].id, "seam-is-faithful");
    assert_eq!(suite.proofs[0].status, Status::Passed);
    assert!(suite.is_clean());
    assert_eq!(
        again("xtask '--boot=bpf-lsm' --jobs 1"),
        "xtask --jobs 1 --boot bpf-lsm --boot no-bpf-lsm"
    );
    assert_eq!(again("an 'open quote"), "an 'open quote");
    let mut other = seam();
    other["audit_only"] = json!(true);
    let suite = judged(&real, &documents(SEAM_PROMOTION, other));
    assert_eq!(suite.proofs[0].status, Status::Failed);
}

#[test]
fn a_report_that_never_came_leaves_it_incomplete() {
    let real_report = documents(REAL_PROMOTION, real());
    let seam_report = documents(SEAM_PROMOTION, seam());
    let elsewhere = documents("kills-denied-open", real());
    let none = Documents::new();
    let from_real = "no-bpf-lsm: no report came from promotes-to-enforce-signal";
    let from_seam = "bpf-lsm: no report came from seam-promotes-to-enforce-signal";
    for (left, right, reasons) in [
        (&none, &seam_report, vec![from_real]),
        (&elsewhere, &seam_report, vec![from_real]),
        (&real_report, &none, vec![from_seam]),
        (&real_report, &real_report, vec![from_seam]),
        (&none, &none, vec![from_real, from_seam]),
    ] {
        let proof = &judged(left, right).proofs[0];
        assert_eq!(proof.status, Status::Incomplete);
        assert_eq!(proof.reasons, reasons);
    }
}
