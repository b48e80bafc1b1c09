//! Fetching against an archive that is a folder: real packages, real extraction, no network.

use std::{path::PathBuf, thread};

use super::*;
use crate::{
    exit::ExitCode, kernels::lock::Role, kernels::manifest::Source, progress::Lines,
    testing::left_out,
};

mod folder;

use folder::{Folder, vmlinuz};

const RELEASE: &str = "6.1.0-56-cloud-amd64";

struct Bench {
    root: tempfile::TempDir,
    manifest: Manifest,
    cache: Cache,
    archive: Folder,
    lines: Lines,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let text = "suites = [\"bookworm\"]\n[[kernel]]\nname = \"6.1\"\ndebian = \"6.1\"\n";
        let bench = Self {
            manifest: Manifest::parse(text, "kernels.toml", root.path()).unwrap(),
            cache: Cache::at(root.path().join("cache")),
            archive: Folder::new(),
            lines: Lines::default(),
            root,
        };
        bench.archive.add(RELEASE, "6.1.192-2", "6.1.192-2");
        bench
    }

    /// The archive drops the pinned build for a newer one, and has another series too.
    fn supersede(&self) {
        let archive = &self.archive;
        archive.remove(RELEASE, "6.1.192-2");
        archive.add("6.1.0-57-cloud-amd64", "6.1.200-1", "6.1.200-1");
        archive.add("6.12.1+deb12-cloud-amd64", "6.12.1-1", "6.12.1-1");
    }

    fn fetch(&self, options: Options) -> Result<ReadyKernel> {
        let kernels: Vec<_> = self.manifest.kernels.iter().collect();
        let lock_path = self.lock_path();
        let mut ready = self.fetcher(&lock_path).ready(&kernels, options)?.all()?;
        assert_eq!(ready.len(), 1);
        Ok(ready.remove(0))
    }

    fn fetcher<'a>(&'a self, lock_path: &'a Path) -> Fetcher<'a> {
        Fetcher {
            manifest: &self.manifest,
            lock_path,
            cache: &self.cache,
            archive: &self.archive,
            progress: &self.lines,
        }
    }

    fn lock_path(&self) -> PathBuf {
        self.root.path().join("kernels.lock")
    }

    fn lines(&self) -> String {
        self.lines.told().join("\n")
    }

    fn debs(&self) -> Vec<PathBuf> {
        let items = fs::read_dir(self.cache.root().join("debs")).unwrap();
        items.map(|item| item.unwrap().path()).collect()
    }
}

const DEFAULT: Options = Options {
    locked: false,
    offline: false,
    modules: false,
};
const LOCKED: Options = Options {
    locked: true,
    ..DEFAULT
};
const OFFLINE: Options = Options {
    offline: true,
    ..DEFAULT
};

#[test]
fn a_kernel_is_fetched_once_and_then_found() {
    let bench = Bench::new();
    let kernel = bench.fetch(DEFAULT).unwrap();
    assert_eq!(kernel.release, RELEASE);
    assert_eq!(kernel.version_word.as_deref(), Some("6.1.192-2"));
    assert_eq!(kernel.package_version.as_deref(), Some("6.1.192-2"));
    assert_eq!(
        fs::read(&kernel.vmlinuz).unwrap(),
        vmlinuz(RELEASE, "6.1.192-2")
    );
    assert_eq!(bench.archive.counts(), (1, 1));

    for options in [DEFAULT, LOCKED, OFFLINE] {
        assert_eq!(bench.fetch(options).unwrap(), kernel);
    }
    assert_eq!(bench.archive.counts(), (1, 1), "a warm run asks nobody");
    let lock = Lock::load(&bench.lock_path()).unwrap();
    assert_eq!(lock.kernels[0].packages[0].role, Role::Image);
    assert_eq!(bench.lines(), "");
}

#[test]
fn an_altered_or_truncated_kernel_is_taken_anew() {
    let bench = Bench::new();
    let kernel = bench.fetch(DEFAULT).unwrap();
    let whole = fs::read(&kernel.vmlinuz).unwrap();
    let mut altered = whole.clone();
    altered[0x380] ^= 1;
    for damaged in [altered.as_slice(), &whole[..0x200], b""] {
        fs::write(&kernel.vmlinuz, damaged).unwrap();
        assert_eq!(
            bench.fetch(OFFLINE).unwrap(),
            kernel,
            "the package is still there"
        );
        assert_eq!(fs::read(&kernel.vmlinuz).unwrap(), whole);
    }
    assert_eq!(bench.archive.counts(), (1, 1));

    for deb in bench.debs() {
        fs::write(deb, b"cut").unwrap();
    }
    fs::write(&kernel.vmlinuz, b"cut").unwrap();
    let failure = bench.fetch(OFFLINE).unwrap_err();
    assert_eq!(failure.code, ExitCode::Infrastructure);
    assert_eq!(bench.fetch(DEFAULT).unwrap(), kernel);
    assert_eq!(bench.archive.counts(), (2, 2), "fetched again");
    insta::assert_snapshot!(bench.lines().lines().last().unwrap(), @r#"kernel "6.1": its files in the cache were altered; taking them anew"#);
}

#[test]
fn a_download_that_was_cut_is_refused() {
    let mut bench = Bench::new();
    bench.archive.cut = true;
    let failure = bench.fetch(DEFAULT).unwrap_err();
    assert_eq!(failure.code, ExitCode::Infrastructure);
    insta::assert_snapshot!(failure.to_string());
    assert!(!bench.cache.root().join("kernels").exists());
}

#[test]
fn a_gone_version_is_replaced_within_its_series_and_both_are_told() {
    let bench = Bench::new();
    bench.fetch(DEFAULT).unwrap();
    fs::remove_dir_all(bench.cache.root()).unwrap();
    bench.supersede();

    let before = fs::read_to_string(bench.lock_path()).unwrap();
    let failure = bench.fetch(LOCKED).unwrap_err();
    assert_eq!(failure.code, ExitCode::Infrastructure);
    insta::assert_snapshot!(failure.to_string(), @r#"kernels.toml:3: kernel "6.1": its locked version 6.1.192-2 is gone from the archive; `cargo xtask kernels update 6.1` pins another one"#);
    assert_eq!(fs::read_to_string(bench.lock_path()).unwrap(), before);

    let kernel = bench.fetch(DEFAULT).unwrap();
    assert_eq!(kernel.release, "6.1.0-57-cloud-amd64");
    let replaced = Replaced {
        old: "6.1.192-2".to_owned(),
        new: "6.1.200-1".to_owned(),
    };
    assert_eq!(kernel.replaced, Some(replaced));
    insta::assert_snapshot!(bench.lines(), @r#"kernels.lock: kernel "6.1": 6.1.192-2 is replaced by 6.1.200-1; the lock was rewritten"#);
    assert_eq!(
        bench.fetch(LOCKED).unwrap().replaced,
        None,
        "the lock says it all again"
    );
}

#[test]
fn a_gone_version_stays_pinned_while_its_package_is_at_hand() {
    let mut bench = Bench::new();
    let kernel = bench.fetch(DEFAULT).unwrap();
    bench.supersede();
    fs::write(&kernel.vmlinuz, b"cut").unwrap();

    // Another kernel has to be fetched in the same run.
    let mut other = bench.manifest.kernels[0].clone();
    other.name = "6.12".to_owned();
    other.source = Source::Debian {
        series: "6.12".to_owned(),
        flavour: "cloud-amd64".to_owned(),
    };
    bench.manifest.kernels.push(other);
    let kernels: Vec<_> = bench.manifest.kernels.iter().collect();
    let lock_path = bench.lock_path();
    let ready = bench.fetcher(&lock_path).ready(&kernels, DEFAULT).unwrap();
    let ready = ready.all().unwrap();
    assert_eq!(ready[0], kernel);
    assert_eq!(ready[1].release, "6.12.1+deb12-cloud-amd64");
}

#[test]
fn a_series_that_is_gone_is_an_error_and_never_another_series() {
    let bench = Bench::new();
    bench.archive.remove(RELEASE, "6.1.192-2");
    bench
        .archive
        .add("6.12.1+deb12-cloud-amd64", "6.12.1-1", "6.12.1-1");
    let failure = bench.fetch(DEFAULT).unwrap_err();
    assert_eq!(failure.code, ExitCode::Usage);
    insta::assert_snapshot!(failure.to_string());
}

/// The bench's kernel beside another series, which was pinned and isn't in the cache.
fn with_another_pinned() -> Bench {
    let mut bench = Bench::new();
    let text = "suites = [\"bookworm\"]\n[[kernel]]\nname = \"6.1\"\ndebian = \"6.1\"\n\
                [[kernel]]\nname = \"6.12\"\ndebian = \"6.12\"\n";
    bench.manifest = Manifest::parse(text, "kernels.toml", bench.root.path()).unwrap();
    let other = "6.12.1+deb12-cloud-amd64";
    bench.archive.add(other, "6.12.1-1", "6.12.1-1");
    let kernels: Vec<_> = bench.manifest.kernels.iter().collect();
    let lock_path = bench.lock_path();
    bench.fetcher(&lock_path).update(&kernels).unwrap();
    bench
}

/// The names of those that are ready, and of each other its name and why.
fn parted(bench: &Bench, options: Options) -> (Vec<String>, Vec<(String, String)>) {
    let kernels: Vec<_> = bench.manifest.kernels.iter().collect();
    let lock_path = bench.lock_path();
    let readied = bench.fetcher(&lock_path).ready(&kernels, options).unwrap();
    let missing = readied.missing.into_iter();
    (
        readied.ready.into_iter().map(|ready| ready.name).collect(),
        missing.map(|gone| (gone.kernel.name, gone.why)).collect(),
    )
}

#[test]
fn a_series_that_is_gone_keeps_no_other_from_being_fetched() {
    let bench = with_another_pinned();
    bench.archive.remove("6.12.1+deb12-cloud-amd64", "6.12.1-1");
    let before = fs::read_to_string(bench.lock_path()).unwrap();
    let (ready, missing) = parted(&bench, DEFAULT);
    assert_eq!(ready, ["6.1"]);
    let [(name, why)] = &missing[..] else {
        panic!("{missing:?}");
    };
    assert_eq!(name, "6.12");
    insta::assert_snapshot!(why, @r#"kernels.toml:6: kernel "6.12": no suite has a package "linux-image-6.12.*-cloud-amd64" (on offer: 6.1); see what is on offer with `cargo xtask kernels list --offered`"#);
    let after = fs::read_to_string(bench.lock_path()).unwrap();
    assert_eq!(after, before, "its pin stays, for when it comes back");
}

#[test]
fn packages_that_can_not_be_had_keep_no_other_kernel_from_being_fetched() {
    let mut bench = with_another_pinned();
    bench.archive.broken = Some("linux-image-6.12.1+deb12-cloud-amd64");
    let (ready, missing) = parted(&bench, DEFAULT);
    assert_eq!(ready, ["6.1"]);
    let why = "404 Not Found";
    assert_eq!(missing, [("6.12".to_owned(), why.to_owned())]);
    // What there is is proven without a network too.
    let (ready, missing) = parted(&bench, OFFLINE);
    assert_eq!(ready, ["6.1"]);
    assert!(
        missing[0]
            .1
            .starts_with("the cache lacks 6.12, and --offline")
    );
}

#[test]
fn a_series_that_never_was_is_a_mistake_of_the_manifest_s() {
    let mut bench = with_another_pinned();
    bench.manifest.kernels[1].name = "6.13".to_owned();
    bench.manifest.kernels[1].source = Source::Debian {
        series: "6.13".to_owned(),
        flavour: "cloud-amd64".to_owned(),
    };
    let kernels: Vec<_> = bench.manifest.kernels.iter().collect();
    let lock_path = bench.lock_path();
    let failure = bench.fetcher(&lock_path).ready(&kernels, DEFAULT);
    assert_eq!(failure.unwrap_err().code, ExitCode::Usage);
}

#[test]
fn a_run_that_may_not_fetch_says_what_it_lacks() {
    let bench = Bench::new();
    let failure = bench.fetch(LOCKED).unwrap_err();
    assert_eq!(failure.code, ExitCode::Usage);
    insta::assert_snapshot!(failure.to_string(), @"kernels.lock has no pin that fits kernels.toml for 6.1; run `cargo xtask kernels update` and commit the lock");
    let failure = bench.fetch(OFFLINE).unwrap_err();
    assert_eq!(failure.code, ExitCode::Infrastructure);
    insta::assert_snapshot!(failure.to_string(), @"the cache lacks 6.1, and --offline forbids fetching; run `cargo xtask kernels fetch` once with a network");
    assert_eq!(bench.archive.counts(), (0, 0));
}

#[test]
fn an_update_pins_the_newest_build() {
    let bench = Bench::new();
    bench.fetch(DEFAULT).unwrap();
    bench
        .archive
        .add("6.1.0-57-cloud-amd64", "6.1.200-1", "6.1.200-1");
    assert_eq!(
        bench.fetch(DEFAULT).unwrap().release,
        RELEASE,
        "a pin stays"
    );

    let lock_path = bench.lock_path();
    let kernels: Vec<_> = bench.manifest.kernels.iter().collect();
    let update = || bench.fetcher(&lock_path).update(&kernels).unwrap();
    assert!(matches!(&update()[0].decision, Decision::Replace { old, .. } if old == "6.1.192-2"));
    assert!(matches!(&update()[0].decision, Decision::Keep(_)));
    assert_eq!(
        bench.fetch(DEFAULT).unwrap().release,
        "6.1.0-57-cloud-amd64"
    );
}

#[test]
fn two_fetches_at_once_download_once() {
    let bench = Bench::new();
    let all = thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| bench.fetch(DEFAULT).unwrap()))
            .collect();
        runs.into_iter()
            .map(|run| run.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(all.iter().all(|kernel| *kernel == all[0]));
    assert_eq!(bench.archive.counts(), (1, 1));
}

#[test]
fn a_package_with_another_kernel_inside_is_refused() {
    let bench = Bench::new();
    bench.archive.remove(RELEASE, "6.1.192-2");
    bench.archive.add(RELEASE, "6.1.192-2", "6.1.170-1");
    let failure = bench.fetch(DEFAULT).unwrap_err();
    assert_eq!(failure.code, ExitCode::Infrastructure);
    insta::assert_snapshot!(failure.to_string(), @r#"kernels.toml:3: kernel "6.1": the package's vmlinuz is of version 6.1.170-1, not 6.1.192-2"#);
}

#[test]
fn modules_are_unpacked_when_the_image_asks_for_them_and_checked_each_time() {
    if crate::program::find("depmod").is_none() {
        left_out("there is no depmod here (the package kmod)");
        return;
    }
    let bench = Bench::new();
    assert_eq!(bench.fetch(DEFAULT).unwrap().modules, None);
    let options = Options {
        modules: true,
        ..OFFLINE
    };
    let modules = bench.fetch(options).unwrap().modules.unwrap();
    assert!(modules.join("modules.dep").is_file());
    fs::write(modules.join("modules.builtin"), b"altered").unwrap();
    bench.fetch(options).unwrap();
    assert_eq!(
        fs::read(modules.join("modules.builtin")).unwrap(),
        b"kernel/b.ko\n"
    );
}

#[test]
fn a_kernel_of_ones_own_is_read_from_its_file() {
    let mut bench = Bench::new();
    let own = |modules: Option<PathBuf>| Source::Path {
        vmlinuz: bench.root.path().join("bzImage"),
        modules,
    };
    let (without, with) = (own(None), own(Some(bench.root.path().to_owned())));
    bench.manifest.kernels[0].source = without;
    let failure = bench.fetch(DEFAULT).unwrap_err();
    assert_eq!(failure.code, ExitCode::Usage);
    assert!(
        failure
            .to_string()
            .starts_with("kernels.toml:3: kernel \"6.1\": cannot read")
    );

    fs::write(
        bench.root.path().join("bzImage"),
        vmlinuz("6.1.9-mine", "1-1"),
    )
    .unwrap();
    let kernel = bench.fetch(OFFLINE).unwrap();
    assert_eq!(
        (kernel.release.as_str(), kernel.package_version),
        ("6.1.9-mine", None)
    );

    bench.manifest.kernels[0].source = with;
    let failure = bench.fetch(DEFAULT).unwrap_err();
    assert!(
        failure.to_string().contains("has no modules.dep"),
        "{failure}"
    );
    fs::write(bench.root.path().join("bzImage"), b"\x7fELF").unwrap();
    assert!(
        bench
            .fetch(DEFAULT)
            .unwrap_err()
            .to_string()
            .contains("not a bzImage")
    );
}
