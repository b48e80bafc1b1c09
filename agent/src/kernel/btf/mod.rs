//! The kernel's BTF, as far as our programs name it.
//!
//! In: `/sys/kernel/btf/vmlinux`, some 100,000 types in 5 MB. Out: a [`KernelBtf`]: the few types
//! that relocations need, as a BTF of their own, and the numbers of the functions to attach to.
//!
//! A library that parses all of it and then compares the name of each of our types with that
//! of every kernel type spends, on a slow machine, more time than all else in a start takes, and
//! more memory than all else in the agent. So the file is read in pieces, the strings once and then
//! the types. The format is that of Documentation/bpf/btf.rst.

#[cfg(test)]
pub(super) mod layout;
mod raw;

use std::collections::HashMap;
use std::fs::File;

use anyhow::{Context as _, Result};
use aya::{Btf, Endianness};

use raw::{Raw, Source, kind};

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// The structs and unions of `bpf/vmlinux.h` whose fields are relocated.
const STRUCTS: [&str; 21] = [
    "bpf_array",
    "bpf_iter__bpf_map",
    "bpf_iter__task_file",
    "bpf_iter_meta",
    "bpf_map",
    "cgroup",
    "cred",
    "dentry",
    "file",
    "hlist_head",
    "hlist_node",
    "inode",
    "kernfs_node",
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

/// The function by which an iterator over maps attaches.
pub const MAP_ITERATOR: &str = "bpf_iter_bpf_map";

/// The function that casts an address to a pointer, in kernels from 6.2 on.
pub const RDONLY_CAST: &str = "bpf_rdonly_cast";

/// What our programs need of the kernel's BTF.
pub struct KernelBtf {
    /// The types that relocations need. Their numbers aren't the kernel's.
    pub types: Btf,
    functions: HashMap<String, u32>,
    structs: HashMap<String, u32>,
    /// Of the functions that have one.
    dentry_arguments: HashMap<String, u32>,
}

impl KernelBtf {
    /// Reads the running kernel's, with the numbers of these functions.
    ///
    /// # Errors
    /// It can't be read, or isn't BTF.
    pub fn read(functions: &[String]) -> Result<Self> {
        let file = File::open(VMLINUX).with_context(|| format!("failed to read {VMLINUX}"))?;
        Self::parse(&file, functions).with_context(|| format!("failed to parse {VMLINUX}"))
    }

    /// The kernel's number of a function; `None` if it has no such function.
    pub fn function(&self, name: &str) -> Option<u32> {
        self.functions.get(name).copied()
    }

    /// The kernel's number of one of our structs; `None` if it has no such struct.
    pub fn structure(&self, name: &str) -> Option<u32> {
        self.structs.get(name).copied()
    }

    /// Which argument of a function is the first that points to a dentry, from 0; `None` if it has no
    /// such argument, or there is no such function.
    pub fn dentry_argument(&self, function: &str) -> Option<u32> {
        self.dentry_arguments.get(function).copied()
    }

    fn parse(source: &dyn Source, functions: &[String]) -> Result<Self> {
        let functions = functions.iter().map(String::as_str);
        let functions = functions.chain([ITERATOR, MAP_ITERATOR, RDONLY_CAST]);
        let names: Vec<&str> = STRUCTS.into_iter().chain(functions).collect();
        let mut raw = Raw::open(source, &names)?;
        let wanted = std::mem::take(&mut raw.wanted);
        let (functions, structs): (Vec<_>, Vec<_>) = wanted
            .into_iter()
            .partition(|wanted| wanted.kind == kind::FUNC);
        let ids: Vec<u32> = structs.iter().map(|wanted| wanted.id).collect();
        let dentry = structs.iter().find(|wanted| wanted.name == "dentry");
        let mut dentry_arguments = HashMap::new();
        for function in &functions {
            if let Some(dentry) = dentry
                && let Some(place) = raw.pointer_argument(function.id, dentry.id)?
            {
                dentry_arguments.insert(function.name.clone(), place);
            }
        }
        let types = Btf::parse(&raw.reduce(&ids)?, Endianness::default())?;
        let numbers = |wanted: Vec<raw::Wanted>| {
            let numbers = wanted.into_iter().map(|wanted| (wanted.name, wanted.id));
            numbers.collect()
        };
        Ok(Self {
            types,
            functions: numbers(functions),
            structs: numbers(structs),
            dentry_arguments,
        })
    }
}

/// The function that an LSM program attaches to.
pub fn lsm_function(hook: &str) -> String {
    format!("bpf_lsm_{hook}")
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
        let reduced = KernelBtf::parse(&&whole[..], &[]).unwrap().types;
        assert!(reduced.to_bytes().len() < whole.len());
        let whole = Btf::parse(&whole, Endianness::default()).unwrap();
        assert!(relocated(&reduced) == relocated(&whole));
    }

    #[test]
    fn functions_have_the_kernel_s_numbers() {
        let whole = sample();
        let names = ["lsm_file_open", "modret_inode_link"].map(str::to_owned);
        let found = KernelBtf::parse(&&whole[..], &names).unwrap();
        let whole = Btf::parse(&whole, Endianness::default()).unwrap();
        for name in names {
            let number = whole.id_by_type_name_kind(&name, aya_obj::btf::BtfKind::Func);
            assert_eq!(found.function(&name), Some(number.unwrap()));
        }
        assert_eq!(found.functions.len(), 2);
    }

    #[test]
    fn a_function_s_dentry_is_found_among_its_arguments() {
        // Helpers of `bpf/`, which have a dentry as first, as second and as no argument.
        let names = ["ask_upwards", "judge_closely"].map(str::to_owned);
        let found = KernelBtf::parse(&&sample()[..], &names).unwrap();
        assert_eq!(found.dentry_argument("ask_upwards"), Some(0));
        assert_eq!(found.dentry_argument("judge_closely"), None);
    }

    #[test]
    fn no_name_is_too_short_for_its_beginning() {
        assert!(STRUCTS.iter().all(|name| name.len() >= 4));
    }

    #[test]
    fn every_relocated_struct_is_needed() {
        let header = include_str!("../../../../bpf/vmlinux.h");
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
            let _ = KernelBtf::parse(&&bytes[..], &[]);
            let mut broken = sample();
            let at = at % broken.len();
            broken[at] = byte;
            let _ = KernelBtf::parse(&&broken[..], &[]);
            broken.truncate(at);
            let _ = KernelBtf::parse(&&broken[..], &[]);
        }
    }
}
