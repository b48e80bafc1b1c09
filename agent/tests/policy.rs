//! Policies: what is accepted, and that everything else is named with its place.

use aegisbpf::policy::{FileRule, Policy, parse};
use proptest::prelude::*;

const GOOD: &str = r#"
version = 1
exempt_cgroups = ["/system.slice/backup"]
protected_executables = ["/usr/sbin/sshd"]

[[deny.file]]
path = "/etc/shadow-copy"

[[deny.file]]
path = "/srv/key"
id = "the-key"
"#;

/// Every error as the operator sees it.
fn errors(policy: &str) -> String {
    let errors = parse(policy.as_bytes()).expect_err("the policy was accepted");
    let lines: Vec<String> = errors.iter().map(|error| error.display("p.toml")).collect();
    lines.join("\n")
}

#[test]
fn a_good_policy_is_read_whole() {
    let rule = |id: &str, path: &str| FileRule {
        id: id.to_owned(),
        path: path.to_owned(),
    };
    let expected = Policy {
        files: vec![
            rule("file[0]", "/etc/shadow-copy"),
            rule("the-key", "/srv/key"),
        ],
        exempt_cgroups: vec!["/system.slice/backup".to_owned()],
        protected_executables: vec!["/usr/sbin/sshd".to_owned()],
    };
    assert_eq!(parse(GOOD.as_bytes()), Ok(expected));
}

#[test]
fn an_empty_policy_is_valid_and_has_no_rules() {
    let policy = parse(b"version = 1\n").unwrap();
    assert_eq!(policy.rules(), 0);
}

#[test]
fn the_shape_of_a_policy_is_checked_with_line_and_column() {
    let cases = [
        "",
        "version = 1\n[[deny.file]\npath = \"/a\"\n",
        "version = \"1\"\n",
        "version = 1\nexempt_cgroup = []\n",
        "version = 1\n\n[[deny.file]]\npath = \"/a\"\nmode = \"read\"\n",
        "version = 1\n[[deny.exec]]\npath = \"/a\"\n",
        "version = 1\n[[deny.file]]\nid = \"a\"\n",
        "version = 1\nversion = 1\n",
    ];
    let shown: Vec<String> = cases.iter().map(|case| errors(case)).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn everything_that_makes_no_sense_is_named_at_once() {
    let policy = r#"
version = 2
exempt_cgroups = ["/", "/.", "//", "relative", "/a", "/a"]
protected_executables = ["sshd", "/usr/../sshd"]

[[deny.file]]
path = "etc/shadow"
[[deny.file]]
path = "/etc/../shadow"
[[deny.file]]
path = "/a\u0000b"
[[deny.file]]
path = "/srv/secrets/"
[[deny.file]]
path = "/same"
id = "file[0]"
[[deny.file]]
path = "/same"
id = ""
"#;
    insta::assert_snapshot!(errors(policy));
}

#[test]
fn an_over_long_path_is_named() {
    let policy = format!(
        "version = 1\n[[deny.file]]\npath = \"/{}\"\n",
        "x".repeat(4095)
    );
    let shown = errors(&policy);
    assert!(shown.starts_with("p.toml:3:8: "), "{shown}");
    assert!(shown.contains("4095 bytes"), "{shown}");
}

#[test]
fn bytes_that_are_no_text_are_named_with_their_place() {
    let errors = parse(b"version = 1\nx = \"\xff\"\n").unwrap_err();
    assert_eq!((errors[0].line, errors[0].column), (2, 6));
}

#[test]
fn columns_count_characters() {
    let shown = errors("version = 1\nexempt_cgroups = [\"/ä\", \"b\"]\n");
    assert!(shown.starts_with("p.toml:2:25: "), "{shown}");
}

#[test]
fn dots_within_a_name_are_no_way_up() {
    let policy = "version = 1\n[[deny.file]]\npath = \"/a..b/...\"\n";
    assert!(parse(policy.as_bytes()).is_ok());
}

proptest! {
    #[test]
    fn any_bytes_give_a_policy_or_errors(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(errors) = parse(&bytes) {
            prop_assert!(!errors.is_empty());
        }
    }

    #[test]
    fn any_values_give_a_policy_or_errors_with_a_place(
        version in any::<i8>(),
        path in ".{0,40}",
        cgroup in "[/.a-c\u{0}]{0,8}",
    ) {
        // A JSON string is a TOML string too.
        let path = serde_json::Value::String(path);
        let cgroup = serde_json::Value::String(cgroup);
        let text = format!(
            "version = {version}\nexempt_cgroups = [{cgroup}]\n[[deny.file]]\npath = {path}\n"
        );
        match parse(text.as_bytes()) {
            Ok(policy) => {
                let path = &policy.files[0].path;
                prop_assert!(path.starts_with('/') && !path.contains('\0'));
                prop_assert!(policy.exempt_cgroups[0].len() > 1);
            }
            Err(errors) => for error in errors {
                prop_assert!((1..=4).contains(&error.line) && error.column >= 1);
            },
        }
    }
}
