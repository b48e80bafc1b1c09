//! The machine, before anything is attached: what measuring needs, and what reports repeat.
//!
//! In: `/proc`, `/sys`, the mount table, the seam. Out: a [`Machine`], or an end with exit
//! code 77 where nothing could be measured.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;

use crate::daemon::timings::{self, Step};
use crate::exit::{Ending, Exit};
use crate::host;
use crate::host::cgroups::Hierarchy;
use crate::host::filesystems;
use crate::kernel::btf::KernelBtf;
use crate::kernel::hooks::Hook;
use crate::kernel::loader;
use crate::output::log;
use crate::posture::Tier;
use crate::posture::lsm_list::{self, LsmList};
use crate::report::{Agent, Frame, Seam};
use crate::sabotage::{self, Mutant};

/// What the machine has, before anything is attached.
pub struct Machine {
    /// The effective LSM list.
    pub lsm_list: LsmList,
    /// The kernel's BTF, if it has any.
    pub btf: Option<KernelBtf>,
    /// The cgroup v2 hierarchy.
    pub hierarchy: Hierarchy,
    /// What every report repeats.
    pub frame: Frame,
}

impl Machine {
    /// Looks at the machine; ends with 77 where nothing could be measured.
    pub fn look() -> Result<Self> {
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
        let seam = lsm_list::seam_from_env();
        let mut lsm_list = LsmList::read(lsm_list::KERNEL_LIST.as_ref(), seam.as_deref());
        if let LsmList::Unreadable { reason } = &mut lsm_list
            && let Some(way_out) = filesystems::mend_securityfs()
        {
            reason.push_str("; ");
            reason.push_str(way_out);
        }
        let btf = timings::measure(Step::Btf, KernelBtf::read);
        if let Err(error) = &btf {
            log::warn(format_args!("the kernel's BTF can't be read: {error:#}"));
        }
        let btf = btf.ok();
        let frame = Frame {
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
            frame,
        })
    }

    /// Whether the kernel's BTF could be read.
    pub fn has_btf(&self) -> bool {
        self.frame.features["btf"]
    }

    /// Why a hook wasn't tried.
    pub fn untried(&self, hook: &Hook) -> String {
        let why = match hook.tier {
            _ if !self.has_btf() => "the kernel has no BTF",
            Tier::Lsm if !self.lsm_list.has_bpf() => "the LSM list doesn't have bpf",
            Tier::Lsm | Tier::Modret | Tier::Signal => "nothing that was asked for rests on it",
        };
        format!("not tried: {why}")
    }
}

fn seams(lsm: Option<PathBuf>) -> Vec<Seam> {
    let seam = |path: PathBuf| Seam {
        name: lsm_list::SEAM,
        value: path.display().to_string(),
    };
    let lsm = lsm.filter(|_| !sabotage::is(Mutant::HidesSeam));
    let seams: Vec<Seam> = lsm.map(seam).into_iter().collect();
    for Seam { name, value } in &seams {
        log::warn(format_args!(
            "test seam in use: {name}={value}: this agent may claim less than it could"
        ));
    }
    seams
}
