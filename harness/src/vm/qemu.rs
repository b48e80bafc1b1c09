//! The direct launcher: QEMU's command as a list of small pure functions.

use std::ffi::OsString;
use std::path::Path;

use super::{Accelerator, Composed, Files, Machine};

/// The program that boots every machine.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// The whole command.
#[must_use]
pub fn compose(machine: &Machine) -> Composed {
    let files = Files::of(&machine.dir);
    let mut argv = vec![OsString::from(PROGRAM)];
    argv.extend(accelerator(machine.accelerator));
    argv.extend(hardware(machine.memory_mib, machine.processors));
    argv.extend(kernel(machine));
    argv.extend(serial(&files.console));
    argv.extend(serial(&files.records));
    Composed {
        argv,
        composer: None,
        console_on_stdout: false,
    }
}

/// The model that TCG is quickest with: it has the least to emulate.
pub(super) const TCG_CPU: &str = "qemu64";

/// With KVM the host's processor as it is. TCG gives each of the guest's processors a thread of its
/// own; QEMU would choose so where guest and host are alike, and is told.
fn accelerator(accelerator: Accelerator) -> Vec<OsString> {
    match accelerator {
        Accelerator::Kvm => words(&["-accel", "kvm", "-cpu", "host"]),
        Accelerator::Tcg => words(&["-accel", "tcg,thread=multi", "-cpu", TCG_CPU]),
    }
}

/// The processors, the memory, and no device but what the board can't go without: each costs the
/// kernel time to find.
fn hardware(memory_mib: u32, processors: usize) -> Vec<OsString> {
    let mut argv = words(&["-machine", "q35", "-nodefaults", "-no-user-config"]);
    argv.extend(words(&["-display", "none"]));
    argv.extend(words(&["-smp", &processors.to_string()]));
    argv.extend(words(&["-m", &format!("{memory_mib}M")]));
    argv
}

/// The kernel and what it boots. `-no-reboot` pairs with `panic=-1`, and with the guest's
/// own restart: either ends QEMU.
fn kernel(machine: &Machine) -> Vec<OsString> {
    let mut argv = words(&["-no-reboot", "-append", &machine.cmdline, "-kernel"]);
    argv.push(machine.vmlinuz.clone().into_os_string());
    argv.push(OsString::from("-initrd"));
    argv.push(machine.initramfs.clone().into_os_string());
    argv
}

/// One more serial port, to a file; the first is ttyS0, the second ttyS1.
pub(super) fn serial(file: &Path) -> Vec<OsString> {
    vec![OsString::from("-serial"), file_device(file)]
}

/// QEMU's name for a file as a character device.
fn file_device(file: &Path) -> OsString {
    let mut device = OsString::from("file:");
    device.push(file);
    device
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(accelerator: Accelerator, processors: usize) -> String {
        let composed = compose(&Machine {
            vmlinuz: "/cache/vmlinuz".into(),
            initramfs: "/out/initramfs.cpio".into(),
            cmdline: "panic=-1".to_owned(),
            memory_mib: 256,
            processors,
            accelerator,
            limit: Duration::from_secs(1),
            dir: "/out/bpf-lsm".into(),
        });
        assert!(!composed.console_on_stdout);
        let words: Vec<_> = composed
            .argv
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        words.join(" ")
    }

    #[test]
    fn the_console_is_the_first_serial_port_and_the_records_are_the_second() {
        let line = line(Accelerator::Tcg, 1);
        let serial = "-serial file:/out/bpf-lsm/console.log \
                      -serial file:/out/bpf-lsm/records.jsonl";
        assert!(line.ends_with(serial), "{line}");
        assert_eq!(line.matches("-serial").count(), 2);
    }

    #[test]
    fn the_machine_has_as_many_processors_as_were_asked_for() {
        for processors in [1, 2, 12] {
            let line = line(Accelerator::Tcg, processors);
            assert!(line.contains(&format!(" -smp {processors} ")), "{line}");
            assert_eq!(line.matches("-smp").count(), 1);
        }
    }

    #[test]
    fn a_restart_ends_the_machine() {
        assert!(line(Accelerator::Tcg, 1).contains(" -no-reboot "));
    }

    #[test]
    fn the_accelerator_is_named_and_never_left_to_qemu() {
        assert!(line(Accelerator::Tcg, 1).contains("-accel tcg,thread=multi "));
        assert!(line(Accelerator::Kvm, 1).contains("-accel kvm -cpu host "));
    }
}
