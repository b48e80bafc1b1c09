//! What there is on this host of what the kernel asks for before it takes maps, programs and links.
//!
//! In: `/proc` and `/sys`. Out: [`HostFacts`], which [`crate::kernel::refusal`] puts into words. What
//! can't be read is taken to be as good as it can be: the refusal then names less, and nothing
//! wrong.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

use crate::host;
use crate::host::filesystems::{Presence, presence};
use crate::host::status::Status;
use crate::kernel::bpf_call::TRACEFS;
use crate::kernel::refusal::{HostFacts, Lockdown, Tracefs};
use crate::posture::lsm_list;

/// The inode of the initial user namespace, fixed by the kernel's ABI.
const INITIAL_USER_NS: &str = "user:[4026531837]";

const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// Looks everything up.
pub fn look() -> HostFacts {
    let status = Status::read().ok();
    let namespace = fs::read_link("/proc/self/ns/user");
    let lsms = fs::read_to_string(super::lsm::KERNEL_LIST);
    HostFacts {
        capabilities: status.map_or(u64::MAX, |status| status.capabilities),
        in_initial_user_namespace: namespace
            .map_or(true, |namespace| namespace == Path::new(INITIAL_USER_NS)),
        seccomp_filter: status.is_some_and(|status| status.seccomp_filter),
        lockdown: lockdown(fs::read_to_string(LOCKDOWN).ok().as_deref(), || {
            presence("securityfs", &["/sys/kernel/security"])
        }),
        unprivileged_bpf_disabled: sysctl("unprivileged_bpf_disabled"),
        perf_event_paranoid: sysctl("perf_event_paranoid"),
        memlock: getrlimit(Resource::Memlock).current,
        charges_memlock: charges_memlock(&host::kernel_version()),
        lsms: lsms.ok().and_then(|text| lsm_list::parse(&text)),
        sysfs: Path::new("/sys/bus/event_source").exists(),
        tracefs: tracefs(),
    }
}

/// A number beneath `/proc/sys/kernel`.
fn sysctl(name: &str) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?;
    text.trim().parse().ok()
}

/// The word in brackets is what the kernel is locked down to. Without the file, that depends on
/// whether its file system is mounted.
fn lockdown(text: Option<&str>, securityfs: impl FnOnce() -> Presence) -> Lockdown {
    let Some(text) = text else {
        return match securityfs() {
            Presence::Unmounted => Lockdown::Unknown,
            Presence::Mounted | Presence::Unknown => Lockdown::None,
        };
    };
    match text.split(['[', ']']).nth(1) {
        Some("integrity") => Lockdown::Integrity,
        Some("confidentiality") => Lockdown::Confidentiality,
        _ => Lockdown::None,
    }
}

/// Whether a kernel of this release charges the memory of BPF to RLIMIT_MEMLOCK. It doesn't tell;
/// the text alone depends on it, nothing that the agent does.
fn charges_memlock(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next()?.parse::<u32>().ok();
    let version = next().zip(next());
    version.is_some_and(|version| version < (5, 11))
}

fn tracefs() -> Tracefs {
    match presence("tracefs", &TRACEFS) {
        Presence::Unknown => Tracefs::Unknown,
        Presence::Unmounted => Tracefs::Unmounted,
        Presence::Mounted => {
            let syscalls = |place: &&str| Path::new(place).join("events/syscalls").exists();
            match TRACEFS.iter().any(syscalls) {
                true => Tracefs::Whole,
                false => Tracefs::WithoutSyscalls,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lockdown_is_the_word_in_brackets() {
        let mounted = || Presence::Mounted;
        for (text, expected) in [
            ("[none] integrity confidentiality\n", Lockdown::None),
            ("none [integrity] confidentiality\n", Lockdown::Integrity),
            (
                "none integrity [confidentiality]\n",
                Lockdown::Confidentiality,
            ),
        ] {
            assert_eq!(lockdown(Some(text), mounted), expected);
        }
        assert_eq!(lockdown(None, mounted), Lockdown::None);
        assert_eq!(lockdown(None, || Presence::Unmounted), Lockdown::Unknown);
    }

    #[test]
    fn kernels_before_5_11_charge_to_the_limit() {
        for (release, charges) in [
            ("5.10.0-46-cloud-amd64", true),
            ("4.19.0", true),
            ("5.11.0", false),
            ("5.11-rc1", false),
            ("6.1.0-56-cloud-amd64", false),
            ("10.2", false),
            ("weird", false),
        ] {
            assert_eq!(charges_memlock(release), charges, "{release}");
        }
    }
}
