//! What a run saves of itself so that its records can be judged again without a machine.
//!
//! In: the jobs of a matrix, and later what ended each boot. Out: `plan.json` in `--out`, written
//! before the first machine starts, and `ending.json` in each boot's folder, written when its machine
//! has ended; and both read back. Each is written as a whole or not at all. A plan that holds every
//! boot from the start is what makes a boot that was never begun an error, and no gap that nobody
//! sees; an ending that isn't there is told as not known.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use protocol::plan::BootPlan;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bench::report::FILE as BENCH;
use crate::kernels::manifest::Allow;
use crate::outcome::{Cases, Ending, Provenance, SuiteId};
use crate::report::files::write_whole;
use crate::run::engine::Job;
use crate::sabotage::report::FILE as SABOTAGE;
use crate::sabotage::sweep::FILE as SWEEP;
use crate::verdict::DeclaredSkip;
use crate::vm::channel::Channel;
use crate::vm::{Files, Launcher};

/// The plan of a run, in `--out`.
pub const PLAN: &str = "plan.json";

/// Version of both files. A field that is added raises it too: a verdict that doesn't know of it may
/// be another one.
const VERSION: u32 = 1;

/// The longest file that is read. What a boot leaves is some megabytes; a file of another kind, or a
/// guest that wrote without end, must not take all memory.
const MAX_FILE: u64 = 128 << 20;

/// All that one boot is judged by and told with, beside what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootSpec {
    /// Which.
    pub suite: SuiteId,
    /// What the guest was asked, and what the verdict expects.
    pub plan: BootPlan,
    /// On the command line of this boot only, and in its hello.
    pub nonce: String,
    /// The digest of the promises that the plan was made of; see [`crate::verdict::Identity`].
    pub promises_sha256: String,
    /// Skips declared for this boot.
    pub skips: Vec<DeclaredSkip>,
    /// What the kernel may say on its console.
    pub allows: Vec<Allow>,
    /// `virtme-ng` or `qemu`.
    pub launcher: String,
    /// `kvm` or `tcg`.
    pub accelerator: String,
    /// The kernel's package version, if it came from a package.
    pub package_version: Option<String>,
    /// The version that the lock had before, if it was replaced.
    pub replaced_version: Option<String>,
    /// What is put to the proofs.
    pub provenance: Provenance,
    /// The harness's own command line that repeats this boot.
    pub again: String,
}

impl BootSpec {
    /// Of a boot that is ready to go.
    #[must_use]
    pub fn of(job: &Job, launcher: Launcher) -> Self {
        Self {
            suite: job.boot.suite.clone(),
            plan: job.boot.plan.clone(),
            nonce: job.boot.nonce.clone(),
            promises_sha256: proofs::SOURCE_SHA256.to_owned(),
            skips: job.skips.clone(),
            allows: job.allows.clone(),
            launcher: launcher.name().to_owned(),
            accelerator: job.machine.accelerator.name().to_owned(),
            package_version: job.package_version.clone(),
            replaced_version: job.replaced_version.clone(),
            provenance: job.provenance.clone(),
            again: job.again.clone(),
        }
    }
}

/// A run as it was planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunPlan {
    schema_version: u32,
    /// The kernels, in the order of the reports.
    pub kernels: Vec<String>,
    /// How many proofs each suite must come back with, comparisons of boots among them. Not taken
    /// from the boots, which could have lost one.
    #[serde(with = "as_list")]
    pub suites: Cases,
    /// The boots.
    pub boots: Vec<BootSpec>,
}

impl RunPlan {
    /// Of a run that is about to begin.
    #[must_use]
    pub fn new(kernels: Vec<String>, suites: Cases, boots: Vec<BootSpec>) -> Self {
        Self {
            schema_version: VERSION,
            kernels,
            suites,
            boots,
        }
    }

    /// Writes it into the run's folder.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, out: &Path) -> Result<()> {
        write(&out.join(PLAN), self)
    }

    /// Reads the one in a run's folder.
    ///
    /// # Errors
    /// There is none, or it isn't one of this version, whole, and in agreement with itself.
    pub fn read(out: &Path) -> Result<Self> {
        let path = out.join(PLAN);
        let bytes = match read_file(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(no_plan(out)),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let read = || -> Result<Self> {
            ensure!(
                is_printable(&serde_json::from_slice(&bytes)?),
                "it has a control character in a text"
            );
            let plan: Self = parse(&bytes)?;
            for boot in &plan.boots {
                let suite = &boot.suite;
                let twice = plan.boots.iter().filter(|other| other.suite == *suite);
                ensure!(twice.count() == 1, "{suite} is there twice");
                ensure!(
                    suite.boot == boot.plan.boot,
                    "{suite} has the plan of {}",
                    boot.plan.boot
                );
            }
            Ok(plan)
        };
        read().with_context(|| {
            format!(
                "reading {}: it isn't as the run wrote it, or another version of this harness did; \
                 judge with that, or run the matrix again",
                path.display()
            )
        })
    }
}

/// Whether all texts in a document can be shown on a terminal, as those of a plan are.
fn is_printable(document: &Value) -> bool {
    let shows = |text: &str| !text.contains(|c: char| c.is_control() && c != '\n' && c != '\t');
    match document {
        Value::String(text) => shows(text),
        Value::Array(elements) => elements.iter().all(is_printable),
        Value::Object(members) => members
            .iter()
            .all(|(name, value)| shows(name) && is_printable(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// Why a folder without a plan can't be judged.
fn no_plan(out: &Path) -> anyhow::Error {
    let folder = out.display();
    let others = [SABOTAGE, SWEEP, BENCH];
    if let Some(other) = others.iter().find(|name| out.join(name).exists()) {
        return anyhow!(
            "{folder} has no {PLAN}, but {other}: only runs of `cargo xtask matrix` are judged again"
        );
    }
    if Files::of(out).ending.exists() {
        return anyhow!("{folder} is the folder of one boot; give the folder of the whole run");
    }
    anyhow!(
        "{folder} has no {PLAN}: it is no folder of a run (`cargo xtask matrix --out`), or of one \
         that broke off before its first boot"
    )
}

/// How a boot ended, and when its records came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedEnding {
    schema_version: u32,
    /// The boot's, so that an older run's ending isn't taken for this one's.
    nonce: String,
    /// How QEMU ended.
    pub ending: Ending,
    /// From launch to the end of QEMU.
    #[serde(with = "as_nanoseconds")]
    pub duration: Duration,
    /// When each line of the result channel was complete: how long a proof took is held against
    /// that, and the lines themselves don't say.
    #[serde(with = "as_list_of_nanoseconds")]
    pub arrivals: Vec<Duration>,
}

impl SavedEnding {
    /// Of a boot that is over.
    #[must_use]
    pub fn new(nonce: &str, ending: &Ending, duration: Duration, channel: &Channel) -> Self {
        Self {
            schema_version: VERSION,
            nonce: nonce.to_owned(),
            ending: ending.clone(),
            duration,
            arrivals: channel.lines().iter().map(|(at, _)| *at).collect(),
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write(path, self)
    }

    /// Reads the one of the boot with this nonce.
    ///
    /// # Errors
    /// There is none, it isn't one of this version and whole, or it is another boot's.
    pub fn read(path: &Path, nonce: &str) -> Result<Self> {
        let read = || -> Result<Self> {
            let saved: Self = parse(&read_file(path)?)?;
            if saved.nonce != nonce {
                bail!("it is of another boot, whose nonce was {}", saved.nonce);
            }
            Ok(saved)
        };
        read().with_context(|| format!("reading {}", path.display()))
    }
}

/// Reads a file as the run left it, if it is one and no longer than it can be.
///
/// # Errors
/// It isn't there, isn't a file, is longer, or can't be read.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let too_long = || io::Error::other(format!("it has more than {MAX_FILE} bytes"));
    // Before it is opened: to open a pipe is to wait for who writes to it.
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::other("it isn't a file"));
    }
    if found.len() > MAX_FILE {
        return Err(too_long());
    }
    // It may still grow.
    let mut bytes = Vec::new();
    let mut head = File::open(path)?.take(MAX_FILE + 1);
    head.read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_FILE {
        true => Err(too_long()),
        false => Ok(bytes),
    }
}

fn write<T: Serialize>(path: &Path, content: &T) -> Result<()> {
    let mut bytes = serde_json::to_vec(content).context("composing JSON")?;
    bytes.push(b'\n');
    write_whole(path, &bytes)
}

/// Only the version, so that a file of another one gives that as its error.
#[derive(Deserialize)]
struct Version {
    schema_version: u32,
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let Version { schema_version } = serde_json::from_slice(bytes)?;
    ensure!(
        schema_version == VERSION,
        "it has version {schema_version}, this program reads version {VERSION}"
    );
    Ok(serde_json::from_slice(bytes)?)
}

/// A map whose keys are no texts, which JSON doesn't have.
mod as_list {
    use serde::de::Error as _;
    use serde::{Deserializer, Serializer};

    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Suite {
        suite: SuiteId,
        proofs: usize,
    }

    pub fn serialize<S: Serializer>(cases: &Cases, to: S) -> Result<S::Ok, S::Error> {
        let suites = cases.iter().map(|(suite, proofs)| Suite {
            suite: suite.clone(),
            proofs: *proofs,
        });
        to.collect_seq(suites)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Cases, D::Error> {
        let mut cases = BTreeMap::new();
        for Suite { suite, proofs } in Vec::<Suite>::deserialize(from)? {
            if let Some(suite) = cases.insert(suite.clone(), proofs).map(|_| suite) {
                return Err(D::Error::custom(format!("{suite} is planned twice")));
            }
        }
        Ok(cases)
    }
}

/// As one number: a boot of some centuries has no place for more.
mod as_nanoseconds {
    use serde::{Deserializer, Serializer};

    use super::*;

    pub fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(nanoseconds(time))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_nanos)
    }

    pub fn nanoseconds(time: &Duration) -> u64 {
        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
    }
}

mod as_list_of_nanoseconds {
    use serde::{Deserializer, Serializer};

    use super::*;

    pub fn serialize<S: Serializer>(times: &[Duration], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(times.iter().map(as_nanoseconds::nanoseconds))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Duration>, D::Error> {
        let times = Vec::<u64>::deserialize(from)?;
        Ok(times.into_iter().map(Duration::from_nanos).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;
    use crate::verdict::samples as boot;

    fn plan() -> RunPlan {
        let suite = samples::suite("6.1", "no-bpf-lsm");
        let spec = BootSpec {
            suite: suite.clone(),
            plan: boot::plan(),
            nonce: boot::NONCE.to_owned(),
            promises_sha256: "0".repeat(64),
            skips: Vec::new(),
            allows: vec![Allow {
                console: "odd".to_owned(),
                reason: "it is".to_owned(),
            }],
            launcher: "qemu".to_owned(),
            accelerator: "tcg".to_owned(),
            package_version: Some("6.1.192-2".to_owned()),
            replaced_version: None,
            provenance: samples::results().remove(0).provenance,
            again: "cargo xtask matrix".to_owned(),
        };
        let proofs = spec.plan.proofs.len();
        let suites = [(suite, proofs), (samples::suite("6.1", "cross-boot"), 1)];
        RunPlan::new(vec!["6.1".to_owned()], suites.into(), vec![spec])
    }

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let out = tempfile::tempdir().expect("a temporary folder");
        plan().write(out.path()).expect("a writable folder");
        assert_eq!(RunPlan::read(out.path()).expect("its own"), plan());
    }

    #[test]
    fn a_plan_cut_anywhere_is_refused() {
        let out = tempfile::tempdir().expect("a temporary folder");
        plan().write(out.path()).expect("a writable folder");
        let path = out.path().join(PLAN);
        let whole = fs::read(&path).expect("just written");
        // The line end is no part of the document.
        for cut in (0..whole.len() - 1).step_by(7) {
            fs::write(&path, &whole[..cut]).expect("a writable folder");
            let error = RunPlan::read(out.path()).expect_err("it is cut");
            assert!(format!("{error:#}").contains(PLAN), "{cut}: {error:#}");
        }
    }

    #[test]
    fn a_plan_that_contradicts_itself_or_is_not_to_be_shown_is_refused() {
        let out = tempfile::tempdir().expect("a temporary folder");
        let mut twice = plan();
        twice.boots.push(twice.boots[0].clone());
        let mut other = plan();
        other.boots[0].plan.boot = "bpf-lsm".to_owned();
        let mut odd = plan();
        odd.boots[0].again.push('\u{1b}');
        for (plan, why) in [
            (twice, "6.1/no-bpf-lsm is there twice"),
            (other, "6.1/no-bpf-lsm has the plan of bpf-lsm"),
            (odd, "it has a control character in a text"),
        ] {
            plan.write(out.path()).expect("a writable folder");
            let error = RunPlan::read(out.path()).expect_err("it does");
            assert!(format!("{error:#}").ends_with(why), "{error:#}");
        }
    }

    #[test]
    fn an_ending_is_read_as_it_was_written_by_its_own_boot_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("ending.json");
        let ending = Ending::Killed {
            signal: 9,
            sender: None,
            out_of_memory: true,
        };
        let channel = boot::channel(&boot::records());
        let saved = SavedEnding::new("n-1", &ending, Duration::from_nanos(1), &channel);
        saved.write(&path).expect("a writable folder");
        assert_eq!(SavedEnding::read(&path, "n-1").expect("its own"), saved);
        assert_eq!(saved.arrivals.len(), channel.lines().len());
        let error = SavedEnding::read(&path, "n-2").expect_err("another's");
        assert!(format!("{error:#}").contains("another boot"), "{error:#}");
    }
}
