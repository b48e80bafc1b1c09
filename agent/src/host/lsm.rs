//! Where the list of active LSMs comes from: the kernel, and the seam if there is one.
//!
//! In: the kernel's list and, when `AEGIS_LSM_PATH` is set, the file that it names. Out: the
//! effective [`LsmList`].

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::posture::lsm_list::{LsmList, lower, parse};

/// Where the kernel lists its active LSMs.
pub const KERNEL_LIST: &str = "/sys/kernel/security/lsm";

/// The variable that names a file to lower the kernel's list with.
pub const SEAM: &str = "AEGIS_LSM_PATH";

/// The seam's file, where the environment names one.
pub fn seam_from_env() -> Option<PathBuf> {
    env::var_os(SEAM).map(PathBuf::from)
}

/// Reads the kernel's list and lowers it by the seam's, if `seam` names one.
pub fn read(kernel: &Path, seam: Option<&Path>) -> LsmList {
    let kernel = read_one(kernel);
    match seam {
        None => kernel,
        Some(seam) => lower(kernel, read_one(seam)),
    }
}

fn read_one(path: &Path) -> LsmList {
    let reason = match fs::read_to_string(path) {
        Ok(text) => match parse(&text) {
            Some(names) => return LsmList::Known(names),
            None => "it is empty".to_owned(),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => "there is no such file".to_owned(),
        Err(error) => error.to_string(),
    };
    LsmList::Unreadable {
        reason: format!("{}: {reason}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_list_is_unreadable_and_hides_what_the_kernel_lists() {
        let folder = tempfile::tempdir().unwrap();
        let kernel = folder.path().join("lsm");
        fs::write(&kernel, "lockdown,bpf\n").unwrap();
        assert!(read(&kernel, None).has_bpf());
        let missing = read(Path::new("/nonexistent/lsm"), None);
        assert!(matches!(missing, LsmList::Unreadable { .. }));
        assert_eq!(read(&kernel, Some(Path::new("/nonexistent/lsm"))), missing);
    }
}
