use std::{sync::Mutex, thread};

use super::*;
use crate::{exit::ExitCode, progress::Lines};

/// A machine that only pretends to be one.
struct Fake {
    has: Mutex<Vec<&'static str>>,
    venv: Mutex<bool>,
    root: bool,
    sudo: bool,
    agrees: bool,
    works: bool,
    installed: Mutex<Vec<String>>,
}

impl Fake {
    fn bare() -> Self {
        Self {
            has: Mutex::new(vec!["apt", "dpkg"]),
            venv: Mutex::new(false),
            root: true,
            sudo: false,
            agrees: true,
            works: true,
            installed: Mutex::default(),
        }
    }

    fn installed(&self) -> Vec<String> {
        self.installed.lock().unwrap().clone()
    }
}

impl System for Fake {
    fn has(&self, probe: &Probe) -> bool {
        let has = self.has.lock().unwrap();
        let mut brought_by = PREREQUISITES.iter().filter(|p| p.probe == *probe);
        brought_by.any(|p| has.contains(&p.package))
    }

    fn has_venv(&self, _: &Venv) -> bool {
        *self.venv.lock().unwrap()
    }

    fn is_root(&self) -> bool {
        self.root
    }

    fn sudo_works(&self) -> bool {
        self.sudo
    }

    fn confirm(&self, _: &str) -> anyhow::Result<bool> {
        Ok(self.agrees)
    }

    fn install(&self, packages: &[&str], _: &dyn Progress) -> anyhow::Result<()> {
        self.installed.lock().unwrap().push(packages.join(" "));
        if !self.works {
            anyhow::bail!("E: Unable to locate package");
        }
        let all = PREREQUISITES.iter().map(|p| p.package);
        let brought = all.filter(|package| packages.contains(package));
        self.has.lock().unwrap().extend(brought);
        Ok(())
    }

    fn make_venv(&self, _: &Venv, _: &dyn Progress) -> anyhow::Result<()> {
        self.installed.lock().unwrap().push("venv".to_owned());
        *self.venv.lock().unwrap() = true;
        Ok(())
    }
}

/// Runs a set-up for everything; returns what came of it and what it said.
fn ensure(machine: &Fake, no_setup: bool) -> (Result, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("cache"));
    let lines = Lines::default();
    let needs = needed_for(Job::Test, Asked::ALL);
    let result = Setup::of(machine, &cache, no_setup, &lines).ensure(&needs);
    let hide = |text: String| text.replace(&folder.path().display().to_string(), "CACHE");
    let result = result.map_err(|f| Failure::new(f.code, anyhow!(hide(f.to_string()))));
    (result, lines.told())
}

#[test]
fn a_bare_machine_gets_everything_after_one_line_that_says_what() {
    let machine = Fake::bare();
    let (result, lines) = ensure(&machine, false);
    result.unwrap();
    insta::assert_snapshot!(lines.join("\n"), @"setting up: installing binutils, btrfs-progs, clang, cpio, e2fsprogs, file, gzip, kmod, libbpf-dev, python3, python3-venv, qemu-system-x86, xfsprogs, xz-utils, zstd, virtme-ng==1.42");
    assert_eq!(machine.installed().len(), 2, "one apt-get and one pip");
    let (result, lines) = ensure(&machine, false);
    result.unwrap();
    assert!(lines.is_empty() && machine.installed().len() == 2);
}

#[test]
fn no_setup_installs_nothing_and_tells_the_commands() {
    for root in [true, false] {
        let machine = Fake {
            root,
            ..Fake::bare()
        };
        let failure = ensure(&machine, true).0.unwrap_err();
        assert_eq!(failure.code, ExitCode::Prerequisite);
        insta::assert_snapshot!(format!("no_setup_as_root_{root}"), failure.to_string());
        assert!(machine.installed().is_empty());
    }
}

#[test]
fn what_cannot_be_installed_ends_with_the_commands_to_run() {
    let rows = [
        (
            "without_sudo",
            Fake {
                root: false,
                ..Fake::bare()
            },
        ),
        (
            "declined",
            Fake {
                agrees: false,
                ..Fake::bare()
            },
        ),
        (
            "apt_fails",
            Fake {
                works: false,
                ..Fake::bare()
            },
        ),
        (
            "no_apt",
            Fake {
                has: Mutex::default(),
                ..Fake::bare()
            },
        ),
    ];
    for (name, machine) in rows {
        let failure = ensure(&machine, false).0.unwrap_err();
        assert_eq!(failure.code, ExitCode::Prerequisite, "{name}");
        insta::assert_snapshot!(name, failure.to_string());
    }
}

#[test]
fn sudo_will_do_instead_of_root() {
    let machine = Fake {
        root: false,
        sudo: true,
        ..Fake::bare()
    };
    ensure(&machine, false).0.unwrap();
}

#[test]
fn a_whole_venv_no_longer_takes_what_made_it() {
    let machine = Fake::bare();
    *machine.venv.lock().unwrap() = true;
    ensure(&machine, false).0.unwrap();
    assert!(!machine.installed()[0].contains("python3-venv"));
    assert!(machine.installed()[0].contains("python3"));
}

#[test]
fn two_set_ups_at_once_install_once() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("cache"));
    let machine = Fake::bare();
    let needs = needed_for(Job::Test, Asked::NOTHING);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                Setup::of(&machine, &cache, false, &Lines::default())
                    .ensure(&needs)
                    .unwrap()
            });
        }
    });
    assert_eq!(machine.installed().len(), 2, "one apt-get and one pip");
}

#[test]
fn the_second_set_up_waits_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("cache"));
    let first = cache
        .exclusive("setup.lock", "this machine", &Lines::default())
        .unwrap();
    /// Lets the first one end as soon as the second says that it waits.
    struct Release<'a>(&'a (dyn Fn() + Sync));
    impl Progress for Release<'_> {
        fn line(&self, text: &str) {
            assert!(text.starts_with("waiting for another run that sets up this machine (pid "));
            (self.0)();
        }
        fn step(&self, _: &str, _: Option<u64>) {}
        fn idle(&self) {}
    }
    let first = Mutex::new(Some(first));
    let release = || drop(first.lock().unwrap().take());
    cache
        .exclusive("setup.lock", "this machine", &Release(&release))
        .unwrap();
    assert!(first.lock().unwrap().is_none());
}

#[test]
fn each_job_takes_only_what_it_uses() {
    let matrix = |virtme_ng, build| needed_for(Job::Matrix { virtme_ng, build }, Asked::NOTHING);
    let booting = Job::Matrix {
        virtme_ng: false,
        build: false,
    };
    assert_eq!(
        needed_for(booting, Asked::ALL),
        [Need::Fetch, Need::Modules, Need::Disks, Need::Qemu]
    );
    assert_eq!(needed_for(Job::Kernels, Asked::NOTHING), [Need::Fetch]);
    assert_eq!(
        needed_for(Job::Kernels, Asked::ALL),
        [Need::Fetch, Need::Modules]
    );
    assert_eq!(matrix(false, false), [Need::Fetch, Need::Qemu]);
    assert_eq!(matrix(false, true), [Need::Fetch, Need::Build, Need::Qemu]);
    assert_eq!(
        matrix(true, false),
        [Need::Fetch, Need::Qemu, Need::VirtmeNg]
    );
}
