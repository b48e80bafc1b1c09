//! The kinds of boot, as data.

/// The ways in which every kernel is booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Boot {
    /// `bpf` is in `lsm=`.
    BpfLsm,
    /// `bpf` is left out of `lsm=`.
    NoBpfLsm,
    /// `bpf` is in `lsm=`, and the machine has two processors.
    Smp,
    /// `bpf` is in `lsm=`, and the kernel is locked down, so that no BPF program may read its
    /// memory and nobody may trace it.
    Lockdown,
}

/// What makes a boot that kind of boot.
#[derive(Debug, Clone, Copy)]
pub struct BootKind {
    /// As it stands in suites, on the command line and in `kernels.toml`.
    pub name: &'static str,
    /// What this kind of boot adds to the kernel's command line. The kernel skips LSMs that it
    /// doesn't know, so one list serves all kernels; without `lsm=` Debian's 5.10 would leave
    /// `bpf` out.
    pub arguments: &'static [&'static str],
    /// Whether the kernel's list of LSMs has `bpf` then.
    pub bpf_in_lsm: bool,
    /// Whether the kernel is locked down to confidentiality then.
    pub locked_down: bool,
    /// The virtual machine's processors. Of `--jobs` it takes as many.
    pub processors: usize,
}

const WITH_BPF: &str = "lsm=landlock,lockdown,yama,integrity,apparmor,bpf";

/// The guest brings up the other processors, once the kernel has started. Of QEMU 7.2's machines
/// under TCG that start with two, one in some fifty crashed (SIGSEGV) while the kernel looked for
/// devices, or hung; of 150 that start with one none did.
const ONE_AT_START: &str = "maxcpus=1";

impl Boot {
    /// All of them, in the order in which they are reported.
    pub const ALL: [Self; 4] = [Self::BpfLsm, Self::NoBpfLsm, Self::Smp, Self::Lockdown];

    /// Those that are compared.
    pub const COMPARED: [Self; 2] = [Self::BpfLsm, Self::NoBpfLsm];

    /// What makes it that kind.
    #[must_use]
    pub fn kind(self) -> BootKind {
        match self {
            Self::BpfLsm => BootKind {
                name: "bpf-lsm",
                arguments: &[WITH_BPF],
                bpf_in_lsm: true,
                locked_down: false,
                processors: 1,
            },
            Self::NoBpfLsm => BootKind {
                name: "no-bpf-lsm",
                arguments: &["lsm=landlock,lockdown,yama,integrity,apparmor"],
                bpf_in_lsm: false,
                locked_down: false,
                processors: 1,
            },
            Self::Smp => BootKind {
                name: "smp",
                arguments: &[WITH_BPF, ONE_AT_START],
                bpf_in_lsm: true,
                locked_down: false,
                processors: 2,
            },
            Self::Lockdown => BootKind {
                name: "lockdown",
                arguments: &[WITH_BPF, "lockdown=confidentiality"],
                bpf_in_lsm: true,
                locked_down: true,
                processors: 1,
            },
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|boot| boot.name() == name)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.kind().name
    }
}
