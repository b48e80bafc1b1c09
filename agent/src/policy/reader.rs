//! Reads values of a TOML tree.
//!
//! In: tables. Out: the values in them, and a finding for each that isn't what it must be. What is
//! in a policy doesn't stand here: `document` and the modules of the classes read it with this.

use std::collections::HashMap;
use std::hash::Hash;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::MAX_RULES;
use super::findings::Findings;
use super::paths::{self, shown};
use crate::posture::Class;

/// Reads values, and notes what is wrong with them.
pub(super) struct Reader<'f, 'p> {
    pub(super) findings: &'f mut Findings<'p>,
}

impl Reader<'_, '_> {
    /// Takes the rules of a class out of their section: `read` gets each one's table, its id and
    /// where it begins. `ids` are those of all classes.
    pub(super) fn rules<Rule>(
        &mut self,
        sections: &mut DeTable<'_>,
        class: Class,
        keys: &[&str],
        ids: &mut HashMap<String, usize>,
        mut read: impl FnMut(&mut Self, &DeTable<'_>, String, usize) -> Option<Rule>,
    ) -> Vec<Rule> {
        let name = class.name();
        let Some(section) = sections.remove(name) else {
            return Vec::new();
        };
        let way_out = format!("write [[deny.{name}]], in double brackets, above each rule");
        if !section.get_ref().is_array() {
            let what = format!("deny.{name}");
            self.wrong_type(&what, &section, "a list of tables", &way_out);
        }
        let DeValue::Array(rules) = section.into_inner() else {
            return Vec::new();
        };
        self.count(&rules);
        let mut kept = Vec::new();
        for (index, rule) in rules.into_iter().enumerate() {
            let offset = rule.span().start;
            let DeValue::Table(table) = rule.get_ref() else {
                self.wrong_type(
                    &format!("a rule in deny.{name}"),
                    &rule,
                    "a table",
                    &way_out,
                );
                continue;
            };
            self.only(table, &format!("[[deny.{name}]]"), keys);
            let id = self.id(table, ids, &format!("{name}[{index}]"), offset);
            kept.extend(read(self, table, id, offset));
        }
        kept
    }

    /// One finding for all rules beyond the top.
    fn count(&mut self, rules: &DeArray<'_>) {
        if let Some(first) = rules.get(MAX_RULES) {
            self.findings.reject(
                first.span().start,
                format!("{} rules", rules.len()),
                &format!("a policy may have {MAX_RULES}, and this is the first beyond"),
                "name whole folders, with a final slash, in place of many files",
            );
        }
    }

    fn id(
        &mut self,
        table: &DeTable<'_>,
        seen: &mut HashMap<String, usize>,
        default: &str,
        rule: usize,
    ) -> String {
        let (id, offset) = match self.string(table, "id") {
            None => (default.to_owned(), rule),
            Some((id, offset)) => (id.to_owned(), offset),
        };
        if id.is_empty() || id.chars().any(char::is_control) {
            self.findings.reject(
                offset,
                format!("id {}", shown(&id)),
                "events and reports name a rule by its id",
                "give it printable characters, or leave it out",
            );
        }
        self.once(seen, id.clone(), "id", &id, offset, "change one of the two");
        id
    }

    /// Notes what is wrong with any path.
    pub(super) fn path(&mut self, kind: &str, value: &str, offset: usize) -> bool {
        let complaints = paths::complaints(value);
        for complaint in &complaints {
            let what = format!("{kind} {}", shown(value));
            let (why, way_out) = (complaint.why, complaint.way_out);
            self.findings.reject(offset, what, why, way_out);
        }
        complaints.is_empty()
    }

    /// Notes what stands in the policy a second time, in whatever spelling.
    pub(super) fn once<Key: Eq + Hash>(
        &mut self,
        seen: &mut HashMap<Key, usize>,
        key: Key,
        kind: &str,
        value: &str,
        offset: usize,
        way_out: &str,
    ) {
        if let Some(first) = seen.get(&key) {
            let line = self.findings.line(*first);
            self.findings.reject(
                offset,
                format!("{kind} {} a second time", shown(value)),
                &format!("line {line} has it already"),
                way_out,
            );
        } else {
            seen.insert(key, offset);
        }
    }

    /// Notes every key that isn't known.
    pub(super) fn only(&mut self, table: &DeTable<'_>, place: &str, known: &[&str]) {
        for key in table.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                self.findings.reject(
                    key.span().start,
                    format!("unknown key {}", shown(key.get_ref())),
                    "ignoring it could leave undone what it asks for",
                    &format!("remove it; {place} has {}", known.join(", ")),
                );
            }
        }
    }

    /// The string that a key has, with its offset; one of another type is noted.
    pub(super) fn string<'t>(
        &mut self,
        table: &'t DeTable<'_>,
        key: &str,
    ) -> Option<(&'t str, usize)> {
        let value = table.get(key)?;
        let DeValue::String(string) = value.get_ref() else {
            let way_out = format!("write {key} = \"…\"");
            self.wrong_type(key, value, "a string", &way_out);
            return None;
        };
        Some((string, value.span().start))
    }

    /// The strings of a list, with their offsets; anything else is noted.
    pub(super) fn strings<'t>(
        &mut self,
        tree: &'t DeTable<'_>,
        key: &str,
    ) -> Vec<(&'t str, usize)> {
        let Some(value) = tree.get(key) else {
            return Vec::new();
        };
        let way_out = format!("write {key} = [\"…\"]");
        let DeValue::Array(list) = value.get_ref() else {
            self.wrong_type(key, value, "a list of strings", &way_out);
            return Vec::new();
        };
        let mut strings = Vec::new();
        for element in list {
            match element.get_ref() {
                DeValue::String(string) => strings.push((string.as_ref(), element.span().start)),
                _ => {
                    let name = format!("an element of {key}");
                    self.wrong_type(&name, element, "a string", &way_out);
                }
            }
        }
        strings
    }

    /// Notes a value that is of another type than what it stands for.
    pub(super) fn wrong_type(
        &mut self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        takes: &str,
        way_out: &str,
    ) {
        let is = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.findings.reject(
            value.span().start,
            format!("{name} is {is}"),
            &format!("it takes {takes}"),
            way_out,
        );
    }
}
