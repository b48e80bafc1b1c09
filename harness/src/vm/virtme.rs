//! The virtme-ng launcher: its dry run composes QEMU's command, and the harness executes it.
//!
//! Executing the command ourselves keeps QEMU a direct child: `vng` ended by a signal leaves
//! its QEMU behind, and its exit status says nothing. Our image replaces virtme-ng's root,
//! since kernels for the cloud have no 9p to mount it with; an empty folder is exported in
//! the place of the host's root.
//!
//! virtme-ng hands its words to a shell, unquoted, and takes its settings from the user's files. So it
//! is asked in a folder of plain names, with stand-ins for what differs from boot to boot, with
//! nothing of the user's environment, and with a home of our own. It is asked once for each kind of
//! machine, since that takes a second. What comes of it is held against what was asked.

mod asked;
mod desk;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use self::asked::differences;
use self::desk::{Desk, HOME};
use super::{Accelerator, Composed, Machine, process};

/// How long the dry run may take. It takes a second on an idle host.
const DRY_RUN_LIMIT: Duration = Duration::from_secs(60);

/// virtme-ng, and what it has been asked in this run.
#[derive(Debug)]
pub struct Virtme {
    vng: PathBuf,
    desk: Desk,
    limit: Duration,
    /// The answers so far. Locked while it is asked, so that no two boots ask the same.
    answers: Mutex<Vec<(Kind, Answer)>>,
}

/// What virtme-ng's answer depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    accelerator: Accelerator,
    memory_mib: u32,
    processors: usize,
}

impl Kind {
    fn of(machine: &Machine) -> Self {
        Self {
            accelerator: machine.accelerator,
            memory_mib: machine.memory_mib,
            processors: machine.processors,
        }
    }
}

/// QEMU's command with stand-ins in it, and the command that composed it.
#[derive(Debug, Clone)]
struct Answer {
    words: Vec<String>,
    composer: Vec<OsString>,
}

impl Virtme {
    /// virtme-ng by its program. It isn't run before it is needed.
    ///
    /// # Errors
    /// The folder that it is asked in can't be made.
    pub fn new(vng: PathBuf) -> Result<Self> {
        Ok(Self {
            vng,
            desk: Desk::new()?,
            limit: DRY_RUN_LIMIT,
            answers: Mutex::default(),
        })
    }

    /// The command for a machine.
    ///
    /// # Errors
    /// `vng` can't be run, fails, hangs, or composes something else than was asked for.
    pub fn compose(&self, machine: &Machine) -> Result<Composed> {
        let root = machine.dir.join("root");
        fs::create_dir_all(&root).with_context(|| format!("making {}", root.display()))?;
        let answer = self.answer(machine)?;
        let argv = self.desk.fill(&answer.words, machine, &root)?;
        let differences = differences(&argv, machine);
        ensure!(
            differences.is_empty(),
            "virtme-ng composed another machine than it was asked for: {}",
            differences.join("; ")
        );
        Ok(Composed {
            argv,
            composer: Some(answer.composer),
            console_on_stdout: true,
        })
    }

    fn answer(&self, machine: &Machine) -> Result<Answer> {
        let kind = Kind::of(machine);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, answer)) = answers.iter().find(|(asked, _)| *asked == kind) {
            return Ok(answer.clone());
        }
        let answer = self.ask(kind, &machine.vmlinuz)?;
        answers.push((kind, answer.clone()));
        Ok(answer)
    }

    /// Runs the dry run and takes its command apart. It looks at the kernel, whichever it is.
    fn ask(&self, kind: Kind, vmlinuz: &Path) -> Result<Answer> {
        self.desk.put_kernel(vmlinuz)?;
        let composer = self.desk.dry_run(&self.vng, kind);
        let (program, arguments) = composer.split_first().context("an empty command")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", search_path(&self.vng)?)
            .env("HOME", self.desk.path(HOME))
            .env("LANG", "C.UTF-8")
            .current_dir(self.desk.folder());
        let output = process::output(command, self.limit).context("virtme-ng's dry run")?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!(
                "virtme-ng's dry run ended with {}: {}{}",
                output.status,
                stdout,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(Answer {
            words: parse(&stdout)?,
            composer,
        })
    }
}

fn accelerator_word(accelerator: Accelerator) -> String {
    format!("accel={}", accelerator.name())
}

fn memory_word(mib: u32) -> String {
    format!("{mib}M")
}

/// The search path with virtme-ng's own folder first: `vng` starts its siblings by name.
fn search_path(vng: &Path) -> Result<OsString> {
    let own = vng.parent().context("vng stands in no folder")?.to_owned();
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&inherited)))
        .context("a folder of the search path has a colon in it")
}

/// Takes the one shell-quoted line apart that a dry run prints. Pure.
fn parse(stdout: &str) -> Result<Vec<String>> {
    let mut lines = stdout.lines().filter(|line| !line.trim().is_empty());
    let (Some(line), None) = (lines.next(), lines.next()) else {
        bail!("virtme-ng's dry run printed something else than one line: {stdout:?}");
    };
    let words = shlex::split(line).with_context(|| {
        format!("virtme-ng's dry run printed a line cut off in a quote: {line}")
    })?;
    match words.first() {
        Some(program) if program.contains("qemu") => Ok(words),
        _ => bail!("virtme-ng's dry run printed something else than a QEMU command: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;

    use super::desk::{CMDLINE, INITRAMFS, KERNEL, RECORDS, ROOT};
    use super::*;

    fn machine(accelerator: Accelerator) -> Machine {
        Machine {
            vmlinuz: "/ca che/$(touch pwned)/vmlinuz".into(),
            initramfs: "/out/a folder, $(touch pwned)/initramfs.cpio".into(),
            cmdline: "panic=-1 rdinit=/init".to_owned(),
            memory_mib: 256,
            processors: 1,
            accelerator,
            limit: Duration::from_secs(1),
            dir: "/out/a folder, $(touch pwned)/bpf-lsm".into(),
        }
    }

    /// What the pinned virtme-ng answers, with its own additions in short.
    fn answer(desk: &Desk, kind: Kind) -> String {
        let path = |name: &str| desk.path(name).display().to_string();
        let cpu = match kind.accelerator {
            Accelerator::Tcg => " -cpu qemu64",
            Accelerator::Kvm => "",
        };
        format!(
            "/usr/bin/qemu-system-x86_64 -name virtme-ng -m {}M -fsdev \
             local,id=virtfs5,path={},security_model=none,readonly=on -machine q35 -cpu max \
             -serial chardev:console -smp {} -kernel {} -append 'console=hvc0 {CMDLINE}' -initrd {} \
             -serial file:{} -no-reboot -machine accel={}{cpu}\n",
            kind.memory_mib,
            path(ROOT),
            kind.processors,
            path(KERNEL),
            path(INITRAMFS),
            path(RECORDS),
            kind.accelerator.name(),
        )
    }

    fn kind(accelerator: Accelerator) -> Kind {
        Kind {
            accelerator,
            memory_mib: 256,
            processors: 1,
        }
    }

    /// The command that comes of this answer, or how it differs from what was asked.
    fn composed(
        accelerator: Accelerator,
        change: impl Fn(String) -> String,
    ) -> Result<Vec<String>> {
        composed_for(&machine(accelerator), kind(accelerator), change)
    }

    /// The same for a machine, where virtme-ng was asked for this kind.
    fn composed_for(
        machine: &Machine,
        asked: Kind,
        change: impl Fn(String) -> String,
    ) -> Result<Vec<String>> {
        let desk = Desk::new()?;
        let words = parse(&change(answer(&desk, asked)))?;
        let argv = desk.fill(&words, machine, &machine.dir.join("root"))?;
        let differences = differences(&argv, machine);
        ensure!(differences.is_empty(), "{}", differences.join("; "));
        let text = argv.iter().map(|word| word.to_string_lossy().into_owned());
        Ok(text.collect())
    }

    /// virtme-ng with a script in its place, and a machine with folders of its own.
    fn with_script(folder: &TempDir, script: &str) -> (Virtme, Machine) {
        let vng = folder.path().join("vng");
        fs::write(&vng, format!("#!/bin/sh\n{script}\n")).expect("a writable folder");
        fs::set_permissions(&vng, fs::Permissions::from_mode(0o755)).expect("our own file");
        let machine = Machine {
            vmlinuz: "/dev/null".into(),
            dir: folder.path().join("boot"),
            ..machine(Accelerator::Tcg)
        };
        (Virtme::new(vng).expect("a folder in /tmp"), machine)
    }

    #[test]
    fn a_dry_run_that_hangs_is_ended_and_what_one_leaves_behind_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let hangs = "tail -f /dev/null & tail -f /dev/null";
        let (mut virtme, machine) = with_script(&folder, hangs);
        virtme.limit = Duration::from_millis(100);
        let error = virtme.compose(&machine).expect_err("it hangs");
        let said = format!("{error:#}");
        assert!(said.ends_with("vng: not done after 0.1 s"), "{said}");
        // It holds the output open, which would have no end.
        let (virtme, machine) = with_script(&folder, "tail -f /dev/null & echo qemu -m 1");
        let kind = kind(Accelerator::Tcg);
        let answer = virtme.ask(kind, &machine.vmlinuz).expect("a command");
        assert_eq!(answer.words, ["qemu", "-m", "1"]);
    }

    #[test]
    fn a_dry_run_that_fails_is_quoted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (virtme, machine) = with_script(&folder, "echo all; echo wrong >&2; exit 3");
        let error = virtme.compose(&machine).expect_err("it fails");
        let said = "virtme-ng's dry run ended with exit status: 3: all\nwrong\n";
        assert_eq!(error.to_string(), said);
    }

    #[test]
    fn nothing_of_the_user_s_reaches_virtme_ng_and_it_is_asked_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let asked = folder.path().join("asked");
        let script = format!(
            "{{ env; echo \"argv: $*\"; pwd; }} >>{0}; cat {0}.answer",
            asked.display()
        );
        let (virtme, machine) = with_script(&folder, &script);
        let text = answer(&virtme.desk, kind(Accelerator::Tcg));
        fs::write(format!("{}.answer", asked.display()), text).expect("a writable folder");
        for _ in 0..3 {
            virtme.compose(&machine).expect("a command");
        }
        let asked = fs::read_to_string(asked).expect("it was asked");
        assert_eq!(asked.matches("argv: ").count(), 1, "{asked}");
        let names = asked.lines().filter_map(|line| line.split_once('='));
        let names = names
            .map(|(name, _)| name)
            .filter(|name| !name.contains(' '));
        // The shell of the script adds the last three.
        let allowed = ["PATH", "HOME", "LANG", "PWD", "OLDPWD", "_", "SHLVL"];
        for name in names {
            assert!(allowed.contains(&name), "{name} in {asked}");
        }
        let words = asked.lines().filter(|line| !line.starts_with("PATH="));
        for line in words {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=: ".contains(c);
            assert!(line.chars().all(plain), "{line}");
        }
        let home = virtme.desk.path(HOME);
        assert!(asked.contains(&format!("HOME={}\n", home.display())));
        assert!(home.join(".config/virtme-ng/virtme-ng.conf").is_file());
    }

    #[test]
    fn what_was_asked_for_is_in_the_places_of_the_stand_ins() {
        let argv = composed(Accelerator::Tcg, |answer| answer).expect("as asked");
        let has = |word: &str| argv.iter().filter(|have| *have == word).count();
        for word in [
            "/ca che/$(touch pwned)/vmlinuz",
            "/out/a folder, $(touch pwned)/initramfs.cpio",
            "file:/out/a folder, $(touch pwned)/bpf-lsm/records.jsonl",
            "console=hvc0 panic=-1 rdinit=/init",
            "local,id=virtfs5,path=/out/a folder,, $(touch pwned)/bpf-lsm/root,\
             security_model=none,readonly=on",
        ] {
            assert_eq!(has(word), 1, "{word} in {argv:?}");
        }
    }

    #[test]
    fn virtme_ng_may_use_kvm_only_where_it_was_chosen() {
        let desk = Desk::new().expect("a folder in /tmp");
        let forbids = |accelerator| {
            let argv = desk.dry_run(Path::new("vng"), kind(accelerator));
            argv.contains(&OsString::from("--disable-kvm"))
        };
        assert!(forbids(Accelerator::Tcg));
        assert!(!forbids(Accelerator::Kvm));
        composed(Accelerator::Kvm, |answer| answer).expect("as asked");
        let other = |answer: String| answer.replace("accel=kvm", "accel=kvm:tcg");
        composed(Accelerator::Kvm, other).expect_err("QEMU might choose");
    }

    #[test]
    fn a_machine_has_exactly_as_many_processors_as_were_asked_for() {
        for asked in 1..=3 {
            let machine = Machine {
                processors: asked,
                ..machine(Accelerator::Tcg)
            };
            for composed in 1..=3 {
                let kind = Kind {
                    processors: composed,
                    ..kind(Accelerator::Tcg)
                };
                let argv = composed_for(&machine, kind, |answer| answer);
                assert_eq!(argv.is_ok(), asked == composed, "{asked} {composed}");
            }
            let desk = Desk::new().expect("a folder in /tmp");
            let kind = Kind::of(&machine);
            let argv = desk.dry_run(Path::new("vng"), kind);
            let at = argv.iter().position(|word| word == "--cpus");
            let number = at.and_then(|at| argv.get(at + 1));
            assert_eq!(number, Some(&OsString::from(asked.to_string())));
        }
    }

    #[test]
    fn machines_that_differ_in_their_processors_are_asked_for_apart() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let asked = folder.path().join("asked");
        let script = format!(
            "echo \"$*\" >>{0}; for word; do case $last in --cpus) n=$word ;; esac; last=$word; \
             done; sed \"s/-smp 1 /-smp $n /\" {0}.answer",
            asked.display()
        );
        let (virtme, machine) = with_script(&folder, &script);
        let text = answer(&virtme.desk, kind(Accelerator::Tcg));
        fs::write(format!("{}.answer", asked.display()), text).expect("a writable folder");
        for processors in [1, 2, 1, 2] {
            let dir = folder.path().join(format!("boot-{processors}"));
            let machine = Machine {
                processors,
                dir,
                ..machine.clone()
            };
            let composed = virtme.compose(&machine).expect("as asked");
            let argv: Vec<_> = composed
                .argv
                .iter()
                .map(|it| it.to_string_lossy())
                .collect();
            let at = argv.iter().position(|word| word == "-smp").expect("-smp");
            assert_eq!(argv[at + 1], processors.to_string());
        }
        let asked = fs::read_to_string(asked).expect("it was asked");
        assert_eq!(asked.lines().count(), 2, "{asked}");
    }

    #[test]
    fn another_machine_than_was_asked_for_is_told_by_its_argument() {
        for (from, to) in [
            ("-m 256M", "-m 512M"),
            ("-m 256M", ""),
            ("-smp 1", "-smp 4"),
            ("-smp 1", "-smp 1 -smp 1"),
            ("-no-reboot", ""),
            ("-serial chardev:console", ""),
            ("-cpu qemu64", "-cpu host"),
            ("accel=tcg", "accel=kvm"),
            ("console=hvc0", "panic=-1"),
            ("-name virtme-ng", "-name virtme-ng -snapshot"),
            ("-name virtme-ng", "-name virtme-ng -incoming tcp:0:4444"),
            ("-name virtme-ng", "a-word -name virtme-ng"),
            ("-initrd ", "-initrd /elsewhere "),
        ] {
            composed(Accelerator::Tcg, |answer| {
                assert!(answer.contains(from), "{from}");
                answer.replace(from, to)
            })
            .expect_err(to);
        }
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
            let line = format!("qemu {}", crate::vm::quote::quote(word.as_ref()));
            // A line end inside a word can't be told from the end of the command.
            proptest::prop_assume!(!word.contains(['\n', '\r']));
            let words = parse(&line).expect("a command");
            proptest::prop_assert_eq!(&words[1], &word);
        }
    }
}
