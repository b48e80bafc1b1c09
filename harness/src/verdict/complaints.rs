//! How a kernel complains on its console without dying, and what only looks like it.
//!
//! In: a line of the console. Out: whether it complains. It can only turn a pass into a fault: the
//! absence of complaints shows nothing.

use crate::kernels::manifest::Allow;

/// A text, and the file or the option of the kernel's that it comes from, for whoever wonders.
type Text = (&'static str, &'static str);

/// What stands in a line that complains. Most of it taints the kernel; a lock's or RCU's trouble, a
/// stall, a hung task and a leak don't.
const COMPLAINTS: [Text; 15] = [
    ("WARNING: ", "kernel/panic.c, WARN()"),
    ("BUG: ", "mm/kasan, kernel/kcsan, mm/kfence, kernel/sched"),
    ("INFO: possible ", "CONFIG_PROVE_LOCKING"),
    ("INFO: inconsistent lock state", "CONFIG_PROVE_LOCKING"),
    ("DEBUG_LOCKS_WARN_ON", "CONFIG_DEBUG_LOCKDEP"),
    ("suspicious RCU usage", "CONFIG_PROVE_RCU"),
    ("self-detected stall", "kernel/rcu/tree_stall.h"),
    ("detected stalls", "kernel/rcu/tree_stall.h"),
    ("blocked for more than", "CONFIG_DETECT_HUNG_TASK"),
    ("new suspected memory leaks", "CONFIG_DEBUG_KMEMLEAK"),
    ("UBSAN: ", "CONFIG_UBSAN"),
    ("page allocation failure", "mm/page_alloc.c"),
    ("nobody cared", "kernel/irq/spurious.c"),
    ("Call Trace:", "the stack that follows any of these"),
    ("Call trace:", "the same on other architectures"),
];

/// How a line begins that isn't about the kernel's own state, though it has a complaint's text in it.
/// Each is of arch/x86/kernel/cpu/bugs.c, which tells of a processor's weakness that the host
/// mitigates or not: on many a common processor, under KVM, each boot prints one.
const HARMLESS: [Text; 6] = [
    ("Spectre V2 : WARNING: ", "spectre_v2_select_mitigation()"),
    ("RETBleed: WARNING: ", "retbleed_select_mitigation()"),
    (
        "Speculative Return Stack Overflow: WARNING: ",
        "srso_select_mitigation()",
    ),
    ("MMIO Stale Data: WARNING: ", "mmio_select_mitigation()"),
    ("ITS: WARNING: ", "its_select_mitigation()"),
    ("VMSCAPE: WARNING: ", "vmscape_update_mitigation()"),
];

/// Whether a line complains.
pub fn complains(line: &str) -> bool {
    let said = without_time(line);
    let has = |(text, _): &Text| said.contains(text);
    COMPLAINTS.iter().any(has) && !HARMLESS.iter().any(|(text, _)| said.starts_with(text))
}

/// The console without the lines that have one of these texts: what the user says is no trouble on a
/// kernel of his own.
pub fn without(console: &str, allowed: &[Allow]) -> String {
    let kept = console.lines().filter(|line| {
        !allowed
            .iter()
            .any(|allowed| without_time(line).contains(&allowed.console))
    });
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// A console line without the kernel's timestamp.
pub fn without_time(line: &str) -> &str {
    let line = line.trim();
    match line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((time, text)) if time.trim().parse::<f64>().is_ok() => text.trim(),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(console: &str) -> Option<&str> {
        console.lines().find(|line| complains(line))
    }

    #[test]
    fn a_kernel_that_complains_and_lives_is_heard() {
        let quiet = "[    1.0] Run /init as init process\n[    9.0] reboot: Power down\n";
        assert_eq!(first(quiet), None);
        assert_eq!(first(""), None);
        for said in [
            "WARNING: CPU: 0 PID: 1 at kernel/bpf/core.c:7 bpf_x+0x1/0x2",
            "WARNING: possible circular locking dependency detected",
            "WARNING: suspicious RCU usage",
            "INFO: possible recursive locking detected",
            "BUG: KASAN: slab-use-after-free in x",
            "BUG: KCSAN: data-race in x / y",
            "BUG: sleeping function called from invalid context at mm/x.c:1",
            "BUG: scheduling while atomic: init/1/0x00000002",
            "kmemleak: 2 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
            "UBSAN: array-index-out-of-bounds in x",
            "rcu: INFO: rcu_sched self-detected stall on CPU",
            "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "INFO: task init:1 blocked for more than 120 seconds.",
            "init: page allocation failure: order:4, mode:0x40cc0",
            "irq 9: nobody cared (try booting with the \"irqpoll\" option)",
            "DEBUG_LOCKS_WARN_ON(1)",
            "Call Trace:",
        ] {
            let console = format!("[    1.0] before\n[    2.0] {said}\n[    3.0] after\n");
            let heard = first(&console).map(without_time);
            assert_eq!(heard, Some(said), "{said}");
        }
    }

    #[test]
    fn each_text_is_there_once_and_has_a_source() {
        let all = COMPLAINTS.iter().chain(&HARMLESS);
        let texts: std::collections::BTreeSet<&str> = all.clone().map(|(text, _)| *text).collect();
        assert_eq!(texts.len(), COMPLAINTS.len() + HARMLESS.len());
        assert!(all.clone().all(|(_, from)| !from.is_empty()));
    }

    #[test]
    fn a_mitigation_that_the_processor_lacks_is_no_complaint_and_hides_none() {
        let lacks = "[    0.3] Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, \
                     data leaks possible via Spectre v2 BHB attacks!\n\
                     [    0.3] RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable\n";
        assert_eq!(first(lacks), None);
        let warns = "[    2.0] WARNING: CPU: 0 PID: 1 at x.c:7 RETBleed: WARNING: x\n";
        assert_eq!(first(&format!("{lacks}{warns}")), Some(warns.trim_end()));
    }

    #[test]
    fn what_the_user_allows_is_left_out_and_nothing_else() {
        let console = "[ 1.0] WARNING: of a driver\n[ 2.0] WARNING: of another\n";
        let allowed = [Allow {
            console: "of a driver".to_owned(),
            reason: "it is none of ours".to_owned(),
        }];
        assert_eq!(without(console, &allowed), "[ 2.0] WARNING: of another\n");
        assert_eq!(without(console, &[]), console);
    }
}
