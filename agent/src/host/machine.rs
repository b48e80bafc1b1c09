//! The machine, before anything is attached: what measuring needs, and what reports repeat.
//!
//! In: `/proc`, `/sys`, the mount table, the seam. Out: a [`Machine`], or an end with exit
//! code 77 where nothing could be measured.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::cgroups::Hierarchy;
use super::lsm;
use crate::exit::{Ending, Exit};
use crate::host;
use crate::host::filesystems;
use crate::kernel::btf::KernelBtf;
use crate::kernel::loader;
use crate::output::log;
use crate::posture::lsm_list::LsmList;

/// What the machine has, before anything is attached.
pub struct Machine {
    /// The effective LSM list.
    pub lsm_list: LsmList,
    /// The kernel's BTF, if it has any.
    pub btf: Option<KernelBtf>,
    /// The cgroup v2 hierarchy.
    pub hierarchy: Hierarchy,
    /// What every report repeats.
    pub facts: Facts,
    /// How long reading the BTF took.
    pub btf_took: Duration,
}

/// What stays the same from one report to the next.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The boot.
    pub boot_id: String,
    /// `uname -r`.
    pub kernel_version: String,
    /// The effective list of active LSMs.
    pub lsm_enabled: Option<Vec<String>>,
    /// What this machine has.
    pub features: BTreeMap<&'static str, bool>,
    /// The seams in use.
    pub test_seams: Vec<Seam>,
    /// Who speaks.
    pub agent: Agent,
}

/// A seam in use, which makes the agent claim less than it could.
#[derive(Debug, Clone, Serialize)]
pub struct Seam {
    /// The variable.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

/// The agent itself.
#[derive(Debug, Clone, Serialize)]
pub struct Agent {
    /// Its version.
    pub version: &'static str,
    /// Its process id.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`: with it, a reader knows a pid that was given away.
    pub start_time: u64,
    /// The digest of the BPF object in it.
    pub bpf_object_sha256: &'static str,
}

impl Agent {
    /// This process.
    ///
    /// # Errors
    /// `/proc` isn't there.
    pub fn this() -> Result<Self> {
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            pid: process::id(),
            start_time: host::start_time()?,
            bpf_object_sha256: loader::OBJECT_SHA256,
        })
    }
}

impl Machine {
    /// Looks at the machine, and for these functions in its BTF.
    ///
    /// # Errors
    /// Nothing could be measured here.
    pub fn look(functions: &[String]) -> Result<Self> {
        let impossible = |why: &str| Ending::error(Exit::Unmeasurable, why);
        if !rustix::process::geteuid().is_root() {
            return Err(impossible(
                "nothing can be measured: not root; run it as root",
            ));
        }
        if !host::in_initial_pid_namespace()? {
            return Err(impossible(
                "nothing can be measured: in a pid namespace, where pids aren't those that the \
                 kernel side sees; run it in the machine's own",
            ));
        }
        let hierarchy = Hierarchy::find()?.ok_or_else(|| {
            impossible(
                "nothing can be measured: no cgroup v2 for the canary; mount one with \
                 mount -t cgroup2 none /sys/fs/cgroup",
            )
        })?;
        let seam = lsm::seam_from_env();
        let mut lsm_list = lsm::read(lsm::KERNEL_LIST.as_ref(), seam.as_deref());
        if let LsmList::Unreadable { reason } = &mut lsm_list
            && let Some(way_out) = filesystems::mend_securityfs()
        {
            reason.push_str("; ");
            reason.push_str(way_out);
        }
        let started = Instant::now();
        let btf = KernelBtf::read(functions);
        let btf_took = started.elapsed();
        if let Err(error) = &btf {
            log::warn(format_args!("the kernel's BTF can't be read: {error:#}"));
        }
        let btf = btf.ok();
        let facts = Facts {
            boot_id: host::boot_id()?,
            kernel_version: host::kernel_version(),
            lsm_enabled: lsm_list.names().map(<[String]>::to_vec),
            features: BTreeMap::from([
                (
                    "bpf_lsm_types",
                    btf.as_ref().is_some_and(loader::has_lsm_types),
                ),
                ("btf", btf.is_some()),
                ("cgroup_v2", true),
            ]),
            test_seams: seams(seam),
            agent: Agent::this()?,
        };
        if let LsmList::Unreadable { reason } = &lsm_list {
            log::warn(format_args!("the LSM list can't be read: {reason}"));
        }
        Ok(Self {
            lsm_list,
            btf,
            hierarchy,
            facts,
            btf_took,
        })
    }

    /// Whether the kernel's BTF could be read.
    pub fn has_btf(&self) -> bool {
        self.facts.features["btf"]
    }
}

fn seams(lsm: Option<PathBuf>) -> Vec<Seam> {
    let seam = |path: PathBuf| Seam {
        name: lsm::SEAM,
        value: path.display().to_string(),
    };
    let seams: Vec<Seam> = lsm.map(seam).into_iter().collect();
    for Seam { name, value } in &seams {
        log::warn(format_args!(
            "test seam in use: {name}={value}: this agent may claim less than it could"
        ));
    }
    seams
}
