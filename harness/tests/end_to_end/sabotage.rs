use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use harness::image::artifacts::note_origin;
use harness::sabotage::catalogue;
use proofs::Tried;
use protocol::sabotage::{VARIABLE, World};

use crate::support::{Checkout, Ran, artifacts, artifacts_with, pretend_artifacts};

/// What a build has in it that can be sabotaged: the variable, and the names of its mutants.
fn signs() -> BTreeSet<String> {
    let all = catalogue::all().into_iter();
    let of_agent = all
        .filter(|listed| !matches!(listed.mutant.tried, Tried::LostRecord | Tried::WrongBoot))
        .map(|listed| listed.mutant.name)
        .filter(|name| World::from_name(name).is_none());
    of_agent
        .chain([
            "lsm-returns-zero",
            "rejects-guard",
            "rejects-lsm",
            "signal-refused",
        ])
        .chain([VARIABLE])
        .map(str::to_owned)
        .collect()
}

fn has(image: &[u8], text: &str) -> bool {
    let text = text.as_bytes();
    image.windows(text.len()).any(|bytes| bytes == text)
}

#[test]
#[ignore = "reads what `cargo xtask test` builds"]
fn an_agent_as_shipped_has_no_mutant_in_it_and_the_sabotaged_one_has_each() {
    let read = |name: &str| fs::read(artifacts().join(name)).expect("built");
    let (shipped, sabotaged) = (read("aegisbpf"), read("aegisbpf-sabotaged"));
    for sign in signs() {
        assert!(!has(&shipped, &sign), "{sign} is in the agent as shipped");
        assert!(
            has(&sabotaged, &sign),
            "{sign} isn't in the sabotaged agent"
        );
    }
}

fn sabotage(checkout: &Checkout, prebuilt: &Path, mutant: &str) -> Ran {
    let mut command = checkout.booting("sabotage", "qemu");
    command.arg("--prebuilt").arg(prebuilt);
    Ran::of(command.args(["--kernel", "6.1", "--mutant", mutant]))
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_mutant_that_breaks_nothing_survives_and_fails_the_run() {
    let checkout = Checkout::new();
    // The agent as shipped, in the place of the one that is to deny its canary alone.
    let honest = artifacts().join("aegisbpf");
    let prebuilt = artifacts_with("aegisbpf-sabotaged", &honest, &checkout.path("prebuilt"));
    let ran = sabotage(&checkout, &prebuilt, "denies-only-canaries");
    ran.expect(1, &[]);
    let survivor = "MISSED 6.1/bpf-lsm denies-only-canaries: ";
    assert!(ran.stdout.contains(survivor), "{ran:#?}");
    assert!(ran.stdout.contains("0 caught, 2 missed"), "{ran:#?}");
    let json = checkout.out("sabotage.json");
    assert!(json.contains("\"fate\": \"missed\""), "{json}");
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn with_an_agent_that_breaks_everything_nothing_counts_as_caught() {
    let checkout = Checkout::new();
    // It knows no mutant, not even none: it isn't an agent.
    let other = artifacts().join("guest");
    let prebuilt = artifacts_with("aegisbpf-sabotaged", &other, &checkout.path("prebuilt"));
    let ran = sabotage(&checkout, &prebuilt, "denies-only-canaries");
    ran.expect(3, &[]);
    assert!(
        ran.stdout.contains("err: enforce-denies-open: "),
        "{ran:#?}"
    );
}

#[test]
fn a_sabotaged_agent_isn_t_taken_for_the_agent() {
    let checkout = Checkout::new();
    let prebuilt = checkout.path("prebuilt");
    pretend_artifacts(&prebuilt);
    let sabotaged = [
        fs::read(prebuilt.join("aegisbpf")).expect("just written"),
        VARIABLE.into(),
    ];
    fs::write(prebuilt.join("aegisbpf"), sabotaged.concat()).expect("our own file");
    note_origin(&prebuilt, None).expect("as good as programs for the guest");
    let mut matrix = checkout.matrix();
    let ran = Ran::of(
        matrix
            .arg("--prebuilt")
            .arg(&prebuilt)
            .args(["--kernel", "6.1"]),
    );
    ran.expect(2, &["a sabotaged build in the place of the agent"]);
}
