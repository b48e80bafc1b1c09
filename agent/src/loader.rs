//! The edge to the kernel's program loader: one program at a time, so that one rejection
//! doesn't sink the rest.
//!
//! In: the embedded BPF object, the kernel's BTF, rows of [`crate::hooks::HOOKS`]. Out:
//! attached programs, or the kernel's reason in words. Dropping [`Programs`] detaches all.

use std::process;

use anyhow::{Context as _, Result};
use aya::programs::{Lsm, Program, ProgramError, TracePoint};
use aya::{Btf, Ebpf, EbpfLoader, include_bytes_aligned};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::hooks::{Attach, Hook};

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/aegisbpf.bpf.o"));

/// SHA-256 of the embedded BPF object.
pub const OBJECT_SHA256: &str = env!("AEGISBPF_OBJECT_SHA256");

/// How many lines of the verifier's log go into a reason: its verdict stands at the end.
const LOG_TAIL: usize = 3;

/// How many entries each map must hold.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// `rules_by_inode`
    pub inodes: usize,
    /// `rules_by_path`
    pub paths: usize,
    /// `exempt_cgroups`
    pub exempt: usize,
    /// `protected_exes`
    pub protected: usize,
}

/// The programs, with their maps created and none loaded yet.
pub struct Programs {
    ebpf: Ebpf,
    btf: Btf,
}

impl Programs {
    /// Creates the maps and fits the programs to this kernel.
    pub fn open(btf: Btf, sizes: &Sizes) -> Result<Self> {
        // Kernels before 5.11 charge maps to this limit, whose default is far too low.
        let unlimited = Rlimit {
            current: None,
            maximum: None,
        };
        setrlimit(Resource::Memlock, unlimited).context("failed to raise RLIMIT_MEMLOCK")?;
        let tgid = process::id();
        let mut loader = EbpfLoader::new();
        #[cfg(feature = "sabotage")]
        let lsm_returns_zero = u32::from(crate::sabotage::lsm_returns_zero());
        #[cfg(feature = "sabotage")]
        loader.override_global("lsm_returns_zero", &lsm_returns_zero, true);
        let ebpf = loader
            .btf(Some(&btf))
            .override_global("agent_tgid", &tgid, true)
            .map_max_entries("rules_by_inode", entries(sizes.inodes))
            .map_max_entries("rules_by_path", entries(sizes.paths))
            .map_max_entries("exempt_cgroups", entries(sizes.exempt))
            .map_max_entries("protected_exes", entries(sizes.protected))
            .load(OBJECT)?;
        Ok(Self { ebpf, btf })
    }

    /// The object's maps, for [`crate::maps`] to take.
    pub fn maps(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Loads and attaches one hook's program. The error is the kernel's reason in words.
    pub fn attach(&mut self, hook: &Hook) -> Result<(), String> {
        let Self { ebpf, btf } = self;
        let program = ebpf
            .program_mut(hook.program)
            .ok_or_else(|| format!("the BPF object has no program {}", hook.program))?;
        attach(program, hook.attach, btf).map_err(|error| explain(&error))
    }

    /// Detaches and unloads one hook's program; nothing happens if it isn't loaded.
    pub fn detach(&mut self, hook: &Hook) {
        // The only errors are "not loaded" and a failing close, and neither leaves a link.
        let _ = match self.ebpf.program_mut(hook.program) {
            Some(Program::Lsm(program)) => program.unload(),
            Some(Program::TracePoint(program)) => program.unload(),
            _ => Ok(()),
        };
    }
}

fn attach(program: &mut Program, how: Attach, btf: &Btf) -> Result<(), ProgramError> {
    match how {
        Attach::Lsm(hook) => {
            let program: &mut Lsm = program.try_into()?;
            program.load(hook, btf)?;
            program.attach()?;
        }
        Attach::SyscallTracepoint(tracepoint) => {
            let program: &mut TracePoint = program.try_into()?;
            program.load()?;
            program.attach("syscalls", tracepoint)?;
        }
    }
    Ok(())
}

/// Whether the kernel was built with the functions that LSM programs attach to.
pub fn has_lsm_types(btf: &Btf) -> bool {
    btf.id_by_type_name_kind("bpf_lsm_file_open", aya_obj::btf::BtfKind::Func)
        .is_ok()
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
        } => {
            let log = verifier_log.to_string();
            let lines: Vec<&str> = log.lines().filter(|line| !is_statistic(line)).collect();
            let tail = lines[lines.len().saturating_sub(LOG_TAIL)..].join(" | ");
            format!("the kernel rejected the program: {io_error}: {tail}")
        }
        other => {
            let chain = anyhow::Chain::new(other).map(ToString::to_string);
            let mut parts: Vec<String> = Vec::new();
            for part in chain {
                // A transparent error repeats its source's words.
                if parts.last() != Some(&part) {
                    parts.push(part);
                }
            }
            format!("the kernel didn't attach the program: {}", parts.join(": "))
        }
    }
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
