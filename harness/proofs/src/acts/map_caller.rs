//! Somebody who calls the kernel about a map of his own again and again. While such a call goes on,
//! the kernel runs no program of a kprobe or tracepoint on that processor; where it is preemptible,
//! others run meanwhile.
//!
//! The guest re-executes itself (`/init call-map`) for that.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::mount::{MountFlags, mount};

use crate::acts::act::NOT_TRIED;
use crate::acts::bpf_objects::BloomFilter;
use crate::acts::cause::NotHere;
use crate::acts::wait;

/// Of the value that each call hashes again and again. A kernel that preempts lazily lets a call
/// go on until the next tick of its clock, so the call must take longer than that.
const VALUE_SIZE: u32 = 1 << 20;

/// The process's side. It prints a line once it has called the kernel, and goes on until it is
/// killed.
pub fn call() -> ExitCode {
    match call_without_end() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("call-map: {error:#}");
            ExitCode::from(NOT_TRIED)
        }
    }
}

fn call_without_end() -> Result<()> {
    let map = BloomFilter::of(VALUE_SIZE)?;
    map.push()?;
    println!("calling");
    io::stdout().flush()?;
    loop {
        map.push()?;
    }
}

/// Somebody who calls, until this is dropped.
pub struct MapCaller(Child);

impl MapCaller {
    /// Starts him, and waits until he has called once.
    ///
    /// # Errors
    /// He can't be started or can't call, or not within the limit; or [`NotHere`], where the kernel switches to nobody
    /// else within a call.
    pub fn start(limit: Duration) -> Result<Self> {
        let version = fs::read_to_string("/proc/sys/kernel/version").context("the version")?;
        let model = preemption_model();
        if !is_preemptible(&version, model.as_deref()) {
            let model = model.as_deref().unwrap_or(&version).trim();
            let why = format!("this kernel isn't preemptible: {model}");
            return Err(NotHere(why).into());
        }
        let child = Command::new("/proc/self/exe")
            .arg("call-map")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let mut caller = Self(child.context("starting somebody who calls about a map")?);
        let output = caller.0.stdout.take().context("his stdout is piped")?;
        wait::readable(&output, limit, "the first call about a map")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line == "calling\n", "whoever is to call about a map can't");
        Ok(caller)
    }
}

impl Drop for MapCaller {
    fn drop(&mut self) {
        // Gone when the next thing is looked at.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The models that can be chosen, the chosen one in brackets; nothing where there is no choice, or
/// the kernel doesn't show it.
fn preemption_model() -> Option<String> {
    let debugfs = "/sys/kernel/debug";
    // Whether that went well shows by the file.
    let _ = mount("debugfs", debugfs, "debugfs", MountFlags::empty(), None);
    fs::read_to_string(format!("{debugfs}/sched/preempt")).ok()
}

/// Whether the kernel switches to another task within a system call, by its version as
/// `/proc/sys/kernel/version` has it, and by the model in brackets where it can be chosen.
fn is_preemptible(version: &str, model: Option<&str>) -> bool {
    match model {
        Some(model) => model.contains("(full)") || model.contains("(lazy)"),
        None => version
            .split_whitespace()
            .any(|word| word == "PREEMPT" || word == "PREEMPT_RT"),
    }
}

#[cfg(test)]
mod tests {
    use super::is_preemptible;

    #[test]
    fn a_kernel_is_preemptible_by_the_model_that_was_chosen_or_else_as_it_was_built() {
        let dynamic = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)";
        assert!(!is_preemptible(dynamic, Some("none (voluntary) full \n")));
        assert!(is_preemptible(dynamic, Some("none voluntary (full) \n")));
        assert!(is_preemptible(dynamic, Some("full (lazy) \n")));
        assert!(!is_preemptible(
            "#1 SMP Debian 5.10.262-1 (2026-07-31)",
            None
        ));
        assert!(is_preemptible("#1 SMP PREEMPT Mon Jan 5 2026", None));
        assert!(is_preemptible("#1 SMP PREEMPT_RT Mon Jan 5 2026", None));
    }
}
