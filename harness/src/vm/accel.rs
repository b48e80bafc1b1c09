//! Which accelerator to use.
//!
//! `/dev/kvm` can open and still not run a kernel, so `auto` trusts it only after a marker
//! boot on it has said hello. The answer is remembered for as long as the host is up.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::Accelerator;
use crate::outcome::Ending;
use crate::signals;

/// The device through which QEMU uses KVM.
pub const DEVICE: &str = "/dev/kvm";

/// How long a marker boot may take. A kernel that runs on KVM says hello in about a second.
pub const MARKER_LIMIT: Duration = Duration::from_secs(8);

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Wish {
    /// KVM where a marker boot proves it, else TCG.
    Auto,
    /// KVM, whatever comes of it.
    Kvm,
    /// TCG.
    Tcg,
}

/// What was found, and for which boot of the host.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remembered {
    boot_id: String,
    kvm_runs_kernels: bool,
}

/// The accelerator to use, and a line to show where it isn't the one hoped for.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// To use.
    pub accelerator: Accelerator,
    /// To show.
    pub notice: Option<String>,
}

/// What came of a marker boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marker {
    /// The guest said hello.
    SaidHello,
    /// A kernel that is known to be good was given its time, and said nothing.
    Silent,
    /// Nothing is known of KVM by it, for this reason.
    Unclear(String),
}

impl Marker {
    /// What a boot shows. One that is over before its time says nothing about KVM: QEMU may have
    /// failed to start, or have been ended by someone. Nor does the silence of a kernel that nobody
    /// else boots, as one of the user's own.
    #[must_use]
    pub fn of(said_hello: bool, ending: &Ending, known_kernel: bool) -> Self {
        match ending {
            _ if said_hello => Self::SaidHello,
            Ending::Hung { .. } if known_kernel => Self::Silent,
            Ending::Hung { .. } => Self::Unclear(
                "a kernel of your own said nothing on it, and no other is at hand".to_owned(),
            ),
            Ending::Exited { code } => {
                Self::Unclear(format!("QEMU ended at once with exit code {code}"))
            }
            Ending::Killed { signal, .. } => {
                Self::Unclear(format!("QEMU was ended by {}", signals::name(*signal)))
            }
            Ending::Interrupted { .. } => Self::Unclear("it was interrupted".to_owned()),
            Ending::NotStarted { reason }
            | Ending::Lost { reason }
            | Ending::Unknown { reason } => Self::Unclear(reason.clone()),
        }
    }
}

/// Chooses. `device` is [`DEVICE`], `memory` the file that remembers; `marker` boots a machine
/// on KVM with a short limit.
///
/// # Errors
/// The answer couldn't be remembered.
pub fn choose(
    wish: Wish,
    device: &Path,
    memory: &Path,
    marker: impl FnOnce() -> Result<Marker>,
) -> Result<Choice> {
    let tcg = |why: &str| Choice {
        accelerator: Accelerator::Tcg,
        notice: Some(format!("using TCG: {why}")),
    };
    let kvm = Choice {
        accelerator: Accelerator::Kvm,
        notice: None,
    };
    match wish {
        Wish::Kvm => return Ok(kvm),
        Wish::Tcg => {
            return Ok(Choice {
                accelerator: Accelerator::Tcg,
                notice: None,
            });
        }
        Wish::Auto => {}
    }
    let shown = device.display();
    if let Err(error) = OpenOptions::new().read(true).write(true).open(device) {
        return Ok(tcg(&format!("{shown} can't be opened ({error})")));
    }
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .context("reading the host's boot id")?;
    let runs = match recall(memory, &boot_id) {
        Some(runs) => runs,
        None => {
            let runs = match marker() {
                Ok(Marker::SaidHello) => true,
                Ok(Marker::Silent) => false,
                // Not remembered: it says nothing about KVM.
                Ok(Marker::Unclear(why)) => {
                    return Ok(tcg(&format!(
                        "a marker boot on {shown} shows nothing ({why})"
                    )));
                }
                Err(error) => {
                    return Ok(tcg(&format!("no marker boot could be tried ({error:#})")));
                }
            };
            remember(memory, boot_id, runs)?;
            runs
        }
    };
    if runs {
        return Ok(kvm);
    }
    Ok(tcg(&format!(
        "{shown} opens, but a marker boot on it said nothing"
    )))
}

/// What is remembered of this boot of the host. A damaged memory is no memory.
fn recall(memory: &Path, boot_id: &str) -> Option<bool> {
    let remembered: Remembered = serde_json::from_slice(&fs::read(memory).ok()?).ok()?;
    (remembered.boot_id == boot_id).then_some(remembered.kvm_runs_kernels)
}

fn remember(memory: &Path, boot_id: String, kvm_runs_kernels: bool) -> Result<()> {
    let dir = memory.parent().context("a memory in no folder")?;
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let mut file = tempfile::NamedTempFile::new_in(dir).context("making a temporary file")?;
    let remembered = Remembered {
        boot_id,
        kvm_runs_kernels,
    };
    serde_json::to_writer(&mut file, &remembered).context("writing the answer")?;
    file.persist(memory)
        .with_context(|| format!("remembering it in {}", memory.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(dir: &tempfile::TempDir, text: &str) -> std::path::PathBuf {
        let path = dir.path().join("accelerator.json");
        fs::write(&path, text).expect("a writable folder");
        path
    }

    #[test]
    fn a_memory_counts_only_for_the_same_boot_of_the_host() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = memory(&dir, r#"{"boot_id":"a","kvm_runs_kernels":true}"#);
        assert_eq!(recall(&path, "a"), Some(true));
        assert_eq!(recall(&path, "b"), None);
    }

    #[test]
    fn a_damaged_memory_is_no_memory() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for text in ["", "{", "{}", r#"{"boot_id":"a","kvm_runs_kernels":1}"#] {
            assert_eq!(recall(&memory(&dir, text), "a"), None, "{text}");
        }
    }

    #[test]
    fn what_is_remembered_is_recalled() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("new").join("accelerator.json");
        remember(&path, "a".to_owned(), false).expect("a writable folder");
        assert_eq!(recall(&path, "a"), Some(false));
    }

    #[test]
    fn a_wish_needs_no_marker() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (wish, accelerator) in [(Wish::Kvm, Accelerator::Kvm), (Wish::Tcg, Accelerator::Tcg)] {
            let choice = choose(wish, dir.path(), dir.path(), || {
                panic!("no marker boot was asked for")
            });
            assert_eq!(choice.expect("no I/O").accelerator, accelerator);
        }
    }

    /// A host with this device, which `auto` is to choose on.
    struct Host(tempfile::TempDir);

    impl Host {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a temporary folder");
            // All that is asked of it before the marker boot is that it opens.
            fs::write(dir.path().join("kvm"), "").expect("a writable folder");
            Self(dir)
        }

        fn memory(&self) -> std::path::PathBuf {
            self.0.path().join("accelerator.json")
        }

        /// The choice as (accelerator, notice), and whether a marker boot was made for it.
        fn choose(&self, marker: Result<Marker>) -> (&'static str, Option<String>, bool) {
            let device = self.0.path().join("kvm");
            let mut asked = false;
            let choice = choose(Wish::Auto, &device, &self.memory(), || {
                asked = true;
                marker
            });
            let choice = choice.expect("a writable folder");
            let folder = format!("{}/", self.0.path().display());
            let notice = choice.notice.map(|notice| notice.replace(&folder, ""));
            (choice.accelerator.name(), notice, asked)
        }
    }

    #[test]
    fn a_kvm_that_opens_and_runs_no_kernel_is_not_used_and_not_tried_again() {
        let host = Host::new();
        let notice = "using TCG: kvm opens, but a marker boot on it said nothing";
        for asked in [true, false] {
            let choice = host.choose(Ok(Marker::Silent));
            assert_eq!(choice, ("tcg", Some(notice.to_owned()), asked));
        }
    }

    #[test]
    fn a_kvm_that_runs_a_kernel_is_used_and_not_tried_again() {
        let host = Host::new();
        for asked in [true, false] {
            assert_eq!(host.choose(Ok(Marker::SaidHello)), ("kvm", None, asked));
        }
    }

    #[test]
    fn a_marker_boot_that_could_not_be_made_says_nothing_about_kvm() {
        let host = Host::new();
        let notice = "using TCG: no marker boot could be tried (no kernel)";
        for _ in 0..2 {
            let choice = host.choose(Err(anyhow::anyhow!("no kernel")));
            assert_eq!(choice, ("tcg", Some(notice.to_owned()), true));
        }
        assert!(!host.memory().exists());
    }

    #[test]
    fn only_a_known_kernel_that_was_given_its_time_speaks_against_kvm() {
        let hung = Ending::Hung { limit_s: 8 };
        let ended = |code| Ending::Exited { code };
        let killed = Ending::Killed {
            signal: 9,
            sender: None,
            out_of_memory: true,
        };
        assert_eq!(Marker::of(true, &ended(0), false), Marker::SaidHello);
        assert_eq!(Marker::of(false, &hung, true), Marker::Silent);
        let reason = "no such program".to_owned();
        for (ending, known) in [
            (hung, false),
            (ended(1), true),
            (killed, true),
            (Ending::NotStarted { reason }, true),
        ] {
            let marker = Marker::of(false, &ending, known);
            assert!(matches!(marker, Marker::Unclear(_)), "{ending:?}");
            let host = Host::new();
            for _ in 0..2 {
                let (accelerator, notice, asked) = host.choose(Ok(marker.clone()));
                assert_eq!((accelerator, asked), ("tcg", true));
                assert!(notice.is_some_and(|notice| notice.contains("shows nothing")));
            }
            assert!(!host.memory().exists());
        }
    }

    #[test]
    fn without_the_device_no_marker_boot_is_tried() {
        let host = Host::new();
        fs::remove_file(host.0.path().join("kvm")).expect("just written");
        let notice = "using TCG: kvm can't be opened (No such file or directory (os error 2))";
        let choice = host.choose(Ok(Marker::SaidHello));
        assert_eq!(choice, ("tcg", Some(notice.to_owned()), false));
        assert!(!host.memory().exists());
    }
}
