//! Which BPF programs and links the kernel holds, what becomes of one that somebody asks to
//! detach, and a map to call the kernel with. The only module here with raw `bpf(2)`.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};

/// Commands of `bpf(2)`, from the kernel's `enum bpf_cmd` (stable user API).
const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_MAP_DELETE_ELEM: libc::c_long = 3;
const BPF_MAP_GET_NEXT_KEY: libc::c_long = 4;
const BPF_PROG_GET_NEXT_ID: libc::c_long = 11;
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
const BPF_MAP_GET_FD_BY_ID: libc::c_long = 14;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_TASK_FD_QUERY: libc::c_long = 20;
const BPF_LINK_GET_FD_BY_ID: libc::c_long = 30;
const BPF_LINK_GET_NEXT_ID: libc::c_long = 31;
const BPF_LINK_DETACH: libc::c_long = 34;

/// Of the kernel's `enum bpf_map_type`; there since 5.16.
const BPF_MAP_TYPE_BLOOM_FILTER: u32 = 30;

/// `bpf_attr` as used by `BPF_MAP_CREATE`.
#[repr(C)]
#[derive(Default)]
struct MapAttr {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    /// Flags, nodes, names and types, which it has none of.
    unused: [u32; 12],
    map_extra: u64,
}

/// `bpf_attr` as used by the commands on one entry, of which `BPF_MAP_GET_NEXT_KEY` writes the key
/// into the value.
#[repr(C)]
struct ElementAttr {
    map_fd: u32,
    zero: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// `bpf_attr` as used by the `*_GET_NEXT_ID` and `*_GET_FD_BY_ID` commands.
#[repr(C)]
#[derive(Default)]
struct IdAttr {
    start_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// `bpf_attr` as used by `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct InfoAttr {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// `bpf_attr` as used by `BPF_LINK_DETACH`.
#[repr(C)]
struct LinkAttr {
    link_fd: u32,
}

/// `bpf_attr` as used by `BPF_TASK_FD_QUERY`.
#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    pid: u32,
    fd: u32,
    flags: u32,
    buf_len: u32,
    buf: u64,
    prog_id: u32,
    fd_type: u32,
    probe_offset: u64,
    probe_addr: u64,
}

/// The kernel's `struct bpf_prog_info`, up to how often the program ran. Kernels that know more
/// of it write no more than this.
#[repr(C)]
#[derive(Default)]
struct ProgInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    jited_len: u32,
    xlated_len: u32,
    jited: u64,
    xlated: u64,
    load_time: u64,
    created_by_uid: u32,
    nr_map_ids: u32,
    map_ids: u64,
    name: [u8; 16],
    ifindex: u32,
    gpl_compatible: u32,
    netns_dev: u64,
    netns_ino: u64,
    nr_jited_ksyms: u32,
    nr_jited_func_lens: u32,
    jited_ksyms: u64,
    jited_func_lens: u64,
    btf_id: u32,
    func_info_rec_size: u32,
    func_info: u64,
    nr_func_info: u32,
    nr_line_info: u32,
    line_info: u64,
    jited_line_info: u64,
    nr_jited_line_info: u32,
    line_info_rec_size: u32,
    jited_line_info_rec_size: u32,
    nr_prog_tags: u32,
    prog_tags: u64,
    run_time_ns: u64,
    run_cnt: u64,
}

/// Of the kernel's `enum bpf_prog_type`, what an agent may use.
const KINDS: [(u32, &str); 7] = [
    (2, "kprobe"),
    (5, "tracepoint"),
    (7, "perf_event"),
    (17, "raw_tracepoint"),
    (18, "cgroup_sock_addr"),
    (26, "tracing"),
    (29, "lsm"),
];

/// What the kernel has counted of a program, while it was told to count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    /// Its name, of which the kernel keeps 15 bytes.
    pub name: String,
    /// Its type, by name if it is in [`KINDS`], else by number.
    pub kind: String,
    /// How often it ran.
    pub runs: u64,
    /// How long in all, in nanoseconds.
    pub run_ns: u64,
}

/// What the kernel has counted of every program that exists now, by id.
///
/// # Errors
/// `bpf(2)` refuses.
pub fn runs() -> Result<BTreeMap<u32, Runs>> {
    let mut all = BTreeMap::new();
    for id in ids(BPF_PROG_GET_NEXT_ID).context("listing BPF programs")? {
        let info = match program_info(id) {
            Ok(info) => info,
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(error.context(format!("asking about BPF program {id}"))),
        };
        let known = KINDS.iter().find(|(number, _)| *number == info.kind);
        let runs = Runs {
            name: info.name(),
            kind: known.map_or(info.kind.to_string(), |(_, name)| (*name).to_owned()),
            runs: info.run_cnt,
            run_ns: info.run_time_ns,
        };
        all.insert(id, runs);
    }
    Ok(all)
}

/// The names of the programs that exist now, in the kernel's 15 bytes.
///
/// # Errors
/// `bpf(2)` refuses.
pub fn program_names() -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for id in ids(BPF_PROG_GET_NEXT_ID).context("listing BPF programs")? {
        match program_name(id) {
            Ok(name) => names.insert(name),
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(error.context(format!("asking about BPF program {id}"))),
        };
    }
    Ok(names)
}

/// Every program and link that exists now, as `prog NAME (id N)` and `link N`.
///
/// # Errors
/// `bpf(2)` refuses; an empty set must not come from a failed look.
pub fn all() -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for id in ids(BPF_PROG_GET_NEXT_ID).context("listing BPF programs")? {
        match program_name(id) {
            Ok(name) => found.insert(format!("prog {name} (id {id})")),
            // It went between the two calls, so it isn't left behind.
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(error.context(format!("asking about BPF program {id}"))),
        };
    }
    for id in ids(BPF_LINK_GET_NEXT_ID).context("listing BPF links")? {
        found.insert(format!("link {id}"));
    }
    Ok(found)
}

fn is_gone(error: &anyhow::Error) -> bool {
    let errno = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::raw_os_error);
    errno == Some(libc::ENOENT)
}

fn ids(command: libc::c_long) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    let mut attr = IdAttr::default();
    loop {
        match bpf(command, &mut attr) {
            Ok(_) => {
                found.push(attr.next_id);
                attr.start_id = attr.next_id;
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(found),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The id of the program that a perf event of a process runs.
///
/// # Errors
/// It runs none.
pub fn program_of_event(pid: u32, fd: u32) -> Result<u32> {
    let mut attr = QueryAttr {
        pid,
        fd,
        ..QueryAttr::default()
    };
    bpf(BPF_TASK_FD_QUERY, &mut attr).context("asking what an event runs")?;
    Ok(attr.prog_id)
}

/// Asks the kernel to detach a link, and gives the errno; 0 if it did.
///
/// # Errors
/// There is no such link.
pub fn detach_link(id: u32) -> Result<i32> {
    let fd = open(BPF_LINK_GET_FD_BY_ID, id).with_context(|| format!("opening link {id}"))?;
    let mut attr = LinkAttr {
        link_fd: number(&fd)?,
    };
    let detached = bpf(BPF_LINK_DETACH, &mut attr);
    Ok(detached
        .err()
        .and_then(|error| error.raw_os_error())
        .unwrap_or(0))
}

fn open(command: libc::c_long, id: u32) -> Result<OwnedFd> {
    let mut attr = IdAttr {
        start_id: id,
        ..IdAttr::default()
    };
    descriptor(command, &mut attr)
}

/// A descriptor as `bpf_attr` has it.
fn number(fd: &OwnedFd) -> Result<u32> {
    u32::try_from(fd.as_raw_fd()).context("a negative descriptor")
}

fn descriptor<T>(command: libc::c_long, attr: &mut T) -> Result<OwnedFd> {
    let raw = bpf(command, attr)?;
    let raw = i32::try_from(raw).context("a descriptor out of range")?;
    // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// A Bloom filter that no program uses.
pub struct BloomFilter {
    fd: OwnedFd,
    value: Vec<u8>,
}

impl BloomFilter {
    /// How many times it hashes a value, the most that it can.
    const HASHES: u64 = 15;

    /// Makes it, for values of this many bytes.
    ///
    /// # Errors
    /// The kernel's.
    pub fn of(value_size: u32) -> Result<Self> {
        let mut attr = MapAttr {
            map_type: BPF_MAP_TYPE_BLOOM_FILTER,
            value_size,
            max_entries: 1,
            map_extra: Self::HASHES,
            ..MapAttr::default()
        };
        let fd = descriptor(BPF_MAP_CREATE, &mut attr).context("making a Bloom filter")?;
        let value = vec![0; usize::try_from(value_size).context("a large value")?];
        Ok(Self { fd, value })
    }

    /// Has the kernel hash a value.
    ///
    /// # Errors
    /// The kernel's.
    pub fn push(&self) -> Result<()> {
        let mut attr = ElementAttr {
            map_fd: number(&self.fd)?,
            zero: 0,
            key: 0,
            value: self.value.as_ptr().expose_provenance() as u64,
            flags: 0,
        };
        bpf(BPF_MAP_UPDATE_ELEM, &mut attr).context("pushing a value")?;
        Ok(())
    }
}

/// A map of somebody's.
pub struct Map {
    fd: OwnedFd,
    info: MapInfo,
}

/// The kernel's `struct bpf_map_info`, up to its name.
#[repr(C)]
#[derive(Default)]
struct MapInfo {
    kind: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    name: [u8; 16],
}

impl Map {
    /// The map with this id.
    ///
    /// # Errors
    /// It is gone.
    pub fn by_id(id: u32) -> Result<Self> {
        let fd = open(BPF_MAP_GET_FD_BY_ID, id)?;
        let mut info = MapInfo::default();
        let mut attr = InfoAttr {
            bpf_fd: number(&fd)?,
            info_len: u32::try_from(size_of::<MapInfo>()).context("a large struct")?,
            info: (&raw mut info).expose_provenance() as u64,
        };
        bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr).context("asking about a map")?;
        Ok(Self { fd, info })
    }

    /// Its name, of which the kernel keeps 15 bytes.
    #[must_use]
    pub fn name(&self) -> String {
        text(&self.info.name)
    }

    /// Its keys.
    ///
    /// # Errors
    /// The kernel's.
    pub fn keys(&self) -> Result<Vec<Vec<u8>>> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        loop {
            let mut next = vec![0; usize::try_from(self.info.key_size).context("a large key")?];
            let key = keys.last().map_or(0, |key| address(key));
            let to = next.as_mut_ptr().expose_provenance() as u64;
            match self.call(BPF_MAP_GET_NEXT_KEY, key, to) {
                Ok(()) => keys.push(next),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(keys),
                Err(error) => return Err(error).context("reading a map's keys"),
            }
        }
    }

    /// Deletes an entry.
    ///
    /// # Errors
    /// There is none with this key.
    pub fn delete(&self, key: &[u8]) -> Result<()> {
        let deleted = self.call(BPF_MAP_DELETE_ELEM, address(key), 0);
        deleted.context("deleting a map's entry")
    }

    /// Puts what a descriptor stands for at an index of an array of such.
    ///
    /// # Errors
    /// It can't be in such an array.
    pub fn put_descriptor(&self, index: u32, descriptor: &impl AsRawFd) -> Result<()> {
        let (key, value) = (index.to_ne_bytes(), descriptor.as_raw_fd().to_ne_bytes());
        let put = self.call(BPF_MAP_UPDATE_ELEM, address(&key), address(&value));
        put.context("putting a descriptor into a map")
    }

    fn call(&self, command: libc::c_long, key: u64, value: u64) -> std::io::Result<()> {
        let mut attr = ElementAttr {
            map_fd: number(&self.fd).map_err(std::io::Error::other)?,
            zero: 0,
            key,
            value,
            flags: 0,
        };
        bpf(command, &mut attr).map(drop)
    }
}

/// As `bpf_attr` has it.
fn address(bytes: &[u8]) -> u64 {
    bytes.as_ptr().expose_provenance() as u64
}

/// The name of a program, of which the kernel keeps 15 bytes.
///
/// # Errors
/// It is gone.
pub fn program_name(id: u32) -> Result<String> {
    Ok(program_info(id)?.name())
}

impl ProgInfo {
    fn name(&self) -> String {
        text(&self.name)
    }
}

/// A name up to its NUL.
fn text(name: &[u8]) -> String {
    let name = name.iter().copied();
    let name: Vec<u8> = name.take_while(|&byte| byte != 0).collect();
    String::from_utf8_lossy(&name).into_owned()
}

fn program_info(id: u32) -> Result<ProgInfo> {
    let fd = open(BPF_PROG_GET_FD_BY_ID, id)?;
    let mut info = ProgInfo::default();
    let mut attr = InfoAttr {
        bpf_fd: number(&fd)?,
        info_len: u32::try_from(size_of::<ProgInfo>()).context("a large struct")?,
        info: (&raw mut info).expose_provenance() as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}

fn bpf<T>(command: libc::c_long, attr: &mut T) -> std::io::Result<libc::c_long> {
    // SAFETY: `attr` is a live, zero-initialised prefix of `union bpf_attr` of the size we
    // pass; the kernel treats what lies beyond as zero. Pointers inside it outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(result)
}
