//! Layouts of types in a BTF, for tests that hold our own against them.

use std::collections::BTreeMap;

use super::raw::{COMMON, MEMBER, Raw, Type, kind, word};

/// The size of a struct, and where each of its members is, in bytes.
pub(in super::super) fn of_struct(btf: &[u8], name: &str) -> (usize, BTreeMap<String, usize>) {
    let (raw, found) = find(&btf, name, kind::STRUCT);
    let number = |at: usize| word(&found.bytes, at).unwrap();
    let member = |index: usize| {
        let member = COMMON + index * MEMBER;
        let offset = number(member + 8) as usize / 8;
        (text(&raw, number(member)), offset)
    };
    (number(8) as usize, (0..found.parts).map(member).collect())
}

/// The values of an enum.
pub(in super::super) fn of_enum(btf: &[u8], name: &str) -> BTreeMap<String, u32> {
    let (raw, found) = find(&btf, name, kind::ENUM);
    let number = |at: usize| word(&found.bytes, at).unwrap();
    let value = |index: usize| {
        let value = COMMON + index * 8;
        (text(&raw, number(value)), number(value + 4))
    };
    (0..found.parts).map(value).collect()
}

fn find<'a>(btf: &'a &[u8], name: &str, kind: u32) -> (Raw<'a>, Type) {
    let mut raw = Raw::open(btf, &[]).unwrap();
    for id in 1..u32::try_from(raw.starts.len()).unwrap() {
        let found = raw.type_of(id).unwrap();
        if found.kind == kind && text(&raw, word(&found.bytes, 0).unwrap()) == name {
            return (raw, found);
        }
    }
    panic!("the object has no type {name}")
}

/// The string at this offset.
fn text(raw: &Raw<'_>, offset: u32) -> String {
    String::from_utf8(raw.string(offset).unwrap().to_vec()).unwrap()
}
