//! The edge to bpf(2) and perf_event_open(2), as far as no library makes the call.
//!
//! In: instructions that are fitted to the kernel and to the maps. Out: descriptors of
//! programs and links; closing a link's detaches.
//!
//! aya can't load programs that modify a return value (`fmod_ret`), and can't load any other
//! without parsing the whole of the kernel's BTF first, which takes longer than the kernel
//! takes to load all of ours ([`crate::kernel::btf`]). aya-obj reads and relocates the object,
//! aya has the maps; what is left are these calls, one for each way to attach:
//!
//! - LSM programs and those that modify a return value name a kernel function by its number in
//!   the kernel's BTF, and are linked by `BPF_RAW_TRACEPOINT_OPEN`. The latter have the type
//!   `TRACING` with the attach type `BPF_MODIFY_RETURN`, and their function's name must begin
//!   with `security_` (kernel/bpf/verifier.c, `check_attach_modify_return`).
//! - Iterators name a function in the same way; `BPF_LINK_CREATE` and `BPF_ITER_CREATE` follow.
//! - Kprobes and tracepoints are perf events that run a program.

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use aya::Pod;
use aya_obj::generated::{
    bpf_attach_type, bpf_attr, bpf_cmd, bpf_func_info, bpf_insn, bpf_link_info, bpf_link_type,
    bpf_prog_info, bpf_prog_type, perf_event_attr,
};

/// Bytes of the verifier's log. It is far more than a rejected program of ours writes.
const LOG_BYTES: usize = 1 << 20;

/// What a program is loaded for.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// The LSM hook whose function has this number in the kernel's BTF.
    Lsm(u32),
    /// The return value of the function with this number.
    ModifyReturn(u32),
    /// The iterator whose function has this number.
    Iterator(u32),
    /// The entry of the function with this name.
    Kprobe(&'a str),
    /// The tracepoint with this category and name.
    Tracepoint(&'a str, &'a str),
}

/// Why a program isn't loaded: the kernel's error, and the verifier's log.
#[derive(Debug)]
pub struct Rejection {
    /// The error.
    pub error: io::Error,
    /// The log.
    pub log: String,
}

/// One program to be loaded.
pub struct Program<'a> {
    /// Its name, of which tools show the first 15 bytes.
    pub name: &'a str,
    /// Its code.
    pub instructions: &'a [bpf_insn],
    /// Its license.
    pub license: &'a CStr,
    /// What it is for.
    pub target: Target<'a>,
    /// The BTF of the object that it comes from, which [`types`] gave to the kernel.
    /// None for a program that has no functions but itself.
    pub types: Option<&'a OwnedFd>,
    /// Where each of its functions starts, and that function's number in the BTF.
    pub functions: &'a [bpf_func_info],
}

impl Program<'_> {
    /// Loads it.
    ///
    /// # Errors
    /// The kernel's word, with the verifier's log.
    pub fn load(&self) -> Result<OwnedFd, Rejection> {
        self.call(&mut []).or_else(|_| {
            // Once more for the reason: a log costs time that a good program needn't pay.
            let mut log = vec![0; LOG_BYTES];
            self.call(&mut log).map_err(|error| {
                let end = log.iter().position(|byte| *byte == 0);
                let log = String::from_utf8_lossy(&log[..end.unwrap_or(log.len())]);
                let log = log.into_owned();
                Rejection { error, log }
            })
        })
    }

    /// Makes the call, with a log if there is room for one.
    fn call(&self, log: &mut [u8]) -> io::Result<OwnedFd> {
        use {bpf_attach_type as attach, bpf_prog_type as program};
        let (program, attach, number) = match self.target {
            Target::Lsm(number) => (program::BPF_PROG_TYPE_LSM, attach::BPF_LSM_MAC, number),
            Target::ModifyReturn(number) => (
                program::BPF_PROG_TYPE_TRACING,
                attach::BPF_MODIFY_RETURN,
                number,
            ),
            Target::Iterator(number) => {
                let attach = attach::BPF_TRACE_ITER;
                (program::BPF_PROG_TYPE_TRACING, attach, number)
            }
            // Of these the kernel doesn't look at the attach type.
            Target::Kprobe(_) => (program::BPF_PROG_TYPE_KPROBE, NO_ATTACH_TYPE, 0),
            Target::Tracepoint(..) => (program::BPF_PROG_TYPE_TRACEPOINT, NO_ATTACH_TYPE, 0),
        };
        let mut attr = no_attributes();
        // SAFETY: BPF_PROG_LOAD reads this variant of the union.
        let fields = unsafe { &mut attr.__bindgen_anon_3 };
        fields.prog_type = program as u32;
        fields.expected_attach_type = attach as u32;
        fields.insns = self.instructions.as_ptr() as u64;
        fields.insn_cnt = u32::try_from(self.instructions.len()).map_err(io::Error::other)?;
        fields.license = self.license.as_ptr() as u64;
        fields.attach_btf_id = number;
        if let Some(types) = self.types {
            fields.prog_btf_fd = types.as_raw_fd().cast_unsigned();
        }
        fields.func_info = self.functions.as_ptr() as u64;
        fields.func_info_cnt = u32::try_from(self.functions.len()).map_err(io::Error::other)?;
        fields.func_info_rec_size = size_of::<bpf_func_info>() as u32;
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
        descriptor(bpf_cmd::BPF_PROG_LOAD, &mut attr)
    }
}

/// Gives the kernel an object's BTF. Only by it does the verifier know which functions are
/// global, and checks those by themselves instead of once for each way that leads to them.
///
/// # Errors
/// The kernel's.
pub fn types(btf: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = no_attributes();
    // SAFETY: BPF_BTF_LOAD reads this variant of the union.
    let fields = unsafe { &mut attr.__bindgen_anon_7 };
    fields.btf = btf.as_ptr() as u64;
    fields.btf_size = u32::try_from(btf.len()).map_err(io::Error::other)?;
    descriptor(bpf_cmd::BPF_BTF_LOAD, &mut attr)
}

/// The attach type 0, which is what zeroed attributes say.
const NO_ATTACH_TYPE: bpf_attach_type = bpf_attach_type::BPF_CGROUP_INET_INGRESS;

/// Why a program isn't linked: the step that failed, and its error.
#[derive(Debug)]
pub enum Unlinked {
    /// bpf(2).
    Link(io::Error),
    /// sysfs doesn't tell which kind of perf event a kprobe is.
    KprobeKind(io::Error),
    /// tracefs doesn't tell the tracepoint's number.
    TracepointNumber(io::Error),
    /// perf_event_open(2), or a request to the event.
    PerfEvent(io::Error),
}

/// Links a program to what it was loaded for.
///
/// # Errors
/// The kernel's.
pub fn link(program: &OwnedFd, target: Target) -> Result<OwnedFd, Unlinked> {
    let fd = program.as_raw_fd().cast_unsigned();
    let mut attr = no_attributes();
    match target {
        Target::Lsm(_) | Target::ModifyReturn(_) => {
            // Without a name: the program knows its target.
            attr.raw_tracepoint.prog_fd = fd;
            descriptor(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr).map_err(Unlinked::Link)
        }
        Target::Iterator(_) => {
            attr.link_create.__bindgen_anon_1.prog_fd = fd;
            attr.link_create.attach_type = bpf_attach_type::BPF_TRACE_ITER as u32;
            descriptor(bpf_cmd::BPF_LINK_CREATE, &mut attr).map_err(Unlinked::Link)
        }
        Target::Kprobe(function) => {
            let function = CString::new(function).map_err(|error| Unlinked::Link(error.into()))?;
            let mut event = perf_event(kprobe_kind().map_err(Unlinked::KprobeKind)?);
            event.__bindgen_anon_3.kprobe_func = function.as_ptr() as u64;
            run_on(&mut event, program).map_err(Unlinked::PerfEvent)
        }
        Target::Tracepoint(category, name) => {
            let mut event = perf_event(PERF_TYPE_TRACEPOINT);
            event.config = tracepoint(category, name).map_err(Unlinked::TracepointNumber)?;
            run_on(&mut event, program).map_err(Unlinked::PerfEvent)
        }
    }
}

/// The program's `recursion_misses`. The kernel skips a program that is already running on the same
/// processor. It skips a program of a kprobe or tracepoint also while any other such program, or a
/// call on a map, is running there. Before 5.12 the count is always 0; before 6.7 it is 0 for kprobes
/// and tracepoints.
///
/// # Errors
/// The kernel's.
pub fn recursion_misses(program: &OwnedFd) -> io::Result<u64> {
    Ok(info(program)?.recursion_misses)
}

/// What the kernel tells of a program. A field that it doesn't know is 0.
///
/// # Errors
/// The kernel's.
pub fn info(program: &OwnedFd) -> io::Result<bpf_prog_info> {
    // SAFETY: all zeros is a valid bpf_prog_info, in which no array has room for anything.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    tell(program, &mut info)?;
    Ok(info)
}

/// The name in what the kernel tells of a program.
pub fn name(info: &bpf_prog_info) -> String {
    let bytes = info.name.iter().map(|byte| byte.cast_unsigned());
    let name: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&name).into_owned()
}

/// The program with this id, loaded by whomever.
///
/// # Errors
/// The kernel's: `ENOENT` if there is none any more.
pub fn program(id: u32) -> io::Result<OwnedFd> {
    by_id(bpf_cmd::BPF_PROG_GET_FD_BY_ID, id)
}

/// A link of a program that a BPF trampoline runs: fentry, fexit, fmod_ret or LSM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TracingLink {
    /// The program's id.
    pub program: u32,
    /// The id of the BTF that has the function.
    pub btf: u32,
    /// The function's number there. Kernels before 5.13 don't say either, which is 0.
    pub function: u32,
}

/// The least id of a link above `id`; `None` if there is none.
///
/// # Errors
/// The kernel's.
pub fn link_after(id: u32) -> io::Result<Option<u32>> {
    let mut attr = no_attributes();
    attr.__bindgen_anon_6.__bindgen_anon_1.start_id = id;
    match bpf(bpf_cmd::BPF_LINK_GET_NEXT_ID, &mut attr) {
        // SAFETY: the call just wrote this field.
        Ok(_) => Ok(Some(unsafe { attr.__bindgen_anon_6.next_id })),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The link with this id; `None` if it is of another kind.
///
/// # Errors
/// The kernel's: `ENOENT` if there is none any more.
pub fn tracing_link(id: u32) -> io::Result<Option<TracingLink>> {
    let link = by_id(bpf_cmd::BPF_LINK_GET_FD_BY_ID, id)?;
    // SAFETY: all zeros is a valid bpf_link_info, in which no name has room for anything.
    let mut info: bpf_link_info = unsafe { std::mem::zeroed() };
    tell(&link, &mut info)?;
    if info.type_ != bpf_link_type::BPF_LINK_TYPE_TRACING as u32 {
        return Ok(None);
    }
    // SAFETY: of a link of this type the call wrote this variant, as far as the kernel has it.
    let target = unsafe { info.__bindgen_anon_1.tracing };
    Ok(Some(TracingLink {
        program: info.prog_id,
        btf: target.target_obj_id,
        function: target.target_btf_id,
    }))
}

fn by_id(command: bpf_cmd, id: u32) -> io::Result<OwnedFd> {
    let mut attr = no_attributes();
    attr.__bindgen_anon_6.__bindgen_anon_1.start_id = id;
    descriptor(command, &mut attr)
}

/// Has the kernel write what it knows of an object into `info`, which must be of the object's kind.
fn tell<T>(object: &OwnedFd, info: &mut T) -> io::Result<()> {
    let mut attr = no_attributes();
    attr.info.bpf_fd = object.as_raw_fd().cast_unsigned();
    attr.info.info_len = size_of::<T>() as u32;
    attr.info.info = std::ptr::from_mut(info) as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr).map(drop)
}

/// Runs an iterator once and gives what it writes.
///
/// # Errors
/// The kernel's; that of a program that is no iterator among them.
pub fn iterate(link: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut attr = no_attributes();
    attr.iter_create.link_fd = link.as_raw_fd().cast_unsigned();
    let mut records = Vec::new();
    File::from(descriptor(bpf_cmd::BPF_ITER_CREATE, &mut attr)?).read_to_end(&mut records)?;
    Ok(records)
}

/// How many entries of a map are read by one call.
const ENTRIES_AT_ONCE: usize = 128;

/// Reads a hash map, many entries a call: the kernel lets go of the map, and lets the programs of
/// kprobes run, after each of its buckets. Where somebody writes meanwhile, an entry may come twice.
///
/// # Errors
/// The kernel's.
pub fn entries<K: Pod, V: Pod>(map: &OwnedFd, mut found: impl FnMut(&K, &V)) -> io::Result<()> {
    // SAFETY: all bytes are valid for both.
    let (key, value): (K, V) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    let (mut keys, mut values) = (vec![key; ENTRIES_AT_ONCE], vec![value; ENTRIES_AT_ONCE]);
    // Where the next call goes on, which only the kernel understands.
    let (mut from, mut next): (Option<u64>, u64) = (None, 0);
    loop {
        let mut attr = no_attributes();
        attr.batch.map_fd = map.as_raw_fd().cast_unsigned();
        attr.batch.in_batch = from.as_ref().map_or(0, |from| &raw const *from as u64);
        attr.batch.out_batch = &raw mut next as u64;
        attr.batch.keys = keys.as_mut_ptr() as u64;
        attr.batch.values = values.as_mut_ptr() as u64;
        attr.batch.count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        let read = bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr);
        let errno = read.as_ref().err().and_then(io::Error::raw_os_error);
        match errno {
            None | Some(libc::ENOENT) => {}
            // One bucket has more.
            Some(libc::ENOSPC) => {
                keys.resize(2 * keys.len(), key);
                values.resize(2 * values.len(), value);
                continue;
            }
            Some(_) => return read.map(drop),
        }
        // SAFETY: the kernel has written how many it gave.
        let count = unsafe { attr.batch.count } as usize;
        for (key, value) in keys.iter().zip(&values).take(count) {
            found(key, value);
        }
        if errno.is_some() {
            return Ok(());
        }
        from = Some(next);
    }
}

/// Fills the one entry of a map of constants, and keeps everybody from changing it: only
/// then does the verifier take them for constant.
///
/// # Errors
/// The kernel's.
pub fn fill_and_freeze(map: &OwnedFd, value: &[u8]) -> io::Result<()> {
    let key: u32 = 0;
    let mut attr = element(map, &key);
    attr.__bindgen_anon_2.__bindgen_anon_1.value = value.as_ptr() as u64;
    bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr)?;
    let mut attr = no_attributes();
    attr.__bindgen_anon_2.map_fd = map.as_raw_fd().cast_unsigned();
    bpf(bpf_cmd::BPF_MAP_FREEZE, &mut attr).map(drop)
}

/// Puts what a descriptor stands for into an array of such.
///
/// # Errors
/// The kernel's.
pub fn put_descriptor(map: &OwnedFd, index: u32, descriptor: &OwnedFd) -> io::Result<()> {
    let value = descriptor.as_raw_fd();
    let mut attr = element(map, &index);
    attr.__bindgen_anon_2.__bindgen_anon_1.value = &raw const value as u64;
    bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr).map(drop)
}

/// Empties one index of an array; nothing happens if it is empty.
///
/// # Errors
/// The kernel's.
pub fn delete_index(map: &OwnedFd, index: u32) -> io::Result<()> {
    match bpf(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut element(map, &index)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The attributes of a call on one entry. The key must outlive the call.
fn element(map: &OwnedFd, key: &u32) -> bpf_attr {
    let mut attr = no_attributes();
    attr.__bindgen_anon_2.map_fd = map.as_raw_fd().cast_unsigned();
    attr.__bindgen_anon_2.key = &raw const *key as u64;
    attr
}

/// From linux/perf_event.h.
const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_FLAG_FD_CLOEXEC: u32 = 8;
/// `_IO('$', 0)`
const PERF_EVENT_IOC_ENABLE: u64 = 0x2400;
/// `_IOW('$', 8, __u32)`
const PERF_EVENT_IOC_SET_BPF: u64 = 0x4004_2408;

fn perf_event(kind: u32) -> perf_event_attr {
    // SAFETY: all zeros is a valid perf_event_attr, in which zero means "not given".
    let mut event: perf_event_attr = unsafe { std::mem::zeroed() };
    event.type_ = kind;
    event.size = size_of::<perf_event_attr>() as u32;
    event
}

/// Opens the event and has it run the program.
fn run_on(event: &mut perf_event_attr, program: &OwnedFd) -> io::Result<OwnedFd> {
    // Every process. The processor says only where the event would be counted: the program is
    // the probe's, and runs wherever that is hit.
    let (process, processor, group) = (-1, 0, -1);
    // SAFETY: the event and the name in it outlive the call.
    let opened = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_mut(event),
            process,
            processor,
            group,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    let opened = owned(opened)?;
    for (request, argument) in [
        (PERF_EVENT_IOC_SET_BPF, program.as_raw_fd()),
        (PERF_EVENT_IOC_ENABLE, 0),
    ] {
        // SAFETY: both requests take a number, and the descriptor is a perf event's.
        if unsafe { libc::ioctl(opened.as_raw_fd(), request, argument) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(opened)
}

/// The kind of perf event that a kprobe is.
fn kprobe_kind() -> io::Result<u32> {
    let kind = read_number("/sys/bus/event_source/devices/kprobe/type")?;
    u32::try_from(kind).map_err(io::Error::other)
}

/// A tracepoint's number, from either place where tracefs is mounted.
fn tracepoint(category: &str, name: &str) -> io::Result<u64> {
    let place = |root| read_number(&format!("{root}/events/{category}/{name}/id"));
    let [usual, former] = TRACEFS;
    // The error that counts is that of the usual place.
    place(usual).or_else(|first| place(former).map_err(|_| first))
}

/// Where tracefs is looked for: its own place, and the one that it had in debugfs, which mounts it
/// there by itself.
pub const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

fn read_number(path: &str) -> io::Result<u64> {
    let text = fs::read_to_string(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
    let number = text.trim().parse();
    number.map_err(|error| io::Error::other(format!("{path}: {error}")))
}

fn no_attributes() -> bpf_attr {
    // SAFETY: all zeros is a valid bpf_attr, in which zero means "not given".
    unsafe { std::mem::zeroed() }
}

/// A bpf(2) call that makes a descriptor.
fn descriptor(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    bpf(command, attr).and_then(owned)
}

/// A bpf(2) call.
fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i64> {
    // SAFETY: the attributes and all that they point to outlive the call, with the sizes given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as u32,
            std::ptr::from_mut(attr),
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// The descriptor that a call just made, unless it failed.
fn owned(result: i64) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
