//! Events: what the programs tell, as one JSON object a line on stdout.
//!
//! In: records of the event ring. Out: lines for machines. `killed` is said only where the
//! signal helper returned 0; a failed one is `observed`, with the helper's result.

use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;

use crate::classes::{self, ClassEvent, hooks};
use crate::kernel::abi::{self, RawEvent};
use crate::output::text;

/// One event.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// The class of the act.
    pub event: &'static str,
    /// When the program judged, RFC 3339 in UTC.
    pub time: String,
    /// `denied`, `killed` or `observed`.
    pub outcome: &'static str,
    /// The hook that saw it.
    pub hook: &'static str,
    /// The hook's tier.
    pub tier: &'static str,
    /// The rule's id.
    pub rule: String,
    /// The path that the rule names.
    pub rule_path: Option<String>,
    /// What the class of the act has to say.
    #[serde(flatten)]
    pub act: ClassEvent,
    /// The thread's id.
    pub pid: u32,
    /// The process's id.
    pub tgid: u32,
    /// The thread's name, as [`text::name`] writes it.
    pub comm: String,
    /// Its cgroup's id.
    pub cgroup: u64,
    /// The signal that was sent.
    pub signal: Option<u8>,
    /// What the signal helper returned, where a signal was sent.
    pub signal_result: Option<i64>,
    /// Why no signal was sent though the rule denies.
    pub spared: Option<&'static str>,
    /// Whether it was the agent's own canary.
    pub canary: bool,
    /// How many acts of the same user's that met the same rule in the same hook weren't told of so
    /// far; left out where none was.
    #[serde(skip_serializing_if = "is_zero")]
    pub repeats: u64,
}

/// As serde asks for it.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What rule numbers mean to people.
pub trait RuleNames {
    /// A rule's id and path.
    fn name(&self, number: u32) -> Option<(String, String)>;
}

impl Event {
    /// Reads a record of the ring. `None` if it isn't one of ours, which no program writes.
    pub fn read(record: &[u8], names: &impl RuleNames, clock: Clock) -> Option<Self> {
        let raw = RawEvent::read(record)?;
        let hook = hooks::by_number(raw.hook.into())?;
        let outcome = *["observed", "denied", "killed"].get(usize::from(raw.outcome))?;
        let spared = [
            None,
            Some("protected_executable"),
            Some("pid_1"),
            Some("agent"),
        ];
        let act = ClassEvent::read(hook.class, &raw)?;
        let (rule, rule_path) = match names.name(raw.rule) {
            Some((id, path)) => (id, Some(path)),
            None => match classes::unwritten_rule(raw.rule) {
                Some(name) => (name.to_owned(), None),
                None => (format!("#{}", raw.rule), None),
            },
        };
        let signalled = raw.signal != 0;
        Some(Self {
            event: hook.class.name(),
            time: clock.time(raw.boot_ns),
            outcome,
            hook: hook.name,
            tier: hook.tier.name(),
            rule,
            rule_path,
            act,
            pid: raw.pid,
            tgid: raw.tgid,
            comm: text::name(abi::before_nul(&raw.comm)),
            cgroup: raw.cgroup,
            signal: signalled.then_some(raw.signal),
            signal_result: signalled.then_some(raw.signal_result),
            spared: *spared.get(usize::from(raw.spared))?,
            canary: raw.canary != 0,
            repeats: raw.repeats,
        })
    }

    /// Whether a signal was to be sent and wasn't: a rule that wasn't kept.
    pub fn missed(&self) -> bool {
        self.signal_result.is_some_and(|result| result != 0)
    }

    /// Writes the event as one line.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(text::json(self)?.as_bytes())?;
        out.write_all(b"\n")
    }
}

/// Turns the kernel's boot clock into the time of day.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    boot: Timestamp,
}

impl Clock {
    /// As both clocks stand now: the time of day may have been set since the last event.
    pub fn now() -> Self {
        let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let since = jiff::SignedDuration::new(since.tv_sec, since.tv_nsec as i32);
        let boot = Timestamp::now().checked_sub(since);
        Self {
            boot: boot.unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }

    fn time(self, boot_ns: u64) -> String {
        let since = jiff::SignedDuration::from_nanos(i64::try_from(boot_ns).unwrap_or(i64::MAX));
        let time = self.boot.checked_add(since).unwrap_or(Timestamp::MAX);
        format!("{time:.6}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct OneRule;

    impl RuleNames for OneRule {
        fn name(&self, number: u32) -> Option<(String, String)> {
            (number == 0).then(|| ("file[0]".to_owned(), "/etc/secret".to_owned()))
        }
    }

    /// A record as the kernel side lays it out.
    fn record(change: impl Fn(&mut [u8; 336])) -> [u8; 336] {
        let mut record = [0; 336];
        record[8..16].copy_from_slice(&77_u64.to_ne_bytes());
        record[48..52].copy_from_slice(&501_u32.to_ne_bytes());
        record[52..56].copy_from_slice(&500_u32.to_ne_bytes());
        record[64..67].copy_from_slice(b"cat");
        change(&mut record);
        record
    }

    fn read(record: &[u8; 336]) -> Event {
        let clock = Clock {
            boot: Timestamp::UNIX_EPOCH,
        };
        Event::read(record, &OneRule, clock).unwrap()
    }

    fn line(event: &Event) -> String {
        let mut line = Vec::new();
        event.write(&mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_denial_names_the_inode_and_no_path_that_was_not_seen() {
        let event = read(&record(|record| {
            record[0..8].copy_from_slice(&1_500_000_000_u64.to_ne_bytes());
            record[16..24].copy_from_slice(&4242_u64.to_ne_bytes());
            record[40..44].copy_from_slice(&(8_u32 << 20 | 1).to_ne_bytes());
            record[57] = 1;
            record[61] = 1;
            record[62] = 3;
        }));
        insta::assert_snapshot!(line(&event), @r#"{"event":"file","time":"1970-01-01T00:00:01.500000Z","outcome":"denied","hook":"lsm/file_open","tier":"lsm","rule":"file[0]","rule_path":"/etc/secret","matched":"inode","access":"read-write","path":null,"inode":4242,"device":"8:1","pid":501,"tgid":500,"comm":"cat","cgroup":77,"signal":null,"signal_result":null,"spared":null,"canary":false}"#);
    }

    #[test]
    fn a_kill_names_the_path_and_the_helper_s_result() {
        let event = read(&record(|record| {
            record[56] = 13;
            record[57] = 2;
            record[60] = 9;
            record[62] = 1;
            record[80..91].copy_from_slice(b"/etc/secret");
        }));
        insta::assert_snapshot!(line(&event), @r#"{"event":"file","time":"1970-01-01T00:00:00.000000Z","outcome":"killed","hook":"tracepoint/syscalls/sys_enter_openat","tier":"signal","rule":"file[0]","rule_path":"/etc/secret","matched":"path","access":"read","path":"/etc/secret","inode":null,"device":null,"pid":501,"tgid":500,"comm":"cat","cgroup":77,"signal":9,"signal_result":0,"spared":null,"canary":false}"#);
    }

    #[test]
    fn a_failed_signal_is_observed_with_its_result() {
        let event = read(&record(|record| {
            record[24..32].copy_from_slice(&(-1_i64).to_ne_bytes());
            record[56] = 14;
            record[60] = 9;
        }));
        assert_eq!((event.outcome, event.signal_result), ("observed", Some(-1)));
        assert!(event.missed());
    }

    #[test]
    fn only_a_signal_that_failed_is_a_miss() {
        let sent = |result: i64, signal: u8| {
            read(&record(|record| {
                record[24..32].copy_from_slice(&result.to_ne_bytes());
                record[56] = 14;
                record[60] = signal;
            }))
        };
        // As `bpf_send_signal` refuses a kernel thread, such as io_uring's of Linux 5.10.
        assert!(sent(-1, 9).missed());
        assert!(!sent(0, 9).missed());
        // Nobody was to be signalled, so nothing failed.
        assert!(!sent(-1, 0).missed());
    }

    #[test]
    fn whoever_is_spared_was_sent_no_signal() {
        for (number, name) in [(1, "protected_executable"), (2, "pid_1"), (3, "agent")] {
            let event = read(&record(|record| {
                record[56] = 15;
                record[58] = number;
            }));
            assert_eq!((event.spared, event.signal), (Some(name), None));
            assert!(!event.missed());
        }
    }

    #[test]
    fn a_record_with_unknown_numbers_is_no_event() {
        for offset in [56, 57, 58, 61, 62] {
            let record = record(|record| record[offset] = 200);
            assert_eq!(Event::read(&record, &OneRule, Clock::now()), None);
        }
    }
}
