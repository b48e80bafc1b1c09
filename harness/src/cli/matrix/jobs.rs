//! From what is at hand to the jobs of the engine: plans, images, machines.
//!
//! In: [`AtHand`], the options, what is wanted, the pace. Out: one job a boot.

use std::path::PathBuf;
use std::time::Duration;

use protocol::plan::{BootPlan, PlannedProof};

use super::MatrixOptions;
use crate::cli::again::Again;
use crate::cli::at_hand::{AtHand, Image, Terms};
use crate::exit::Result;
use crate::kernels::ReadyKernel;
use crate::kernels::manifest::Skip;
use crate::outcome::SuiteId;
use crate::run::engine::{self, Job};
use crate::run::plan::{self, PlannedBoot, Wanted};
use crate::tell;
use crate::verdict::DeclaredSkip;
use crate::vm::{Accelerator, Pace};

/// How many events may fail to come in a boot, so that the guest can still tell of them.
const MISSING_EVENTS: u32 = 1;

/// Plans and packs every kernel; longest boots first.
pub(super) fn jobs(
    at_hand: &AtHand,
    options: &MatrixOptions,
    wanted: &Wanted,
    pace: Pace,
) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for kernel in &at_hand.kernels {
        let (guest_plan, boots) = plan::kernel(kernel, wanted, pace, nonce);
        let image = at_hand.image(kernel, &guest_plan)?;
        if !image.missing_modules.is_empty() {
            tell::err(&format!(
                "kernel {} has no module {}, which images/ asks for",
                kernel.name,
                image.missing_modules.join(", ")
            ));
        }
        for boot in boots {
            jobs.push(job(at_hand, options, kernel, boot, &image, pace));
        }
    }
    // Planned as well, so that each is an error in every report and none is left out.
    for missing in &at_hand.missing {
        let kernel = missing.unbootable();
        let image = Image {
            path: PathBuf::new(),
            missing_modules: Vec::new(),
            obstacle: Some(missing.why.clone()),
        };
        let (_, boots) = plan::kernel(&kernel, wanted, pace, nonce);
        for boot in boots {
            jobs.push(job(at_hand, options, &kernel, boot, &image, pace));
        }
    }
    engine::longest_first(&mut jobs);
    Ok(jobs)
}

fn job(
    at_hand: &AtHand,
    options: &MatrixOptions,
    kernel: &ReadyKernel,
    boot: PlannedBoot,
    image: &Image,
    pace: Pace,
) -> Job {
    let limit = options.boot_limit.map_or_else(
        || pace.boot_limit(&boot.plan, MISSING_EVENTS),
        |limit| Duration::from_secs(limit.into()),
    );
    let terms = Terms {
        accelerator: pace.accelerator,
        limit,
        skips: declared_skips(&kernel.skips, &boot.plan),
        again: again(options, &boot.suite, &boot.plan.proofs, pace.accelerator),
    };
    at_hand.job(kernel, image, boot, terms)
}

/// The skips of this boot, one for each planned proof that people declared one of.
fn declared_skips(skips: &[Skip], plan: &BootPlan) -> Vec<DeclaredSkip> {
    let declared = |proof: &PlannedProof| {
        let mut skips = skips.iter();
        let skip = skips.find(|skip| skip.is_of(&plan.boot, &proof.id))?;
        Some(DeclaredSkip {
            proof: proof.id.clone(),
            reason: skip.reason.clone(),
        })
    };
    plan.proofs.iter().filter_map(declared).collect()
}

/// The command line that repeats one boot.
fn again(
    options: &MatrixOptions,
    suite: &SuiteId,
    proofs: &[PlannedProof],
    accelerator: Accelerator,
) -> String {
    let named = match options.proofs.is_empty() {
        true => &[],
        false => proofs,
    };
    let (launcher, agent) = (options.run.launcher, options.run.agent.as_ref());
    let again = Again::new(&["matrix"], &suite.kernel, launcher, accelerator)
        .option("--boot", &suite.boot)
        // What the user's globs meant for this boot; others of them may mean nothing here.
        .options("--proof", named.iter().map(|proof| &proof.id))
        .options(
            "--boot-limit",
            options.boot_limit.map(|limit| limit.to_string()),
        )
        .path("--agent", agent)
        .path("--prebuilt", options.run.prebuilt.as_ref());
    again.line()
}

/// A word that no earlier boot had.
pub(in crate::cli) fn nonce() -> String {
    use std::hash::{BuildHasher, RandomState};
    // Each state has keys of its own from the system's random source.
    let half = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", half(), half())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::*;
    use crate::cli::matrix::MatrixArgs;
    use crate::vm::{Launcher, accel::Wish};
    use proofs::Boot;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: MatrixArgs,
    }

    /// What `cargo xtask matrix` makes of a line, as a shell takes it apart.
    fn parsed(line: &str) -> MatrixOptions {
        let words = shlex::split(line).expect("a line for a shell");
        let matrix = words.strip_prefix(&["cargo", "xtask"].map(str::to_owned));
        let matrix = matrix.expect("a line of cargo xtask");
        let line = Line::try_parse_from(matrix).expect("a valid line");
        MatrixOptions::of(&line.args, Path::new("/checkout"))
    }

    fn proofs(ids: &[&str]) -> Vec<PlannedProof> {
        let all = plan::catalogue(Boot::NoBpfLsm, true);
        let is_one = |proof: &PlannedProof| ids.contains(&proof.id.as_str());
        all.into_iter().filter(is_one).collect()
    }

    #[test]
    fn the_line_that_repeats_a_boot_means_the_same_boot() {
        for accelerator in [Accelerator::Kvm, Accelerator::Tcg] {
            for launcher in [Launcher::VirtmeNg, Launcher::Qemu] {
                for boot in Boot::ALL {
                    let given = parsed(&format!(
                        "cargo xtask matrix --launcher {} --accel auto --jobs 3",
                        launcher.name()
                    ));
                    // Of all that can stand in a name, `+` alone isn't a plain letter to a shell.
                    for kernel in ["6.1", "my_own-6.1+x"] {
                        let suite = plan::suite(kernel, boot);
                        let again = parsed(&again(&given, &suite, &[], accelerator));
                        assert_eq!(again.kernels, [kernel]);
                        assert_eq!(again.boots, [boot]);
                        assert_eq!(again.run.launcher, launcher);
                        let wish = match accelerator {
                            Accelerator::Kvm => Wish::Kvm,
                            Accelerator::Tcg => Wish::Tcg,
                        };
                        assert_eq!(again.run.accel, wish);
                        assert!(again.proofs.is_empty() && again.boot_limit.is_none());
                        assert!(again.run.agent.is_none() && again.run.prebuilt.is_none());
                    }
                }
            }
        }
    }

    #[test]
    fn the_line_that_repeats_a_boot_has_all_that_was_asked_for() {
        let ids = ["kills-denied-open", "promotes-to-enforce-signal"];
        let given = parsed(
            "cargo xtask matrix --proof '*-denied-open' --proof promotes-to-enforce-signal \
             --boot-limit 7 --agent '/a b/agent' --prebuilt bin",
        );
        let suite = plan::suite("6.1", Boot::NoBpfLsm);
        let again = parsed(&again(&given, &suite, &proofs(&ids), Accelerator::Tcg));
        let (mut proofs, mut ids) = (again.proofs, ids.map(str::to_owned));
        proofs.sort();
        ids.sort();
        assert_eq!(proofs, ids);
        assert_eq!(again.boot_limit, Some(7));
        assert_eq!(again.run.agent, Some("/a b/agent".into()));
        // From wherever it is called.
        let here = std::env::current_dir().expect("there is one");
        assert_eq!(again.run.prebuilt, Some(here.join("bin")));
    }
}
