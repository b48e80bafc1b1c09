//! RLIMIT_MEMLOCK, to which kernels before 5.11 charge the memory of BPF maps and programs.
//!
//! In: nothing. Out: the limit, raised as far as this process may.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as this process may: without CAP_SYS_RESOURCE, to its hard limit.
///
/// It is no error if that isn't far: later kernels charge the cgroup instead and don't look at the
/// limit, and an earlier one refuses the map or program that goes beyond it.
pub fn raise() {
    let to_unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    if setrlimit(Resource::Memlock, to_unlimited).is_err() {
        let maximum = getrlimit(Resource::Memlock).maximum;
        let to_maximum = Rlimit {
            current: maximum,
            maximum,
        };
        // No privilege is needed for this, so it fails only where it changes nothing.
        let _ = setrlimit(Resource::Memlock, to_maximum);
    }
}
