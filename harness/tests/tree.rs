//! What every file of the repository keeps to, where no compiler looks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the crate is a folder of the repository")
        .into()
}

/// The tracked files below a folder, each with its content as far as that is text.
fn tracked(below: &str) -> Vec<(String, String)> {
    let output = Command::new("git")
        // A checkout may belong to another user than the one that tests it, as in a container.
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--", below])
        .current_dir(root())
        .output()
        .expect("git is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let names = String::from_utf8(output.stdout).expect("names in UTF-8");
    let files = names.split_terminator('\0').map(|name| {
        let content = fs::read(root().join(name));
        let content = content.unwrap_or_else(|error| panic!("{name}: {error}"));
        (
            name.to_owned(),
            String::from_utf8_lossy(&content).into_owned(),
        )
    });
    let files: Vec<_> = files.collect();
    assert!(!files.is_empty(), "git tracks nothing below {below}");
    files
}

/// Where one of the words stands.
fn places(files: &[(String, String)], words: &[String]) -> Vec<String> {
    let mut places = Vec::new();
    for (name, content) in files {
        for (number, line) in content.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                places.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    places
}

#[test]
fn no_process_is_ended_by_its_name() {
    // Another run's would be ended too. Put together, so that this file isn't found itself.
    let words = [("p", "kill"), ("kill", "all")].map(|(start, end)| format!("{start}{end}"));
    let found = places(&tracked("."), &words);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn nothing_turns_a_failed_check_into_a_pass() {
    let ci = tracked(".ci");
    assert!(ci[0].1.contains("\nset -euo pipefail\n"), "{}", ci[0].1);
    let found = places(&ci, &["||".to_owned(), "set +e".to_owned()]);
    assert!(found.is_empty(), "{found:#?}");
    let excuses = ["continue-on-error", "|| :", "|| true", "|| exit 0"].map(str::to_owned);
    let found = places(&tracked(".github"), &excuses);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_release_is_searched_for_the_variable_of_the_sabotaged_build() {
    let release = fs::read_to_string(root().join(".github/workflows/release.yml"));
    let release = release.expect("there is a workflow for releases");
    for file in ["prebuilt/aegisbpf-sabotaged\n", "release/aegisbpf || "] {
        let variable = protocol::sabotage::VARIABLE;
        let search = format!("grep --text --quiet {variable} {file}");
        assert!(release.contains(&search), "{search:?} isn't in {release}");
    }
}

#[test]
fn production_code_has_no_word_of_sabotage() {
    let mut files = tracked("agent/src");
    files.extend(tracked("bpf"));
    let own = ["agent/src/sabotage/", "bpf/mutants/"];
    files.retain(|(name, _)| !own.iter().any(|own| name.starts_with(own)));
    for (_, content) in &mut files {
        *content = content.to_lowercase();
    }
    let mut found = places(&files, &["sabotage", "mutant"].map(str::to_owned));
    // Where the wrapped modules take the place of the real ones.
    found.retain(|place| !place.starts_with("agent/src/lib.rs:"));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn one_place_lets_sabotage_in() {
    let lib = fs::read_to_string(root().join("agent/src/lib.rs")).expect("the agent is a library");
    let (before, within) = lib
        .split_once("\n// With the feature `sabotage`")
        .expect("the place begins with a comment");
    assert!(!before.to_lowercase().contains("sabotage"), "{before}");
    // Whatever names it asks for the feature first.
    let asks = |line: &&str| line.contains("sabotage") && !line.starts_with("//");
    for line in within.lines().skip(1).filter(asks) {
        let feature = "feature = \"sabotage\"";
        assert!(line.contains(feature) || line == "mod sabotage;", "{line}");
    }
}
