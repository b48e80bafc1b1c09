//! Kernel modules that `images/` asks for.

use std::fs;

use serde_json::Value;

use crate::support::{Machine, repository};

/// The repository's image with these modules.
fn machine_with(modules: &str) -> Machine {
    let own = fs::read_to_string(repository().join("images/guest.toml")).expect("it is there");
    assert!(own.contains("\nmodules = []\n"), "{own}");
    let machine = Machine::new();
    let asked = own.replace("\nmodules = []\n", &format!("\nmodules = {modules}\n"));
    machine.checkout.replace_images(&asked);
    machine
}

/// The modules that the guest says it has loaded.
fn loaded(machine: &Machine) -> Vec<String> {
    let records = machine.checkout.out("records.jsonl");
    let hello = records.lines().next().expect("a hello");
    let hello: Value = serde_json::from_str(hello).expect("JSON");
    let modules = hello["record"]["modules"].as_array().expect("a list");
    let names = modules
        .iter()
        .map(|name| name.as_str().expect("a text").to_owned());
    names.collect()
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn modules_are_loaded_with_all_that_they_depend_on_first() {
    let machine = machine_with(r#"["overlay", "dm-crypt"]"#);
    machine.boot("enforce-denies-open", &[]).expect(0, &[]);
    assert_eq!(loaded(&machine), ["overlay.ko", "dm_mod.ko", "dm_crypt.ko"]);
}

#[test]
#[ignore = "boots machines; `cargo xtask test` runs it"]
fn a_module_that_the_kernel_does_not_have_is_reported_and_not_dropped_in_silence() {
    let machine = machine_with(r#"["no-such-module"]"#);
    let ran = machine.boot("enforce-denies-open", &[]);
    ran.expect(
        0,
        &["kernel 6.1 has no module no-such-module, which images/ asks for"],
    );
    assert!(loaded(&machine).is_empty());
}
