//! What was measured, for people and for programs.
//!
//! In: numbers by kernel, or why a kernel has none. Out: a table, and one JSON document. Pure.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use protocol::bench::AgentBinary;
use serde::Serialize;

use super::numbers::{AgentRow, Numbers, Program, Row};
use crate::columns::{self, Align};

/// The file in `--out`.
pub const FILE: &str = "bench.json";

/// Version of the document.
const VERSION: u32 = 1;

/// What was measured, and of what.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The agents by their paths, the tested one first.
    pub agents: Vec<Agent>,
    /// Every kernel that was booted.
    pub kernels: Vec<OfKernel>,
}

/// One of the agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Agent {
    /// As in the rows.
    pub agent: AgentBinary,
    /// Its binary.
    pub path: String,
    /// The binary's SHA-256.
    pub sha256: String,
}

/// What came of one kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct OfKernel {
    /// As in `kernels.toml`.
    pub kernel: String,
    /// `uname -r` as the guest said it.
    pub release: Option<String>,
    /// `kvm` or `tcg`.
    pub accelerator: String,
    /// Seconds from launch to end.
    pub took_s: f64,
    /// The numbers, or why there are none.
    pub numbers: Result<Numbers, String>,
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    agents: &'a [Agent],
    kernels: Vec<KernelFacts<'a>>,
    rows: Vec<Row>,
    agent: Vec<AgentRow>,
}

#[derive(Serialize)]
struct KernelFacts<'a> {
    kernel: &'a str,
    release: Option<&'a str>,
    accelerator: &'a str,
    took_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl Measured {
    /// The kernels without numbers, and why.
    pub fn errors(&self) -> impl Iterator<Item = (&str, &str)> {
        self.kernels.iter().filter_map(|of_kernel| {
            let why = of_kernel.numbers.as_ref().err()?;
            Some((of_kernel.kernel.as_str(), why.as_str()))
        })
    }

    fn numbers(&self) -> impl Iterator<Item = &Numbers> {
        self.kernels
            .iter()
            .filter_map(|of_kernel| of_kernel.numbers.as_ref().ok())
    }
}

/// The whole document, indented, with a line end. A kernel without numbers stands in it with its
/// error.
///
/// # Errors
/// It can't be written as JSON.
pub fn json(measured: &Measured) -> Result<String> {
    let facts = measured.kernels.iter().map(|of_kernel| KernelFacts {
        kernel: &of_kernel.kernel,
        release: of_kernel.release.as_deref(),
        accelerator: &of_kernel.accelerator,
        took_s: rounded(of_kernel.took_s, 10.0),
        error: of_kernel.numbers.as_ref().err().map(String::as_str),
    });
    let rows = measured.numbers().flat_map(|numbers| numbers.rows.clone());
    let agents = measured.numbers().flat_map(|numbers| numbers.agent.clone());
    let document = Document {
        schema_version: VERSION,
        agents: &measured.agents,
        kernels: facts.collect(),
        rows: rows.map(rounded_row).collect(),
        agent: agents
            .map(|row| AgentRow {
                start_ms: rounded(row.start_ms, 10.0),
                least_start_ms: rounded(row.least_start_ms, 10.0),
                ..row
            })
            .collect(),
    };
    let text = serde_json::to_string_pretty(&document).context("writing the numbers as JSON")?;
    Ok(text + "\n")
}

/// More digits than these are noise.
fn rounded_row(row: Row) -> Row {
    Row {
        bare_ns: rounded(row.bare_ns, 10.0),
        ns: rounded(row.ns, 10.0),
        ratio: rounded(row.ratio, 10_000.0),
        spread: rounded(row.spread, 10_000.0),
        slowdown: rounded(row.slowdown, 100.0),
        quotient: row.quotient.map(|quotient| rounded(quotient, 10_000.0)),
        programs: row
            .programs
            .into_iter()
            .map(|program| Program {
                runs_per_op: rounded(program.runs_per_op, 10_000.0),
                ns_per_run: program.ns_per_run.map(|ns| rounded(ns, 10.0)),
                ..program
            })
            .collect(),
        ..row
    }
}

fn rounded(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
}

/// The tables of each kernel, and what went wrong.
#[must_use]
pub fn table(measured: &Measured) -> String {
    let mut text = String::new();
    for agent in &measured.agents {
        let sha256: String = agent.sha256.chars().take(12).collect();
        line(
            &mut text,
            &format!("{}: {} ({sha256})", agent.agent.name(), agent.path),
        );
    }
    for of_kernel in &measured.kernels {
        let release = of_kernel.release.as_deref().unwrap_or("unknown");
        line(&mut text, "");
        line(
            &mut text,
            &format!(
                "{} ({release}, {}, in {:.0} s)",
                of_kernel.kernel, of_kernel.accelerator, of_kernel.took_s
            ),
        );
        match &of_kernel.numbers {
            Ok(numbers) => {
                line(&mut text, "");
                text += &columns(&operations(&numbers.rows));
                line(&mut text, "");
                text += &columns(&programs(&numbers.rows));
                line(&mut text, "");
                text += &columns(&agents(&numbers.agent));
            }
            Err(why) => line(&mut text, &format!("error: nothing was measured: {why}")),
        }
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// What operations cost; beside each of the tested agent's, the other's.
fn operations(rows: &[Row]) -> Vec<Vec<String>> {
    let against = rows.iter().any(|row| row.agent == AgentBinary::Other);
    let mut heads = vec![
        "tier", "case", "rules", "folders", "bare ns", "ns", "ratio", "spread", "lives", "slowdown",
    ];
    if against {
        heads.extend([
            "other ns", "ratio", "spread", "lives", "slowdown", "quotient",
        ]);
    }
    let mut table = vec![owned(&heads)];
    for row in rows.iter().filter(|row| row.agent == AgentBinary::Tested) {
        let mut cells = policy(row);
        cells.push(format!("{:.0}", row.bare_ns));
        cells.extend(costs(row));
        let same = |other: &&Row| other.agent == AgentBinary::Other && policy(other) == policy(row);
        if let Some(other) = rows.iter().find(same) {
            cells.extend(costs(other));
            cells.push(
                row.quotient
                    .map_or("-".to_owned(), |quotient| format!("{quotient:.3}")),
            );
        }
        table.push(cells);
    }
    table
}

fn policy(row: &Row) -> Vec<String> {
    vec![
        row.tier.name().to_owned(),
        row.case.name().to_owned(),
        row.rules.to_string(),
        row.folder_rules.to_string(),
    ]
}

fn costs(row: &Row) -> [String; 5] {
    [
        format!("{:.0}", row.ns),
        format!("{:.3}", row.ratio),
        format!("{:.3}", row.spread),
        row.lives.to_string(),
        format!("{:.2}", row.slowdown),
    ]
}

/// What the kernel counted of each program that ran.
fn programs(rows: &[Row]) -> Vec<Vec<String>> {
    let heads = [
        "tier",
        "case",
        "rules",
        "folders",
        "agent",
        "program",
        "type",
        "runs an op",
        "ns a run",
    ];
    let mut table = vec![owned(&heads)];
    for row in rows {
        for program in &row.programs {
            let Some(ns) = program.ns_per_run else {
                continue;
            };
            let mut cells = policy(row);
            cells.extend([
                row.agent.name().to_owned(),
                program.name.clone(),
                program.kind.clone(),
                format!("{:.2}", program.runs_per_op),
                format!("{ns:.0}"),
            ]);
            table.push(cells);
        }
    }
    table
}

/// What agents cost. The parts of a start are the agent's own, so they are told as it names them.
fn agents(rows: &[AgentRow]) -> Vec<Vec<String>> {
    const MB: f64 = 1e6;
    let heads = [
        "tier",
        "rules",
        "agent",
        "MB now",
        "MB at peak",
        "start ms",
        "at least",
        "of that, in ms",
    ];
    let mut table = vec![owned(&heads)];
    for row in rows {
        let mut parts = String::new();
        for (name, us) in &row.start_parts_us {
            let name = name.strip_suffix("_us").unwrap_or(name);
            // Writing to a string can't fail.
            let _ = write!(parts, "{name} {:.0} ", *us as f64 / 1000.0);
        }
        table.push(vec![
            row.tier.name().to_owned(),
            row.rules.to_string(),
            row.agent.name().to_owned(),
            format!("{:.1}", row.rss_bytes as f64 / MB),
            format!("{:.1}", row.peak_bytes as f64 / MB),
            format!("{:.0}", row.start_ms),
            format!("{:.0}", row.least_start_ms),
            parts.trim_end().to_owned(),
        ]);
    }
    table
}

fn owned(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|&cell| cell.to_owned()).collect()
}

/// Columns whose first cell under the heading begins with a digit hold numbers.
fn columns(table: &[Vec<String>]) -> String {
    let first = table.get(1).map_or(&[][..], Vec::as_slice);
    let align = |cell: &String| match cell.starts_with(|c: char| c.is_ascii_digit()) {
        true => Align::Right,
        false => Align::Left,
    };
    let aligns: Vec<Align> = first.iter().map(align).collect();
    columns::lay_out(table, &aligns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::numbers::{self, samples};

    fn measured() -> Measured {
        let (plan, lives) = samples::measured();
        let agent = |agent, path: &str| Agent {
            agent,
            path: path.to_owned(),
            sha256: "0123456789abcdef".repeat(4),
        };
        Measured {
            agents: vec![
                agent(AgentBinary::Tested, "target/artifacts/aegisbpf"),
                agent(AgentBinary::Other, "before"),
            ],
            kernels: vec![
                OfKernel {
                    kernel: "6.1".to_owned(),
                    release: Some("6.1.0-9-cloud-amd64".to_owned()),
                    accelerator: "tcg".to_owned(),
                    took_s: 83.26,
                    numbers: Ok(numbers::of_kernel("6.1", &plan, &lives)),
                },
                OfKernel {
                    kernel: "7.3".to_owned(),
                    release: None,
                    accelerator: "tcg".to_owned(),
                    took_s: 1.0,
                    numbers: Err("0 of 6 lives were measured".to_owned()),
                },
            ],
        }
    }

    #[test]
    fn a_person_sees_every_number_and_which_kernel_has_none() {
        insta::assert_snapshot!(table(&measured()));
    }

    #[test]
    fn a_program_reads_the_members_that_are_promised() {
        let document = json(&measured()).expect("it is data");
        insta::assert_snapshot!(document);
    }
}
