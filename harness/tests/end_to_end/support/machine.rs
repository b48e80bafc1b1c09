//! One boot of a kernel of the cache with one proof: the shortest run that boots a machine.

use std::path::PathBuf;
use std::process::Command;

use harness::outcome::Ending;

use super::{Checkout, Ran, Scene, artifacts, artifacts_with, compile, kernel, mentioning};

/// The kernel that these tests boot where any would do.
const KERNEL: &str = "6.1";

/// A machine to boot.
pub struct Machine {
    /// The root in which the harness runs.
    pub checkout: Checkout,
    /// Which kernel of several; none for a root that has only one.
    kernel: Option<&'static str>,
    prebuilt: PathBuf,
    agent: Option<PathBuf>,
}

impl Machine {
    /// With kernel, agent and guest as in this repository.
    pub fn new() -> Self {
        Self {
            kernel: Some(KERNEL),
            ..Self::of(Checkout::new())
        }
    }

    /// With agent and guest as built, in a root with one kernel.
    pub fn of(checkout: Checkout) -> Self {
        Self {
            checkout,
            kernel: None,
            prebuilt: artifacts(),
            agent: None,
        }
    }

    /// With a kernel of the cache under the name `mine`, and more lines about it.
    pub fn declaring(more: &str) -> Self {
        Self::of(Checkout::with_kernel(&kernel(KERNEL), more))
    }

    /// With a guest that misbehaves.
    pub fn guest(mut self, scene: &'static str) -> Self {
        let guest = compile(Scene::Guest(scene), &self.checkout.path(""));
        self.prebuilt = artifacts_with("guest", &guest, &self.checkout.path("prebuilt"));
        self
    }

    /// With an agent that misbehaves.
    pub fn agent(mut self, scene: &'static str) -> Self {
        self.agent = Some(compile(Scene::Agent(scene), &self.checkout.path("")));
        self
    }

    /// With an agent that does harm and then goes on as the sabotaged build, which stays beside
    /// it, with nothing broken.
    pub fn harmful_agent(mut self, scene: &'static str) -> Self {
        let agent = compile(Scene::Agent(scene), &self.checkout.path(""));
        self.prebuilt = artifacts_with("aegisbpf", &agent, &self.checkout.path("prebuilt"));
        self
    }

    /// With other binaries.
    pub fn prebuilt(mut self, folder: PathBuf) -> Self {
        self.prebuilt = folder;
        self
    }

    /// The run, for arguments to be added.
    pub fn matrix_by(&self, launcher: &str) -> Command {
        let mut matrix = self.checkout.matrix_by(launcher);
        matrix.arg("--prebuilt").arg(&self.prebuilt);
        if let Some(kernel) = self.kernel {
            matrix.args(["--kernel", kernel]);
        }
        if let Some(agent) = &self.agent {
            matrix.arg("--agent").arg(agent);
        }
        matrix
    }

    /// As [`Machine::boot_by`], on the direct launcher.
    pub fn boot(&self, proof: &str, more: &[&str]) -> Ran {
        self.boot_by("qemu", proof, more)
    }

    /// Boots with `bpf-lsm` and puts one proof, and checks that no QEMU outlives the run.
    pub fn boot_by(&self, launcher: &str, proof: &str, more: &[&str]) -> Ran {
        let mut matrix = self.matrix_by(launcher);
        matrix.args(["--boot", "bpf-lsm", "--proof", proof]);
        let ran = Ran::of(matrix.args(more));
        let left = mentioning(&self.checkout.path(""));
        assert!(left.is_empty(), "{left:?} outlived the run {ran:#?}");
        ran
    }

    /// Checks that a panic ended QEMU at once, and not the limit.
    #[track_caller]
    pub fn assert_ended_itself(&self) {
        let ending = self.checkout.boot().ending;
        assert_eq!(ending, Some(Ending::Exited { code: 0 }));
    }
}
