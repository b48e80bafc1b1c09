//! The command line: words to requests, and errors to exit codes.
//!
//! In: arguments. Out: one of the library's commands, and its exit code. The codes are
//! documented in [`crate::exit`].

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use serde_json::json;

use crate::daemon::ready::Ready;
use crate::daemon::run::{self, OnDegraded, Request};
use crate::exit::{self, Exit};
use crate::host;
use crate::output::log;
use crate::output::writer;
use crate::policy;
use crate::posture::gate::Asked;
use crate::posture::{GateMode, Mode, Tier};
use crate::report::capabilities;
use crate::verify::canary;

const EXIT_CODES: &str = "\
Exit codes:
   0  done
   1  a run-time error
   2  wrong usage, or others than root have a say in where the report goes
   3  the gate refused: what was asked for can't be kept here; the report says why
   4  the policy is invalid, or names what doesn't exist on this machine
  77  nothing could be measured: not root, BPF refused, no cgroup v2";

#[derive(Parser)]
#[command(name = "aegisbpf", version, about, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Enforce or watch a policy, until SIGTERM, SIGINT or SIGHUP
    Run(RunArgs),
    /// Work with policies
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Show what each hook really does on this machine, and leave nothing behind
    Capabilities {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum PolicyCommand {
    /// Check a policy without looking at the machine
    Check {
        /// The policy
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct RunArgs {
    /// The policy
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    #[command(flatten)]
    mode: ModeArgs,
    /// Weaker tiers to fall back on: off, or a comma list out of modret, signal
    #[arg(long, value_name = "LIST", default_value = "off", value_parser = parse_fallbacks)]
    enforce_fallback: Fallbacks,
    /// What to do when no tier can enforce
    #[arg(long, value_enum, default_value = "fail-closed")]
    enforce_gate_mode: GateMode,
    /// The signal of the signal tier; every other than KILL can be ignored, and is reported so
    #[arg(long, value_name = "SIGNAL", default_value = "KILL", value_parser = parse_signal)]
    enforce_signal: i32,
    /// Renew the evidence for every claim this often
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_interval)]
    verify_interval: Duration,
    /// What to do when the evidence for enforcement is lost
    #[arg(long, value_enum, default_value = "stay")]
    on_degraded: OnDegraded,
    /// Tell where the time of the start went, as one JSON line on stderr
    #[arg(long)]
    timings: bool,
    /// Write "ready" to this descriptor once the claims hold
    #[arg(long, value_name = "N")]
    ready_fd: Option<i32>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct ModeArgs {
    /// Enforce the policy
    #[arg(long)]
    enforce: bool,
    /// Only watch
    #[arg(long)]
    audit: bool,
}

/// A parsed `--enforce-fallback`; a type of its own, or clap would take a list of words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fallbacks(Vec<Tier>);

fn parse_fallbacks(words: &str) -> Result<Fallbacks, String> {
    if words == "off" {
        return Ok(Fallbacks(Vec::new()));
    }
    let mut tiers = Vec::new();
    for word in words.split(',') {
        let tier = match word {
            "signal" => Tier::Signal,
            "modret" => Tier::Modret,
            "off" => return Err("off stands alone".to_owned()),
            _ => {
                return Err(format!(
                    "{word:?} is no fallback; use modret, signal, both with a comma, or off"
                ));
            }
        };
        if tiers.contains(&tier) {
            return Err(format!("{word} is named twice"));
        }
        tiers.push(tier);
    }
    Ok(Fallbacks(tiers))
}

/// Signals whose default is to end the process, by name without `SIG`.
const SIGNALS: [(&str, i32); 8] = [
    ("KILL", libc::SIGKILL),
    ("TERM", libc::SIGTERM),
    ("INT", libc::SIGINT),
    ("HUP", libc::SIGHUP),
    ("QUIT", libc::SIGQUIT),
    ("ABRT", libc::SIGABRT),
    ("USR1", libc::SIGUSR1),
    ("USR2", libc::SIGUSR2),
];

fn parse_signal(name: &str) -> Result<i32, String> {
    let short = name.strip_prefix("SIG").unwrap_or(name);
    match SIGNALS.iter().find(|(known, _)| *known == short) {
        Some((_, number)) => Ok(*number),
        None => {
            let known: Vec<&str> = SIGNALS.iter().map(|(name, _)| *name).collect();
            Err(format!(
                "{name:?} is no signal that ends a process; use one of {}",
                known.join(", ")
            ))
        }
    }
}

/// Parses the command line, runs the command, and gives the exit code.
pub fn main() -> ExitCode {
    // Not for people, so no part of the command line: parsing that would take longer than all
    // that a canary does.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == canary::WORD)
    {
        return canary::serve();
    }
    let outcome = match Cli::parse().command {
        Command::Run(args) => start(args),
        Command::Policy {
            command: PolicyCommand::Check { file, json },
        } => check(&file, json),
        Command::Capabilities { json } => capabilities::run(json),
    };
    let exit = outcome.unwrap_or_else(|error| {
        log::error(format_args!("{error:#}"));
        exit::of(&error)
    });
    ExitCode::from(exit as u8)
}

/// An interval in seconds. Shorter than a verification takes there is no sense in one.
fn parse_interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if !(0.1..=86_400.0).contains(&seconds) {
        return Err("give seconds from 0.1 to 86400".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn start(args: RunArgs) -> Result<Exit> {
    let process_took = args.timings.then(host::since_start).transpose()?;
    // Before another descriptor can take the number.
    let ready = args.ready_fd.map(Ready::adopt).transpose()?;
    let mode = if args.mode.enforce {
        Mode::Enforce
    } else {
        Mode::Audit
    };
    run::run(Request {
        policy: args.policy,
        asked: Asked {
            mode,
            fallbacks: args.enforce_fallback.0,
            gate_mode: args.enforce_gate_mode,
            signal: args.enforce_signal,
        },
        ready,
        verify_interval: args.verify_interval,
        on_degraded: args.on_degraded,
        process_took,
    })
}

fn check(file: &std::path::Path, json: bool) -> Result<Exit> {
    if !json {
        let policy = run::load_policy(file)?;
        let note = if policy.rules() == 0 {
            ", and enforces nothing: it has no rules"
        } else {
            ""
        };
        writer::answer(format_args!(
            "{}: valid: rules: {}, exempt cgroups: {}, protected executables: {}{note}",
            file.display(),
            policy.rules(),
            policy.exempt_cgroups.len(),
            policy.protected_executables.len(),
        ))?;
        return Ok(Exit::Done);
    }
    let outcome = policy::parse(&run::read_policy(file)?);
    let document = match &outcome {
        Ok(policy) => json!({ "valid": true, "rules": policy.rules(), "errors": [] }),
        Err(errors) => json!({ "valid": false, "errors": errors }),
    };
    writer::answer(format_args!("{document:#}"))?;
    Ok(outcome.map_or(Exit::Policy, |_| Exit::Done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_seconds_and_neither_nothing_nor_endless() {
        assert_eq!(parse_interval("60"), Ok(Duration::from_secs(60)));
        assert_eq!(parse_interval("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "0.09", "-1", "86401", "inf", "NaN", "1s", ""] {
            assert!(parse_interval(wrong).is_err(), "{wrong}");
        }
    }
}
