//! The records that the guest (PID 1 in the VM) and the host exchange. Types only.
//!
//! Two directions, one module each, and the vocabulary of both in [`bench`] and
//! [`sabotage`]:
//! - host → guest: [`plan::GuestPlan`], packed into the initramfs as `/plan.json`, plus the
//!   two arguments on the kernel command line that select a boot and carry its nonce;
//! - guest → host: [`record::Record`], one JSON object a line on the second serial port.
//!
//! The guest observes and the host judges: an observation carries no verdict, and an
//! expectation never leaves the plan. Both sides carry [`VERSION`] and refuse another one.

pub mod bench;
pub mod plan;
pub mod record;
pub mod sabotage;

/// Version of the plan and of the records. Raised whenever a field changes its meaning.
pub const VERSION: u32 = 5;

/// Kernel command-line argument that names the boot, e.g. `aegisbpf.boot=no-bpf-lsm`.
///
/// The dot keeps the kernel from handing it to init as an argument or variable.
pub const BOOT_ARG: &str = "aegisbpf.boot=";

/// Kernel command-line argument with the boot's nonce, so that stale records can't pass.
pub const NONCE_ARG: &str = "aegisbpf.nonce=";

/// The guest's last line on the console, once it has told all: a console without it was cut, and
/// shows no complaint of the kernel's for that reason.
#[must_use]
pub fn last_line(nonce: &str) -> String {
    format!("guest: told all of {nonce}")
}

/// The lockdown level at which the kernel lets no BPF program read its memory.
pub const CONFIDENTIALITY: &str = "confidentiality";

/// Where the guest finds its plan.
pub const PLAN_PATH: &str = "/plan.json";

/// Where the guest finds the agent.
pub const AGENT_PATH: &str = "/usr/bin/aegisbpf";

/// Where the guest finds the sabotaged build of the agent, if the host packed one.
pub const SABOTAGED_AGENT_PATH: &str = "/usr/bin/aegisbpf-sabotaged";

/// Where the guest finds another agent to measure the first one against, if the host packed one.
pub const OTHER_AGENT_PATH: &str = "/usr/bin/aegisbpf-other";

/// Folder with the kernel modules, and the file in it that lists them in load order.
pub const MODULES_DIR: &str = "/lib/modules";
/// One file name a line, relative to [`MODULES_DIR`], dependencies first.
pub const MODULES_ORDER: &str = "/lib/modules/load-order";

/// Folder with a list for each file system that takes modules, named after it; the same form
/// as [`MODULES_ORDER`]. They are loaded when a proof comes that takes place on it.
pub const MODULES_OF_FILESYSTEMS: &str = "/lib/modules/filesystems";

/// Folder with a folder for each file system that takes a disk. Only what isn't zero of the
/// disk is there: [`DISK_SIZE`], and files named by the offset at which their bytes belong.
pub const DISKS_DIR: &str = "/disks";
/// The file with the disk's size in bytes.
pub const DISK_SIZE: &str = "size";
