//! What the tests share: a checkout to work in, tools that pretend, programs that misbehave.

mod artifacts;
mod checkout;
mod machine;
mod processes;
mod programs;
mod tools;
mod unbooted;

pub use artifacts::{artifacts, artifacts_with, kernel, pretend_artifacts};
pub use checkout::{Checkout, Ran, kernel_s_head, repository};
pub use machine::Machine;
pub use processes::{Group, Watched, mentioning, outliving, until_written};
pub use programs::{Scene, compile};
pub use tools::Tools;
pub use unbooted::{Unbooted, guest_in_proof, guest_that_tells};
