//! What `cargo xtask test` has made ready before it runs the tests that boot machines, and what
//! stands in for it where none is booted.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use harness::image::artifacts::note_origin;
use harness::kernels::cache::{Cache, Found};
use harness::kernels::lock::Lock;

use super::checkout::repository;

/// The folder with agent, sabotaged agent and guest, for `--prebuilt`.
pub fn artifacts() -> PathBuf {
    let folder = repository().join("target/artifacts");
    assert!(
        folder.join("guest").is_file(),
        "{} isn't filled; `cargo xtask test` does it before it runs this",
        folder.display()
    );
    folder
}

/// A folder like [`artifacts`], with another program in the place of the one of this name.
pub fn artifacts_with(name: &str, by: &Path, folder: &Path) -> PathBuf {
    fs::create_dir_all(folder).expect("a writable folder");
    for original in ["aegisbpf", "aegisbpf-sabotaged", "guest"] {
        let target = match original == name {
            true => by.to_owned(),
            false => artifacts().join(original),
        };
        symlink(target, folder.join(original)).expect("a writable folder");
    }
    note_origin(folder, None).expect("programs for the guest");
    folder.to_owned()
}

/// Fills a folder with as much of static programs as the harness looks at, for runs that boot
/// nothing.
pub fn pretend_artifacts(folder: &Path) {
    fs::create_dir_all(folder).expect("a writable folder");
    for name in ["aegisbpf", "aegisbpf-sabotaged", "guest"] {
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.resize(64, 0);
        elf[18] = 62;
        fs::write(folder.join(name), &elf).expect("a writable folder");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.join(name), mode).expect("our own file");
    }
    note_origin(folder, None).expect("as good as programs for the guest");
}

/// A kernel of the lock, as it lies in the cache.
pub fn kernel(name: &str) -> PathBuf {
    let lock = Lock::load(&repository().join("kernels.lock")).expect("a valid lock");
    let pin = lock.find(name).expect("the lock pins it");
    let cache = Cache::of_user().expect("a folder for the cache");
    match cache.kernel(pin) {
        Found::Good((vmlinuz, _)) => vmlinuz,
        other => panic!("kernel {name}: {other:?}; `cargo xtask test` fetches it"),
    }
}
