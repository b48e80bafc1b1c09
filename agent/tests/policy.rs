//! Policies: what is accepted, and that everything else is named with its place.

use std::fmt::Write as _;

use aegisbpf::policy::{
    Access, ExemptCgroup, FileRule, MAX_EXEMPT_CGROUPS, MAX_RULES, Policy, parse,
};
use proptest::prelude::*;

const GOOD: &str = r#"
version = 1
exempt_cgroups = ["/system.slice/backup", "/a//b/"]
protected_executables = ["/usr/sbin/sshd"]

[[deny.file]]
path = "/etc/shadow-copy"

[[deny.file]]
path = "/srv//secrets/./"
access = "read"
id = "the-secrets"

[[deny.file]]
path = "/srv/secrets"
access = "write"

[[deny.file]]
path = "/srv/secrets/beneath"
access = "read-write"
"#;

/// One of every error that a policy of readable TOML can have.
const SENSELESS: &str = r#"
version = 2
exempt = []
exempt_cgroups = ["/", "/./", "relative", "", "/a", "/a/.", 7]
protected_executables = ["sshd", "/usr/../sshd", "/usr/sbin/", "/bin/.", "/bin/sh", "//bin/sh"]

[deny]
exec = "x"

[[deny.file]]

[[deny.file]]
path = "etc/../\u0000"
mode = "read"
acces = "read"
[[deny.file]]
path = "/"
[[deny.file]]
path = "/srv/secrets/."
access = "execute"
[[deny.file]]
path = "/same"
access = ["read"]
id = "file[0]"
[[deny.file]]
path = "//same"
id = ""
[[deny.file]]
path = "/same/"
[[deny.file]]
path = "/./same/.//"
id = "file[6]"
[[deny.file]]
path = 1979-05-27
"#;

/// The same for what isn't TOML; the last line closes nothing.
const UNREADABLE: &str = r#"
version =
exempt_cgroups = ["/a" "/b", "c"]
[[deny.file]
path = /d
id = "e
[[deny.file]]
path = "f"
path = "/g"
access = "\q"
= 1
nothing
protected_executables = ["/h",
"#;

/// Every error as the operator sees it.
fn errors(policy: &[u8]) -> String {
    let errors = parse(policy).expect_err("the policy was accepted");
    let lines: Vec<String> = errors.iter().map(|error| error.display("p.toml")).collect();
    lines.join("\n")
}

#[test]
fn a_good_policy_is_read_whole() {
    let rule = |id: &str, path: &str, folder, access| FileRule {
        id: id.to_owned(),
        path: path.to_owned(),
        folder,
        access,
    };
    let cgroup = |path: &str, column| ExemptCgroup {
        path: path.to_owned(),
        line: 3,
        column,
    };
    let expected = Policy {
        files: vec![
            rule("file[0]", "/etc/shadow-copy", false, Access::ReadWrite),
            rule("the-secrets", "/srv/secrets", true, Access::Read),
            rule("file[2]", "/srv/secrets", false, Access::Write),
            rule("file[3]", "/srv/secrets/beneath", false, Access::ReadWrite),
        ],
        exempt_cgroups: vec![cgroup("/system.slice/backup", 19), cgroup("/a/b", 43)],
        protected_executables: vec!["/usr/sbin/sshd".to_owned()],
    };
    assert_eq!(parse(GOOD.as_bytes()), Ok(expected));
}

#[test]
fn access_says_what_it_denies() {
    let denied = [Access::Read, Access::Write, Access::ReadWrite]
        .map(|access| (access.name(), access.reads(), access.writes()));
    let expected = [
        ("read", true, false),
        ("write", false, true),
        ("read-write", true, true),
    ];
    assert_eq!(denied, expected);
    for access in [Access::Read, Access::Write, Access::ReadWrite] {
        assert_eq!(serde_json::to_value(access).unwrap(), access.name());
    }
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
        "version = \"1\"\n",
        "version = 1\nversion = 1\n",
        "version = 99999999999999999999\n",
        "version = 1\nexempt_cgroups = \"/a\"\nprotected_executables = true\n",
        "version = 1\ndeny = []\n",
        "version = 1\n[deny.file]\npath = \"/a\"\n",
        "version = 1\n[deny]\nfile = [\"/a\", 1.5]\n",
        "version = 1\n[[deny.file]]\npath.x = \"/a\"\nid = 1\n",
    ];
    let shown: Vec<String> = cases.iter().map(|case| errors(case.as_bytes())).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn everything_that_makes_no_sense_is_named_at_once() {
    insta::assert_snapshot!(errors(SENSELESS.as_bytes()));
}

#[test]
fn everything_that_is_not_toml_is_named_at_once_and_so_is_what_lies_between() {
    insta::assert_snapshot!(errors(UNREADABLE.as_bytes()));
}

#[test]
fn what_a_line_that_is_not_toml_may_hold_is_not_told_as_missing() {
    let shown = errors(b"version 1\n[[deny.file]]\npath \"/a\"\n");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 2, "{shown}");
    assert!(lines[0].starts_with("p.toml:1:") && lines[1].starts_with("p.toml:3:"));
}

#[test]
fn over_long_paths_and_names_are_named_and_not_printed_whole() {
    let (name, path) = ("x".repeat(256), "/xyz".repeat(1024));
    let policy = format!(
        "version = 1\ndeny.file = [\n{{ path = \"/{name}\" }},\n{{ path = \"{path}\" }}\n]"
    );
    let shown = errors(policy.as_bytes());
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 2, "{shown}");
    assert!(lines[0].starts_with("p.toml:3:10: ") && lines[0].contains("255 bytes"));
    assert!(lines[1].starts_with("p.toml:4:10: ") && lines[1].contains("4095 bytes"));
    assert!(shown.len() < 500, "{shown}");
}

fn policy_of(rules: usize) -> String {
    let mut policy = "version = 1\n".to_owned();
    for number in 0..rules {
        write!(policy, "[[deny.file]]\npath = \"/srv/{number}\"\n").unwrap();
    }
    policy
}

#[test]
fn more_exempt_cgroups_than_the_kernel_side_looks_at_are_one_error() {
    let policy_of = |count: usize| {
        let cgroups: Vec<String> = (0..count).map(|n| format!("\"/cgroup-{n}\"")).collect();
        format!("version = 1\nexempt_cgroups = [{}]\n", cgroups.join(", "))
    };
    let most = policy_of(MAX_EXEMPT_CGROUPS);
    let policy = parse(most.as_bytes()).unwrap();
    assert_eq!(policy.exempt_cgroups.len(), MAX_EXEMPT_CGROUPS);
    let errors = parse(policy_of(MAX_EXEMPT_CGROUPS + 3).as_bytes()).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].why.contains("may exempt 256"), "{errors:?}");
}

#[test]
fn rules_beyond_the_top_are_one_error_at_the_first_of_them() {
    let policy = policy_of(MAX_RULES);
    assert_eq!(parse(policy.as_bytes()).unwrap().rules(), MAX_RULES);
    let errors = parse(policy_of(MAX_RULES + 3).as_bytes()).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].what, "65539 rules");
    assert_eq!(errors[0].line, 2 * MAX_RULES + 2);
}

#[test]
fn as_many_errors_as_rules_on_one_line_cost_no_quadratic_time() {
    // Some seconds if every error were counted from the start of its line, and minutes if
    // from the start of the file.
    let rules = "{ path = \"a\" }, ".repeat(MAX_RULES);
    let policy = format!("version = 1\ndeny.file = [{rules}]\n");
    let start = std::time::Instant::now();
    assert_eq!(parse(policy.as_bytes()).unwrap_err().len(), MAX_RULES);
    let took = start.elapsed();
    assert!(took.as_secs() < 20, "{took:?}");
}

#[test]
fn bytes_that_are_no_text_are_named_with_their_place() {
    let shown = errors(b"version = 1\n\"\xc3\xa4\xff\xff\" = 1\nx = 1\n# \xe2\x82\n");
    let expected = [":2:3: bytes that", ":3:1: unknown key", ":4:3: bytes that"];
    assert_eq!(shown.lines().count(), 3, "{shown}");
    for (line, start) in shown.lines().zip(expected) {
        assert!(line["p.toml".len()..].starts_with(start), "{shown}");
    }
}

#[test]
fn columns_count_characters() {
    let shown = errors("version = 1\nexempt_cgroups = [\"/ä\", \"b\"]\n".as_bytes());
    assert!(shown.starts_with("p.toml:2:25: "), "{shown}");
}

#[test]
fn dots_within_a_name_are_no_way_up() {
    let policy = "version = 1\n[[deny.file]]\npath = \"/a..b/...\"\n";
    assert!(parse(policy.as_bytes()).is_ok());
}

/// Every error lies in the file, and they stand in its order.
fn check_places(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Err(errors) = parse(bytes) else {
        return Ok(());
    };
    prop_assert!(!errors.is_empty());
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.split('\n').collect();
    let mut last = (1, 1);
    for error in errors {
        prop_assert!((1..=lines.len()).contains(&error.line), "{error:?}");
        let characters = lines[error.line - 1].chars().count();
        prop_assert!((1..=characters + 1).contains(&error.column), "{error:?}");
        prop_assert!(last <= (error.line, error.column), "{error:?}");
        prop_assert!(!error.display("p").contains('\n'), "{error:?}");
        last = (error.line, error.column);
    }
    Ok(())
}

fn access() -> impl Strategy<Value = Option<Access>> {
    let accesses = [Access::Read, Access::Write, Access::ReadWrite];
    prop::option::of(prop::sample::select(accesses.to_vec()))
}

/// Paths in their one spelling, without the final slash.
fn path() -> impl Strategy<Value = String> {
    let name =
        "[^/\u{0}]{1,20}".prop_filter("no dots alone", |name| !matches!(name.as_str(), "." | ".."));
    prop::collection::vec(name, 1..5).prop_map(|names| format!("/{}", names.join("/")))
}

/// Valid policies.
fn policy() -> impl Strategy<Value = Policy> {
    let paths = || prop::collection::btree_set(path(), 0..4).prop_map(Vec::from_iter);
    let rule = ((path(), any::<bool>()), (access(), any::<bool>()));
    let rules = prop::collection::btree_map(rule.0, rule.1, 0..12);
    (paths(), paths(), rules).prop_map(|(exempt, protected, rules)| Policy {
        files: rules
            .into_iter()
            .enumerate()
            .map(|(index, ((path, folder), (access, named)))| FileRule {
                id: format!("{}[{index}]", if named { "named" } else { "file" }),
                path,
                folder,
                access: access.unwrap_or_default(),
            })
            .collect(),
        exempt_cgroups: exempt
            .into_iter()
            .map(|path| ExemptCgroup {
                path,
                line: 0,
                column: 0,
            })
            .collect(),
        protected_executables: protected,
    })
}

/// A policy as a file; `noise` goes between the names of each path, and changes nothing.
fn file(policy: &Policy, noise: &str) -> String {
    // A JSON string is a TOML string too, but for the one control character that it lets by.
    let quoted = |path: &str, end: &str| {
        let value = serde_json::Value::String(path.replace('/', noise) + end);
        value.to_string().replace('\u{7f}', "\\u007f")
    };
    let list = |paths: Vec<&str>| {
        let paths: Vec<String> = paths.iter().map(|path| quoted(path, "")).collect();
        paths.join(", ")
    };
    let exempt = policy.exempt_cgroups.iter().map(|cgroup| &*cgroup.path);
    let protected = policy.protected_executables.iter().map(|path| &**path);
    let mut text = format!(
        "version = 1\nexempt_cgroups = [{}]\nprotected_executables = [{}]\n",
        list(exempt.collect()),
        list(protected.collect()),
    );
    for rule in &policy.files {
        let path = quoted(&rule.path, if rule.folder { "/" } else { "" });
        write!(text, "[[deny.file]]\npath = {path}\n").unwrap();
        if rule.access != Access::default() {
            writeln!(text, "access = {:?}", rule.access.name()).unwrap();
        }
        if rule.id.starts_with("named") {
            writeln!(text, "id = {:?}", rule.id).unwrap();
        }
    }
    text
}

/// What a slip of the hand puts into a policy.
fn splinter() -> impl Strategy<Value = String> {
    let known = [
        "",
        "\"",
        "\"\"\"",
        "'",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "=",
        ".",
        ",",
        "\n",
        "#",
        "\\",
        "/",
        "version",
        "deny",
        "[deny.file]\n",
        "[[deny]]\n",
        "[[deny.file]]\n",
        "path = 1\n",
        "..",
        "\r",
        "id.x = 1\n",
        "\u{0}",
        "ä",
    ];
    let known = prop::sample::select(known.map(str::to_owned).to_vec());
    prop_oneof![3 => known, 1 => ".{0,8}"]
}

proptest! {
    #[test]
    fn any_bytes_give_a_policy_or_errors_with_a_place(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        check_places(&bytes)?;
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
        check_places(text.as_bytes())?;
        if let Ok(policy) = parse(text.as_bytes()) {
            let path = &policy.files[0].path;
            prop_assert!(path.starts_with('/') && !path.ends_with('/') && !path.contains('\0'));
            prop_assert!(policy.exempt_cgroups[0].path.len() > 1);
        }
    }

    #[test]
    fn a_valid_policy_is_read_as_it_was_written_in_every_spelling(
        policy in policy(),
        noise in prop::sample::select(vec!["/", "//", "/./", "/.//./"]),
    ) {
        let mut parsed = parse(file(&policy, noise).as_bytes())
            .map_err(|errors| TestCaseError::fail(format!("{errors:?}")))?;
        for cgroup in &mut parsed.exempt_cgroups {
            prop_assert_eq!(cgroup.line, 2);
            (cgroup.line, cgroup.column) = (0, 0);
        }
        prop_assert_eq!(parsed, policy);
    }

    #[test]
    fn a_damaged_policy_gives_a_policy_or_errors_with_a_place(
        policy in policy(),
        slips in prop::collection::vec(
            (any::<prop::sample::Index>(), 0..9_usize, splinter()),
            1..6,
        ),
    ) {
        let mut bytes = file(&policy, "/").into_bytes();
        for (at, lost, gained) in slips {
            let start = at.index(bytes.len() + 1);
            let end = bytes.len().min(start + lost);
            bytes.splice(start..end, gained.into_bytes());
        }
        check_places(&bytes)?;
    }
}
