//! The virtme-ng launcher: its dry run composes QEMU's command, and the harness executes it.
//!
//! Executing the command ourselves keeps QEMU a direct child: `vng` ended by a signal leaves
//! its QEMU behind, and its exit status says nothing. Our image replaces virtme-ng's root,
//! since kernels for the cloud have no 9p to mount it with; an empty folder is exported in
//! the place of the host's root.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Accelerator, Composed, Files, Machine, process, qemu};

/// How long the dry run may take. It takes a second on an idle host.
const DRY_RUN_LIMIT: Duration = Duration::from_secs(60);

/// Runs the dry run and takes its command apart.
///
/// # Errors
/// `vng` can't be run, fails, hangs, or prints something else than one QEMU command.
pub fn compose(vng: &Path, machine: &Machine) -> Result<Composed> {
    compose_within(DRY_RUN_LIMIT, vng, machine)
}

fn compose_within(limit: Duration, vng: &Path, machine: &Machine) -> Result<Composed> {
    let root = machine.dir.join("root");
    std::fs::create_dir_all(&root).with_context(|| format!("making {}", root.display()))?;
    let composer = dry_run(vng, machine, &root);
    let (program, arguments) = composer.split_first().context("an empty command")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("PATH", search_path(vng)?)
        .current_dir(&machine.dir);
    let output = process::output(command, limit).context("virtme-ng's dry run")?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!(
            "virtme-ng's dry run ended with {}: {}{}",
            output.status,
            stdout,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(Composed {
        argv: parse(&stdout)?,
        composer: Some(composer),
        console_on_stdout: true,
    })
}

/// The search path with virtme-ng's own folder first: `vng` starts its siblings by name.
fn search_path(vng: &Path) -> Result<OsString> {
    let own = vng.parent().context("vng stands in no folder")?.to_owned();
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&inherited)))
        .context("a folder of the search path has a colon in it")
}

/// virtme-ng's command line for a machine. Pure.
fn dry_run(vng: &Path, machine: &Machine, root: &Path) -> Vec<OsString> {
    let files = Files::of(&machine.dir);
    let mut extra = vec![
        OsString::from("-initrd"),
        machine.initramfs.clone().into_os_string(),
    ];
    extra.extend(qemu::serial(&files.records));
    extra.push(OsString::from("-no-reboot"));
    // virtme-ng asks for `kvm:tcg`, so QEMU could replace the accelerator of the reports in
    // silence. The last word counts.
    extra.push(OsString::from("-machine"));
    extra.push(OsString::from(format!(
        "accel={}",
        machine.accelerator.name()
    )));
    if machine.accelerator == Accelerator::Tcg {
        // The last one counts. virtme-ng's own choice, `max`, makes TCG a tenth slower.
        extra.extend(["-cpu", qemu::TCG_CPU].map(OsString::from));
    }
    let mut argv = vec![vng.as_os_str().to_owned()];
    argv.extend(
        [
            "--dry-run",
            "--verbose",
            "--disable-monitor",
            "--force-9p",
            "--disable-microvm",
        ]
        .map(OsString::from),
    );
    if machine.accelerator == Accelerator::Tcg {
        argv.push(OsString::from("--disable-kvm"));
    }
    argv.extend(["--cpus", "1", "--memory"].map(OsString::from));
    argv.push(OsString::from(format!("{}M", machine.memory_mib)));
    argv.push(OsString::from("--root"));
    argv.push(root.as_os_str().to_owned());
    argv.push(OsString::from("--append"));
    argv.push(OsString::from(&machine.cmdline));
    argv.push(joined("--qemu-opts=", &extra));
    argv.push(OsString::from("--run"));
    argv.push(machine.vmlinuz.clone().into_os_string());
    argv
}

/// The words quoted for a shell, behind a prefix: virtme-ng splits this option itself.
fn joined(prefix: &str, words: &[OsString]) -> OsString {
    let mut joined = OsString::from(prefix);
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            joined.push(" ");
        }
        joined.push(quote(word));
    }
    joined
}

/// One word quoted for a shell. A NUL can't stand in a path, so nothing is ever refused.
pub(super) fn quote(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    shlex::try_quote(&text).map_or_else(|_| text.to_string(), |quoted| quoted.into_owned())
}

/// Takes the one shell-quoted line apart that a dry run prints. Pure.
fn parse(stdout: &str) -> Result<Vec<OsString>> {
    let mut lines = stdout.lines().filter(|line| !line.trim().is_empty());
    let (Some(line), None) = (lines.next(), lines.next()) else {
        bail!("virtme-ng's dry run printed something else than one line: {stdout:?}");
    };
    let words = shlex::split(line).with_context(|| {
        format!("virtme-ng's dry run printed a line cut off in a quote: {line}")
    })?;
    match words.first() {
        Some(program) if program.contains("qemu") => {
            Ok(words.into_iter().map(OsString::from).collect())
        }
        _ => bail!("virtme-ng's dry run printed something else than a QEMU command: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn machine(accelerator: Accelerator) -> Machine {
        Machine {
            vmlinuz: "/cache/vmlinuz".into(),
            initramfs: "/out/a folder/initramfs.cpio".into(),
            cmdline: "panic=-1 rdinit=/init".to_owned(),
            memory_mib: 256,
            accelerator,
            limit: Duration::from_secs(1),
            dir: "/out/a folder/bpf-lsm".into(),
        }
    }

    fn argv(accelerator: Accelerator) -> Vec<OsString> {
        dry_run(
            Path::new("/venv/bin/vng"),
            &machine(accelerator),
            Path::new("/out/root"),
        )
    }

    /// Composes with a script in the place of `vng`.
    fn composed_by(script: &str, limit: Duration) -> Result<Composed> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let vng = folder.path().join("vng");
        fs::write(&vng, format!("#!/bin/sh\n{script}\n")).expect("a writable folder");
        fs::set_permissions(&vng, fs::Permissions::from_mode(0o755)).expect("our own file");
        let machine = Machine {
            dir: folder.path().join("boot"),
            ..machine(Accelerator::Tcg)
        };
        compose_within(limit, &vng, &machine)
    }

    #[test]
    fn a_dry_run_that_hangs_is_ended_and_what_one_leaves_behind_is_not_waited_for() {
        let hangs = "tail -f /dev/null & tail -f /dev/null";
        let error = composed_by(hangs, Duration::from_millis(100)).expect_err("it hangs");
        let said = format!("{error:#}");
        assert!(said.ends_with("vng: not done after 0.1 s"), "{said}");
        // It holds the output open, which would have no end.
        let leaves = "tail -f /dev/null & echo qemu -m 1";
        let composed = composed_by(leaves, DRY_RUN_LIMIT).expect("it printed a command");
        assert_eq!(composed.argv, ["qemu", "-m", "1"]);
    }

    #[test]
    fn a_dry_run_that_fails_is_quoted() {
        let script = "echo all; echo wrong >&2; exit 3";
        let error = composed_by(script, DRY_RUN_LIMIT).expect_err("it fails");
        let said = "virtme-ng's dry run ended with exit status: 3: all\nwrong\n";
        assert_eq!(error.to_string(), said);
    }

    #[test]
    fn virtme_ng_gets_our_kernel_image_and_command_line() {
        let argv = argv(Accelerator::Tcg);
        let has = |word: &str| argv.iter().filter(|have| *have == word).count();
        for word in [
            "--dry-run",
            "--disable-kvm",
            "/cache/vmlinuz",
            "panic=-1 rdinit=/init",
        ] {
            assert_eq!(has(word), 1, "{word} in {argv:?}");
        }
        let quoted = "--qemu-opts=-initrd '/out/a folder/initramfs.cpio' -serial \
                      'file:/out/a folder/bpf-lsm/records.jsonl' -no-reboot -machine \
                      'accel=tcg' -cpu qemu64";
        assert_eq!(has(quoted), 1, "{argv:?}");
    }

    #[test]
    fn virtme_ng_may_use_kvm_only_where_it_was_chosen() {
        let forbids = |accelerator| argv(accelerator).contains(&OsString::from("--disable-kvm"));
        assert!(forbids(Accelerator::Tcg));
        assert!(!forbids(Accelerator::Kvm));
        let kvm = argv(Accelerator::Kvm);
        let only_kvm = |word: &OsString| word.to_string_lossy().ends_with("-machine 'accel=kvm'");
        assert!(kvm.iter().any(only_kvm), "{kvm:?}");
    }

    #[test]
    fn a_dry_run_is_one_qemu_command_and_nothing_else() {
        let words = parse("/usr/bin/qemu-system-x86_64 -append 'a b' -m 1\n").expect("a command");
        assert_eq!(
            words,
            ["/usr/bin/qemu-system-x86_64", "-append", "a b", "-m", "1"]
        );
        for text in [
            "",
            "\n",
            "qemu -m 1\nqemu -m 2\n",
            "rm -rf /\n",
            "qemu 'cut\n",
        ] {
            parse(text).expect_err(text);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_words_or_an_error(text in ".*") {
            let _ = parse(&text);
        }

        #[test]
        fn a_quoted_word_is_read_back_as_it_was(word in "[^\0]+") {
            let line = format!("qemu {}", quote(OsStr::new(&word)));
            // A line end inside a word can't be told from the end of the command.
            proptest::prop_assume!(!word.contains(['\n', '\r']));
            let words = parse(&line).expect("a command");
            proptest::prop_assert_eq!(&words[1], &OsString::from(word));
        }
    }
}
