//! The kernel's BTF, as far as our programs name it.
//!
//! In: `/sys/kernel/btf/vmlinux`, some 100,000 types. Out: a [`KernelBtf`]: the few types that
//! relocations need, as a BTF of their own, and the numbers of the functions to attach to.
//!
//! A library that parses all of it and then compares the name of each of our types with that
//! of every kernel type spends, on a slow machine, more time than all else in a start takes.
//! The format is that of Documentation/bpf/btf.rst.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context as _, Result, bail};
use aya::{Btf, Endianness};

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// The structs and unions of `bpf/vmlinux.h` whose fields are relocated.
const STRUCTS: [&str; 13] = [
    "bpf_iter__task_file",
    "bpf_iter_meta",
    "dentry",
    "file",
    "inode",
    "mm_struct",
    "mount",
    "path",
    "qstr",
    "shortname_store",
    "super_block",
    "task_struct",
    "vfsmount",
];

/// The function by which an iterator over descriptors attaches.
pub const ITERATOR: &str = "bpf_iter_task_file";

/// What our programs need of the kernel's BTF.
pub struct KernelBtf {
    /// The types that relocations need. Their numbers aren't the kernel's.
    pub types: Btf,
    functions: HashMap<String, u32>,
}

impl KernelBtf {
    /// Reads the running kernel's, with the numbers of these functions.
    ///
    /// # Errors
    /// It can't be read, or isn't BTF.
    pub fn read(functions: &[String]) -> Result<Self> {
        let raw = fs::read(VMLINUX).with_context(|| format!("failed to read {VMLINUX}"))?;
        Self::parse(&raw, functions).with_context(|| format!("failed to parse {VMLINUX}"))
    }

    /// The kernel's number of a function; `None` if it has no such function.
    pub fn function(&self, name: &str) -> Option<u32> {
        self.functions.get(name).copied()
    }

    fn parse(bytes: &[u8], functions: &[String]) -> Result<Self> {
        let functions = functions.iter().map(String::as_str).chain([ITERATOR]);
        let names: Vec<&str> = STRUCTS.into_iter().chain(functions).collect();
        let raw = Raw::open(bytes, &names)?;
        let functions = raw.named(kind::FUNC)?;
        let types = Btf::parse(&raw.reduce()?, Endianness::default())?;
        Ok(Self { types, functions })
    }
}

/// The function that an LSM program attaches to.
pub fn lsm_function(hook: &str) -> String {
    format!("bpf_lsm_{hook}")
}

/// Kinds of types, by their number in the format.
mod kind {
    pub const INT: u32 = 1;
    pub const PTR: u32 = 2;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const ENUM: u32 = 6;
    pub const FWD: u32 = 7;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const RESTRICT: u32 = 11;
    pub const FUNC: u32 = 12;
    pub const FUNC_PROTO: u32 = 13;
    pub const VAR: u32 = 14;
    pub const DATASEC: u32 = 15;
    pub const FLOAT: u32 = 16;
    pub const DECL_TAG: u32 = 17;
    pub const TYPE_TAG: u32 = 18;
    pub const ENUM64: u32 = 19;
}

const MAGIC: u16 = 0xeb9f;
/// Bytes of what every type begins with: name, info, size or type.
const COMMON: usize = 12;
/// Bytes of one member of a struct or union: name, type, offset.
const MEMBER: usize = 12;

/// A raw BTF, opened up.
struct Raw<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins. The type 0 is void and isn't there.
    starts: Vec<u32>,
    /// Structs, unions and functions with one of the wanted names.
    wanted: Vec<u32>,
}

impl<'a> Raw<'a> {
    fn open(bytes: &'a [u8], names: &[&str]) -> Result<Self> {
        let header_len = word(bytes, 4)? as usize;
        if bytes.get(..2) != Some(&MAGIC.to_ne_bytes()[..]) {
            bail!("it isn't BTF in this machine's byte order");
        }
        let section = |at: usize| {
            let start = header_len.checked_add(word(bytes, at)? as usize);
            let len = word(bytes, at + 4)? as usize;
            let range = start.and_then(|start| Some(start..start.checked_add(len)?));
            let section = range.and_then(|range| bytes.get(range));
            section.context("a section goes beyond the end")
        };
        let (types, strings) = (section(8)?, section(16)?);
        let names = Names::new(names);
        let (mut starts, mut wanted) = (vec![0], Vec::new());
        let mut at = 0;
        while at < types.len() {
            let kind = kind_at(types, at)?;
            if matches!(kind, kind::STRUCT | kind::UNION | kind::FUNC)
                && names.has(strings, word(types, at)?)
            {
                wanted.push(u32::try_from(starts.len())?);
            }
            starts.push(u32::try_from(at)?);
            at += size(types, at)?;
        }
        Ok(Self {
            types,
            strings,
            starts,
            wanted,
        })
    }

    fn start(&self, id: u32) -> Result<usize> {
        let start = self.starts.get(id as usize);
        Ok(*start.context("a type number beyond the last")? as usize)
    }

    /// The wanted types of a kind, by their names.
    fn named(&self, kind: u32) -> Result<HashMap<String, u32>> {
        let mut named = HashMap::new();
        for &id in &self.wanted {
            let at = self.start(id)?;
            if kind_at(self.types, at)? == kind {
                let name = self.strings.get(word(self.types, at)? as usize..);
                let name = name.and_then(|rest| rest.split(|byte| *byte == 0).next());
                let name = String::from_utf8_lossy(name.unwrap_or_default());
                named.insert(name.into_owned(), id);
            }
        }
        Ok(named)
    }

    /// A BTF of the wanted structs and unions, and of what they are made of, as far as a
    /// relocation can lead into it: anonymous structs and unions, and the types that are
    /// other names of types; not beyond a pointer, nor into a struct that isn't wanted.
    fn reduce(&self) -> Result<Vec<u8>> {
        // The kernel's number of each type, and ours.
        let mut numbers: HashMap<u32, u32> = HashMap::from([(0, 0)]);
        let mut kept: Vec<u32> = Vec::new();
        for &id in &self.wanted {
            if kind_at(self.types, self.start(id)?)? != kind::FUNC {
                kept.push(id);
                numbers.insert(id, u32::try_from(kept.len())?);
            }
        }
        let mut next = 0;
        while let Some(&id) = kept.get(next) {
            next += 1;
            for place in self.references(id)? {
                let inner = word(self.types, place)?;
                if numbers.contains_key(&inner) {
                    continue;
                }
                let at = self.start(inner)?;
                let named = word(self.types, at)? != 0;
                if named && matches!(kind_at(self.types, at)?, kind::STRUCT | kind::UNION) {
                    // Nothing of ours is called so: to us it is as good as void.
                    numbers.insert(inner, 0);
                } else {
                    kept.push(inner);
                    numbers.insert(inner, u32::try_from(kept.len())?);
                }
            }
        }
        let mut types = Vec::new();
        for &id in &kept {
            let at = self.start(id)?;
            let own = self.types.get(at..at + size(self.types, at)?);
            let mut own = own.context("a type goes beyond the end")?.to_vec();
            for place in self.references(id)? {
                let number = numbers[&word(self.types, place)?];
                own[place - at..][..4].copy_from_slice(&number.to_ne_bytes());
            }
            if kind_at(self.types, at)? == kind::PTR {
                // Where it points to wasn't looked at.
                own[8..12].fill(0);
            }
            types.extend_from_slice(&own);
        }
        assemble(&types, self.strings)
    }

    /// Where in the section a type refers to the types that it is made of.
    fn references(&self, id: u32) -> Result<Vec<usize>> {
        let at = self.start(id)?;
        let parts = (word(self.types, at + 4)? & 0xffff) as usize;
        Ok(match kind_at(self.types, at)? {
            kind::STRUCT | kind::UNION => (0..parts)
                .map(|part| at + COMMON + part * MEMBER + 4)
                .collect(),
            kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                vec![at + 8]
            }
            kind::ARRAY => vec![at + COMMON, at + COMMON + 4],
            _ => Vec::new(),
        })
    }
}

/// Names to look for. Most of what isn't one of them differs in the first bytes.
struct Names<'a> {
    names: Vec<&'a str>,
    beginnings: Vec<[u8; 4]>,
}

impl<'a> Names<'a> {
    fn new(names: &[&'a str]) -> Self {
        let mut beginnings: Vec<[u8; 4]> = names
            .iter()
            .map(|name| {
                let mut bytes = name.bytes().chain([0; 4]);
                [(); 4].map(|()| bytes.next().unwrap_or(0))
            })
            .collect();
        beginnings.sort_unstable();
        beginnings.dedup();
        let names = names.to_vec();
        Self { names, beginnings }
    }

    /// Whether one of them stands there.
    fn has(&self, strings: &[u8], at: u32) -> bool {
        let Some(rest) = strings.get(at as usize..) else {
            return false;
        };
        let Some(beginning) = rest.first_chunk::<4>() else {
            return false;
        };
        // No name has fewer than four bytes, so none is cut off by this.
        self.beginnings.binary_search(beginning).is_ok()
            && self.names.iter().any(|name| {
                let end = rest.strip_prefix(name.as_bytes());
                end.is_some_and(|end| end.first() == Some(&0))
            })
    }
}

/// A BTF of these sections.
fn assemble(types: &[u8], strings: &[u8]) -> Result<Vec<u8>> {
    let (types_len, strings_len) = (u32::try_from(types.len())?, u32::try_from(strings.len())?);
    let mut bytes = Vec::with_capacity(24 + types.len() + strings.len());
    bytes.extend_from_slice(&MAGIC.to_ne_bytes());
    // Version and flags.
    bytes.extend_from_slice(&[1, 0]);
    for field in [24, 0, types_len, types_len, strings_len] {
        bytes.extend_from_slice(&field.to_ne_bytes());
    }
    bytes.extend_from_slice(types);
    bytes.extend_from_slice(strings);
    Ok(bytes)
}

fn kind_at(types: &[u8], at: usize) -> Result<u32> {
    Ok(word(types, at + 4)? >> 24 & 0x1f)
}

/// Bytes of the type that begins here.
fn size(types: &[u8], at: usize) -> Result<usize> {
    let info = word(types, at + 4)?;
    let parts = (info & 0xffff) as usize;
    let own = match kind_at(types, at)? {
        kind::INT | kind::VAR | kind::DECL_TAG => 4,
        kind::ARRAY => 12,
        kind::STRUCT | kind::UNION => parts * MEMBER,
        kind::ENUM | kind::FUNC_PROTO => parts * 8,
        kind::DATASEC | kind::ENUM64 => parts * 12,
        kind::PTR
        | kind::FWD
        | kind::TYPEDEF
        | kind::VOLATILE
        | kind::CONST
        | kind::RESTRICT
        | kind::FUNC
        | kind::FLOAT
        | kind::TYPE_TAG => 0,
        unknown => bail!("a type of the kind {unknown}, which this agent doesn't know"),
    };
    Ok(COMMON + own)
}

fn word(bytes: &[u8], at: usize) -> Result<u32> {
    let word = at.checked_add(4).and_then(|end| bytes.get(at..end));
    let word = word.and_then(|word| word.try_into().ok());
    Ok(u32::from_ne_bytes(word.context("it ends too early")?))
}

/// Layouts of types in a BTF, for tests that hold our own against them.
#[cfg(test)]
pub(super) mod layout {
    use std::collections::BTreeMap;

    use super::*;

    /// The size of a struct, and where each of its members is, in bytes.
    pub(in super::super) fn of_struct(btf: &[u8], name: &str) -> (usize, BTreeMap<String, usize>) {
        let (raw, at) = find(btf, name, kind::STRUCT);
        let count = (word(raw.types, at + 4).unwrap() & 0xffff) as usize;
        let member = |index: usize| {
            let member = at + COMMON + index * MEMBER;
            let offset = word(raw.types, member + 8).unwrap() as usize / 8;
            (text(&raw, word(raw.types, member).unwrap()), offset)
        };
        let size = word(raw.types, at + 8).unwrap() as usize;
        (size, (0..count).map(member).collect())
    }

    /// The values of an enum.
    pub(in super::super) fn of_enum(btf: &[u8], name: &str) -> BTreeMap<String, u32> {
        let (raw, at) = find(btf, name, kind::ENUM);
        let count = (word(raw.types, at + 4).unwrap() & 0xffff) as usize;
        let value = |index: usize| {
            let value = at + COMMON + index * 8;
            let name = text(&raw, word(raw.types, value).unwrap());
            (name, word(raw.types, value + 4).unwrap())
        };
        (0..count).map(value).collect()
    }

    fn find<'a>(btf: &'a [u8], name: &str, kind: u32) -> (Raw<'a>, usize) {
        let raw = Raw::open(btf, &[]).unwrap();
        let mut types = raw.starts[1..].iter().map(|at| *at as usize);
        let is_it = |at: &usize| {
            kind_at(raw.types, *at).unwrap() == kind
                && text(&raw, word(raw.types, *at).unwrap()) == name
        };
        let at = types
            .find(is_it)
            .unwrap_or_else(|| panic!("the object has no type {name}"));
        (raw, at)
    }

    fn text(raw: &Raw<'_>, at: u32) -> String {
        let bytes = &raw.strings[at as usize..];
        let end = bytes.iter().position(|byte| *byte == 0).unwrap();
        String::from_utf8(bytes[..end].to_vec()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use aya_obj::Object;
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::loader::OBJECT;

    /// The object's own BTF, in the kernel's place: it has every type that is relocated.
    fn sample() -> Vec<u8> {
        Object::parse(OBJECT).unwrap().btf.unwrap().to_bytes()
    }

    fn relocated(btf: &Btf) -> Vec<Vec<u64>> {
        let mut object = Object::parse(OBJECT).unwrap();
        object.relocate_btf(btf).unwrap();
        let code = |function: &aya_obj::Function| {
            let bits = |instruction: &aya_obj::generated::bpf_insn| {
                (u64::from(instruction.code) << 48)
                    | (u64::from(instruction.off.cast_unsigned()) << 32)
                    | u64::from(instruction.imm.cast_unsigned())
            };
            function.instructions.iter().map(bits).collect()
        };
        object.functions.values().map(code).collect()
    }

    #[test]
    fn programs_are_fitted_to_the_reduced_kernel_as_to_the_whole_one() {
        let whole = sample();
        let reduced = KernelBtf::parse(&whole, &[]).unwrap().types;
        assert!(reduced.to_bytes().len() < whole.len());
        let whole = Btf::parse(&whole, Endianness::default()).unwrap();
        assert!(relocated(&reduced) == relocated(&whole));
    }

    #[test]
    fn functions_have_the_kernel_s_numbers() {
        let whole = sample();
        let names = ["lsm_file_open", "modret_inode_link"];
        let found = Raw::open(&whole, &names)
            .unwrap()
            .named(kind::FUNC)
            .unwrap();
        let whole = Btf::parse(&whole, Endianness::default()).unwrap();
        for name in names {
            let number = whole.id_by_type_name_kind(name, aya_obj::btf::BtfKind::Func);
            assert_eq!(found[name], number.unwrap());
        }
        assert_eq!(found.len(), names.len());
    }

    #[test]
    fn no_name_is_too_short_for_its_beginning() {
        assert!(STRUCTS.iter().all(|name| name.len() >= 4));
    }

    #[test]
    fn every_relocated_struct_is_needed() {
        let header = include_str!("../../../bpf/vmlinux.h");
        let (_, relocated) = header.split_once("#pragma clang attribute push").unwrap();
        let (relocated, _) = relocated.split_once("#pragma clang attribute pop").unwrap();
        let name = |line: &'static str| {
            let line = line
                .strip_prefix("struct ")
                .or(line.strip_prefix("union "))?;
            line.strip_suffix(" {")
        };
        let mut structs: Vec<&str> = relocated.lines().filter_map(name).collect();
        structs.sort_unstable();
        assert_eq!(structs, STRUCTS);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, at in 0_usize..4096, byte: u8) {
            let _ = KernelBtf::parse(&bytes, &[]);
            let mut broken = sample();
            let at = at % broken.len();
            broken[at] = byte;
            let _ = KernelBtf::parse(&broken, &[]);
            broken.truncate(at);
            let _ = KernelBtf::parse(&broken, &[]);
        }
    }
}
