//! The edge to the kernel's program loader: one program at a time, so that one rejection
//! doesn't sink the rest.
//!
//! In: the embedded BPF object, the kernel's BTF, rows of [`crate::kernel::hooks::HOOKS`]. Out:
//! attached programs, or the kernel's reason in words. Dropping [`Programs`] detaches all.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::process;

use anyhow::{Context as _, Result, bail};
use aya::include_bytes_aligned;
use aya::maps::{Map, MapData};
use aya_obj::Object;
use aya_obj::btf::BtfFeatures;
use aya_obj::generated::bpf_map_type;

use crate::daemon::timings::{self, Step};
use crate::kernel::bpf_call::{self, Program, Rejection, Target};
use crate::kernel::btf::{ITERATOR, KernelBtf, lsm_function};
use crate::kernel::hooks::{Attach, HOOKS, Hook, Role, of_tier};
use crate::kernel::identity::{self, Identify, Identity, Pins};
use crate::kernel::memlock;
use crate::kernel::occupants;
use crate::kernel::refusal::Refusal;
use crate::posture::Tier;
use crate::sabotage::{self, Mutant};

/// The programs and maps, compiled from `bpf/`.
pub(crate) static OBJECT: &[u8] =
    include_bytes_aligned!(concat!(env!("OUT_DIR"), "/aegisbpf.bpf.o"));

/// SHA-256 of the embedded BPF object.
pub const OBJECT_SHA256: &str = env!("AEGISBPF_OBJECT_SHA256");

/// What must be known of the policy before its maps and programs are made.
#[derive(Debug, Default, Clone, Copy)]
pub struct Shape {
    /// Entries of `rules_by_inode`.
    pub inodes: usize,
    /// Entries of `rules_by_folder`.
    pub folders: usize,
    /// Entries of `rules_by_name`.
    pub names: usize,
    /// Entries of `rules_by_path`.
    pub paths: usize,
    /// Entries of `exempt_cgroups`.
    pub exempt: usize,
    /// Entries of `protected_exes`.
    pub protected: usize,
    /// Whether there are folder rules; without any, no program looks at a file's folders.
    pub folder_rules: bool,
    /// The signal of the signal tier.
    pub signal: u32,
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
    pins: Pins,
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
    pub fn open(btf: KernelBtf, shape: &Shape) -> Result<(Self, Maps)> {
        memlock::raise();
        let mut object = Object::parse(OBJECT)?;
        let constants = shape.constants();
        let constants = constants
            .iter()
            .map(|(name, value)| (*name, (&value[..], true)));
        object.patch_map_data(constants.collect())?;
        object.relocate_btf(&btf.types)?;
        let mut declared = std::mem::take(&mut object.maps);
        let (mut created, mut duplicates) = (HashMap::new(), HashMap::new());
        for (name, map) in &mut declared {
            if let Some(entries) = shape.entries(name) {
                map.set_max_entries(entries);
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
            pins: Pins::new()?,
        };
        Ok((programs, created))
    }

    /// Loads and attaches one hook's program.
    pub fn attach(&mut self, hook: &Hook) -> Result<(), Refusal> {
        let function = |name: &str| {
            let number = self.btf.function(name);
            let absent = || format!("the kernel's BTF has no function {name} to attach to");
            number.ok_or_else(|| Refusal::Absent(absent()))
        };
        let target = match hook.attach {
            Attach::Lsm(name) => Target::Lsm(function(&lsm_function(name))?),
            Attach::ModifyReturn(name) => Target::ModifyReturn(function(name)?),
            Attach::Kprobe(name) => Target::Kprobe(name),
            Attach::SyscallTracepoint(name) => Target::Tracepoint("syscalls", name),
        };
        let attached = self.load_and_link(hook.program, target)?;
        self.attached.insert(hook.program, attached);
        Ok(())
    }

    /// Detaches and unloads one hook's program; nothing happens if it isn't loaded.
    pub fn detach(&mut self, hook: &Hook) {
        if sabotage::is(Mutant::LeavesLinkAfterRefusing) {
            return;
        }
        timings::measure(Step::Detach, || self.attached.remove(hook.program));
    }

    /// Whether a program of this tier is attached.
    pub fn runs_any_of(&self, tier: Tier) -> bool {
        of_tier(tier).any(|hook| self.attached.contains_key(hook.program))
    }

    /// How often the kernel passed over each of the attached programs that see a file's open.
    ///
    /// # Errors
    /// The kernel's.
    pub fn passed_over(&self) -> Result<Vec<u64>> {
        let hooks = HOOKS.iter();
        let hooks = hooks.filter(|hook| hook.role == Role::Core && !hook.sees_path());
        let attached = hooks.filter_map(|hook| self.attached.get(hook.program));
        let counts = attached.map(|attached| bpf_call::passed_over(&attached.program));
        let counts: io::Result<Vec<u64>> = counts.collect();
        counts.context("failed to ask how often a program was passed over")
    }

    fn load_and_link(&self, name: &str, target: Target) -> Result<Attached, Refusal> {
        let program = self.object.programs.get(name);
        let code = program.and_then(|program| self.object.functions.get(&program.function_key()));
        let (Some(program), Some(code)) = (program, code) else {
            let absent = format!("the BPF object has no program {name}");
            return Err(Refusal::Absent(absent));
        };
        let mut program = Program {
            name,
            instructions: &code.instructions,
            license: &program.license,
            target,
            types: &self.types,
            functions: &code.func_info.func_info,
        };
        if is_to_be_rejected(name) {
            // No kernel takes a program that ends anywhere but at its end.
            program.instructions = &program.instructions[..1];
        }
        let program = timings::measure(Step::Load, || program.load())
            .map_err(|Rejection { error, log }| Refusal::Load { error, log })?;
        let link = timings::measure(Step::Attach, || bpf_call::link(&program, target)).map_err(
            |unlinked| {
                Refusal::unlinked(unlinked, target, |function| {
                    occupants::of(function, &program)
                })
            },
        )?;
        Ok(Attached { link, program })
    }
}

impl Identify for Programs {
    fn identify(&mut self, files: &[File]) -> Result<Vec<Identity>> {
        let iterator = match &self.iterator {
            Some(iterator) => iterator,
            None => {
                let number = self.btf.function(ITERATOR);
                let number = number.context("the kernel has no iterator over descriptors")?;
                let attached = self.load_and_link("identify", Target::Iterator(number));
                self.iterator.insert(attached?)
            }
        };
        let records = bpf_call::iterate(&iterator.link);
        let records = records.context("failed to read the iterator over descriptors")?;
        identity::of(&records, files, &self.pins)
    }

    fn keep(&mut self, file: &File) -> Result<()> {
        self.pins.pin(file)
    }
}

impl Shape {
    /// The constants of the programs.
    fn constants(&self) -> Vec<(&'static str, [u8; 4])> {
        let constants = [
            ("agent_tgid", process::id()),
            ("has_folder_rules", u32::from(self.folder_rules)),
            ("enforce_signal", self.signal),
            #[cfg(feature = "sabotage")]
            ("mutant", sabotage::number()),
        ];
        let bytes = |(name, value): (&'static str, u32)| (name, value.to_ne_bytes());
        constants.map(bytes).to_vec()
    }

    /// How many entries a map must have; `None` for one that doesn't depend on the policy.
    fn entries(&self, map: &str) -> Option<u32> {
        let count = match map {
            "rules_by_inode" => self.inodes,
            "rules_by_folder" => self.folders,
            "rules_by_name" => self.names,
            "rules_by_path" => self.paths,
            "exempt_cgroups" => self.exempt,
            "protected_exes" => self.protected,
            _ => return None,
        };
        // A map of size 0 is invalid, and the kernel refuses an absurd size by itself.
        Some(u32::try_from(count.max(1)).unwrap_or(u32::MAX))
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
    if let aya_obj::Map::Btf(map) = &mut map {
        // Only tools would read the types of keys and values, for which the kernel would have
        // to be given the object's own BTF.
        map.def.btf_key_type_id = 0;
        map.def.btf_value_type_id = 0;
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
    const RINGBUF: u32 = bpf_map_type::BPF_MAP_TYPE_RINGBUF as u32;
    match kind {
        ARRAY => Ok(Map::Array(data)),
        HASH => Ok(Map::HashMap(data)),
        RINGBUF => Ok(Map::RingBuf(data)),
        _ => bail!("the BPF object's map {name} has the type {kind}, which nothing uses"),
    }
}

/// What the map was made of.
///
/// # Panics
/// It is none of those that [`Programs::open`] makes.
pub fn data(map: &Map) -> &MapData {
    match map {
        Map::Array(data) | Map::HashMap(data) | Map::RingBuf(data) => data,
        _ => unreachable!("create makes no other"),
    }
}

/// Whether a program is to be one that the kernel rejects, which only sabotage wants.
fn is_to_be_rejected(program: &str) -> bool {
    sabotage::is(Mutant::RejectsGuard) && program == "lsm_inode_rename"
        || sabotage::is(Mutant::RejectsLsm) && program.starts_with("lsm_")
}

/// Whether the kernel was built with the functions that LSM programs attach to.
pub fn has_lsm_types(btf: &KernelBtf) -> bool {
    btf.function(&lsm_function("file_open")).is_some()
}
