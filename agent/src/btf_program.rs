//! The edge to programs that attach to a kernel function by its number in the kernel's BTF:
//! LSM programs, programs that modify a return value (`fmod_ret`), iterators.
//!
//! In: the embedded BPF object, the kernel's BTF, the maps that aya created for the same
//! object. Out: attached programs. Dropping one detaches it.
//!
//! aya can't load `fmod_ret`, and for the others it looks a function up in the whole of the
//! kernel's BTF, which costs more than the kernel takes to load them ([`crate::kernel_btf`]).
//! So aya-obj parses and relocates a second copy of the object against aya's maps, and the
//! bpf(2) calls that are left are made here. A program that modifies a return value has the
//! type `TRACING` and the attach type `BPF_MODIFY_RETURN`, and stands in the object as fentry;
//! the name of its function must begin with `security_` (kernel/bpf/verifier.c,
//! `check_attach_modify_return`). `BPF_RAW_TRACEPOINT_OPEN` links it, as it does LSM programs.

use std::collections::HashMap;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use aya_obj::Object;
use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn, bpf_prog_type};

use crate::kernel_btf::{ITERATOR, KernelBtf, lsm_function};
use crate::timings::{self, Step};

/// Bytes of the verifier's log. Its verdict stands at the end, so a log that doesn't fit is
/// asked for in the form that keeps only the end where the kernel knows it, else it is cut.
const LOG_BYTES: usize = 1 << 20;

/// The object's programs, fitted to this kernel and to the maps.
pub struct Programs {
    object: Object,
    /// The code names them by descriptor until the kernel has taken it.
    _maps: HashMap<String, OwnedFd>,
}

/// A program and its link. Dropping it detaches.
pub struct Attached {
    link: OwnedFd,
    _program: OwnedFd,
}

/// What a program is loaded for.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// This LSM hook.
    Lsm(&'a str),
    /// The return value of this function.
    ModifyReturn(&'a str),
    /// Every descriptor of every process.
    Descriptors,
}

impl Target<'_> {
    fn function(self) -> String {
        match self {
            Self::Lsm(hook) => lsm_function(hook),
            Self::ModifyReturn(function) => function.to_owned(),
            Self::Descriptors => ITERATOR.to_owned(),
        }
    }

    fn types(self) -> (bpf_prog_type, bpf_attach_type) {
        use {bpf_attach_type as attach, bpf_prog_type as program};
        match self {
            Self::Lsm(_) => (program::BPF_PROG_TYPE_LSM, attach::BPF_LSM_MAC),
            Self::ModifyReturn(_) => (program::BPF_PROG_TYPE_TRACING, attach::BPF_MODIFY_RETURN),
            Self::Descriptors => (program::BPF_PROG_TYPE_TRACING, attach::BPF_TRACE_ITER),
        }
    }
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
    pub fn open(
        object: &[u8],
        btf: &KernelBtf,
        maps: HashMap<String, OwnedFd>,
    ) -> Result<Self, String> {
        let mut object = Object::parse(object).map_err(|error| error.to_string())?;
        object
            .relocate_btf(&btf.types)
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
        Ok(Self {
            object,
            _maps: maps,
        })
    }

    /// Loads a program for a target and attaches it.
    ///
    /// # Errors
    /// The kernel has no such target, or took no such program.
    pub fn attach(&self, name: &str, target: Target, btf: &KernelBtf) -> Result<Attached, Error> {
        let missing = || Error::Other(format!("the BPF object has no program {name}"));
        let program = self.object.programs.get(name).ok_or_else(missing)?;
        let code = self.object.functions.get(&program.function_key());
        let function = target.function();
        let number = btf.function(&function).ok_or_else(|| {
            Error::Other(format!("the kernel has no function {function} in its BTF"))
        })?;
        let load = Load {
            name,
            instructions: &code.ok_or_else(missing)?.instructions,
            license: &program.license,
            target,
            number,
        };
        let loaded = timings::measure(Step::Load, || load.call(&mut []));
        let program = match loaded {
            Ok(program) => program,
            Err(_) => {
                // Once more for the reason: a log costs time that a good program needn't pay.
                let mut log = vec![0; LOG_BYTES];
                load.call(&mut log).map_err(|error| {
                    let end = log.iter().position(|byte| *byte == 0);
                    let log = String::from_utf8_lossy(&log[..end.unwrap_or(log.len())]);
                    let log = log.into_owned();
                    Error::Load { error, log }
                })?
            }
        };
        let link = timings::measure(Step::Attach, || open_link(&program, target))
            .map_err(|error| Error::Other(format!("it can't be linked: {error}")))?;
        Ok(Attached {
            link,
            _program: program,
        })
    }
}

impl Attached {
    /// Runs an iterator once and gives what it writes.
    ///
    /// # Errors
    /// The kernel's; that of a program that is no iterator among them.
    pub fn iterate(&self) -> io::Result<Vec<u8>> {
        // SAFETY: all zeros is a valid bpf_attr, in which zero means "not given".
        let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
        attr.iter_create.link_fd = self.link.as_raw_fd().cast_unsigned();
        let mut records = Vec::new();
        File::from(bpf(bpf_cmd::BPF_ITER_CREATE, &mut attr)?).read_to_end(&mut records)?;
        Ok(records)
    }
}

/// One `BPF_PROG_LOAD`.
struct Load<'a> {
    name: &'a str,
    instructions: &'a [bpf_insn],
    license: &'a CStr,
    target: Target<'a>,
    number: u32,
}

impl Load<'_> {
    /// Makes the call, with a log if there is room for one.
    fn call(&self, log: &mut [u8]) -> io::Result<OwnedFd> {
        // SAFETY: all zeros is a valid bpf_attr, in which zero means "not given".
        let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
        // SAFETY: BPF_PROG_LOAD reads this variant of the union.
        let fields = unsafe { &mut attr.__bindgen_anon_3 };
        let (program, attach) = self.target.types();
        fields.prog_type = program as u32;
        fields.expected_attach_type = attach as u32;
        fields.insns = self.instructions.as_ptr() as u64;
        fields.insn_cnt = u32::try_from(self.instructions.len()).map_err(io::Error::other)?;
        fields.license = self.license.as_ptr() as u64;
        fields.attach_btf_id = self.number;
        // The last byte stays a NUL; a longer name is cut.
        let room = fields.prog_name.len() - 1;
        for (place, byte) in fields.prog_name[..room].iter_mut().zip(self.name.bytes()) {
            *place = byte.cast_signed();
        }
        if !log.is_empty() {
            fields.log_level = 1;
            fields.log_buf = log.as_mut_ptr() as u64;
            fields.log_size = u32::try_from(log.len()).map_err(io::Error::other)?;
        }
        bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr)
    }
}

/// Links a program to what it was loaded for.
fn open_link(program: &OwnedFd, target: Target) -> io::Result<OwnedFd> {
    let program = program.as_raw_fd().cast_unsigned();
    // SAFETY: all zeros is a valid bpf_attr, in which zero means "not given".
    let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
    match target {
        Target::Lsm(_) | Target::ModifyReturn(_) => {
            // Without a name: the program knows its target.
            attr.raw_tracepoint.prog_fd = program;
            bpf(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr)
        }
        Target::Descriptors => {
            attr.link_create.__bindgen_anon_1.prog_fd = program;
            attr.link_create.attach_type = target.types().1 as u32;
            bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr)
        }
    }
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
