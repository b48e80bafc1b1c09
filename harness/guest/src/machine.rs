//! The machine around the guest: what it mounts, loads and finds, and how it ends.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use protocol::plan::{BootPlan, ExpectedMachine, GuestPlan};
use protocol::record::Hello;
use rustix::mount::{MountFlags, mount};
use rustix::system::RebootCommand;

/// One file system that the proofs or the agent need.
struct Mount {
    kind: &'static str,
    target: &'static str,
    why: &'static str,
}

/// In order: later targets lie inside earlier ones.
const MOUNTS: &[Mount] = &[
    Mount {
        kind: "devtmpfs",
        target: "/dev",
        why: "serial ports, null",
    },
    Mount {
        kind: "proc",
        target: "/proc",
        why: "self, cmdline, taint",
    },
    Mount {
        kind: "sysfs",
        target: "/sys",
        why: "BTF",
    },
    Mount {
        kind: "securityfs",
        target: "/sys/kernel/security",
        why: "the LSM list",
    },
    Mount {
        kind: "tracefs",
        target: "/sys/kernel/tracing",
        why: "tracepoint ids",
    },
    Mount {
        kind: "bpf",
        target: "/sys/fs/bpf",
        why: "pinned links would show here",
    },
    Mount {
        kind: "cgroup2",
        target: "/sys/fs/cgroup",
        why: "exemptions, the canary",
    },
    Mount {
        kind: "tmpfs",
        target: "/run",
        why: "reports and policies",
    },
    Mount {
        kind: "tmpfs",
        target: "/tmp",
        why: "as everywhere",
    },
    Mount {
        kind: "tmpfs",
        target: "/srv",
        why: "the files that the proofs fight over",
    },
];

/// Mounts everything in [`MOUNTS`].
///
/// # Errors
/// Any mount that fails: a proof on half a machine would blame the agent for it.
pub fn mount_all() -> Result<()> {
    for entry in MOUNTS {
        // The mount points inside kernel file systems exist already and can't be made.
        if !Path::new(entry.target).is_dir() {
            fs::create_dir_all(entry.target).with_context(|| format!("making {}", entry.target))?;
        }
        let mounted = mount(
            entry.kind,
            entry.target,
            entry.kind,
            MountFlags::empty(),
            None,
        );
        // A kernel built to mount devtmpfs by itself has it there already.
        if mounted != Err(rustix::io::Errno::BUSY) {
            mounted.with_context(|| {
                format!(
                    "mounting {} on {} ({})",
                    entry.kind, entry.target, entry.why
                )
            })?;
        }
    }
    Ok(())
}

/// Loads the image's modules in the order that the host worked out.
///
/// Returns their names, or what went wrong with the first that didn't load.
pub fn load_modules() -> Result<Vec<String>> {
    proofs::acts::load_listed(Path::new(protocol::MODULES_ORDER))
}

/// Describes the machine and holds it against the plan; gives the boot if the plan has it.
///
/// # Errors
/// Only where the machine can't be described at all; a difference is a mismatch instead.
pub fn look_around(
    plan: &Result<GuestPlan>,
    loaded: Result<Vec<String>>,
) -> Result<(Hello, Option<&BootPlan>)> {
    let brought_up = bring_up_processors();
    let uname = rustix::system::uname();
    let cmdline = read("/proc/cmdline")?;
    let argument = |prefix: &str| {
        cmdline
            .split_whitespace()
            .find_map(|word| word.strip_prefix(prefix))
            .unwrap_or_default()
            .to_owned()
    };
    let mut hello = Hello {
        version: protocol::VERSION,
        promises_sha256: proofs::SOURCE_SHA256.to_owned(),
        nonce: argument(protocol::NONCE_ARG),
        boot: argument(protocol::BOOT_ARG),
        release: uname.release().to_string_lossy().into_owned(),
        version_string: uname.version().to_string_lossy().into_owned(),
        cmdline,
        memory_kib: memory_kib(&read("/proc/meminfo")?).context("/proc/meminfo has no MemTotal")?,
        processors: read("/proc/cpuinfo")?
            .lines()
            .filter(|line| line.starts_with("processor"))
            .count(),
        lsm: read("/sys/kernel/security/lsm")?
            .split(',')
            .map(str::to_owned)
            .collect(),
        lockdown: proofs::acts::lockdown()?,
        btf: fs::File::open("/sys/kernel/btf/vmlinux").is_ok(),
        tainted: tainted(),
        modules: Vec::new(),
        mismatches: Vec::new(),
    };
    match loaded {
        Ok(modules) => hello.modules = modules,
        Err(error) => hello.mismatches.push(format!("{error:#}")),
    }
    if let Err(error) = brought_up {
        hello.mismatches.push(format!("{error:#}"));
    }
    let boot = match plan {
        Err(error) => {
            hello.mismatches.push(format!("{error:#}"));
            None
        }
        Ok(plan) if plan.version != protocol::VERSION => {
            hello.mismatches.push(format!(
                "the plan has version {}, this guest speaks {}",
                plan.version,
                protocol::VERSION
            ));
            None
        }
        Ok(plan) => plan.boots.iter().find(|boot| boot.boot == hello.boot),
    };
    match boot {
        Some(boot) => {
            let found = mismatches(&boot.machine, &hello);
            hello.mismatches.extend(found);
        }
        None => hello
            .mismatches
            .push(format!("the plan has no boot named {:?}", hello.boot)),
    }
    Ok((hello, boot))
}

/// Brings up the processors that the kernel was told to leave alone while it started.
///
/// # Errors
/// The kernel can't. One without hotplug has no such file, and shows by its number of processors.
fn bring_up_processors() -> Result<()> {
    let folder = "/sys/devices/system/cpu";
    let entries = fs::read_dir(folder).with_context(|| format!("listing {folder}"))?;
    for entry in entries {
        let online = entry
            .with_context(|| format!("listing {folder}"))?
            .path()
            .join("online");
        // Other things than processors stand there too, and the first can't be taken down.
        if fs::read_to_string(&online).is_ok_and(|state| state.trim() == "0") {
            let brought_up = fs::write(&online, "1");
            brought_up.with_context(|| format!("writing 1 to {}", online.display()))?;
        }
    }
    Ok(())
}

/// `MemTotal` in the text of `/proc/meminfo`.
fn memory_kib(meminfo: &str) -> Option<u64> {
    let total = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix(" kB")?.parse().ok()
}

/// What differs between the machine and the plan. The host checks the same again from the
/// hello; here it keeps proofs from running on a machine that isn't the planned one.
fn mismatches(expected: &ExpectedMachine, hello: &Hello) -> Vec<String> {
    let mut found = Vec::new();
    if hello.release != expected.release {
        found.push(format!(
            "the release is {:?}, planned was {:?}",
            hello.release, expected.release
        ));
    }
    if let Some(word) = &expected.version_word
        && !hello.version_string.split_whitespace().any(|w| w == word)
    {
        found.push(format!(
            "the version {:?} lacks the word {word:?}",
            hello.version_string
        ));
    }
    for argument in &expected.cmdline {
        let times = hello
            .cmdline
            .split_whitespace()
            .filter(|word| word == argument)
            .count();
        if times != 1 {
            found.push(format!(
                "the command line has {argument:?} {times} times instead of once"
            ));
        }
    }
    found.extend(expected.hardware_differences(hello.memory_kib, hello.processors));
    if hello.lsm.iter().any(|name| name == "bpf") != expected.bpf_in_lsm {
        found.push(format!(
            "the LSM list is {:?}, planned was {} bpf",
            hello.lsm,
            if expected.bpf_in_lsm {
                "with"
            } else {
                "without"
            }
        ));
    }
    let level = hello.lockdown.as_deref();
    let as_planned = match expected.locked_down {
        true => level == Some(protocol::CONFIDENTIALITY),
        false => level.is_none_or(|level| level == "none"),
    };
    if !as_planned {
        found.push(format!(
            "the lockdown level is {}, planned was {}",
            level.unwrap_or("unknown to the kernel"),
            if expected.locked_down {
                protocol::CONFIDENTIALITY
            } else {
                "none"
            }
        ));
    }
    if !hello.btf {
        found.push("the kernel has no BTF at /sys/kernel/btf/vmlinux".to_owned());
    }
    found
}

/// `/proc/sys/kernel/tainted`; all bits set where it can't be read, so that it is noticed.
pub fn tainted() -> u64 {
    fs::read_to_string("/proc/sys/kernel/tainted")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(u64::MAX)
}

/// Has the kernel say a line on the console: unlike one that is written there, it comes whole and
/// in order with the kernel's own.
pub fn tell_kernel_log(line: &str) -> Result<()> {
    // Of the highest level, which no setting keeps from the console.
    let said = fs::write("/dev/kmsg", format!("<0>{line}\n"));
    said.context("writing to the kernel's log")
}

/// Ends the machine. A restart, since QEMU runs with `-no-reboot` and so ends at once; it
/// needs no ACPI.
pub fn end() -> ! {
    let failed = rustix::system::reboot(RebootCommand::Restart);
    panic!("the machine doesn't restart: {failed:?}");
}

fn read(path: &str) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> ExpectedMachine {
        ExpectedMachine {
            release: "6.1.0-56-cloud-amd64".to_owned(),
            version_word: Some("6.1.192-2".to_owned()),
            cmdline: vec!["panic=-1".to_owned(), "lsm=yama".to_owned()],
            memory_mib: 256,
            processors: 1,
            bpf_in_lsm: false,
            locked_down: false,
        }
    }

    fn hello() -> Hello {
        Hello {
            version: protocol::VERSION,
            promises_sha256: proofs::SOURCE_SHA256.to_owned(),
            nonce: "n".to_owned(),
            boot: "no-bpf-lsm".to_owned(),
            release: "6.1.0-56-cloud-amd64".to_owned(),
            version_string: "#1 SMP Debian 6.1.192-2 (2026-11-16)".to_owned(),
            cmdline: "panic=-1 quiet lsm=yama".to_owned(),
            memory_kib: 200_000,
            processors: 1,
            lsm: vec!["capability".to_owned(), "yama".to_owned()],
            lockdown: Some("none".to_owned()),
            btf: true,
            tainted: 0,
            modules: Vec::new(),
            mismatches: Vec::new(),
        }
    }

    #[test]
    fn the_planned_machine_has_no_mismatch() {
        assert_eq!(mismatches(&expected(), &hello()), Vec::<String>::new());
    }

    #[test]
    fn each_difference_is_a_mismatch_of_its_own() {
        type Change = fn(&mut Hello);
        let changes: [(&str, Change); 11] = [
            ("release", |hello| hello.release = "6.12.1".to_owned()),
            ("version", |hello| {
                hello.version_string = "6.1.192-20".to_owned()
            }),
            ("command line", |hello| {
                hello.cmdline = "panic=-1".to_owned()
            }),
            ("command line", |hello| {
                hello.cmdline = "panic=-1 lsm=yama lsm=yama".to_owned();
            }),
            ("command line", |hello| {
                hello.cmdline = "panic=-10 lsm=yama".to_owned()
            }),
            ("memory", |hello| hello.memory_kib = 300_000),
            ("memory", |hello| hello.memory_kib = 100_000),
            ("processors", |hello| hello.processors = 2),
            ("LSM list", |hello| hello.lsm.push("bpf".to_owned())),
            ("lockdown", |hello| {
                hello.lockdown = Some("integrity".to_owned());
            }),
            ("BTF", |hello| hello.btf = false),
        ];
        for (what, change) in changes {
            let mut hello = hello();
            change(&mut hello);
            let found = mismatches(&expected(), &hello);
            assert_eq!(found.len(), 1, "{what}: {found:?}");
            assert!(found[0].contains(what), "{what}: {found:?}");
        }
    }

    #[test]
    fn a_machine_that_is_to_be_locked_down_must_say_so() {
        let expected = ExpectedMachine {
            locked_down: true,
            ..expected()
        };
        let found = |level: Option<&str>| {
            let lockdown = level.map(str::to_owned);
            let hello = Hello {
                lockdown,
                ..hello()
            };
            mismatches(&expected, &hello)
        };
        assert_eq!(found(Some("confidentiality")), [""; 0]);
        for level in [None, Some("none"), Some("integrity")] {
            let found = found(level);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].ends_with("planned was confidentiality"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_kernel_without_the_lockdown_lsm_is_not_locked_down() {
        let mut hello = hello();
        hello.lockdown = None;
        assert_eq!(mismatches(&expected(), &hello), [""; 0]);
    }

    #[test]
    fn only_the_whole_word_bpf_counts() {
        let mut hello = hello();
        hello.lsm.push("notbpf".to_owned());
        assert_eq!(mismatches(&expected(), &hello), Vec::<String>::new());
    }
}
