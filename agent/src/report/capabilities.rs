//! `aegisbpf capabilities`: what each hook really does on this machine, whatever the LSM
//! list says, and nothing left behind.
//!
//! In: the machine. Out: a table or one JSON document on stdout.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::document::SCHEMA_VERSION;
use super::hooks::{self as rows, HookReport, ProgramReport};
use crate::classes::{Rules, hooks};
use crate::exit::{Ending, Exit};
use crate::host::machine::{Agent, Machine, Seam};
use crate::host::moment::Moment;
use crate::output::{text, writer};
use crate::policy::Policy;
use crate::posture::gate::{self, Asked};
use crate::posture::{Blocker, GateMode, Mode};
use crate::verify::trials::Trials;

/// What the machine can do: the posture's inputs.
#[derive(Debug, Serialize)]
pub struct Capabilities {
    /// As in the report.
    pub schema_version: u32,
    /// When it was measured.
    pub generated_at: String,
    /// The same by the boot clock, milliseconds since the boot.
    pub generated_at_boot_ms: i64,
    /// The boot that it speaks of.
    pub boot_id: String,
    /// `uname -r`.
    pub kernel_version: String,
    /// Whether the BPF LSM is listed and was verified to enforce.
    pub enforce_capable: bool,
    /// Why it isn't.
    pub enforce_blockers: Vec<Blocker>,
    /// The effective list of active LSMs.
    pub lsm_enabled: Option<Vec<String>>,
    /// What this machine has.
    pub features: BTreeMap<&'static str, bool>,
    /// Every hook with its evidence.
    pub hooks: Vec<HookReport>,
    /// The seams in use.
    pub test_seams: Vec<Seam>,
    /// Who speaks.
    pub agent: Agent,
}

/// Measures every hook and prints what was found.
pub fn run(json: bool) -> Result<Exit> {
    let capabilities = measure(Machine::look(&hooks::functions())?)?;
    if json {
        let json = text::json_pretty(&capabilities);
        writer::answer(json.context("failed to write the capabilities")?)?;
    } else {
        writer::answer(table(&capabilities))?;
    }
    Ok(Exit::Done)
}

fn measure(machine: Machine) -> Result<Capabilities> {
    if !machine.has_btf() {
        return Err(Ending::error(
            Exit::Unmeasurable,
            "nothing can be measured: the kernel has no BTF; use one built with \
             CONFIG_DEBUG_INFO_BTF",
        ));
    }
    let fit = Rules::default().fit(&Policy::default(), libc::SIGKILL.cast_unsigned());
    let (mut trials, _ring) = Trials::set_up(machine, None, &fit)?;
    trials.run_all();
    // The posture's inputs are the gate's: it alone says what the LSM's evidence is worth.
    let asked = Asked {
        mode: Mode::Audit,
        fallbacks: Vec::new(),
        gate_mode: GateMode::FailClosed,
        signal: libc::SIGKILL,
    };
    let decision = gate::decide(&asked, &trials.measured(), &[]);
    let hooks = rows::hooks(trials.known(), |hook| trials.untried(hook));
    let facts = trials.machine().facts.clone();
    let now = Moment::now();
    Ok(Capabilities {
        schema_version: SCHEMA_VERSION,
        generated_at: format!("{:.3}", now.time),
        generated_at_boot_ms: now.boot_ms(),
        boot_id: facts.boot_id,
        kernel_version: facts.kernel_version,
        enforce_capable: decision.enforce_capable,
        enforce_blockers: decision.blockers,
        lsm_enabled: facts.lsm_enabled,
        features: facts.features,
        hooks,
        test_seams: facts.test_seams,
        agent: facts.agent,
    })
}

fn table(capabilities: &Capabilities) -> String {
    let mut lines = vec![
        format!("kernel           {}", capabilities.kernel_version),
        format!(
            "active LSMs      {}",
            capabilities
                .lsm_enabled
                .as_ref()
                .map_or("unreadable".to_owned(), |l| l.join(","))
        ),
        format!("enforce capable  {}", yes(capabilities.enforce_capable)),
    ];
    for blocker in &capabilities.enforce_blockers {
        lines.push(format!("blocker          {}", blocker.name()));
    }
    lines.push(String::new());
    let row = |hook: &str, tier: &str, attached: &str, fired: &str, found: &str| {
        format!("{hook:<40}{tier:<8}{attached:<10}{fired:<7}{found}")
    };
    lines.push(row("hook", "tier", "attached", "fired", "found"));
    for hook in &capabilities.hooks {
        let ProgramReport {
            attached, fired, ..
        } = hook.found;
        let tier = hook.tier.name();
        let found = found(hook);
        lines.push(row(hook.hook, tier, yes(attached), yes(fired), &found));
    }
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    lines.join("\n")
}

/// What was found of a hook, in one line: why it doesn't work, or what its canary met.
fn found(hook: &HookReport) -> String {
    let found = match (&hook.found.reason, &hook.found.evidence) {
        (Some(reason), _) => reason.as_str(),
        (None, Some(evidence)) => evidence.observed.as_str(),
        (None, None) => "",
    };
    let fired = hook.copies.iter().filter(|copy| copy.found.fired).count();
    match hook.copies.len() {
        0 => found.to_owned(),
        all if fired == all => format!("{found}, by each of {all} copies"),
        all if fired > 0 => format!("{fired} of {all} copies fired: {found}"),
        _ => found.to_owned(),
    }
}

fn yes(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}
