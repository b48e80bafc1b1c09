//! Clauses on a JSON document: what a plan claims about an agent's report.
//!
//! In: the clauses and the document. Out: one reason for each clause that doesn't hold. A
//! value that isn't there fails every kind of clause, `Differs` and `Lacks` included: a
//! report without the field has not said anything that could be true.

use protocol::plan::Clause;
use serde_json::Value;

/// Longest JSON value that a reason shows in full.
const MAX_SHOWN: usize = 160;

/// The clauses that don't hold, each as one readable line.
pub fn broken(clauses: &[Clause], document: &Value) -> Vec<String> {
    if clauses.is_empty() {
        return vec!["plan error: no clause says what the document must show".to_string()];
    }
    clauses
        .iter()
        .filter_map(|clause| check(clause, document).err())
        .collect()
}

fn check(clause: &Clause, document: &Value) -> Result<(), String> {
    match clause {
        Clause::Equals { pointer, value } => {
            let seen = at(document, pointer)
                .map_err(|why| format!("expected {}, {why}", show_value(value)))?;
            hold(seen == value, || {
                let (expected, seen) = (show_value(value), show_value(seen));
                format!("{}: expected {expected}, saw {seen}", name(pointer))
            })
        }
        Clause::Differs { pointer, value } => {
            let seen = at(document, pointer)
                .map_err(|why| format!("expected anything but {}, {why}", show_value(value)))?;
            hold(seen != value, || {
                format!("{}: must not be {}", name(pointer), show_value(value))
            })
        }
        Clause::Contains { pointer, value } => {
            let list = list_at(document, pointer)?;
            hold(list.iter().any(|element| matches(element, value)), || {
                let (wanted, seen) = (show_value(value), show_list(list));
                format!(
                    "{}: expected an element {wanted}, saw {seen}",
                    name(pointer)
                )
            })
        }
        Clause::Lacks { pointer, value } => {
            let list = list_at(document, pointer)?;
            match list.iter().find(|element| matches(element, value)) {
                None => Ok(()),
                Some(element) => Err(format!(
                    "{}: expected no element {}, saw {}",
                    name(pointer),
                    show_value(value),
                    show_value(element)
                )),
            }
        }
        Clause::Reasons {
            pointer,
            value,
            word,
        } => {
            let list = list_at(document, pointer)?;
            let mut matching = list.iter().filter(|element| matches(element, value));
            let name = name(pointer);
            let wanted = show_value(value);
            hold(matching.clone().next().is_some(), || {
                let seen = show_list(list);
                format!("{name}: expected an element {wanted}, saw {seen}")
            })?;
            match matching.find(|element| !gives_reason(element, word)) {
                None => Ok(()),
                Some(element) => Err(format!(
                    "{name}: expected of each element {wanted} a reason with the word {word}, \
                     saw {}",
                    show_value(element)
                )),
            }
        }
    }
}

/// Whether the word stands in an element's reason, by itself.
fn gives_reason(element: &Value, word: &str) -> bool {
    let reason = element.get("reason").and_then(Value::as_str);
    let mut words = reason
        .unwrap_or_default()
        .split(|c: char| !c.is_alphanumeric());
    words.any(|said| said == word)
}

fn hold(holds: bool, reason: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason()) }
}

fn at<'a>(document: &'a Value, pointer: &str) -> Result<&'a Value, String> {
    if !is_pointer(pointer) {
        return Err(format!("but `{pointer}` is no JSON pointer (plan error)"));
    }
    document
        .pointer(pointer)
        .ok_or_else(|| format!("but there is no {}", name(pointer)))
}

fn list_at<'a>(document: &'a Value, pointer: &str) -> Result<&'a Vec<Value>, String> {
    let seen = at(document, pointer).map_err(|why| format!("expected a list, {why}"))?;
    seen.as_array().ok_or_else(|| {
        let seen = show_value(seen);
        format!("{}: expected a list, saw {seen}", name(pointer))
    })
}

/// RFC 6901: empty, or starting with a slash, with `~` only in `~0` and `~1`. What the
/// library would quietly take for a missing value is a mistake in the plan.
fn is_pointer(pointer: &str) -> bool {
    let starts = pointer.is_empty() || pointer.starts_with('/');
    let escapes = pointer
        .split('~')
        .skip(1)
        .all(|after| after.starts_with(['0', '1']));
    starts && escapes
}

/// Whether an element is the wanted one: equal, or an object with at least these members.
fn matches(element: &Value, wanted: &Value) -> bool {
    match (element, wanted) {
        (Value::Object(members), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, value)| members.get(key) == Some(value)),
        _ => element == wanted,
    }
}

fn name(pointer: &str) -> &str {
    if pointer.is_empty() {
        "the document"
    } else {
        pointer
    }
}

fn show_list(list: &[Value]) -> String {
    if list.is_empty() {
        return "an empty list".to_string();
    }
    show(&serde_json::to_string(list).unwrap_or_default())
}

/// A JSON value on one line, shortened.
pub fn show_value(value: &Value) -> String {
    show(&value.to_string())
}

fn show(text: &str) -> String {
    if text.chars().count() <= MAX_SHOWN {
        return text.to_string();
    }
    let head: String = text.chars().take(MAX_SHOWN).collect();
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn equals(pointer: &str, value: Value) -> Clause {
        let pointer = pointer.to_string();
        Clause::Equals { pointer, value }
    }
    fn differs(pointer: &str, value: Value) -> Clause {
        let pointer = pointer.to_string();
        Clause::Differs { pointer, value }
    }
    fn contains(pointer: &str, value: Value) -> Clause {
        let pointer = pointer.to_string();
        Clause::Contains { pointer, value }
    }
    fn lacks(pointer: &str, value: Value) -> Clause {
        let pointer = pointer.to_string();
        Clause::Lacks { pointer, value }
    }

    fn reasons(pointer: &str, value: Value, word: &str) -> Clause {
        let (pointer, word) = (pointer.to_string(), word.to_string());
        Clause::Reasons {
            pointer,
            value,
            word,
        }
    }

    fn report() -> Value {
        json!({
            "runtime_state": "ENFORCE_SIGNAL",
            "audit_only": false,
            "enforce_blockers": ["BPF_LSM_DISABLED"],
            "hooks": [{"hook": "file_open", "tier": "signal", "fired": true}],
            "test_seams": [],
            "a/b": {"~": 1},
            "nothing": null,
            "unenforced": [
                {"rule": "a", "reason": "not readable (lockdown)"},
                {"rule": "b", "reason": "lockdown: not readable"},
                {"rule": "b", "reason": null},
                {"rule": "c", "reason": "the lockdowns"},
                {"rule": "d"}
            ]
        })
    }

    #[test]
    fn clauses_that_hold() {
        for clause in [
            equals("/runtime_state", json!("ENFORCE_SIGNAL")),
            equals("/a~1b/~0", json!(1)),
            equals("/hooks/0/fired", json!(true)),
            equals("/nothing", json!(null)),
            equals("", report()),
            differs("/runtime_state", json!("ENFORCE")),
            contains("/enforce_blockers", json!("BPF_LSM_DISABLED")),
            contains("/hooks", json!({"hook": "file_open", "fired": true})),
            lacks("/hooks", json!({"hook": "file_open", "tier": "lsm"})),
            lacks("/test_seams", json!("AEGIS_LSM_PATH")),
            reasons("/unenforced", json!({"rule": "a"}), "lockdown"),
        ] {
            let reasons = broken(std::slice::from_ref(&clause), &report());
            assert!(reasons.is_empty(), "{clause:?}: {reasons:?}");
        }
    }

    #[test]
    fn clauses_that_break_and_what_they_say() {
        for (clause, reason) in [
            (
                equals("/runtime_state", json!("ENFORCE")),
                r#"/runtime_state: expected "ENFORCE", saw "ENFORCE_SIGNAL""#,
            ),
            (
                equals("/audit_only", json!("false")),
                r#"/audit_only: expected "false", saw false"#,
            ),
            (
                equals("/audit", json!(null)),
                "expected null, but there is no /audit",
            ),
            (
                equals("/hooks/00/fired", json!(true)),
                "expected true, but there is no /hooks/00/fired",
            ),
            (
                equals("runtime_state", json!("ENFORCE_SIGNAL")),
                r#"expected "ENFORCE_SIGNAL", but `runtime_state` is no JSON pointer (plan error)"#,
            ),
            (
                equals("/a~2b", json!(1)),
                "expected 1, but `/a~2b` is no JSON pointer (plan error)",
            ),
            (
                differs("/runtime_state", json!("ENFORCE_SIGNAL")),
                r#"/runtime_state: must not be "ENFORCE_SIGNAL""#,
            ),
            (
                differs("/state", json!("ENFORCE")),
                r#"expected anything but "ENFORCE", but there is no /state"#,
            ),
            (
                contains("/enforce_blockers", json!("BTF_MISSING")),
                r#"/enforce_blockers: expected an element "BTF_MISSING", saw ["BPF_LSM_DISABLED"]"#,
            ),
            (
                contains("/test_seams", json!("AEGIS_LSM_PATH")),
                r#"/test_seams: expected an element "AEGIS_LSM_PATH", saw an empty list"#,
            ),
            (
                contains("/enforce_blockers", json!("BPF_LSM")),
                r#"/enforce_blockers: expected an element "BPF_LSM", saw ["BPF_LSM_DISABLED"]"#,
            ),
            (
                contains("/runtime_state", json!("ENFORCE_SIGNAL")),
                r#"/runtime_state: expected a list, saw "ENFORCE_SIGNAL""#,
            ),
            (
                lacks("/hooks", json!({"tier": "signal"})),
                r#"/hooks: expected no element {"tier":"signal"}, saw {"fired":true,"hook":"file_open","tier":"signal"}"#,
            ),
            (
                lacks("/seams", json!("AEGIS_LSM_PATH")),
                "expected a list, but there is no /seams",
            ),
            (
                lacks("/nothing", json!("x")),
                "/nothing: expected a list, saw null",
            ),
            (
                reasons("/unenforced", json!({"rule": "b"}), "lockdown"),
                r#"/unenforced: expected of each element {"rule":"b"} a reason with the word lockdown, saw {"reason":null,"rule":"b"}"#,
            ),
            (
                reasons("/unenforced", json!({"rule": "c"}), "lockdown"),
                r#"/unenforced: expected of each element {"rule":"c"} a reason with the word lockdown, saw {"reason":"the lockdowns","rule":"c"}"#,
            ),
            (
                reasons("/unenforced", json!({"rule": "d"}), "lockdown"),
                r#"/unenforced: expected of each element {"rule":"d"} a reason with the word lockdown, saw {"rule":"d"}"#,
            ),
            (
                reasons("/test_seams", json!({"rule": "a"}), "lockdown"),
                r#"/test_seams: expected an element {"rule":"a"}, saw an empty list"#,
            ),
            (
                reasons("/nothing", json!({"rule": "a"}), "lockdown"),
                "/nothing: expected a list, saw null",
            ),
        ] {
            assert_eq!(
                broken(std::slice::from_ref(&clause), &report()),
                [reason],
                "{clause:?}"
            );
        }
    }

    #[test]
    fn a_document_without_clauses_proves_nothing() {
        assert_eq!(broken(&[], &report()).len(), 1);
    }

    #[test]
    fn each_clause_is_reported_for_itself() {
        let clauses = [
            equals("/audit_only", json!(true)),
            equals("/runtime_state", json!("ENFORCE_SIGNAL")),
            lacks("/enforce_blockers", json!("BPF_LSM_DISABLED")),
        ];
        assert_eq!(broken(&clauses, &report()).len(), 2);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z~/]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-z~/]{0,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_pointer_on_any_document_is_answered(
            document in any_json(), pointer in "[/~a-z0-9]{0,8}", value in any_json(),
        ) {
            let same = broken(&[equals(&pointer, value.clone())], &document).is_empty();
            let other = broken(&[differs(&pointer, value.clone())], &document).is_empty();
            prop_assert!(!(same && other));
            let has = broken(&[contains(&pointer, value.clone())], &document).is_empty();
            let lacks = broken(&[lacks(&pointer, value)], &document).is_empty();
            prop_assert!(!(has && lacks));
        }

        #[test]
        fn every_member_is_found_by_its_escaped_key(
            map in proptest::collection::btree_map("[a-z~/]{0,3}", any_json(), 1..4),
        ) {
            let document = Value::Object(map.clone().into_iter().collect());
            for (key, value) in map {
                let pointer = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
                prop_assert!(broken(&[equals(&pointer, value)], &document).is_empty());
            }
        }
    }
}
