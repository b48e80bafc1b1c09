//! The edge to programs that replace the return value of a kernel function (`fmod_ret`),
//! which aya can't load.
//!
//! In: the embedded BPF object, in which such programs stand in sections named as fentry; the
//! kernel's BTF; the maps that aya created for the same object. Out: attached programs.
//!
//! aya-obj parses and relocates a second copy of the object against those maps; the two bpf(2)
//! calls that are left are made here. `BPF_PROG_LOAD` takes type `TRACING`, the attach type
//! `BPF_MODIFY_RETURN` and the BTF id of the function, whose name must begin with `security_`
//! (kernel/bpf/verifier.c, `check_attach_modify_return`). `BPF_RAW_TRACEPOINT_OPEN` makes the
//! link; closing its descriptor detaches.

use std::collections::HashMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use aya::Btf;
use aya_obj::Object;
use aya_obj::btf::BtfKind;
use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn, bpf_prog_type};

use crate::timings::{self, Step};

/// Bytes of the verifier's log. Its verdict stands at the end, so a log that doesn't fit is
/// asked for in the form that keeps only the end where the kernel knows it, else it is cut.
const LOG_BYTES: usize = 1 << 20;

/// The object's programs, fitted to this kernel and to the maps.
pub struct Programs {
    object: Object,
}

/// A program and its link. Dropping it detaches.
pub struct Attached {
    _link: OwnedFd,
    _program: OwnedFd,
}

/// Why a program isn't attached.
#[derive(Debug)]
pub enum Error {
    /// The verifier's words, or what else the kernel said on loading.
    Load {
        /// The error.
        error: io::Error,
        /// The verifier's log.
        log: String,
    },
    /// Everything else, in words.
    Other(String),
}

impl Programs {
    /// Parses the object and fits it to the kernel and to the maps, named as in the object.
    ///
    /// # Errors
    /// In words: the object can't be fitted.
    pub fn open(object: &[u8], btf: &Btf, maps: &HashMap<String, OwnedFd>) -> Result<Self, String> {
        let mut object = Object::parse(object).map_err(|error| error.to_string())?;
        object
            .relocate_btf(btf)
            .map_err(|error| error.to_string())?;
        let text_sections = object
            .functions
            .keys()
            .map(|(section, _)| *section)
            .collect();
        let declared = std::mem::take(&mut object.maps);
        let with_fds: Vec<_> = declared
            .iter()
            .filter_map(|(name, map)| Some((name.as_str(), maps.get(name)?.as_raw_fd(), map)))
            .collect();
        object
            .relocate_maps(with_fds.into_iter(), &text_sections)
            .map_err(|error| error.to_string())?;
        object
            .relocate_calls(&text_sections)
            .map_err(|error| error.to_string())?;
        object.sanitize_functions(aya::features());
        Ok(Self { object })
    }

    /// Loads a program for a kernel function and attaches it.
    ///
    /// # Errors
    /// The kernel has no such function, or took no such program.
    pub fn attach(&self, program: &str, function: &str, btf: &Btf) -> Result<Attached, Error> {
        let missing = || Error::Other(format!("the BPF object has no program {program}"));
        let declared = self.object.programs.get(program).ok_or_else(missing)?;
        let key = declared.function_key();
        let code = self.object.functions.get(&key).ok_or_else(missing)?;
        let target = btf
            .id_by_type_name_kind(function, BtfKind::Func)
            .map_err(|error| Error::Other(error.to_string()))?;
        let instructions = &code.instructions;
        let loaded = timings::measure(Step::Load, || {
            load(instructions, &declared.license, target, &mut [])
        });
        let program = match loaded {
            Ok(program) => program,
            Err(_) => {
                // Once more for the reason: a log costs time that a good program needn't pay.
                let mut log = vec![0; LOG_BYTES];
                load(instructions, &declared.license, target, &mut log).map_err(|error| {
                    let end = log.iter().position(|byte| *byte == 0);
                    let log = String::from_utf8_lossy(&log[..end.unwrap_or(log.len())]);
                    let log = log.into_owned();
                    Error::Load { error, log }
                })?
            }
        };
        let link = timings::measure(Step::Attach, || open_link(&program))
            .map_err(|error| Error::Other(format!("BPF_RAW_TRACEPOINT_OPEN: {error}")))?;
        Ok(Attached {
            _link: link,
            _program: program,
        })
    }
}

/// `BPF_PROG_LOAD`, with a log if there is room for one.
fn load(
    instructions: &[bpf_insn],
    license: &CStr,
    target: u32,
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    // SAFETY: all zeros is a valid bpf_attr, in which zero means "not given".
    let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
    // SAFETY: BPF_PROG_LOAD reads this variant of the union.
    let fields = unsafe { &mut attr.__bindgen_anon_3 };
    fields.prog_type = bpf_prog_type::BPF_PROG_TYPE_TRACING as u32;
    fields.expected_attach_type = bpf_attach_type::BPF_MODIFY_RETURN as u32;
    fields.insns = instructions.as_ptr() as u64;
    fields.insn_cnt = u32::try_from(instructions.len()).map_err(io::Error::other)?;
    fields.license = license.as_ptr() as u64;
    fields.attach_btf_id = target;
    if !log.is_empty() {
        fields.log_level = 1;
        fields.log_buf = log.as_mut_ptr() as u64;
        fields.log_size = u32::try_from(log.len()).map_err(io::Error::other)?;
    }
    bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr)
}

/// `BPF_RAW_TRACEPOINT_OPEN` without a name: the program knows its target.
fn open_link(program: &OwnedFd) -> io::Result<OwnedFd> {
    // SAFETY: as above.
    let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
    attr.raw_tracepoint.prog_fd = program.as_raw_fd().cast_unsigned();
    bpf(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr)
}

/// A bpf(2) call that makes a descriptor.
fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the attributes and all that they point to outlive the call, with the sizes given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as u32,
            std::ptr::from_mut(attr),
            size_of::<bpf_attr>(),
        )
    };
    let fd = i32::try_from(result).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
