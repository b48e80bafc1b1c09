//! Whether a composed command is of the machine that was asked for, argument by argument. Pure.

use std::ffi::{OsStr, OsString};

use super::{accelerator_word, memory_word};
use crate::vm::{Accelerator, Files, Machine, qemu};

/// The options that a machine of ours may have. What they say counts in [`differences`] or makes no
/// difference to a proof: devices that nothing of ours talks to.
const OPTIONS: [&str; 18] = [
    "-append",
    "-chardev",
    "-cpu",
    "-device",
    "-display",
    "-echr",
    "-fsdev",
    "-initrd",
    "-kernel",
    "-m",
    "-machine",
    "-name",
    "-net",
    "-no-reboot",
    "-parallel",
    "-serial",
    "-smp",
    "-vga",
];

/// What differs between a composed command and the machine that was asked for. Pure.
pub(super) fn differences(argv: &[OsString], machine: &Machine) -> Vec<String> {
    let mut found = Vec::new();
    let mut options: Vec<(&OsStr, Vec<&OsStr>)> = Vec::new();
    for word in argv.iter().skip(1) {
        match options.last_mut() {
            // No value of ours begins so, and each option has at most one.
            _ if word.to_string_lossy().starts_with('-') => options.push((word, Vec::new())),
            Some((_, values)) => values.push(word),
            None => found.push(format!("{word:?} belongs to no option")),
        }
    }
    for (option, values) in &options {
        let known = OPTIONS.iter().any(|known| option == known);
        let most = usize::from(*option != "-no-reboot");
        if !known || values.len() != most {
            found.push(format!("nobody asked for {option:?} {values:?}"));
        }
    }
    let of = |name: &str| -> Vec<&OsStr> {
        let meant = options.iter().filter(|(option, _)| *option == name);
        meant.flat_map(|(_, values)| values).copied().collect()
    };
    let records = Files::of(&machine.dir).records;
    let memory = memory_word(machine.memory_mib);
    let processors = machine.processors.to_string();
    let mut file = OsString::from("file:");
    file.push(&records);
    let exact: [(&str, Vec<&OsStr>); 5] = [
        ("-m", vec![memory.as_ref()]),
        ("-smp", vec![processors.as_ref()]),
        ("-kernel", vec![machine.vmlinuz.as_os_str()]),
        ("-initrd", vec![machine.initramfs.as_os_str()]),
        ("-serial", vec!["chardev:console".as_ref(), &file]),
    ];
    for (option, asked) in exact {
        let composed = of(option);
        if composed != asked {
            found.push(format!("{option} is {composed:?}, not {asked:?}"));
        }
    }
    let accelerator = accelerator_word(machine.accelerator);
    let mut last = vec![("-machine", accelerator.as_str())];
    if machine.accelerator == Accelerator::Tcg {
        last.push(("-cpu", qemu::TCG_CPU));
    }
    for (option, asked) in last {
        if of(option).last().is_none_or(|composed| *composed != asked) {
            found.push(format!(
                "{option} is {:?}, and not {asked:?} at last",
                of(option)
            ));
        }
    }
    if !options.iter().any(|(option, _)| *option == "-no-reboot") {
        found.push("-no-reboot is missing".to_owned());
    }
    let cmdline = of("-append").join(OsStr::new("\n"));
    let cmdline = cmdline.to_string_lossy();
    for argument in machine.cmdline.split_whitespace() {
        let times = cmdline.split_whitespace().filter(|word| *word == argument);
        let times = times.count();
        if times != 1 {
            found.push(format!("-append has {argument:?} {times} times, not once"));
        }
    }
    found
}
