//! A start, verifications and an end that aren't what they are to be.

#[path = "../daemon/mod.rs"]
mod real;

pub use real::*;

use crate::sabotage::{self, Mutant};

pub mod run {
    //! The run.

    use anyhow::Result;

    use super::{Mutant, real, sabotage};
    use crate::exit::Exit;
    use crate::posture::GateMode;

    pub use real::run::*;

    /// Runs what was asked for, or what is never refused.
    pub fn run(mut request: Request) -> Result<Exit> {
        if sabotage::is(Mutant::NeverRefuses) {
            request.asked.gate_mode = GateMode::AuditFallback;
        }
        real::run::run(request)
    }
}

pub mod pressure {
    //! Pressure.

    use std::io;

    use super::{Mutant, real, sabotage};

    /// Has limits end nothing, unless one is to.
    pub fn ignore_limits() {
        if !sabotage::is(Mutant::EndsAtFileLimit) {
            real::pressure::ignore_limits();
        }
    }

    /// Outlives memory, or only says so.
    pub fn outlive_used_up_memory() -> io::Result<()> {
        match sabotage::is(Mutant::EndsWhenOutOfMemory) {
            true => Ok(()),
            false => real::pressure::outlive_used_up_memory(),
        }
    }
}

pub mod ready {
    //! Readiness.

    use std::os::fd::RawFd;
    use std::process;

    use anyhow::Result;

    use super::{Mutant, real, sabotage};

    /// The descriptor, after which nothing need hold.
    #[derive(Debug)]
    pub struct Ready(real::ready::Ready);

    impl Ready {
        /// Takes over an inherited descriptor.
        pub fn adopt(fd: RawFd) -> Result<Self> {
            real::ready::Ready::adopt(fd).map(Self)
        }

        /// Tells that the agent is ready.
        pub fn tell(self) -> Result<()> {
            self.0.tell()?;
            if sabotage::is(Mutant::DiesAfterReady) {
                process::abort();
            }
            if sabotage::is(Mutant::LeavesProgramsOnDeath) {
                sabotage::leave_holder();
            }
            Ok(())
        }
    }
}

pub mod session {
    //! The session.

    use std::ops::{Deref, DerefMut};

    use anyhow::Result;
    use aya::maps::{MapData, RingBuf};

    use super::{Mutant, real, sabotage};
    use crate::daemon::timings::Timings;
    use crate::host::machine::Machine;
    use crate::output::event::RuleNames;
    use crate::output::log;
    use crate::output::notice::Notice;
    use crate::policy::Policy;
    use crate::posture::gate::Asked;

    pub use real::session::Reporting;

    /// A session that fills the maps, verifies or detaches otherwise.
    pub struct Session(real::session::Session);

    impl Session {
        /// Measures and decides.
        pub fn start(
            asked: Asked,
            policy: Policy,
            machine: Machine,
            report: Reporting,
            timings: &mut Timings,
        ) -> Result<(Self, Option<RingBuf<MapData>>)> {
            let started = real::session::Session::start(asked, policy, machine, report, timings);
            let (session, ring) = started?;
            Ok((Self(session), ring))
        }

        /// Puts the real rules into the maps before readiness is told.
        pub fn fill(&mut self) -> Result<()> {
            if sabotage::is(Mutant::ReadyBeforeRules) {
                return Ok(());
            }
            self.0.fill()
        }

        /// Verifies again.
        pub fn refresh(&mut self) -> Result<Vec<Notice>> {
            if sabotage::is(Mutant::RestsWhileVerifying) {
                sabotage::rest(true);
                self.0.fill()?;
                sabotage::rest(false);
            }
            if sabotage::is(Mutant::ForgetsRules) {
                sabotage::rest(true);
            }
            self.0.refresh()
        }

        /// Detaches every program, of which somebody else may hold a descriptor.
        pub fn detach(&mut self) {
            if sabotage::is(Mutant::LeavesIdleProgramsOnStop) {
                sabotage::rest(true);
                if let Err(error) = self.0.fill() {
                    log::error(format_args!("failed to take the rules out: {error:#}"));
                }
            }
            let leaves = [
                Mutant::LeavesProgramsOnStop,
                Mutant::LeavesIdleProgramsOnStop,
                Mutant::LeavesLinkAfterRefusing,
            ];
            if leaves.into_iter().any(sabotage::is) {
                sabotage::leave_holder();
            }
            self.0.detach();
        }
    }

    impl Deref for Session {
        type Target = real::session::Session;

        fn deref(&self) -> &Self::Target {
            &self.0
        }
    }

    impl DerefMut for Session {
        fn deref_mut(&mut self) -> &mut Self::Target {
            &mut self.0
        }
    }

    impl RuleNames for Session {
        fn name(&self, number: u32) -> Option<(String, String)> {
            self.0.name(number)
        }
    }
}
