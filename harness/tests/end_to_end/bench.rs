//! What the agent costs: numbers of a whole boot, or none and why.

use std::process::Command;

use serde_json::Value;

use crate::support::{Checkout, Ran, Scene, artifacts, compile, pretend_artifacts};

fn bench(checkout: &Checkout) -> Command {
    let mut command = checkout.booting("bench agent", "qemu");
    command.args(["--kernel", "6.1", "--json"]);
    command
}

/// The least that can be measured.
fn least(checkout: &Checkout) -> Command {
    let mut command = bench(checkout);
    command.args([
        "--tier", "lsm", "--rules", "1", "--lives", "2", "--ops", "5",
    ]);
    command.arg("--prebuilt").arg(artifacts());
    command
}

fn document(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:#?}"))
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_boot_that_measures_gives_each_case_with_the_programs_that_ran_in_it() {
    let checkout = Checkout::new();
    let ran = Ran::of(&mut least(&checkout));
    ran.expect(0, &[]);
    assert_eq!(ran.stdout, checkout.out("bench.json"));
    let document = document(&ran);
    let rows = document["rows"].as_array().expect("rows");
    let text = |row: &Value, name: &str| row[name].as_str().map(str::to_owned);
    let cases: Vec<_> = rows.iter().map(|row| text(row, "case")).collect();
    let expected = ["miss", "unrelated", "hit", "miss-deep", "miss-other-fs"];
    assert_eq!(cases, expected.map(|case| Some(case.to_owned())));
    for row in rows {
        assert_eq!(
            (&row["kernel"], &row["tier"]),
            (&"6.1".into(), &"lsm".into())
        );
        assert_eq!((&row["class"], &row["rules"]), (&"file".into(), &1.into()));
        for member in ["bare_ns", "ns", "ratio"] {
            assert!(row[member].as_f64() > Some(0.0), "{member}: {row:#}");
        }
        // An open runs a program of the agent's, and asking for a pid none.
        let programs = row["programs"].as_array().expect("programs");
        let runs = programs
            .iter()
            .map(|program| program["runs_per_op"].as_f64());
        let ran = runs.flatten().any(|runs| runs >= 1.0);
        assert_eq!(ran, row["case"] != "unrelated", "{row:#}");
    }
    let agent = &document["agent"][0];
    let number = |member: &str| {
        agent[member]
            .as_f64()
            .unwrap_or_else(|| panic!("{agent:#}"))
    };
    assert!(number("rss_bytes") > 1e6 && number("peak_bytes") >= number("rss_bytes"));
    assert!(number("start_ms") > 1.0 && agent["start_parts_us"]["load_us"].as_u64() > Some(0));
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_boot_that_breaks_off_gives_no_number_and_says_why() {
    let checkout = Checkout::new();
    let crashes = compile(Scene::Agent("CRASHES"), &checkout.path(""));
    // The tested agent has been measured once when this one's turn comes.
    let ran = Ran::of(least(&checkout).arg("--against").arg(crashes));
    let why = "error: 6.1: nothing was measured: life 1: the other agent, lsm, 1 file rules, \
               0 folder rules: before it was ready, it ended with signal: 6";
    ran.expect(3, &[why, "about to abort", "1 of 8 lives were measured"]);
    let document = document(&ran);
    let none = Value::Array(Vec::new());
    assert_eq!((&document["rows"], &document["agent"]), (&none, &none));
    assert!(document["kernels"][0]["error"].is_string(), "{document:#}");
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn an_agent_that_only_says_that_it_enforces_is_not_measured() {
    let checkout = Checkout::new();
    let lies = compile(Scene::Agent("LIES"), &checkout.path(""));
    let ran = Ran::of(least(&checkout).arg("--agent").arg(lies));
    ran.expect(3, &["error: 6.1: nothing was measured: life 0: "]);
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_is_booted() {
    let checkout = Checkout::new();
    let prebuilt = checkout.path("prebuilt");
    pretend_artifacts(&prebuilt);
    for (arguments, words) in [
        (
            ["--rules", "7"],
            "there is a policy with each of [1, 1000, 10000] rules",
        ),
        (["--lives", "1"], "1 is not in 2..=65535"),
        (
            ["--against", "/nonexistent"],
            "error: --against: reading /nonexistent",
        ),
        (["--kernel", "6.9"], "no kernel is called \"6.9\""),
    ] {
        let mut command = bench(&checkout);
        let ran = Ran::of(command.arg("--prebuilt").arg(&prebuilt).args(arguments));
        ran.expect(2, &[words]);
    }
    assert!(!checkout.path("out").exists());
}
