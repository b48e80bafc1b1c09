//! Somebody from outside who takes a program away from the agent.
//!
//! `BPF_LINK_DETACH`, which is what `bpftool link detach` does, is refused by links of tracing
//! and LSM programs, and a perf event has no link at all. What always works is to make the
//! agent lose the descriptor that holds the program in place: it is made to put its standard
//! input in that descriptor's place, so that the number isn't given to anything else, which
//! it would then close in the belief that it is still its own.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};

use crate::acts::bpf_objects;
use crate::acts::tracer;

/// A descriptor of a process that holds a program in place.
#[derive(Debug, PartialEq, Eq)]
pub struct Holder {
    pid: u32,
    fd: u32,
    /// The link's id; a perf event has none.
    link: Option<u32>,
}

/// Finds the descriptor by which a process holds the program with this name, of which the
/// kernel keeps 15 bytes.
///
/// # Errors
/// There is none, or several.
pub fn holder(pid: u32, program: &str) -> Result<Holder> {
    let mut held = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).context("listing its descriptors")? {
        let name = entry?.file_name();
        let fd = name.to_str().and_then(|name| name.parse().ok());
        let fd: u32 = fd.with_context(|| format!("no descriptor: {name:?}"))?;
        let (link, program_id) = match held_by(pid, fd) {
            Ok(Some(held)) => held,
            Ok(None) => continue,
            // It opens and closes others all the time.
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(error),
        };
        let name = bpf_objects::program_name(program_id)?;
        if name == program {
            return Ok(Holder { pid, fd, link });
        }
        held.push(name);
    }
    anyhow::bail!("process {pid} doesn't hold {program} in place, only {held:?}")
}

/// The link's id, if it is one, and the id of the program that a descriptor holds in place.
fn held_by(pid: u32, fd: u32) -> Result<Option<(Option<u32>, u32)>> {
    let target = fs::read_link(format!("/proc/{pid}/fd/{fd}")).context("reading a descriptor")?;
    if target == Path::new("anon_inode:[perf_event]") {
        let program = bpf_objects::program_of_event(pid, fd)?;
        return Ok(Some((None, program)));
    }
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}"))
        .context("reading about a descriptor")?;
    Ok(link(&info).map(|(link, program)| (Some(link), program)))
}

fn is_gone(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The ids of link and program, if that is what `/proc/PID/fdinfo/FD` tells of.
fn link(info: &str) -> Option<(u32, u32)> {
    let number = |field: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(field))?;
        value.trim().parse().ok()
    };
    Some((number("link_id:")?, number("prog_id:")?))
}

impl Holder {
    /// Asks the kernel to detach the link, as `bpftool link detach` does. The errno, 0 if it
    /// did it; nothing if there is no link to ask for.
    ///
    /// # Errors
    /// The link can't be had.
    pub fn ask_to_detach(&self) -> Result<Option<i32>> {
        self.link.map(bpf_objects::detach_link).transpose()
    }

    /// Makes the process lose the descriptor.
    ///
    /// # Errors
    /// It can't be traced, or the call in it fails.
    pub fn take_away(&self) -> Result<()> {
        let call = tracer::Call {
            number: libc::SYS_dup3,
            arguments: [0, self.fd.into(), libc::O_CLOEXEC as u64],
        };
        let result = tracer::make_call(self.pid, &call).context("making it lose a descriptor")?;
        if result != i64::from(self.fd) {
            anyhow::bail!("dup3 in process {} gave {result}", self.pid);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_told_by_its_ids_and_a_program_s_own_descriptor_is_none() {
        let of_link = "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nlink_type:\ttracing\n\
                       link_id:\t7\nprog_tag:\t53a92a5346e91df0\nprog_id:\t31\n";
        assert_eq!(link(of_link), Some((7, 31)));
        let of_program = "pos:\t0\nprog_type:\t29\nprog_id:\t31\n";
        assert_eq!(link(of_program), None);
    }
}
