//! The edge to the kernel's program loader: one program at a time, so that one rejection
//! doesn't sink the rest.
//!
//! In: the embedded BPF object, the kernel's BTF, rows of [`crate::hooks::HOOKS`]. Out:
//! attached programs, or the kernel's reason in words. Dropping [`Programs`] detaches all.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process;
use std::time::Instant;

use anyhow::{Context as _, Result};
use aya::maps::{Map, MapData};
use aya::programs::{KProbe, Program, ProgramError, TracePoint};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::abi::Identity;
use crate::btf_program::{self, Attached, Target};
use crate::hooks::{Attach, Hook};
use crate::identity::{self, Identify};
use crate::kernel_btf::{KernelBtf, lsm_function};
use crate::timings::{self, Step};

/// The programs and maps, compiled from `bpf/`.
pub(crate) static OBJECT: &[u8] =
    include_bytes_aligned!(concat!(env!("OUT_DIR"), "/aegisbpf.bpf.o"));

/// SHA-256 of the embedded BPF object.
pub const OBJECT_SHA256: &str = env!("AEGISBPF_OBJECT_SHA256");

/// How many lines of the verifier's log go into a reason: its verdict stands at the end.
const LOG_TAIL: usize = 3;

/// What must be known of the policy before its maps and programs are made.
#[derive(Debug, Default, Clone, Copy)]
pub struct Shape {
    /// Entries of `rules_by_inode`.
    pub inodes: usize,
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
    ebpf: Ebpf,
    btf: KernelBtf,
    /// Those that attach by BTF.
    typed: btf_program::Programs,
    attached: HashMap<&'static str, Attached>,
    /// Made when first asked for.
    iterator: Option<Attached>,
}

impl Programs {
    /// Creates the maps and fits the programs to this kernel.
    pub fn open(btf: KernelBtf, shape: &Shape) -> Result<Self> {
        // Kernels before 5.11 charge maps to this limit, whose default is far too low.
        let unlimited = Rlimit {
            current: None,
            maximum: None,
        };
        setrlimit(Resource::Memlock, unlimited).context("failed to raise RLIMIT_MEMLOCK")?;
        let tgid = process::id();
        let folder_rules = u32::from(shape.folder_rules);
        let mut loader = EbpfLoader::new();
        #[cfg(feature = "sabotage")]
        let lsm_returns_zero = u32::from(crate::sabotage::lsm_returns_zero());
        #[cfg(feature = "sabotage")]
        loader.override_global("lsm_returns_zero", &lsm_returns_zero, true);
        let ebpf = loader
            .btf(Some(&btf.types))
            .override_global("agent_tgid", &tgid, true)
            .override_global("has_folder_rules", &folder_rules, true)
            .override_global("enforce_signal", &shape.signal, true)
            .map_max_entries("rules_by_inode", entries(shape.inodes))
            .map_max_entries("rules_by_name", entries(shape.names))
            .map_max_entries("rules_by_path", entries(shape.paths))
            .map_max_entries("exempt_cgroups", entries(shape.exempt))
            .map_max_entries("protected_exes", entries(shape.protected))
            .load(OBJECT)?;
        let maps = ebpf.maps().map(duplicate).collect::<Result<_>>()?;
        let typed = btf_program::Programs::open(OBJECT, &btf, maps).map_err(anyhow::Error::msg)?;
        Ok(Self {
            ebpf,
            btf,
            typed,
            attached: HashMap::new(),
            iterator: None,
        })
    }

    /// The object's maps, for [`crate::maps`] to take.
    pub fn maps(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Loads and attaches one hook's program. The error is the kernel's reason in words.
    pub fn attach(&mut self, hook: &Hook) -> Result<(), String> {
        match hook.attach {
            Attach::ModifyReturn(function) => self.typed(hook, Target::ModifyReturn(function)),
            Attach::Lsm(name) => self.typed(hook, Target::Lsm(name)),
            Attach::Kprobe(function) => {
                let program = self.program::<KProbe>(hook)?;
                load_and(program, KProbe::load, |program| program.attach(function, 0))
            }
            Attach::SyscallTracepoint(name) => {
                let program = self.program::<TracePoint>(hook)?;
                load_and(program, TracePoint::load, |program| {
                    program.attach("syscalls", name)
                })
            }
        }
    }

    /// Detaches and unloads one hook's program; nothing happens if it isn't loaded.
    pub fn detach(&mut self, hook: &Hook) {
        let started = Instant::now();
        self.attached.remove(hook.program);
        // The only errors are "not loaded" and a failing close, and neither leaves a link.
        let _ = match self.ebpf.program_mut(hook.program) {
            Some(Program::KProbe(program)) => program.unload(),
            Some(Program::TracePoint(program)) => program.unload(),
            _ => Ok(()),
        };
        timings::add(Step::Detach, started.elapsed());
    }

    fn typed(&mut self, hook: &Hook, target: Target) -> Result<(), String> {
        let attached = self.typed.attach(hook.program, target, &self.btf);
        let attached = attached.map_err(|error| typed_reason(&error))?;
        self.attached.insert(hook.program, attached);
        Ok(())
    }

    fn program<'a, P>(&'a mut self, hook: &Hook) -> Result<&'a mut P, String>
    where
        &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
    {
        let program = self
            .ebpf
            .program_mut(hook.program)
            .ok_or_else(|| format!("the BPF object has no program {}", hook.program))?;
        <&mut P>::try_from(program).map_err(|error| explain(&error))
    }
}

impl Identify for Programs {
    fn identify(&mut self, files: &[File]) -> Result<Vec<Identity>> {
        let iterator = match &self.iterator {
            Some(iterator) => iterator,
            None => {
                let attached = self
                    .typed
                    .attach("identify", Target::Descriptors, &self.btf);
                let attached = attached.map_err(|error| anyhow::anyhow!(typed_reason(&error)))?;
                self.iterator.insert(attached)
            }
        };
        identity::look(iterator, files)
    }
}

fn typed_reason(error: &btf_program::Error) -> String {
    match error {
        btf_program::Error::Load { error, log } => rejected(error, log),
        btf_program::Error::Other(why) => not_attached(why),
    }
}

fn load_and<P, L>(
    program: &mut P,
    load: impl FnOnce(&mut P) -> Result<(), ProgramError>,
    attach: impl FnOnce(&mut P) -> Result<L, ProgramError>,
) -> Result<(), String> {
    timings::measure(Step::Load, || load(program))
        .and_then(|()| timings::measure(Step::Attach, || attach(program)))
        .map(drop)
        .map_err(|error| explain(&error))
}

fn duplicate((name, map): (&str, &Map)) -> Result<(String, OwnedFd)> {
    let (Map::Array(data) | Map::HashMap(data) | Map::RingBuf(data)) = map else {
        anyhow::bail!("the BPF object's map {name} is of a type that nothing uses");
    };
    let data: &MapData = data;
    let fd = data.fd().as_fd().try_clone_to_owned();
    Ok((name.to_owned(), fd.context("failed to duplicate a map")?))
}

/// Whether the kernel was built with the functions that LSM programs attach to.
pub fn has_lsm_types(btf: &KernelBtf) -> bool {
    btf.function(&lsm_function("file_open")).is_some()
}

fn entries(count: usize) -> u32 {
    // A map of size 0 is invalid, and the kernel refuses an absurd size by itself.
    u32::try_from(count.max(1)).unwrap_or(u32::MAX)
}

fn explain(error: &ProgramError) -> String {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => rejected(io_error, &verifier_log.to_string()),
        other => {
            let chain = anyhow::Chain::new(other).map(ToString::to_string);
            let mut parts: Vec<String> = Vec::new();
            for part in chain {
                // A transparent error repeats its source's words.
                if parts.last() != Some(&part) {
                    parts.push(part);
                }
            }
            not_attached(&parts.join(": "))
        }
    }
}

fn rejected(error: &io::Error, log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !is_statistic(line)).collect();
    let tail = lines[lines.len().saturating_sub(LOG_TAIL)..].join(" | ");
    format!("the kernel rejected the program: {error}: {tail}")
}

fn not_attached(why: &str) -> String {
    format!("the kernel didn't attach the program: {why}")
}

/// Lines after the verifier's verdict that only count; one of them is a time, which would
/// make two reports of the same cause differ.
fn is_statistic(line: &str) -> bool {
    let counts = [
        "verification time",
        "stack depth",
        "processed",
        "insns processed",
    ];
    line.is_empty() || counts.iter().any(|count| line.starts_with(count))
}
