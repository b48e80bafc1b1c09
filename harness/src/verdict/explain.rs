//! Why records are missing, in the words of the console and of QEMU's ending.
//!
//! In: the console's text and how QEMU ended. Out: one line for a person. An explanation
//! never turns anything into a pass; it is asked for only once records are known to be
//! missing, because a console line can be split, faked or absent. A complaint, asked for where
//! none is missing, can only spoil what would have passed.

use super::complaints;
use crate::kernels::manifest::DEFAULT_MEMORY_MIB;
use crate::outcome::Ending;
use crate::signals;

/// Longest console line that is quoted.
const MAX_QUOTED: usize = 200;

/// A kind of trouble, and what a kernel says of it.
type Sign = (&'static str, &'static [&'static str]);

const PANIC: Sign = ("kernel panic", &["Kernel panic - not syncing"]);

const OOPS: Sign = (
    "oops",
    &[
        "Oops: ",
        "BUG: unable to handle",
        "BUG: kernel NULL pointer",
        "kernel BUG at ",
        "general protection fault",
    ],
);

/// What a kernel says that dies of itself.
const DEATHS: &[Sign] = &[PANIC, OOPS];

/// What a dying kernel says, and what to call it; the first match of each is quoted.
const SIGNS: &[Sign] = &[
    PANIC,
    OOPS,
    (
        "too little memory",
        &[
            "System is deadlocked on memory",
            "Initramfs unpacking failed: write error",
            "Failed to allocate memory for initrd",
        ],
    ),
    ("out of memory", &["Out of memory", "invoked oom-killer"]),
    (
        "lockup",
        &[
            "soft lockup",
            "hard LOCKUP",
            "rcu_preempt detected stalls",
            "rcu_sched detected stalls",
            "blocked for more than",
        ],
    ),
];

/// What every kernel says last, at its highest level, when it is restarted.
const LAST_OF_KERNEL: &str = "reboot: Restarting system";

/// The console as text that does nothing to a terminal: its escapes and carriage returns gone, and
/// what else isn't to be read shown as such.
pub fn clean(console: &[u8]) -> String {
    let text = String::from_utf8_lossy(console);
    printable(&console::strip_ansi_codes(&text).replace('\r', ""))
}

/// A text in which every control character but line ends and tabs is shown as one that can't be read:
/// a guest may say anything, and what it says reaches terminals.
pub fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(shown).collect()
}

/// The last `lines` lines that say something.
pub fn tail(console: &str, lines: usize) -> String {
    let said: Vec<&str> = console
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    said[said.len().saturating_sub(lines)..].join("\n")
}

/// Everything that the console and QEMU's ending can say about missing records.
pub fn explain(console: &str, ending: &Ending) -> String {
    let mut causes = signs(console);
    causes.push(match ending {
        Ending::Exited { code } => format!("QEMU ended with exit code {code}"),
        Ending::Killed {
            signal,
            sender,
            out_of_memory,
        } => killed(*signal, sender.as_deref(), *out_of_memory),
        Ending::Lost { reason } => {
            format!("the host lost what the guest told: {reason}; make room, or take another --out")
        }
        Ending::Interrupted { signal, started } => {
            let by = signals::name(*signal);
            match started {
                true => format!("interrupted by {by} while it ran"),
                false => format!("not run: interrupted by {by}"),
            }
        }
        Ending::Hung { limit_s } => {
            format!("the guest hung: not done after {limit_s} s, the whole boot's limit")
        }
        Ending::NotStarted { reason } => format!("QEMU never ran: {reason}"),
        Ending::Unknown { reason } => format!("how the machine ended isn't known: {reason}"),
    });
    causes.join("; ")
}

/// The likely cause where a guest with less memory than is usual came to nothing. With far too little
/// a kernel dies before it can say a word, and with a bit more it finds its initramfs overwritten,
/// which reads as something else.
pub fn little_memory(memory_mib: u32, ending: &Ending) -> Option<String> {
    let by_itself = matches!(ending, Ending::Exited { code: 0 } | Ending::Hung { .. });
    (by_itself && memory_mib < DEFAULT_MEMORY_MIB).then(|| {
        format!(
            "too little memory? It has {memory_mib} MiB (memory_mib in kernels.toml), and \
             {DEFAULT_MEMORY_MIB} are enough"
        )
    })
}

/// What ended QEMU from outside, and what to do about it.
fn killed(signal: i32, sender: Option<&str>, out_of_memory: bool) -> String {
    let name = signals::name(signal);
    if let Some(sender) = sender {
        return format!("QEMU was asked to end by {name} from {sender}");
    }
    match signal {
        libc::SIGKILL if out_of_memory => format!(
            "QEMU was killed by {name}, and the host ran out of memory meanwhile; run fewer \
             machines side by side (--jobs)"
        ),
        libc::SIGKILL => format!(
            "QEMU was killed by {name}; out of memory on the host? Its kernel log says so, and \
             --jobs runs fewer machines side by side"
        ),
        libc::SIGILL | libc::SIGABRT | libc::SIGBUS | libc::SIGFPE | libc::SIGSEGV => {
            format!("QEMU itself crashed ({name}); what it said is in qemu.log")
        }
        _ => format!("QEMU was ended by {name}"),
    }
}

/// The first complaint of the kernel's, even if it lived on: of a death, or of anything else. It can
/// only turn a pass into a fault: its absence shows nothing.
pub fn complaint(console: &str) -> Option<String> {
    let needles = SIGNS.iter().flat_map(|(_, needles)| *needles);
    let needles: Vec<&str> = needles.copied().collect();
    let tells =
        |line: &&str| complaints::complains(line) || needles.iter().any(|sign| line.contains(sign));
    console.lines().find(tells).map(quoted)
}

/// What is missing at the end of the console of a guest that told all: without that end, nobody
/// knows what else the kernel said.
pub fn missing_end(console: &str, nonce: &str) -> Option<&'static str> {
    match console.split_once(&protocol::last_line(nonce)) {
        None => Some("the guest's last line isn't there"),
        Some((_, rest)) if !rest.contains(LAST_OF_KERNEL) => {
            Some("the kernel's last line isn't there")
        }
        Some(_) => None,
    }
}

/// The console of a guest that told all, and of a kernel that said nothing more than it must.
pub fn whole_console(nonce: &str) -> String {
    format!("{}\n{LAST_OF_KERNEL}\n", protocol::last_line(nonce))
}

/// Whether the guest is known to have died or hung, rather than its channel to have been cut.
pub fn tells_of_death(console: &str, ending: &Ending) -> bool {
    matches!(ending, Ending::Hung { .. }) || !signs(console).is_empty()
}

/// Whether the machine was ended by what no guest can do, so that nothing is known of what ran in
/// it, or may have been. A guest that dies by itself restarts, and QEMU exits with 0; one whose
/// console tells of its death was dead before.
pub fn ended_from_outside(console: &str, ending: &Ending) -> bool {
    let outside = match ending {
        Ending::Exited { code } => *code != 0,
        Ending::Hung { .. } => false,
        Ending::Killed { .. }
        | Ending::NotStarted { .. }
        | Ending::Interrupted { .. }
        | Ending::Lost { .. }
        | Ending::Unknown { .. } => true,
    };
    outside && among(DEATHS, console).is_empty()
}

fn signs(console: &str) -> Vec<String> {
    among(SIGNS, console)
}

fn among(signs: &[Sign], console: &str) -> Vec<String> {
    signs
        .iter()
        .filter_map(|(name, needles)| {
            let line = console
                .lines()
                .find(|line| needles.iter().any(|needle| line.contains(needle)))?;
            Some(format!("{name}: `{}`", quoted(line)))
        })
        .collect()
}

/// A console line without the kernel's timestamp, shortened.
fn quoted(line: &str) -> String {
    let text = complaints::without_time(line);
    text.chars().take(MAX_QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN_END: Ending = Ending::Exited { code: 0 };

    fn killed(signal: i32, sender: Option<&str>, out_of_memory: bool) -> Ending {
        Ending::Killed {
            signal,
            sender: sender.map(str::to_owned),
            out_of_memory,
        }
    }

    #[test]
    fn the_console_explains_how_a_guest_died() {
        let panic = "[    1.0] Run /init as init process\n\
            [    2.5] Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\n\
            [    2.6] ---[ end Kernel panic - not syncing: Attempted to kill init! ]---\n";
        let oops = "[    2.1] BUG: kernel NULL pointer dereference, address: 0000000000000000\n\
            [    2.2] Oops: 0002 [#1] PREEMPT SMP\n";
        let oom = "[   12.5] Out of memory: Killed process 77 (aegisbpf)\n";
        for (console, ending, expected) in [
            (
                panic,
                CLEAN_END,
                "kernel panic: `Kernel panic - not syncing: Attempted to kill init! \
                 exitcode=0x0000000b`; QEMU ended with exit code 0",
            ),
            (
                oops,
                Ending::Hung { limit_s: 60 },
                "oops: `BUG: kernel NULL pointer dereference, address: 0000000000000000`; \
                 the guest hung: not done after 60 s, the whole boot's limit",
            ),
            (
                oom,
                CLEAN_END,
                "out of memory: `Out of memory: Killed process 77 (aegisbpf)`; \
                 QEMU ended with exit code 0",
            ),
            (
                "",
                killed(9, None, true),
                "QEMU was killed by SIGKILL, and the host ran out of memory meanwhile; run fewer \
                 machines side by side (--jobs)",
            ),
            (
                "",
                killed(9, None, false),
                "QEMU was killed by SIGKILL; out of memory on the host? Its kernel log says so, \
                 and --jobs runs fewer machines side by side",
            ),
            (
                "",
                killed(15, Some("pid 77 (sh)"), false),
                "QEMU was asked to end by SIGTERM from pid 77 (sh)",
            ),
            (
                "",
                killed(11, None, false),
                "QEMU itself crashed (SIGSEGV); what it said is in qemu.log",
            ),
            (
                "",
                Ending::Interrupted {
                    signal: 2,
                    started: true,
                },
                "interrupted by SIGINT while it ran",
            ),
            (
                "",
                Ending::Lost {
                    reason: "writing to /out: No space left on device".into(),
                },
                "the host lost what the guest told: writing to /out: No space left on device; \
                 make room, or take another --out",
            ),
            (
                "Booting from ROM..\n",
                Ending::NotStarted {
                    reason: "no such file".into(),
                },
                "QEMU never ran: no such file",
            ),
        ] {
            assert_eq!(explain(console, &ending), expected);
        }
        assert!(tells_of_death(panic, &CLEAN_END));
        assert!(tells_of_death("", &Ending::Hung { limit_s: 1 }));
        assert!(!tells_of_death("reboot: Power down\n", &CLEAN_END));
    }

    #[test]
    fn a_guest_that_was_given_little_memory_and_died_is_told_so() {
        let hung = Ending::Hung { limit_s: 9 };
        for (memory_mib, ending, told) in [
            (64, &CLEAN_END, true),
            (255, &hung, true),
            (256, &CLEAN_END, false),
            // Whatever this was, it wasn't the guest's memory.
            (64, &killed(9, None, true), false),
            (64, &Ending::Exited { code: 1 }, false),
        ] {
            let hint = little_memory(memory_mib, ending);
            assert_eq!(hint.is_some(), told, "{memory_mib}, {ending:?}");
        }
    }

    #[test]
    fn a_kernel_that_complains_and_lives_is_heard() {
        let quiet = "[    1.0] Run /init as init process\n[    9.0] reboot: Power down\n";
        assert_eq!(complaint(quiet), None);
        assert_eq!(complaint(""), None);
        for said in [
            "WARNING: CPU: 0 PID: 1 at kernel/bpf/core.c:7 bpf_x+0x1/0x2",
            "WARNING: possible circular locking dependency detected",
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            "INFO: task aegisbpf:77 blocked for more than 120 seconds.",
            "BUG: sleeping function called from invalid context at mm/x.c:1",
            "Call Trace:",
            // On the way down, after the last record: no trace need follow.
            "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000000",
            "Out of memory: Killed process 77 (aegisbpf)",
        ] {
            let console = format!("{quiet}[   9.1] {said}\n[   9.2] Call Trace:\n");
            assert_eq!(complaint(&console).as_deref(), Some(said));
        }
    }

    #[test]
    fn nothing_that_a_guest_says_reaches_a_terminal_as_a_command() {
        let raw: Vec<u8> = (0..=255).collect();
        let every: String = (0..=0x2ff_u32).filter_map(char::from_u32).collect();
        for text in [clean(&raw), printable(&every)] {
            let mut odd = text.chars().filter(|c| c.is_control());
            assert!(odd.all(|c| "\n\t".contains(c)), "{text:?}");
        }
        assert_eq!(
            printable("a\x1b[2Jb\u{9b}c\n\td"),
            "a\u{fffd}[2Jb\u{fffd}c\n\td"
        );
    }

    #[test]
    fn the_console_is_readable_text() {
        let raw = b"\x1b[2J\x1b[1;31mred\x1b[0m\r\n\xff\n\n   \nlast\n";
        assert_eq!(clean(raw), "red\n\u{fffd}\n\n   \nlast\n");
        assert_eq!(tail(&clean(raw), 2), "\u{fffd}\nlast");
        assert_eq!(tail("", 5), "");
        assert_eq!(tail("one\n", 5), "one");
    }
}
