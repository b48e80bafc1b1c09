//! PID 1 of the proof VM.
//!
//! In: an initramfs holding this binary as `/init`, the agent, the plan and perhaps kernel
//! modules; a kernel command line that names the boot and its nonce. Out: records on the
//! second serial port (see `protocol`), then the end of the machine. There is no shell and
//! no other user space; whoever commits the forbidden acts is this binary re-executed
//! (`/init act …`, `/init actors …`).

mod bench;
mod channel;
mod in_progress;
mod machine;
mod runner;
mod stopwatch;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use protocol::plan::GuestPlan;
use protocol::record::Level;

use proofs::acts::ways::actors;
use proofs::acts::{act, at_once, attempt, flood, hog, locks, many, map_caller, privation};
use proofs::promises::every_way;

use crate::channel::Channel;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("act") => return act::commit(&arguments[2..]),
        Some("actors") => return actors::serve(&arguments[2..], every_way::go),
        _ => {}
    }
    match arguments.get(1).map(String::as_str) {
        Some("attempt") => return attempt::commit(&arguments[2..]),
        Some("at-once") => return at_once::commit(&arguments[2..]),
        Some("many") => return many::commit(&arguments[2..]),
        Some("exclaim") => return attempt::exclaim(),
        Some("call-map") => return map_caller::call(),
        Some("flood") => return flood::flood(&arguments[2..]),
        Some("hog") => return hog::hog(&arguments[2..]),
        Some("time") => return bench::serve(&arguments[2..]),
        Some("lock") => return locks::hold(&arguments[2..]),
        Some("deprived") => return privation::become_deprived(&arguments[2..]),
        _ => {}
    }
    if std::process::id() != 1 {
        eprintln!("guest: this is the init of a proof VM; it does nothing elsewhere");
        return ExitCode::from(2);
    }
    if let Err(error) = prove() {
        // The console is all that is left; the host sees the missing `end` and shows it.
        eprintln!("guest: {error:#}");
    }
    machine::end()
}

/// Everything between waking up and the last record.
fn prove() -> Result<()> {
    machine::mount_all()?;
    let mut channel = Channel::open()?;
    let loaded = machine::load_modules();
    let plan = read_plan();
    let (hello, boot) = machine::look_around(&plan, loaded)?;
    let fit = hello.mismatches.is_empty();
    let nonce = hello.nonce.clone();
    channel.hello(hello)?;
    match (&plan, boot, fit) {
        (Ok(plan), Some(boot), true) => {
            let limit = Duration::from_millis(plan.wait_ms);
            match &boot.bench {
                Some(bench) => bench::run(bench, limit, &mut channel)?,
                None => runner::run(boot, limit, &mut channel)?,
            }
        }
        _ => channel.log(
            Level::Error,
            "no proof was run: the machine isn't as planned",
        )?,
    }
    channel.end()?;
    machine::tell_kernel_log(&protocol::last_line(&nonce))
}

fn read_plan() -> Result<GuestPlan> {
    let text = std::fs::read_to_string(protocol::PLAN_PATH)
        .with_context(|| format!("reading {}", protocol::PLAN_PATH))?;
    serde_json::from_str(&text).with_context(|| format!("parsing {}", protocol::PLAN_PATH))
}
