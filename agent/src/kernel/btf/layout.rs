//! Layouts of types in a BTF, for tests that hold our own against them.

use std::collections::BTreeMap;

use super::raw::{COMMON, MEMBER, Raw, kind};

/// The size of a struct, and where each of its members is, in bytes.
pub(in super::super) fn of_struct(btf: &[u8], name: &str) -> (usize, BTreeMap<String, usize>) {
    let (mut raw, at) = find(&btf, name, kind::STRUCT);
    let mut member = |index: usize| {
        let member = at + COMMON + index * MEMBER;
        let offset = raw.window.word(member + 8).unwrap() as usize / 8;
        (text(&mut raw, member), offset)
    };
    let count = find(&btf, name, kind::STRUCT).0.parts(at).unwrap();
    let members = (0..count).map(&mut member).collect();
    (raw.window.word(at + 8).unwrap() as usize, members)
}

/// The values of an enum.
pub(in super::super) fn of_enum(btf: &[u8], name: &str) -> BTreeMap<String, u32> {
    let (mut raw, at) = find(&btf, name, kind::ENUM);
    let count = raw.parts(at).unwrap();
    let value = |index: usize| {
        let value = at + COMMON + index * 8;
        (text(&mut raw, value), raw.window.word(value + 4).unwrap())
    };
    (0..count).map(value).collect()
}

fn find<'a>(btf: &'a &[u8], name: &str, kind: u32) -> (Raw<'a>, usize) {
    let mut raw = Raw::open(btf, &[]).unwrap();
    for id in 1..u32::try_from(raw.starts.len()).unwrap() {
        let at = raw.start(id).unwrap();
        if raw.kind(at).unwrap() == kind && text(&mut raw, at) == name {
            return (raw, at);
        }
    }
    panic!("the object has no type {name}")
}

/// The name that is referred to here.
fn text(raw: &mut Raw<'_>, at: usize) -> String {
    let name = raw.window.word(at).unwrap();
    String::from_utf8(raw.string(name).unwrap()).unwrap()
}
