//! The edge to the kernel's program loader: one program at a time, so that one rejection
//! doesn't sink the rest.
//!
//! In: the BPF object, the kernel's BTF, names of programs with what each attaches to. Out:
//! attached programs, or the kernel's reason in words. Dropping [`Programs`] detaches all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::process;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use aya::include_bytes_aligned;
use aya::maps::{Map, MapData};
use aya_obj::Object;
use aya_obj::btf::BtfFeatures;
use aya_obj::generated::{BPF_CALL, BPF_F_MMAPABLE, BPF_JMP, BPF_PSEUDO_KFUNC_CALL, bpf_map_type};

use super::abi::{PLACE_OF_RDONLY_CAST, PLACES_OF_STRUCTS, RawExempted};
use super::btf::{ITERATOR, KernelBtf, MAP_ITERATOR, RDONLY_CAST, lsm_function};
use super::filter;
use super::identity::{self, Identify, Identity, Pins, Watch};
use super::memlock;
use super::occupants;
use super::readback::Exempted;
use super::refusal::Refusal;
use crate::kernel::bpf_call::{self, Program, Rejection, Target};

/// The programs and maps, compiled from `bpf/`.
pub static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/aegisbpf.bpf.o"));

/// SHA-256 of the embedded BPF object.
pub const OBJECT_SHA256: &str = env!("AEGISBPF_OBJECT_SHA256");

/// The object that is loaded.
pub fn object() -> &'static [u8] {
    OBJECT
}

/// How a program attaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// To this LSM hook.
    Lsm(&'static str),
    /// To this function of the kernel, whose return value it replaces.
    ModifyReturn(&'static str),
    /// To the entry of this function of the kernel.
    Kprobe(&'static str),
    /// To this tracepoint of the category `syscalls`.
    SyscallTracepoint(&'static str),
}

impl Attach {
    /// The function that must be known by its number in the kernel's BTF.
    pub fn function(self) -> Option<String> {
        match self {
            Self::Lsm(hook) => Some(lsm_function(hook)),
            Self::ModifyReturn(function) => Some(function.to_owned()),
            Self::Kprobe(_) | Self::SyscallTracepoint(_) => None,
        }
    }
}

/// The constants that say which argument of these functions is the dentry, since kernels differ in it.
const DENTRY_ARGUMENTS: [(&str, &str); 6] = [
    ("lsm_setattr_dentry", "bpf_lsm_inode_setattr"),
    ("lsm_setxattr_dentry", "bpf_lsm_inode_setxattr"),
    ("lsm_removexattr_dentry", "bpf_lsm_inode_removexattr"),
    ("modret_setattr_dentry", "security_inode_setattr"),
    ("modret_setxattr_dentry", "security_inode_setxattr"),
    ("modret_removexattr_dentry", "security_inode_removexattr"),
];

/// What is fitted to the policy before maps and programs are made.
#[derive(Debug, Default, Clone)]
pub struct Fit {
    /// How many entries each of these maps has. The others are as the object declares them.
    pub entries: BTreeMap<&'static str, usize>,
    /// How many bytes an entry of each of these maps has.
    pub value_sizes: BTreeMap<&'static str, usize>,
    /// The constants of the programs.
    pub constants: BTreeMap<&'static str, u32>,
}

/// Where the time went.
#[derive(Debug, Default, Clone, Copy)]
pub struct Spent {
    /// On `BPF_PROG_LOAD`.
    pub load: Duration,
    /// On attaching.
    pub attach: Duration,
    /// On detaching, which waits until no task is within the program any more.
    pub detach: Duration,
}

/// The programs, with their maps created and none loaded yet.
pub struct Programs {
    object: Object,
    btf: KernelBtf,
    /// The object's own BTF.
    types: OwnedFd,
    /// The code names them by descriptor until the kernel has taken it.
    _maps: HashMap<String, OwnedFd>,
    attached: HashMap<&'static str, Attached>,
    /// Made when first asked for.
    iterator: Option<Attached>,
    /// The same.
    map_iterator: Option<Attached>,
    /// Of what is identified for good.
    pins: Pins,
    /// Of what is kept until it is released.
    kept: Pins,
    memory_readable: bool,
    spent: Spent,
}

/// A program and its link, which detaches when it is closed.
struct Attached {
    link: OwnedFd,
    program: OwnedFd,
}

/// The object's maps by name.
pub type Maps = HashMap<String, Map>;

impl Programs {
    /// Creates the maps and fits the programs to this kernel.
    ///
    /// # Errors
    /// The object can't be fitted to this kernel, or the kernel refuses maps.
    pub fn open(object: &[u8], btf: KernelBtf, fit: &Fit) -> Result<(Self, Maps)> {
        memlock::raise();
        let mut object = Object::parse(object)?;
        object.relocate_btf(&btf.types)?;
        let memory_readable = reads_memory(&object, &btf);
        put_numbers(&mut object, &btf);
        let can_cast = can_cast(&object, &btf);
        let mut constants = fit.constants.clone();
        constants.insert("agent_tgid", process::id());
        constants.insert("memory_readable", u32::from(memory_readable));
        constants.insert("can_cast", u32::from(can_cast));
        for (constant, function) in DENTRY_ARGUMENTS {
            // Where there is none, no program is attached to it.
            let place = btf.dentry_argument(function).unwrap_or_default();
            constants.insert(constant, place);
        }
        let constants: Vec<(&str, [u8; 4])> = constants
            .into_iter()
            .map(|(name, value)| (name, value.to_ne_bytes()))
            .collect();
        let constants = constants
            .iter()
            .map(|(name, value)| (*name, (&value[..], true)));
        object.patch_map_data(constants.collect())?;
        let mut declared = std::mem::take(&mut object.maps);
        let (mut created, mut duplicates) = (HashMap::new(), HashMap::new());
        for (name, map) in &mut declared {
            if name == filter::MAP {
                // As large as a filter can be, and zeros, as the kernel's are. That there is any
                // byte tells aya-obj that the code has the address of the value itself.
                map.data_mut().truncate(1);
            }
            if let Some(&size) = fit.value_sizes.get(name.as_str()) {
                map.set_value_size(u32::try_from(size).unwrap_or(u32::MAX));
            }
            if let Some(&entries) = fit.entries.get(name.as_str()) {
                // A map of size 0 is invalid, and the kernel refuses an absurd size by itself.
                map.set_max_entries(u32::try_from(entries.max(1)).unwrap_or(u32::MAX));
            }
            let map = create(name, map.clone())?;
            duplicates.insert(name.clone(), data(&map).fd().as_fd().try_clone_to_owned()?);
            created.insert(name.clone(), map);
        }
        let fds = declared
            .iter()
            .map(|(name, map)| (name.as_str(), duplicates[name].as_raw_fd(), map));
        let text_sections = object
            .functions
            .keys()
            .map(|(section, _)| *section)
            .collect();
        object.relocate_maps(fds, &text_sections)?;
        object.relocate_calls(&text_sections)?;
        let types = object.fixup_and_sanitize_btf(&btf_features())?;
        let types = types.context("the BPF object has no BTF")?.to_bytes();
        let types = bpf_call::types(&types).context("the kernel refused the BPF object's BTF")?;
        let programs = Self {
            object,
            btf,
            types,
            _maps: duplicates,
            attached: HashMap::new(),
            iterator: None,
            map_iterator: None,
            pins: Pins::new()?,
            kept: Pins::new()?,
            memory_readable,
            spent: Spent::default(),
        };
        Ok((programs, created))
    }

    /// Whether programs may read any of the kernel's memory, which lockdown forbids.
    pub fn memory_readable(&self) -> bool {
        self.memory_readable
    }

    /// Whether the kernel has what a program attaches to, as far as its BTF tells.
    pub fn has(&self, attach: Attach) -> bool {
        let function = attach.function();
        function.is_none_or(|function| self.btf.function(&function).is_some())
    }

    /// Where the time went.
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// Loads and attaches a program.
    ///
    /// # Errors
    /// The kernel refused it.
    pub fn attach(&mut self, program: &'static str, attach: Attach) -> Result<(), Refusal> {
        let number = |name: &str| {
            let number = self.btf.function(name);
            let absent = || format!("the kernel's BTF has no function {name} to attach to");
            number.ok_or_else(|| Refusal::Absent(absent()))
        };
        let target = match (attach, attach.function()) {
            (Attach::Lsm(_), Some(function)) => Target::Lsm(number(&function)?),
            (_, Some(function)) => Target::ModifyReturn(number(&function)?),
            (Attach::Kprobe(name), None) => Target::Kprobe(name),
            (Attach::SyscallTracepoint(name), None) => Target::Tracepoint("syscalls", name),
            (Attach::Lsm(name) | Attach::ModifyReturn(name), None) => {
                return Err(Refusal::Absent(format!("{name} has no function")));
            }
        };
        let attached = self.load_and_link(program, target)?;
        self.attached.insert(program, attached);
        Ok(())
    }

    /// Detaches and unloads a program; nothing happens if it isn't attached.
    pub fn detach(&mut self, program: &str) {
        let started = Instant::now();
        self.attached.remove(program);
        self.spent.detach += started.elapsed();
    }

    /// Whether a program is attached.
    pub fn is_attached(&self, program: &str) -> bool {
        self.attached.contains_key(program)
    }

    /// How often the kernel skipped each of these programs that is attached.
    ///
    /// # Errors
    /// The kernel's.
    pub fn recursion_misses<'a>(
        &self,
        programs: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<u64>> {
        let attached = programs.filter_map(|program| self.attached.get(program));
        let counts = attached.map(|attached| bpf_call::recursion_misses(&attached.program));
        let counts: io::Result<Vec<u64>> = counts.collect();
        counts.context("failed to ask how often a program was skipped")
    }

    /// Which indexes of the exempt cgroups hold one, and which.
    ///
    /// # Errors
    /// The kernel's.
    pub fn exempted(&mut self) -> Result<Vec<Exempted>> {
        if self.map_iterator.is_none() {
            let number = self.btf.function(MAP_ITERATOR);
            let number = number.context("the kernel has no iterator over maps")?;
            let attached = self.load_and_link("exempted", Target::Iterator(number));
            self.map_iterator = Some(attached?);
        }
        let iterator = self.map_iterator.as_ref().context("no iterator")?;
        let records = bpf_call::iterate(&iterator.link);
        let records = records.context("failed to read which cgroups are exempt")?;
        let records = records.chunks_exact(size_of::<RawExempted>());
        let exempted = records.map(RawExempted::read).map(|raw| Exempted {
            index: raw.index,
            cgroup: (raw.cgroup != 0).then_some(raw.cgroup),
        });
        Ok(exempted.collect())
    }

    fn load_and_link(&mut self, name: &str, target: Target) -> Result<Attached, Refusal> {
        let started = Instant::now();
        let program = program(&self.object, name, target, Some(&self.types));
        let program = program.map_err(Refusal::Absent)?;
        let program = program.load();
        self.spent.load += started.elapsed();
        let program = program.map_err(|Rejection { error, log }| Refusal::Load { error, log })?;
        let started = Instant::now();
        let link = bpf_call::link(&program, target);
        self.spent.attach += started.elapsed();
        let link = link.map_err(|unlinked| {
            let others = |function| occupants::of(function, &program);
            Refusal::unlinked(unlinked, target, others)
        })?;
        Ok(Attached { link, program })
    }
}

/// A program of the object, for this target.
fn program<'a>(
    object: &'a Object,
    name: &'a str,
    target: Target<'a>,
    types: Option<&'a OwnedFd>,
) -> Result<Program<'a>, String> {
    let program = object.programs.get(name);
    let code = program.and_then(|program| object.functions.get(&program.function_key()));
    let (Some(program), Some(code)) = (program, code) else {
        return Err(format!("the BPF object has no program {name}"));
    };
    let functions = match types {
        Some(_) => &code.func_info.func_info[..],
        None => &[],
    };
    Ok(Program {
        name,
        instructions: &code.instructions,
        license: &program.license,
        target,
        types,
        functions,
    })
}

/// Whether the kernel takes a program that reads its memory. Under lockdown=confidentiality the
/// verifier knows no such helper; any other refusal meets every program and speaks for itself.
fn reads_memory(object: &Object, btf: &KernelBtf) -> bool {
    let Some(number) = btf.function(ITERATOR) else {
        return true;
    };
    let loaded = program(object, "reads_memory", Target::Iterator(number), None);
    match loaded.map(|program| program.load()) {
        Ok(Err(rejection)) => rejection.error.raw_os_error() != Some(libc::EINVAL),
        Ok(Ok(_)) | Err(_) => true,
    }
}

/// Puts the kernel's own numbers into the code where placeholders stand for them. Where the kernel has
/// none, the constant `can_cast` keeps the verifier from that code.
fn put_numbers(object: &mut Object, btf: &KernelBtf) {
    let structs = PLACES_OF_STRUCTS.map(|(place, name)| (place, btf.structure(name)));
    let function = (PLACE_OF_RDONLY_CAST, btf.function(RDONLY_CAST));
    let numbers: HashMap<i32, Option<u32>> = structs.into_iter().chain([function]).collect();
    let functions = object.functions.values_mut();
    for instruction in functions.flat_map(|function| &mut function.instructions) {
        let number = numbers.get(&instruction.imm).copied().flatten();
        let Some(number) = number.and_then(|number| i32::try_from(number).ok()) else {
            continue;
        };
        instruction.imm = number;
        if u32::from(instruction.code) == BPF_JMP | BPF_CALL {
            instruction.set_src_reg(BPF_PSEUDO_KFUNC_CALL as u8);
        }
    }
}

/// Whether the kernel takes a program that casts an address to a pointer.
fn can_cast(object: &Object, btf: &KernelBtf) -> bool {
    let (Some(number), Some(_)) = (btf.function(ITERATOR), btf.function(RDONLY_CAST)) else {
        return false;
    };
    let loaded = program(object, "casts_address", Target::Iterator(number), None);
    loaded.is_ok_and(|program| program.load().is_ok())
}

impl Identify for Programs {
    fn identify(&mut self, files: &[&File]) -> Result<Vec<Identity>> {
        if self.iterator.is_none() {
            let number = self.btf.function(ITERATOR);
            let number = number.context("the kernel has no iterator over descriptors")?;
            let attached = self.load_and_link("identify", Target::Iterator(number));
            self.iterator = Some(attached?);
        }
        // All of the files are open by now, so none of their inodes takes the place of another from here
        // on.
        self.kept.drop_ended();
        let iterator = self.iterator.as_ref().context("no iterator")?;
        let records = bpf_call::iterate(&iterator.link);
        let records = records.context("failed to read the iterator over descriptors")?;
        identity::of(&records, files)
    }

    fn identify_for_good(&mut self, files: &[&File]) -> Result<Vec<Identity>> {
        let mut identities = self.identify(files)?;
        for (file, identity) in files.iter().zip(&mut identities) {
            if identity.inode.address != 0 {
                identity.kept = Some(self.pins.pin(file)?);
            }
        }
        Ok(identities)
    }

    fn keep(&mut self, file: &File) -> Result<Watch> {
        self.kept.pin(file)
    }

    fn keep_if_room(&mut self, file: &File) -> Option<Watch> {
        self.kept.pin_if_room(file)
    }

    fn exists(&self, kept: Watch) -> bool {
        self.kept.exists(kept)
    }

    fn release_all_but(&mut self, needed: &BTreeSet<Watch>) {
        self.kept.keep_only(needed);
    }
}

/// The kinds of BTF types that every kernel from 5.10 on knows; the others are left out.
fn btf_features() -> BtfFeatures {
    let (func, func_global, datasec, datasec_zero) = (true, true, true, false);
    let (float, decl_tag, type_tag, enum64) = (false, false, false, false);
    BtfFeatures::new(
        func,
        func_global,
        datasec,
        datasec_zero,
        float,
        decl_tag,
        type_tag,
        enum64,
    )
}

fn create(name: &str, mut map: aya_obj::Map) -> Result<Map> {
    match &mut map {
        aya_obj::Map::Btf(map) => {
            // Only tools would read the types of keys and values, for which the kernel would have
            // to be given the object's own BTF.
            map.def.btf_key_type_id = 0;
            map.def.btf_value_type_id = 0;
        }
        aya_obj::Map::Legacy(map) if name == filter::MAP => map.def.map_flags = BPF_F_MMAPABLE,
        aya_obj::Map::Legacy(_) => {}
    }
    let kind = map.map_type();
    let constants = (name == ".rodata").then(|| map.data().to_vec());
    let data = MapData::create(map, name, None)?;
    if let Some(constants) = constants {
        let fd = data.fd().as_fd().try_clone_to_owned()?;
        bpf_call::fill_and_freeze(&fd, &constants).context("failed to set the constants")?;
    }
    const ARRAY: u32 = bpf_map_type::BPF_MAP_TYPE_ARRAY as u32;
    const HASH: u32 = bpf_map_type::BPF_MAP_TYPE_HASH as u32;
    const LRU: u32 = bpf_map_type::BPF_MAP_TYPE_LRU_HASH as u32;
    const CGROUPS: u32 = bpf_map_type::BPF_MAP_TYPE_CGROUP_ARRAY as u32;
    const RINGBUF: u32 = bpf_map_type::BPF_MAP_TYPE_RINGBUF as u32;
    match kind {
        ARRAY => Ok(Map::Array(data)),
        HASH => Ok(Map::HashMap(data)),
        RINGBUF => Ok(Map::RingBuf(data)),
        // The library has no type for the one, and nobody here looks into the other.
        CGROUPS | LRU => Ok(Map::Unsupported(data)),
        _ => bail!("the BPF object's map {name} has the type {kind}, which nothing uses"),
    }
}

/// What the map was made of.
///
/// # Panics
/// It is none of those that [`Programs::open`] makes.
pub fn data(map: &Map) -> &MapData {
    match map {
        Map::Array(data) | Map::HashMap(data) | Map::RingBuf(data) | Map::Unsupported(data) => data,
        _ => unreachable!("create makes no other"),
    }
}

/// Whether the kernel was built with the functions that LSM programs attach to.
pub fn has_lsm_types(btf: &KernelBtf) -> bool {
    btf.function(&lsm_function("file_open")).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: u8 = (BPF_JMP | BPF_CALL) as u8;
    /// `BPF_ALU64 | BPF_MOV | BPF_K`: a register becomes a number.
    const MOVE: u8 = 0xb7;

    /// The kinds of instruction in which a number stands.
    fn codes(object: &Object, number: i32) -> Vec<u8> {
        let functions = object.functions.values();
        let instructions = functions.flat_map(|function| &function.instructions);
        let meant = instructions.filter(|instruction| instruction.imm == number);
        let mut codes: Vec<u8> = meant.map(|instruction| instruction.code).collect();
        codes.dedup();
        codes
    }

    #[test]
    fn each_placeholder_stands_in_the_code_as_it_is_looked_for() {
        let object = Object::parse(OBJECT).unwrap();
        assert_eq!(codes(&object, PLACE_OF_RDONLY_CAST), [CALL]);
        for (place, name) in PLACES_OF_STRUCTS {
            assert_eq!(codes(&object, place), [MOVE], "{name}");
        }
    }
}
